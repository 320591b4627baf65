"""``upload --rebuild``: the ledger is lost, and the emulator's records are the judge."""

import json
import time

import pytest

from batch_uploader.ledgers.sqlite import schema

STAMP = ("--stamp-field", "upload_key")
PATIENT = (*STAMP, "--wait-for-doubt", "--hold", "2s")
LOST = "LEDGER_LOST"


def names(count):
    return [f"{number % 3}/call-{number}.wav" for number in range(count)]


def ledger_of(calls):
    return calls.folder / ".batch-uploader" / "ledger.db"


def lose(calls):
    for file in ledger_of(calls).parent.iterdir():
        file.unlink()


def damage(calls):
    ledger_of(calls).write_bytes(b"\0 this was a ledger " * 500)


def killed_in_the_middle(calls, upload, service, *flags):
    """All is sent by two runs, of which the second does not live to write its manifest."""
    calls.write(*names(6))
    assert upload(*flags, to=service).code == 0
    calls.write(*names(24)[6:])
    slowly = ("--rate", "8/s", "--progress", "json")
    process = upload(*flags, *slowly, to=service, start=True)
    ended = 0
    for line in process.stdout:
        ended += json.loads(line)["event"] == "settled"
        if ended == 8:
            break
    process.kill()
    process.communicate()
    assert set(calls.manifest()) == set(names(6))
    assert len(service.counts(calls)) >= 8


def counts(program, calls):
    document = json.loads(program("status", calls, "--json").out)
    return {
        name: each["recordings"] for name, each in document["totals"].items() if each["recordings"]
    }


@pytest.mark.parametrize("loss", [lose, damage])
@pytest.mark.slow
def test_with_a_stamp_field_each_recording_ends_with_one_talk(
    loss, calls, upload, program, start_service
):
    """Faults 7 and 8: what went up after the manifest is found; about the rest a human decides."""
    with start_service("--store-late", "0.1", "--search-lag", "0.3") as service:
        killed_in_the_middle(calls, upload, service, *STAMP)
        loss(calls)
        refused = upload(*PATIENT, to=service)
        assert refused.code == 7
        assert "--rebuild" in refused.err
        before = service.counts(calls)

        result = upload("--rebuild", *PATIENT, to=service)
        assert result.code == 1, result.err
        assert "6 talks" in result.err
        assert "18 recordings may have been uploaded" in result.err
        assert service.counts(calls) == before, "a miss proves nothing, whatever it looks like"
        assert len(before) < 24
        found = {"uploaded": len(before), "in_doubt": 24 - len(before)}
        assert counts(program, calls) == found
        assert "find it by its upload_key, but the ledger was lost" in program("status", calls).out
        assert program("resolve", calls, "--all", "--resend", "--yes").code == 0
        assert upload(*PATIENT, to=service).code == 0
        assert service.counts(calls) == dict.fromkeys(names(24), 1)
        talks = {talk.fields["name"]: talk.talk_id for talk in service.talks(calls)}
        assert {path: line["talk_id"] for path, line in calls.manifest().items()} == talks
        kept = list(ledger_of(calls).parent.glob("ledger.db.damaged-*Z"))
        assert len(kept) == (1 if loss is damage else 0)
        assert all(str(aside) in result.err.replace("\n", "") for aside in kept)
        again = upload(*PATIENT, to=service)
        assert (again.code, service.counts(calls)) == (0, dict.fromkeys(names(24), 1))


def test_without_a_stamp_field_nothing_is_sent_before_a_human_decides(
    calls, upload, program, start_service
):
    """Faults 7 and 8: not even once it has been forgotten that the ledger was rebuilt."""
    with start_service() as service:
        killed_in_the_middle(calls, upload, service)
        lose(calls)
        before = service.counts(calls)
        for flags in (["--rebuild"], []):
            result = upload(*flags, to=service)
            assert result.code == 1, result.err
            assert service.counts(calls) == before
            assert counts(program, calls) == {"uploaded": 6, "in_doubt": 18}
        said = program("status", calls).out
        absent = sorted(set(names(24)) - set(before))
        assert LOST in said
        assert f"batch-uploader resolve {calls} {absent[0]} --talk-id ID" in said
        # New ones go up as ever.
        calls.write("new.wav")
        assert upload(to=service).code == 1
        assert service.counts(calls) == {**before, "new.wav": 1}

        talks = {talk.fields["name"]: talk.talk_id for talk in service.talks(calls)}
        found = next(name for name in names(24)[6:] if name in before)
        assert program("resolve", calls, found, "--talk-id", talks[found]).code == 0
        assert program("resolve", calls, absent[0], "--resend", "--yes").code == 0
        assert upload(to=service).code == 1
        assert service.counts(calls) == {**before, "new.wav": 1, absent[0]: 1}


