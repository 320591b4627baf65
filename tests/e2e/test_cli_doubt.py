"""What nobody can know: ``status`` lists it, ``resolve`` decides it, ``manifest`` tells it."""

import csv
import json
import os
import shlex
import sys
import time
import uuid
from pathlib import Path

import anyio
import pytest
from support.ledger_cases import recording
from support.ledger_changes import claim_all

from batch_uploader.ledgers.sqlite import SqliteLedger


@pytest.fixture
def in_doubt(calls, upload, start_service):
    """Two recordings that the service holds and whose answers were lost."""
    calls.write("a.wav", "b & c/d.wav")
    with start_service("--lose-answer", "1", "--lost-answer", "proxy") as service:
        result = upload(to=service)
        assert result.code == 1, result.err
        assert set(service.counts(calls).values()) == {1}
        return {talk.fields["name"]: talk.talk_id for talk in service.talks(calls)}


def counts(program, calls):
    document = json.loads(program("status", calls, "--json").out)
    return {
        name: each["recordings"] for name, each in document["totals"].items() if each["recordings"]
    }


class TestStatus:
    def test_it_counts_and_is_content(self, calls, upload, program):
        calls.write("a.wav", "b.wav")
        assert upload().code == 0
        result = program("status", calls)
        assert result.code == 0
        assert result.out.startswith("the run of ")
        assert "\n\nuploaded            2 " in result.out
        assert counts(program, calls) == {"uploaded": 2}

    def test_it_lists_what_needs_a_human_with_the_command_that_decides(
        self, calls, program, upload, in_doubt
    ):
        result = program("status", calls)
        assert result.code == 1
        assert result.err == ""
        commands = [
            line.split("--talk-id")[0] for line in result.out.splitlines() if "resolve" in line
        ]
        assert len(commands) == 2
        # Exactly as it is printed, and decided.
        for command in commands:
            _, *arguments = shlex.split(command)
            assert program(*arguments, "--give-up").code == 0
        assert counts(program, calls) == {"given_up": 2}
        result = program("status", calls)
        assert result.code == 0
        assert "\n\ngiven up            2 " in result.out
        assert upload().code == 0

    def test_what_it_prints_runs_with_several_connections_too(
        self, calls, program, upload, in_doubt
    ):
        calls.write("z.wav")
        assert "connection calls" not in program("status", calls).out
        assert upload("--connection-id", "strict").code == 1
        result = program("status", calls)
        assert "  a.wav  connection calls\n" in result.out
        assert "  z.wav  connection strict\n" in result.out
        command = next(line for line in result.out.splitlines() if "a.wav --talk-id" in line)
        _, *arguments = shlex.split(command.split("--talk-id")[0])
        result = program(*arguments, "--give-up")
        assert result.code == 0, result.err

    def test_its_document_is_for_programs(self, calls, program, in_doubt):
        result = program("status", calls, "--json")
        assert result.code == 1
        document = json.loads(result.out)
        assert document["needs_attention"] == 2
        assert document["running"] is False
        paths = [each["path"] for each in document["attention"]]
        assert paths == ["a.wav", "b & c/d.wav"]
        assert {each["status"] for each in document["attention"]} == {"in_doubt"}

    def test_claims_of_a_killed_run_are_in_doubt(self, calls, upload, program, start_service):
        """fault 10"""
        calls.write("a.wav")
        with start_service("--silent", "1") as service:
            process = upload("--progress", "json", to=service, start=True)
            next(line for line in process.stdout if b"upload_started" in line)
            running = json.loads(program("status", calls, "--json").out)
            assert running["running"] is True
            assert running["needs_attention"] == 0
            process.kill()
            process.communicate()
        assert counts(program, calls) == {"in_doubt": 1}
        result = program("status", calls)
        assert result.code == 1
        assert "a.wav" in result.out

    @pytest.mark.parametrize("command", ["status", "manifest"])
    def test_no_ledger_is_an_error(self, calls, inside, command):
        result = inside(command, calls)
        assert result.code == 7
        assert result.out == ""
        assert "does not exist: nothing has been uploaded with it yet" in result.err
        assert inside(command, calls.folder / "missing").code == 4


