"""What may be a call that is stored: shown by cause, decided by a human, never sent unasked."""

import json
import shlex
import sqlite3
from contextlib import closing

import pytest
from support.audio_makers import mp3

from batch_uploader import possible_duplicates
from batch_uploader.core.identity import Cause

NAMES = ["2025/a.wav", "2025/b.wav", "2025/c.wav", "d.wav"]


def louder(calls, *names):
    """Change the audio at a path, as a normaliser does."""
    for name in names:
        path = calls.folder / name
        content = bytearray(path.read_bytes())
        content[-1] ^= 0x40
        path.write_bytes(content)
        calls.rest(name)


@pytest.fixture
def held(calls, upload, service):
    """Four recordings, of which three have other audio since they were uploaded."""
    calls.write(*NAMES)
    assert upload().code == 0
    louder(calls, *NAMES[:3])
    result = upload()
    assert result.code == 1, result.err
    assert service.counts(calls) == dict.fromkeys(NAMES, 1)
    return result


def states(calls):
    """The status of each path, as of the last run or decision."""
    return {path: line["status"] for path, line in calls.manifest().items()}


def commands(text):
    """The commands to decide about a group, by their decision."""
    lines = [line.partition(": ")[2].strip() for line in text.splitlines() if "resolve " in line]
    return {line.rpartition(" ")[2]: shlex.split(line)[1:] for line in lines}


def test_the_end_of_a_run_tells_the_group_and_the_commands(calls, held, program, upload, service):
    """Fault 107."""
    assert "changed-audio: 3 recordings" in held.err
    assert commands(held.err).keys() == {"--duplicate", "--resend"}
    assert calls.manifest()["2025/a.wav"]["error"]["code"] == "CHANGED_AUDIO"
    result = program(*commands(held.err)["--duplicate"])
    assert result.code == 0, result.err
    assert "3 recordings recorded as duplicate" in result.err
    assert states(calls) == {**dict.fromkeys(NAMES[:3], "duplicate"), "d.wav": "uploaded"}
    assert upload().code == 0
    assert service.counts(calls) == dict.fromkeys(NAMES, 1)


def test_another_call_is_sent_once_it_is_said_to_be_one(calls, held, program, upload, service):
    """Fault 107."""
    flags = commands(held.err)["--resend"]
    result = program(*flags)
    assert result.code == 2
    assert "billed twice" in result.err
    result = program(*flags, "--yes")
    assert result.code == 0, result.err
    assert "3 recordings to be sent by the next run" in result.err
    assert upload().code == 0
    assert service.counts(calls) == {**dict.fromkeys(NAMES[:3], 2), "d.wav": 1}
    assert upload().code == 0, "it is not compared again"
    assert service.counts(calls)["2025/a.wav"] == 2


def test_a_duplicate_can_be_said_to_be_another_call_after_all(
    calls, held, program, upload, service
):
    """Fault 107: a mistake that leaves a call out can be taken back."""
    assert program(*commands(held.err)["--duplicate"]).code == 0
    calls.put("copy.wav", (calls.folder / "d.wav").read_bytes())
    calls.put("copy.json", (calls.folder / "d.json").read_bytes())
    assert upload().code == 0
    assert states(calls)["copy.wav"] == "duplicate"
    # A folder or a whole manifest means what needs attention, and these do not.
    assert program("resolve", calls, "2025", "--resend", "--yes").code == 2
    listing = ("--from", calls.folder / "manifest.jsonl")
    assert "0 recordings" in program("resolve", calls, *listing, "--resend", "--yes").err
    flags = ("resolve", calls, "2025/a.wav", "copy.wav", "--resend")
    result = program(*flags)
    assert result.code == 2
    assert "billed twice" in result.err
    result = program(*flags, "--yes")
    assert result.code == 0, result.err
    for _ in range(2):
        assert upload().code == 0
        counts = service.counts(calls)
        assert counts == {"2025/a.wav": 2, "2025/b.wav": 1, "2025/c.wav": 1, "d.wav": 2}