@pytest.mark.slow
def test_a_stamp_that_the_talks_do_not_carry_proves_nothing(calls, upload, program, start_service):
    """Faults 8 and 29: what earlier runs sent without a stamp is not taken for absent."""
    with start_service() as service:
        killed_in_the_middle(calls, upload, service)
        lose(calls)
        before = service.counts(calls)
        for flags in (["--rebuild"], []):
            assert upload(*flags, *STAMP, "--hold", "1s", to=service).code == 1
            time.sleep(1)
        assert service.counts(calls) == before
        assert "LEDGER_LOST" in program("status", calls).out


def test_what_cannot_be_looked_into_stays_in_doubt_until_it_can(
    calls, upload, program, start_service
):
    """Fault 8: not even its key is known as long as its sidecar is broken."""
    with start_service() as service:
        calls.write("a.wav")
        assert upload(*STAMP, to=service).code == 0
        manifest = (calls.folder / "manifest.jsonl").read_bytes()
        calls.write("b.wav")
        assert upload(*STAMP, to=service).code == 0
        (calls.folder / "manifest.jsonl").write_bytes(manifest)
        sidecar = (calls.folder / "b.json").read_bytes()
        calls.put("b.json", b"{")
        lose(calls)
        for flags in (["--rebuild"], []):
            assert upload(*PATIENT, *flags, to=service).code == 1
            assert counts(program, calls) == {"uploaded": 1, "in_doubt": 1}
        refused = program("resolve", calls, "b.wav", "--talk-id", "talk")
        assert refused.code == 7
        assert "error: b.wav has not been read since the ledger was lost" in refused.err
        assert "b.json" in program("check", calls).out
        calls.put("b.json", sidecar)
        assert upload(*PATIENT, to=service).code == 0
        assert service.counts(calls) == {"a.wav": 1, "b.wav": 1}


@pytest.mark.slow
def test_moved_copied_and_changed_files_are_no_new_calls_by_themselves(
    calls, upload, program, start_service
):
    """Faults 8, 42 and 43: metadata are not in the manifest, and audio alone can be a copy."""
    calls.write("moved.wav", "copied.wav", "changed.wav", "kept.wav")
    with start_service() as service:
        assert upload(*STAMP, to=service).code == 0
        for file in ("wav", "json"):
            (calls.folder / f"moved.{file}").rename(calls.folder / f"elsewhere.{file}")
            copy = (calls.folder / f"copied.{file}").read_bytes()
            calls.put(f"copy.{file}", copy)
        assert upload(*STAMP, to=service).code == 0
        assert counts(program, calls)["duplicate"] == 2
        calls.write("changed.wav", seconds=0.2)
        lose(calls)
        result = upload("--rebuild", *PATIENT, to=service)
        assert result.code == 1, result.err
        assert counts(program, calls) == {"uploaded": 4, "in_doubt": 1, "duplicate": 2}
        # First that it was not sent before, then that it is another call than the one of that name.
        for held in ("in_doubt", "possible_duplicate"):
            assert counts(program, calls)[held] == 1
            assert program("resolve", calls, "changed.wav", "--resend", "--yes").code == 0
            result = upload(*PATIENT, to=service)
            assert result.code == (1 if held == "in_doubt" else 0), result.err
        once = dict.fromkeys(["moved.wav", "copied.wav", "kept.wav"], 1)
        assert service.counts(calls) == {**once, "changed.wav": 2}
        assert counts(program, calls) == {"uploaded": 5, "duplicate": 2}
        # A copy with another sidecar is still a copy, until somebody says that it is a call.
        sidecar = json.loads((calls.folder / "copy.json").read_text())
        calls.put("copy.json", json.dumps({**sidecar, "name": "copy.wav"}).encode())
        assert upload(*STAMP, to=service).code == 0
        assert service.counts(calls) == {**once, "changed.wav": 2}
        assert program("resolve", calls, "copy.wav", "--resend", "--yes").code == 0
        assert upload(*STAMP, to=service).code == 0
        assert service.counts(calls) == {**once, "changed.wav": 2, "copy.wav": 1}