class TestResolve:
    def test_a_talk_that_is_there_is_recorded(self, calls, program, upload, service, in_doubt):
        talk_id = in_doubt["a.wav"]
        result = program("resolve", calls, "a.wav", "--talk-id", talk_id)
        assert result.code == 0, result.err
        line = calls.manifest()["a.wav"]
        assert (line["status"], line["talk_id"]) == ("uploaded", talk_id)
        assert upload().code == 1
        assert service.counts(calls) == {}
        assert counts(program, calls) == {"uploaded": 1, "in_doubt": 1}

    @pytest.fixture
    def resolve(self, calls, program):
        return lambda *words: program("resolve", calls, *words).code

    @pytest.mark.parametrize(
        ("decision", "status"),
        [("--talk-id", "uploaded"), ("--resend --yes", "failed"), ("--give-up", "given_up")],
    )
    def test_a_wrong_talk_is_taken_back_by_deciding_again(
        self, calls, resolve, in_doubt, decision, status
    ):
        right, wrong = in_doubt["a.wav"], in_doubt["b & c/d.wav"]
        assert resolve("a.wav", "--talk-id", wrong) == 0
        words = [*decision.split(), *([right] if status == "uploaded" else [])]
        assert resolve("a.wav", *words) == 0
        # The talk is free for the recording that it is of.
        assert resolve("b & c/d.wav", "--talk-id", wrong) == 0
        told = {path: (line["status"], line["talk_id"]) for path, line in calls.manifest().items()}
        assert told == {
            "a.wav": (status, right if status == "uploaded" else None),
            "b & c/d.wav": ("uploaded", wrong),
        }

    def test_what_is_sent_again_after_that_is_sent_once(
        self, calls, resolve, upload, service, in_doubt
    ):
        assert resolve("a.wav", "--talk-id", in_doubt["b & c/d.wav"]) == 0
        assert upload().code == 1, "the other one is still in doubt"
        assert service.counts(calls) == {}
        assert resolve("a.wav", "--resend", "--yes") == 0
        assert upload().code == 1
        assert service.counts(calls) == {"a.wav": 1}

    def test_what_it_may_cost_to_take_back_a_talk_is_asked(self, calls, program, in_doubt):
        talk_id = in_doubt["a.wav"]
        assert program("resolve", calls, "a.wav", "--talk-id", talk_id).code == 0
        result = program("resolve", calls, "a.wav", "--resend")
        assert result.code == 2
        assert "billed twice" in result.err
        assert calls.manifest()["a.wav"]["talk_id"] == talk_id

    def test_what_the_service_answered_is_never_taken_back(self, calls, program, upload):
        calls.write("a.wav")
        assert upload().code == 0
        before = calls.manifest()
        for decision in (["--talk-id", str(uuid.uuid4())], ["--resend", "--yes"], ["--give-up"]):
            result = program("resolve", calls, "a.wav", *decision)
            assert result.code == 2, result.said
            assert "a.wav is uploaded: it needs no decision" in result.err
        assert calls.manifest() == before

    @pytest.mark.parametrize(
        "typed",
        ["ID", "talk-id", "https://speechsense.yandex.cloud/talks/1", "a/b", "a,b", "'x'", "<ID>"],
    )
    def test_what_is_no_talk_id_is_refused(self, calls, inside, in_doubt, typed):
        result = inside("resolve", calls, "a.wav", "--talk-id", typed)
        assert result.code == 2
        assert "--talk-id: not a talk ID" in result.err

    def test_one_of_another_form_than_those_on_record_is_asked_about(
        self, calls, program, upload, in_doubt
    ):
        """Half of it, or the ID of something else."""
        calls.write("c.wav")
        assert upload().code == 1
        known = calls.manifest()["c.wav"]["talk_id"]
        typed = in_doubt["a.wav"][:-3]
        result = program("resolve", calls, "a.wav", "--talk-id", typed)
        assert result.code == 2
        assert f"{typed} has another form than the talks on record, such as {known}" in result.err
        assert program("resolve", calls, "a.wav", "--talk-id", typed, "--yes").code == 0

    def test_resent_ones_go_up_with_the_next_run(self, calls, program, upload, service, in_doubt):
        result = program("resolve", calls, "--all", "--resend", "--yes")
        assert result.code == 0, result.err
        assert "2 recordings" in result.err
        assert calls.manifest()["a.wav"]["error"]["code"] == "RESEND"
        assert upload().code == 0
        assert service.counts(calls) == {"a.wav": 1, "b & c/d.wav": 1}

    def test_resending_asks_back_and_without_a_terminal_it_refuses(self, calls, program, in_doubt):
        result = program("resolve", calls, "a.wav", "--resend")
        assert result.code == 2
        assert "billed twice" in result.err
        assert "--yes" in result.err
        assert counts(program, calls) == {"in_doubt": 2}

    @pytest.mark.skipif(sys.platform == "win32", reason="a terminal of POSIX")
    @pytest.mark.parametrize("answer", ["no", "yes"])
    def test_at_a_terminal_it_asks(self, calls, program, start_service, upload, answer):
        calls.write("a.wav")
        with start_service("--lose-answer", "1", "--lost-answer", "proxy") as service:
            assert upload(to=service).code == 1
        ours, theirs = os.openpty()
        os.write(ours, f"{answer}\n".encode())
        process = program.start("resolve", calls, "--all", "--resend", stdin=theirs)
        os.close(theirs)
        result = program.finish(process)
        os.close(ours)
        told, asked, _ = result.err.partition("Send anyway? [y/N]: ")
        assert asked
        assert "1 recording may be a call that the service already holds" in told
        expected = (0, {"failed": 1}) if answer == "yes" else (1, {"in_doubt": 1})
        assert (result.code, counts(program, calls)) == expected

    def test_given_up_ones_are_left_alone(self, calls, program, upload, service, in_doubt):
        # As a shell completes it, from another directory.
        result = program("resolve", calls, calls.folder / "b & c" / "d.wav", "--give-up")
        assert result.code == 0, result.err
        assert calls.manifest()["b & c/d.wav"]["error"]["code"] == "GIVEN_UP"
        line = calls.manifest()["b & c/d.wav"]
        assert line["status"] == "given_up"
        assert upload().code == 1
        assert service.counts(calls) == {}

    def test_what_was_given_up_may_be_there_so_sending_it_again_asks(
        self, calls, program, upload, service, in_doubt
    ):
        assert program("resolve", calls, "--all", "--give-up").code == 0
        assert "billed twice" in program("resolve", calls, "a.wav", "--resend").err
        assert program("resolve", calls, "a.wav", "--give-up").code == 2
        result = program("resolve", calls, "a.wav", "--resend", "--yes")
        assert result.code == 0, result.err
        talk = ("b & c/d.wav", "--talk-id", in_doubt["b & c/d.wav"])
        assert program("resolve", calls, *talk).code == 0
        assert upload().code == 0
        assert service.counts(calls) == {"a.wav": 1}
        assert counts(program, calls) == {"uploaded": 2}

    def test_all_rejected_ones_are_sent_again_without_a_question(
        self, calls, program, upload, service
    ):
        calls.write("a.wav", "b/c.wav")
        assert upload("--connection-id", "strict").code == 1
        assert counts(program, calls) == {"rejected": 2}
        result = program("resolve", calls, "--all", "--resend")
        assert result.code == 0
        assert "2 rejected recordings not included: see --rejected" in result.err
        assert counts(program, calls) == {"rejected": 2}
        result = program("resolve", calls, "--rejected", "--give-up")
        assert result.code == 2
        assert "--rejected and --give-up contradict" in result.err
        result = program("resolve", calls, "--rejected", "--resend")
        assert result.code == 0, result.err
        assert "2 recordings to be sent by the next run" in result.err
        assert counts(program, calls) == {"failed": 2}

    def test_a_talk_is_one_recording(self, calls, program, in_doubt):
        talk_id = in_doubt["a.wav"]
        assert program("resolve", calls, "a.wav", "--talk-id", talk_id).code == 0
        result = program("resolve", calls, "b & c/d.wav", "--talk-id", talk_id)
        assert result.code == 2
        assert f"the talk {talk_id} belongs to a.wav" in result.err
        assert counts(program, calls) == {"uploaded": 1, "in_doubt": 1}

    def test_many_are_settled_together(self, calls, inside):
        """A folder is read once, and a commit is shared: else this would take a minute."""
        recordings = [recording(f"x/{number}.wav", f"{number}") for number in range(3000)]

        async def claim():
            ledger = calls.folder / ".batch-uploader" / "ledger.db"
            async with SqliteLedger(ledger, recordings[0].connection_id) as writing:
                await claim_all(writing, recordings)

        anyio.run(claim)
        began = time.monotonic()
        result = inside("resolve", calls, "--all", "--give-up")
        assert result.code == 0, result.err
        assert time.monotonic() - began < 20
        assert "3,000 recordings given up" in result.err
        assert {line["status"] for line in calls.manifest().values()} == {"given_up"}

    @pytest.mark.parametrize(
        ("flags", "said"),
        [
            (["a.wav"], "the decision is missing"),
            (["a.wav", "--resend", "--give-up"], "--resend and --give-up contradict"),
            (["--resend"], "it is unclear which recordings"),
            (["--all", "a.wav", "--resend"], "it is unclear which recordings"),
            (["--all", "--talk-id", "x"], "specify exactly one PATH"),
            (["a.wav", "--talk-id", "two words"], "--talk-id: not a talk ID"),
            (["a.wav", "--talk-id", "x" * 201], "--talk-id: too long for a talk ID"),
        ],
    )
    def test_a_decision_that_makes_no_sense_is_refused(self, calls, inside, flags, said):
        result = inside("resolve", calls, *flags)
        assert result.code == 2, result.err
        assert said in result.err

    def test_what_is_up_is_not_decided_about(self, calls, program, upload):
        calls.write("a.wav")
        assert upload().code == 0
        result = program("resolve", calls, "a.wav", "--resend", "--yes")
        assert result.code == 2
        assert "a.wav is uploaded" in result.err
        result = program("resolve", calls, "gone.wav", "--resend", "--yes")
        assert result.code == 2
        assert "gone.wav is not in the ledger" in result.err

    def test_what_is_to_be_sent_again_and_is_not_there_is_told(self, calls, program, in_doubt):
        (calls.folder / "a.wav").unlink()
        result = program("resolve", calls, "--all", "--resend", "--yes")
        assert result.code == 0, result.err
        assert "the files of 1 recording are missing: a.wav" in result.err

    async def test_it_waits_for_no_run(self, calls, program, in_doubt):
        async with SqliteLedger(calls.folder / ".batch-uploader" / "ledger.db", "calls"):
            result = program("resolve", calls, "--all", "--give-up")
        assert result.code == 5


