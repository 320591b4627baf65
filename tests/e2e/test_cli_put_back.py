"""An older ledger is put back beside a newer manifest; the emulator's records are the judge."""

import json
import os
import shutil

import anyio
import pytest
from e2e.conftest import API_KEY

from batch_uploader import ApiKey, Endpoint, upload_directory
from batch_uploader.core.errors import LedgerError

STAMP = ("--stamp-field", "upload_key")
BEHIND = "is behind the manifest"


def names(first, last):
    return [f"{number % 3}/call-{number}.wav" for number in range(first, last)]


def ledger_of(calls):
    return calls.folder / ".batch-uploader" / "ledger.db"


def manifest_of(calls):
    return calls.folder / "manifest.jsonl"


def back_up(calls, tmp_path):
    """All that the ledger is, as it is told to be copied."""
    return shutil.copytree(ledger_of(calls).parent, tmp_path / "backup")


def restore(calls, backup):
    shutil.rmtree(ledger_of(calls).parent)
    shutil.copytree(backup, ledger_of(calls).parent)


def counts(program, calls, *flags):
    document = json.loads(program("status", calls, "--json", *flags).out)
    return {
        name: each["recordings"] for name, each in document["totals"].items() if each["recordings"]
    }


@pytest.fixture
def put_back(calls, upload, tmp_path):
    """Sends some with the first ledger, the others with what came of it, and puts the first back.

    ``flags`` go to both runs, ``second`` to the second one.
    """

    def make(service, *flags, second=(), code=0):
        calls.write(*names(0, 6))
        assert upload(*flags, to=service).code == 0
        backup = back_up(calls, tmp_path)
        calls.write(*names(6, 20))
        assert upload(*flags, *second, to=service).code == code
        restore(calls, backup)
        return backup

    return make


def test_nothing_goes_up_again_and_no_talk_id_is_lost(
    calls, upload, program, start_service, put_back
):
    """Fault 89: each command that writes the manifest is refused; the cure ends with all up."""
    with start_service() as service:
        put_back(service, *STAMP)
        before, lines = service.counts(calls), manifest_of(calls).read_bytes()
        decide = ("resolve", calls, "--all", "--resend", "--yes", "--connection-id", "calls")
        look = ("resolve", calls, "--search", *service.flags, "--api-key-file", calls.key_file)
        looked, decided = program(*look, *STAMP), program(*decide)
        for refused in (upload(to=service), program("check", calls), looked, decided):
            assert refused.code == 7, refused.err
            assert BEHIND in refused.err
            assert refused.err.rstrip().endswith(" --rebuild")
        assert manifest_of(calls).read_bytes() == lines

        result = upload("--rebuild", *STAMP, to=service)
        assert result.code == 0, result.err
        assert "20 talks" in result.err
        assert list(ledger_of(calls).parent.glob("ledger.db.behind-*Z"))
        assert upload(*STAMP, to=service).code == 0
        assert service.counts(calls) == before == dict.fromkeys(names(0, 20), 1)
        talks = {talk.fields["name"]: talk.talk_id for talk in service.talks(calls)}
        assert {path: line["talk_id"] for path, line in calls.manifest().items()} == talks


def test_what_neither_of_them_knows_is_in_doubt(calls, upload, program, start_service, put_back):
    """Fault 89: a run that was killed after the manifest was written, before the ledger went."""
    with start_service() as service:
        backup = put_back(service, *STAMP)
        manifest = manifest_of(calls).read_bytes()
        assert upload("--rebuild", *STAMP, to=service).code == 0
        calls.write(*names(20, 24))
        assert upload(*STAMP, to=service).code == 0
        before = service.counts(calls)
        restore(calls, backup)
        manifest_of(calls).write_bytes(manifest)
        assert upload(*STAMP, to=service).code == 7
        assert upload("--rebuild", to=service).code == 1
        assert counts(program, calls) == {"uploaded": 20, "in_doubt": 4}
        assert service.counts(calls) == before


def test_doubts_that_the_ledger_never_heard_of_are_news_as_well(
    calls, upload, program, start_service, tmp_path
):
    """Fault 89: the service holds them, and no talk ID says so."""
    calls.write("a.wav")
    with start_service() as service:
        assert upload(to=service).code == 0
    backup = back_up(calls, tmp_path)
    calls.write("b.wav", "c.wav")
    with start_service("--lose-answer", "1", "--lost-answer", "proxy") as service:
        assert upload(to=service).code == 1
        held = service.counts(calls)
        assert held == {"a.wav": 1, "b.wav": 1, "c.wav": 1}
        restore(calls, backup)
        refused = upload(to=service)
        assert (refused.code, BEHIND in refused.err) == (7, True)
        assert upload("--rebuild", to=service).code == 1
        assert counts(program, calls) == {"uploaded": 1, "in_doubt": 2}
        assert service.counts(calls) == held


