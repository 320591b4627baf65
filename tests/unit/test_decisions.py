"""Decisions about many recordings, read from a file."""

import json

import pytest
from msgspec.structs import replace

from batch_uploader.app.decisions import PathDecision, Resolution, read_decisions
from batch_uploader.core.errors import ConfigError
from batch_uploader.core.identity import Cause
from batch_uploader.core.model import Outcome, Version
from batch_uploader.core.states import Status, Verdict

RESEND, DUPLICATE, GIVE_UP = map(Resolution, (Verdict.RESEND, Verdict.DUPLICATE, Verdict.GIVE_UP))


def read(*lines, usual=None, faults=None):
    """Without where they come from, which a test of its own has."""
    found = read_decisions((f"{line}\n" for line in lines), "FILE", usual, faults)
    return [replace(each, where="") for each in found]


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
        ('{"path": "a", "decision": "talk-id"}', "line 2: it has no talk_id"),
        ('{"path": "a", "decision": "talk-id", "talk_id": "ID"}', "line 2: talk_id: not a talk"),
        ('{"path": "a", "decision": 1}', "line 2: unknown decision 1"),
        ('{"path": "a", "connection_id": 1}', "line 2: connection_id is not a text"),
    ],
)
def test_a_line_with_a_fault_is_named(line, said):
    assert said in refused("good.wav", line, usual=DUPLICATE)


def test_the_others_count_where_faults_are_collected():
    faults = []
    found = read(
        '{"path": "a.wav", "decision": "resend"}',
        '{"path": "b.wav", "decision": "sned"}',
        '{"path": "a.wav", "decision": "give-up"}',
        '{"path": "c.wav", "decision": "give-up"}',
        faults=faults,
    )
    assert found == [PathDecision("c.wav", GIVE_UP)], "of two that contradict neither counts"
    assert [fault.problem for fault in faults] == [
        "FILE, line 2: unknown decision 'sned'",
        "FILE, line 3: an earlier line decides otherwise",
    ]
    faults = []
    assert read('{"path": ""}', faults=faults) == []
    assert len(faults) == 1


@pytest.mark.parametrize("mark", [",", ";", "\t"])
def test_a_table_as_a_person_fills_it_in(mark):
    rows = [
        ["path", "Status", "talk_id", "Decision", "defused"],
        ["a.wav", "in_doubt", " talk-7 ", "talk-id", ""],
        ["b.wav", "in_doubt", "", " Resend ", ""],
        ["c.wav", "in_doubt", "", "", ""],
        ["", "", "", "", ""],
        ["'=d.wav", "in_doubt", "", "give_up", "path error_message"],
    ]
    found = read_decisions([f"{mark.join(row)}\r\n" for row in rows], "FILE")
    assert found == [
        PathDecision("a.wav", Resolution(Verdict.UPLOADED, "talk-7"), where="FILE, line 2"),
        PathDecision("b.wav", RESEND, where="FILE, line 3"),
        PathDecision("'=d.wav", GIVE_UP, where="FILE, line 6", is_defused=True),
    ]


def test_cells_may_be_quoted_and_lines_of_a_table_are_counted_as_an_editor_does():
    lines = ["path,note,decision\n", '"a, b.wav","two\n', 'lines",resend\n', "c.wav,,sned\n"]
    faults = []
    found = read_decisions(lines, "FILE", None, faults)
    assert [(each.path, each.where) for each in found] == [("a, b.wav", "FILE, line 3")]
    assert [fault.problem for fault in faults] == ["FILE, line 4: unknown decision 'sned'"]


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