@pytest.mark.parametrize(
    "command",
    [
        ["resolve", "a.wav", "--give-up"],
        ["resolve", "--all", "--give-up"],
        ["status"],
        ["status", "--json"],
        ["manifest"],
        ["manifest", "--format", "csv", "--output", "exported.csv"],
    ],
)
def test_a_connection_that_the_ledger_does_not_know_is_refused(calls, inside, in_doubt, command):
    name, *more = command
    result = inside(name, calls, *more, "--connection-id", "cals")
    assert result.code == 2, result.err
    assert result.out == ""
    assert "has no connection cals" in result.err
    assert "specify one of calls, or leave it out" in result.err
    assert not Path("exported.csv").exists()


def test_a_connection_of_which_only_a_run_is_on_record_is_known_and_told_apart(
    calls, inside, upload, program
):
    calls.write("a.wav")
    assert upload("--connection-id", "mistyped").code == 3
    assert (
        "no recording is on record yet"
        in program("status", calls, "--connection-id", "mistyped").out
    )
    assert upload().code == 0
    result = inside("status", calls, "--connection-id", "mistyped")
    assert result.code == 1, "its only run ended badly"
    assert "ended with exit code 3" in result.out
    assert "the ledger has no recordings of this connection, only of calls\n" in result.out
    assert "\nuploaded " in inside("status", calls, "--connection-id", "calls").out
    assert inside("manifest", calls, "--connection-id", "mistyped").out == ""


