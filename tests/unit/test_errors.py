"""An error says what is wrong, then what to do; a class carries what it means for a recording."""

import pytest
from support.sink_samples import sample

from batch_uploader.core.errors import (
    Contradicted,
    InDoubt,
    NotSent,
    Rejected,
    SinkError,
    Throttled,
    Unauthorized,
    UnknownConnection,
    UploaderError,
)
from batch_uploader.core.states import Status
from batch_uploader.run.delivery import Delivery


@pytest.mark.parametrize(
    ("hint", "hints", "text"),
    [
        (None, (), "the disk is full"),
        ("free some space", ("free some space",), "the disk is full; free some space"),
        (["free it", "or move"], ("free it", "or move"), "the disk is full; free it; or move"),
    ],
)
def test_problem_and_hints_are_apart_and_read_as_one_line(hint, hints, text):
    error = UploaderError("the disk is full", hint=hint)
    assert error.problem == "the disk is full"
    assert error.hints == hints
    assert str(error) == text


def test_the_error_of_an_attempt_has_hints_as_well():
    error = NotSent("the host cannot be reached", hint="check the network", code="UNAVAILABLE")
    assert str(error) == "the host cannot be reached; check the network"


class _Busy(NotSent):
    """As a later version may add one."""


@pytest.mark.parametrize(
    ("kind", "status"),
    [
        (NotSent, Status.FAILED),
        (_Busy, Status.FAILED),
        (Throttled, Status.FAILED),
        (Unauthorized, Status.FAILED),
        (Rejected, Status.REJECTED),
        (UnknownConnection, Status.REJECTED),
        (InDoubt, Status.IN_DOUBT),
        (SinkError, Status.IN_DOUBT),
        (Contradicted, Status.CONFLICT),
    ],
)
def test_what_is_on_record_after_an_error_comes_from_its_class(kind, status):
    sent = Delivery(sample(b"RIFF"), 0, lambda _event: None)
    assert sent.outcome(kind("it went wrong", code="X")).status is status
