"""Decisions about many recordings, read from a file."""

import json

import pytest

from batch_uploader.app.decisions import PathDecision, Resolution, read_decisions
from batch_uploader.core.errors import ConfigError
from batch_uploader.core.identity import Cause
from batch_uploader.core.model import Outcome, Version
from batch_uploader.core.states import Status, Verdict

RESEND, DUPLICATE, GIVE_UP = map(Resolution, (Verdict.RESEND, Verdict.DUPLICATE, Verdict.GIVE_UP))


def read(*lines, usual=None):
    return read_decisions((f"{line}\n" for line in lines), "FILE", usual)


def refused(*lines, usual=None):
    with pytest.raises(ConfigError) as caught:
        read(*lines, usual=usual)
    return caught.value.problem


def test_a_path_a_line_takes_the_usual_decision():
    paths = ["a.wav", " b c.wav ", "{guid}.wav", "[1].wav", '"q".wav', "й/ё.wav"]
    assert read(*paths, "", usual=DUPLICATE) == [PathDecision(path, DUPLICATE) for path in paths]
    assert read("a.wav\r", usual=RESEND) == [PathDecision("a.wav", RESEND)]


def test_a_line_of_the_manifest_may_have_a_decision_of_its_own():
    lines = [
        {"path": "a.wav", "decision": "resend", "status": "possible_duplicate"},
        {"path": "b.wav", "decision": "duplicate", "connection_id": "calls"},
        {"path": "c.wav", "decision": "give_up"},
        {"path": "d.wav", "decision": None},
        {"path": "e.wav", "connection_id": None},
    ]
    own = [
        PathDecision("a.wav", RESEND),
        PathDecision("b.wav", DUPLICATE, "calls"),
        PathDecision("c.wav", GIVE_UP),
    ]
    rest = [PathDecision(f"{name}.wav", DUPLICATE, explicit=False) for name in "de"]
    assert read(*map(json.dumps, lines)) == own
    assert read(*map(json.dumps, lines), usual=DUPLICATE) == [*own, *rest]


def test_a_recording_may_be_listed_twice_but_not_decided_twice():
    line = '{"path": "a.wav", "decision": "%s"}'
    assert read(line % "resend", line % "resend") == [PathDecision("a.wav", RESEND)]
    assert "line 3: an earlier line" in refused(line % "resend", "", line % "duplicate")


@pytest.mark.parametrize(
    ("line", "said"),
    [
        ('{"decision": "resend"}', "FILE, line 2: it has no path"),
        ('{"path": "", "decision": "resend"}', "line 2: it has no path"),
        ('{"path": 7}', "line 2: it has no path"),
        ('{"path": "a", "decision": "uploaded"}', "line 2: unknown decision 'uploaded'"),
        ('{"path": "a", "decision": "talk-id"}', "line 2: unknown decision 'talk-id'"),
        ('{"path": "a", "decision": 1}', "line 2: unknown decision 1"),
        ('{"path": "a", "connection_id": 1}', "line 2: connection_id is not a text"),
    ],
)
def test_a_line_with_a_fault_is_named(line, said):
    assert said in refused("good.wav", line, usual=DUPLICATE)


def test_a_file_without_a_decision_is_refused():
    assert refused() == refused("", usual=RESEND) == "FILE: it is empty"
    assert refused("a.wav", '{"path": "b.wav"}') == "FILE: no line has a decision"


def test_what_a_human_says_about_a_possible_duplicate():
    held = Outcome(
        "b.mp3",
        Status.POSSIBLE_DUPLICATE,
        Version(1, 1),
        duplicate_of="a.wav",
        duration=2.0,
        cause=Cause.CHANGED_AUDIO,
    )
    same, other = DUPLICATE.outcome(held), RESEND.outcome(held)
    assert (same.status, same.duplicate_of, same.failure) == (Status.DUPLICATE, "a.wav", None)
    assert same.cause is Cause.CHANGED_AUDIO
    assert (other.status, other.duplicate_of, other.cause) == (
        Status.FAILED,
        None,
        Cause.ANOTHER_CALL,
    )
    assert RESEND.outcome(same).cause is Cause.NO_DUPLICATE
    assert other.failure is not None
    assert other.failure.code == "RESEND"
    assert same.duration == other.duration == 2.0
    doubt = Outcome("c.wav", Status.IN_DOUBT, Version(1, 1))
    assert RESEND.outcome(doubt).cause is None
