"""What is decided about a recording without opening it."""

import pytest
from msgspec.structs import replace

from batch_uploader.core.model import Version
from batch_uploader.core.records import Record
from batch_uploader.core.states import Action, Status
from batch_uploader.plan.decide import plan

STAT = Version(100, 1_000, "a.json", 10, 1_000)
TOUCHED = {
    "audio": replace(STAT, mtime_ns=2_000),
    "grown": replace(STAT, size=101),
    "sidecar": replace(STAT, sidecar_mtime_ns=2_000),
    "sidecar gone": Version(100, 1_000),
    "sidecar renamed": replace(STAT, sidecar="a.wav.json"),
    "row of a table": replace(STAT, about=b"digest"),
}
DESCRIBED = TOUCHED.keys() - {"audio", "grown"}
RULES = b"rules"


def known(status: Status, policy: bytes | None = None) -> Record:
    return Record("c", "a.wav", status, STAT, sha256=b"sha256", metadata=b"metadata", policy=policy)


def test_a_doubt_of_a_lost_ledger_is_looked_into():
    """Fault 8: without its digest it cannot be searched for."""
    unseen = Record("c", "a.wav", Status.IN_DOUBT, STAT)
    assert plan(STAT, unseen, RULES).action is Action.UPLOAD
    assert plan(STAT, replace(unseen, sha256=b"sha256"), RULES).action is Action.HOLD


def test_what_was_never_seen_goes_up():
    assert plan(STAT, None, RULES).action is Action.UPLOAD


@pytest.mark.parametrize(
    ("status", "action"),
    [
        (Status.CLAIMED, Action.HOLD),
        (Status.UPLOADED, Action.SKIP),
        (Status.REJECTED, Action.HOLD),
        (Status.FAILED, Action.UPLOAD),
        (Status.IN_DOUBT, Action.HOLD),
        (Status.CONFLICT, Action.HOLD),
        (Status.INVALID, Action.HOLD),
        (Status.DUPLICATE, Action.SKIP),
        (Status.GIVEN_UP, Action.SKIP),
    ],
)
def test_an_unchanged_recording_of_each_status(status, action):
    assert plan(STAT, known(status, RULES), RULES).action is action


@pytest.mark.parametrize("change", TOUCHED)
@pytest.mark.parametrize("status", Status)
def test_a_changed_recording_of_each_status(status, change):
    action = plan(TOUCHED[change], known(status, RULES), RULES).action
    if status in {Status.CLAIMED, Status.IN_DOUBT, Status.CONFLICT}:
        assert action is Action.HOLD, "what may be stored is never sent again"
    elif status is Status.UPLOADED and change in DESCRIBED:
        assert action is Action.COMPARE_METADATA
    elif status is Status.GIVEN_UP and change in DESCRIBED:
        assert action is Action.SKIP
    else:
        assert action is Action.UPLOAD


def test_the_invalid_is_looked_into_anew_under_other_rules():
    assert plan(STAT, known(Status.INVALID, b"older rules"), RULES).action is Action.UPLOAD