def test_what_the_run_that_rebuilds_leaves_out_is_in_doubt_as_well(
    calls, upload, program, start_service
):
    """Fault 8: another run may have sent it, also by an ending that this one does not take."""
    with start_service() as service:
        calls.write("old/a.wav", "raw/b.pcm")
        takes_raw = ("--include", "*.pcm")
        assert upload(*takes_raw, to=service).code == 0
        manifest = (calls.folder / "manifest.jsonl").read_bytes()
        calls.write("two/c.wav", "raw/d.pcm")
        assert upload(*takes_raw, to=service).code == 0
        before = service.counts(calls)
        (calls.folder / "manifest.jsonl").write_bytes(manifest)
        lose(calls)
        assert upload("--rebuild", "--exclude", "two/**", to=service).code == 1
        assert upload(*takes_raw, to=service).code == 1
        assert service.counts(calls) == before
        assert counts(program, calls) == {"uploaded": 2, "in_doubt": 2}


class TestRefusals:
    def test_a_ledger_that_is_fine(self, calls, upload):
        calls.write("a.wav")
        assert upload().code == 0
        before = ledger_of(calls).read_bytes()
        result = upload("--rebuild")
        assert result.code == 2
        assert "is fine: nothing needs to be rebuilt\nhint: leave out --rebuild\n" in result.err
        assert ledger_of(calls).read_bytes() == before

    def test_a_newer_ledger_is_not_set_aside(self, calls, upload):
        """Fault 11."""
        calls.write("a.wav")
        assert upload().code == 0
        newer = ledger_of(calls).read_bytes()
        version = len(schema.MIGRATIONS).to_bytes(4)
        assert newer[60:64] == version
        newer = newer[:60] + (len(schema.MIGRATIONS) + 1).to_bytes(4) + newer[64:]
        ledger_of(calls).write_bytes(newer)
        result = upload("--rebuild")
        assert result.code == 7
        assert "newer batch-uploader\nhint: upgrade this one" in result.err
        assert ledger_of(calls).read_bytes() == newer

    @pytest.mark.parametrize(
        ("spoil", "line"),
        [
            (lambda manifest: manifest[:-10], "line 3 is cut off"),
            (lambda manifest: manifest.replace(b"{", b"(", 1), "line 1 is damaged"),
            (lambda manifest: manifest.replace(b'"talk_id": "', b'"x": "', 1), "line 1 is damaged"),
            (lambda manifest: manifest.replace(b'"size": ', b'"size": 1e400, "x": ', 1), "line 1"),
            (lambda manifest: manifest + b"[" * 100_000 + b"\n", "line 4 is damaged"),
        ],
    )
    def test_a_manifest_that_cannot_be_read(self, calls, upload, spoil, line):
        """Faults 7, 12 and 101: the line is named, and the damaged ledger stays where it is."""
        calls.write("a.wav", "b.wav", "c.wav")
        assert upload().code == 0
        damage(calls)
        manifest = calls.folder / "manifest.jsonl"
        manifest.write_bytes(spoil(manifest.read_bytes()))
        found = sorted(ledger_of(calls).parent.iterdir())
        result = upload("--rebuild")
        assert result.code == 7
        assert line in result.err
        assert "delete that line" in result.err
        assert sorted(ledger_of(calls).parent.iterdir()) == found

    def test_no_manifest(self, calls, upload):
        calls.write("a.wav")
        result = upload("--rebuild")
        assert result.code == 7
        assert "does not exist, so the ledger cannot be rebuilt from it" in result.err
        assert upload().code == 0

    def test_a_dry_run(self, calls, upload):
        result = upload("--rebuild", "--dry-run")
        assert result.code == 2
        assert "--dry-run writes nothing" in result.err

    @pytest.mark.parametrize("command", ["status", "resolve", "manifest", "check"])
    def test_other_commands_name_the_cure(self, calls, upload, program, command):
        """Fault 8."""
        calls.write("a.wav")
        assert upload().code == 0
        lose(calls)
        flags = ["--all", "--give-up"] if command == "resolve" else []
        result = program(command, calls, *flags)
        assert result.code == 7
        assert f": batch-uploader upload {calls} --rebuild\n" in result.err