def test_a_newer_manifest_elsewhere(calls, upload, start_service, put_back, tmp_path):
    """Fault 89."""
    away = ("--manifest", tmp_path / "away.jsonl")
    with start_service() as service:
        put_back(service, second=away)
        before = service.counts(calls)
        assert upload(*away, to=service).code == 7
        assert upload("--rebuild", *away, to=service).code == 0
        assert upload(*away, to=service).code == 0
        assert service.counts(calls) == before == dict.fromkeys(names(0, 20), 1)


def test_the_usual_manifest_tells_though_another_is_written(
    calls, upload, start_service, put_back, tmp_path
):
    """Fault 89."""
    third = ("--manifest", tmp_path / "third.jsonl")
    with start_service() as service:
        put_back(service)
        before = service.counts(calls)
        assert upload(*third, to=service).code == 7
        assert upload("--rebuild", *third, to=service).code == 0
        assert service.counts(calls) == before
        lines = (tmp_path / "third.jsonl").read_text().splitlines()
        assert len(lines) == 20


def test_the_manifest_of_another_directory_is_not_written_over(
    calls, upload, start_service, tmp_path
):
    """Fault 89: its talk IDs stand nowhere else."""
    foreign = tmp_path / "foreign.jsonl"
    with start_service() as service:
        calls.write("a.wav")
        assert upload(to=service).code == 0
        line = {**calls.manifest()["a.wav"], "path": "other.wav", "talk_id": "another-talk"}
        foreign.write_text(json.dumps(line) + "\n")
        refused = upload("--manifest", foreign, to=service)
        assert (refused.code, BEHIND in refused.err) == (7, True)
        assert "another-talk" in foreign.read_text()


def test_one_that_comes_while_a_run_goes_on_is_not_written_over(calls, upload, start_service):
    """Fault 89."""
    calls.write(*names(0, 12))
    with start_service() as service:
        process = upload("--rate", "4/s", "--progress", "json", to=service, start=True)
        for line in process.stdout:
            if json.loads(line)["event"] == "settled":
                break
        fields = {"path": "x.wav", "status": "uploaded", "talk_id": "kept", "sha256": "00" * 32}
        rest = {"connection_id": "calls", "size": 1, "duration": None, "format": None}
        more = {"attempts": 1, "uploaded_at": "2025-01-01T00:00:00Z", "duplicate_of": None}
        text = json.dumps({**fields, **rest, **more, "error": None}) + "\n"
        manifest_of(calls).write_text(text)
        _, said = process.communicate()
        assert process.returncode == 7
        assert BEHIND in said.decode()
        assert manifest_of(calls).read_text() == text
        assert service.counts(calls) == dict.fromkeys(names(0, 12), 1)


def test_a_ledger_that_is_ahead_goes_on(calls, upload, start_service, tmp_path):
    """Fault 89: an older manifest, one that was copied, touched, put in order, or removed."""
    with start_service() as service:
        calls.write(*names(0, 3))
        assert upload(to=service).code == 0
        old = manifest_of(calls).read_bytes()
        calls.write(*names(3, 6))
        assert upload(to=service).code == 0
        new = manifest_of(calls).read_bytes()
        lines = [json.loads(line) for line in new.splitlines()]
        moved = "".join(
            json.dumps({**each, "path": f"moved/{each['path']}"}) + "\n" for each in lines
        )
        reverse = b"".join(reversed(new.splitlines(True)))
        for then, content in enumerate((old, new, reverse, moved.encode(), b"")):
            manifest_of(calls).write_bytes(content)
            os.utime(manifest_of(calls), (then, then))
            assert upload(to=service).code == 0
            assert manifest_of(calls).read_bytes() == new
        manifest_of(calls).unlink()
        assert upload(to=service).code == 0
        assert manifest_of(calls).read_bytes() == new
        assert service.counts(calls) == dict.fromkeys(names(0, 6), 1)


def test_a_manifest_that_a_spreadsheet_saved(calls, upload, start_service):
    """Fault 89: it tells nothing, and the ledger knows all."""
    with start_service() as service:
        calls.write("a.wav")
        assert upload(to=service).code == 0
        lines = manifest_of(calls).read_bytes()
        manifest_of(calls).write_bytes(b"path;status\r\na.wav;uploaded\r\n")
        refused = upload(to=service)
        assert refused.code == 7
        assert "move the manifest away" in refused.err.replace("\n", " ")
        assert "delete that line" not in refused.err.replace("\n", " ")
        manifest_of(calls).rename(calls.folder / "saved")
        assert upload(to=service).code == 0
        assert manifest_of(calls).read_bytes() == lines


def test_for_programs_as_well(calls, start_service, put_back):
    """Fault 89."""
    with start_service() as service:
        put_back(service)
        before = service.counts(calls)
        endpoint = Endpoint.parse(service.address, ca_file=service.folder / "tls" / "ca.pem")

        async def run():
            await upload_directory(
                calls.folder,
                connection_id="calls",
                credentials=ApiKey(API_KEY),
                endpoint=endpoint,
            )

        with pytest.raises(LedgerError, match=BEHIND):
            anyio.run(run)
        assert service.counts(calls) == before