def test_a_part_of_a_group_is_decided_by_path_folder_or_list(calls, held, program, tmp_path):
    def decide(*flags, code=0):
        result = program("resolve", calls, *flags)
        assert result.code == code, result.err
        return result.err

    assert "the cause moved" in decide("2025/a.wav", "--cause", "moved", "--duplicate", code=2)
    assert "0 recordings" in decide("--cause", "moved", "--duplicate")
    assert "d.wav is uploaded" in decide("d.wav", "--duplicate", code=2)
    decide("2025/?.wav", "--give-up", code=2)
    decide("2025/a.wav", "--cause", "changed-audio", "--duplicate")
    listing = tmp_path / "list.jsonl"
    lines = calls.every_line()
    of_b = [line | {"decision": "resend"} for line in lines if line["path"] == "2025/b.wav"]
    rest = [line for line in lines if line["path"] != "2025/b.wav"]
    listing.write_text("\n".join(map(json.dumps, [*of_b, *rest])))
    said = decide("--from", listing, "--duplicate", "--yes")
    assert "1 recording to be sent by the next run; 1 recording recorded as duplicate" in said
    assert states(calls) == dict(
        zip(NAMES, ["duplicate", "failed", "duplicate", "uploaded"], strict=True)
    )


def test_status_shows_both_files(calls, held, program, service):
    result = program("status", calls)
    assert result.code == 1
    (talk,) = [each for each in service.talks(calls) if each.fields["name"] == "2025/a.wav"]
    assert f"as talk {talk.talk_id}" in result.out
    assert commands(result.out)["--duplicate"][1:] == [
        str(calls),
        "--cause",
        "changed-audio",
        "--duplicate",
    ]
    document = json.loads(program("status", calls, "--json").out)
    first = document["attention"][0]
    assert first["status"] == "possible_duplicate"
    assert first["cause"] == "changed-audio"
    assert first["path"] == first["duplicate_of"] == "2025/a.wav"
    assert shlex.split(first["decide"])[-1] == "2025/a.wav"
    assert document["totals"]["possible_duplicate"]["recordings"] == 3


def test_the_commands_name_what_else_is_needed(calls, upload, program, tmp_path):
    """A ledger elsewhere, and a connection among several."""
    ledger = ("--ledger", tmp_path / "my ledger.db")
    calls.write(*NAMES)
    assert upload(*ledger).code == 0
    louder(calls, "d.wav")
    assert upload(*ledger, "--connection-id", "strict").code == 1
    result = upload(*ledger)
    assert result.code == 1
    for text in (result.err, program("status", calls, *ledger).out):
        assert program(*commands(text)["--duplicate"]).code == 0, text
        with closing(sqlite3.connect(ledger[1])) as database, database:
            query = "SELECT path FROM recordings WHERE status = 'duplicate'"
            assert database.execute(query).fetchall() == [("d.wav",)]
            database.execute(
                "UPDATE recordings SET status = 'possible_duplicate' WHERE status = 'duplicate'"
            )


def test_every_kind_of_progress_tells_the_commands(calls, held, upload, program):
    for progress in ("none", "json"):
        result = upload("--progress", progress)
        assert result.code == 1
        assert commands(result.err) == commands(held.err)
    events = [json.loads(line) for line in result.out.splitlines()]
    told = [each for each in events if each.get("cause") == "changed-audio"]
    assert {each["path"] for each in told} == set(NAMES[:3])
    assert events[-1]["converted"] == 0


def test_check_foretells_the_same_groups(calls, upload, program):
    calls.write(*NAMES)
    assert upload().code == 0
    louder(calls, *NAMES[:3])
    flags = ("check", calls, "--connection-id", "calls", "--ledger", calls.ledger)
    foretold = program(*flags)
    assert foretold.code == 1, foretold.err
    assert "0 recordings, 0s of audio, 0 to upload" in foretold.out
    assert "upload holds these, then decide:" in foretold.out
    told = upload("--ledger", calls.ledger)
    assert "changed-audio: 3 recordings, 300ms of audio" in foretold.out
    assert "changed-audio: 3 recordings, 300ms of audio" in told.err
    assert commands(foretold.out) == commands(told.err)
    fast = program("check", calls, "--fast", "--json")
    assert json.loads(fast.out)["possible_duplicates"] == {"changed-audio": 3}, "on record"