class TestManifest:
    def test_it_prints_what_the_run_wrote(self, calls, program, upload):
        calls.write("a.wav", "=b.wav")
        assert upload().code == 0
        lines = program("manifest", calls).out
        assert lines == (calls.folder / "manifest.jsonl").read_text("utf-8")
        table = list(csv.DictReader(program("manifest", calls, "--format", "csv").out.splitlines()))
        assert [row["path"] for row in table] == ["'=b.wav", "a.wav"]
        assert [row["defused"] for row in table] == ["path", ""]

    def test_it_writes_a_file(self, calls, program, upload, tmp_path):
        calls.write("a.wav")
        assert upload().code == 0
        result = program("manifest", calls, "-o", tmp_path / "out.jsonl")
        assert (result.code, result.said) == (0, "")
        assert (tmp_path / "out.jsonl").read_bytes() == (
            calls.folder / "manifest.jsonl"
        ).read_bytes()
        result = program("manifest", calls, "-o", tmp_path / "missing" / "out")
        assert result.code == 2
        assert "--output" in result.err

    def test_it_works_while_a_run_is_going(self, calls, program, upload, start_service):
        calls.write("a.wav")
        with start_service("--silent", "1") as service:
            process = upload("--progress", "json", to=service, start=True)
            next(line for line in process.stdout if b"upload_started" in line)
            (line,) = program("manifest", calls).out.splitlines()
            assert json.loads(line)["status"] == "claimed"
            process.kill()
            process.communicate()

    @pytest.mark.skipif(sys.platform == "win32", reason="pipes of POSIX")
    def test_a_reader_that_goes_away_is_no_error(self, calls, program, upload):
        calls.write("a.wav")
        assert upload().code == 0
        process = program.start("manifest", calls)
        process.stdout.close()
        process.stdout = None
        result = program.finish(process)
        assert result.code == 0
        assert result.err == ""


def test_nothing_is_ever_sent_twice_by_itself(calls, upload, program, in_doubt, service):
    for _ in range(2):
        assert upload().code == 1
    assert service.counts(calls) == {}


def test_what_is_forgotten_is_in_the_manifest_no_more(calls, upload, program):
    """Fault 12: what the ledger does not know any more nobody is told to mend."""
    calls.write("a.wav")
    calls.broken("bad.wav", b"no audio")
    assert upload().code == 1
    (calls.folder / "bad.wav").unlink()
    (calls.folder / "bad.json").unlink()
    assert upload().code == 0
    assert calls.manifest().keys() == {"a.wav"}
    assert counts(program, calls) == {"uploaded": 1}