def test_check_knows_what_is_gone_or_invalid_or_free_by_now(calls, held, upload, program, service):
    """Of what is held one is removed, one has a defect, and one has its old audio again."""
    removed, cut, restored = (calls.folder / name for name in NAMES[:3])
    removed.unlink()
    removed.with_suffix(".json").unlink()
    cut.write_bytes(cut.read_bytes()[:-50])
    louder(calls, NAMES[2])
    for path in (cut, restored):
        calls.rest(path.relative_to(calls.folder))
    foretold = program("check", calls, "--connection-id", "calls", "--json")
    told = json.loads(foretold.out)
    assert told["possible_duplicates"] == {}
    assert upload().code == foretold.code == 1
    assert states(calls) == dict.fromkeys(NAMES, "uploaded") | {NAMES[1]: "invalid"}
    assert service.counts(calls) == dict.fromkeys(NAMES, 1)


def test_check_tells_what_is_free_since_the_id_of_the_other_was_corrected(calls, upload, program):
    ids = {"date": "2025-04-24T14:34:19+03:00", "operator_id": "1"}
    calls.write("a.wav", "b.wav", client_id="one", **ids)
    assert upload().code == 1
    calls.put("a.json", json.dumps({**ids, "client_id": "another"}).encode())
    foretold = program("check", calls, "--connection-id", "calls", "--json")
    told = json.loads(foretold.out)
    assert (told["to_send"], told["possible_duplicates"]) == (1, {})
    assert upload().code == foretold.code == 0


async def test_the_library_has_the_groups(calls, held):
    (group,) = await possible_duplicates(calls)
    assert (group.cause, group.recordings) == (Cause.CHANGED_AUDIO, 3)
    assert [each.held.path for each in group.examples] == NAMES[:3]
    for each in group.examples:
        assert each.other.path == each.held.path
        assert each.other.talk_id
        assert each.other.sha256 != each.held.sha256


class TestCallId:
    """``--call-id`` by the command line: the named fields decide."""

    def test_the_same_id_is_held_and_another_is_sent(self, calls, upload, service, program):
        """Fault 108."""
        flag = ("--call-id", "conversation")
        calls.write("a.wav", conversation="1")
        assert upload(*flag).code == 0
        calls.write("b.wav", conversation="2")
        assert upload(*flag).code == 0
        calls.write("c.wav", conversation="1")
        result = upload(*flag)
        assert result.code == 1
        assert "same-call-id: 1 recording" in result.err
        assert "--call-id A,B" in program("status", calls).out
        assert service.counts(calls) == {"a.wav": 1, "b.wav": 1}
        # What tells the parts apart frees it.
        result = upload("--call-id", "conversation,name")
        assert result.code == 0, result.err
        assert service.counts(calls) == {"a.wav": 1, "b.wav": 1, "c.wav": 1}

    def test_none_takes_the_default_ids_for_nothing(self, calls, upload, service):
        """Fault 108."""
        ids = {"date": "2025-04-24T14:34:19Z", "operator_id": "7", "client_id": "8"}
        calls.write("a.wav", **ids)
        assert upload().code == 0
        calls.write("b.wav", seconds=0.4, **ids)
        result = upload()
        assert result.code == 1
        assert "same-default-id: 1 recording" in result.err
        result = upload("--call-id", "none")
        assert result.code == 0, result.err
        assert service.counts(calls) == {"a.wav": 1, "b.wav": 1}

    def test_a_field_that_is_not_declared_is_a_usage_error(self, calls, upload, program):
        calls.write("a.wav")
        (program.directory / "batch-uploader.toml").write_text(
            '[connection]\nother-fields = "refuse"\n[connection.fields]\nname = "string"\n'
        )
        result = upload("--call-id", "nmae")
        assert result.code == 2
        assert "--call-id: the field 'nmae'" in result.err
        assert "did you mean name?" in result.err


def test_a_converted_call_is_told_and_costs_nothing(calls, upload, service, program):
    calls.write("a.wav", seconds=2)
    assert upload().code == 0
    (calls.folder / "a.wav").unlink()
    calls.put("a.mp3", mp3(seconds=2.0))
    result = upload()
    assert result.code == 0, result.err
    assert "1 converted: the same call in another format" in result.err
    assert service.counts(calls) == {"a.wav": 1}
    assert states(calls)["a.mp3"] == "duplicate"
