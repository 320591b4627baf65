"""``check``: what would go up and what is wrong, without a request and without a trace."""

import csv
import json
import os
import subprocess

import pytest
from e2e.conftest import events

from batch_uploader.ledgers.sqlite import SqliteLedger


def tree(folder):
    return {path: path.stat().st_mtime_ns for path in sorted(folder.rglob("*"))}


class TestText:
    def test_it_counts_what_would_go_up_and_writes_nothing(self, calls, program):
        calls.write("a.wav", "b/c.wav", seconds=2.5)
        before = tree(calls.folder)
        result = program("check", calls)
        assert result.code == 0, result.err
        first, told, cost = result.out.splitlines()
        assert first == "2 of 2 go up"
        assert told == "2 recordings, 5s of audio, 156K to upload"
        assert cost == "to find copies 156K were read; --fast reads only headers"
        fast = program("check", calls, "--fast")
        assert (fast.code, fast.out) == (0, f"{first}\n{told}\n")
        assert result.err == ""
        assert tree(calls.folder) == before

    def test_defects_are_grouped_by_kind_with_their_cure(self, calls, inside):
        """fault 61"""
        calls.write("fine.wav")
        for number in range(5):
            calls.write(f"{number}.wav")
            (calls.folder / f"{number}.json").unlink()
        calls.put("lonely.json", b"{}")
        result = inside("check", calls, "--sidecar-wait", "0")
        assert result.code == 1
        assert "1 recording, " in result.out
        assert "sidecar-missing: 5 files" in result.out
        assert "  and 2 more" in result.out
        assert "--sidecar optional" in result.out
        assert "orphan-sidecar: 1 file\n  lonely.json\n" in result.out
        assert "  it has no sidecar\n" in result.out
        assert "batch-uploader init" not in result.out

    @pytest.mark.parametrize("flags", [(), ("--sidecar-wait", "0")], ids=["waiting", "defect"])
    def test_an_archive_that_nothing_describes_leads_to_init(self, calls, inside, flags):
        for name in ("a", "b"):
            calls.write(f"{name}.wav")
            (calls.folder / f"{name}.json").unlink()
        hint = f"batch-uploader init {calls} finds out what describes them"
        assert hint in inside("check", calls, *flags).out
        assert hint not in inside("check", calls, *flags, "--names", "(?P<a>.)").out

    def test_a_cure_that_is_not_for_all_of_a_kind_says_so(self, calls, inside):
        """Fault 61: what mends a sidecar in CP1251 garbles one in UTF-16."""
        calls.write("a.wav", "b.wav")
        calls.put("a.json", '{"client": "Иван"}'.encode("cp1251"))
        calls.put("b.json", '{"client": "Иван"}'.encode("cp1251"))
        told = inside("check", calls).out
        assert "sidecar-encoding: 2 files" in told
        cures = [
            "for the first of them, --json has each file's own: save it as UTF-8; if it is"
            f" Windows-1251: `iconv -f CP1251 -t UTF-8 < {calls}/{name}.json >"
            for name in "ab"
        ]
        assert sum(cure in told for cure in cures) == 1
        calls.put("b.json", '{"client": "Иван"}'.encode("utf-16"))
        first, second = json.loads(inside("check", calls, "--json").out)["defects"]
        assert first["cure"] != second["cure"]
        cure = f"  for the first of them, --json has each file's own: {first['cure']}\n"
        assert cure in inside("check", calls).out

    @pytest.mark.parametrize("flags", [(), ("--json",)], ids=["text", "json"])
    def test_an_empty_directory_is_warned_of_as_an_upload_does(self, calls, inside, flags):
        result = inside("check", calls, "--allow-empty", *flags)
        assert result.code == 0
        warning = f"warning: {calls}: no recordings found; check the mount and the extensions"
        assert result.err.startswith(warning)
        assert "warning" not in result.out
        # One that is waiting or unsound is a recording all the same.
        calls.put("a.wav", b"")
        assert "no recordings found" not in inside("check", calls, *flags).err
        os.utime(calls.folder / "a.wav")
        assert "no recordings found" not in inside("check", calls, "--min-age", "1m", *flags).err

    def test_the_rules_are_those_of_the_flags(self, calls, inside):
        """fault 53, fault 60"""
        calls.write("a.wav")
        result = inside("check", calls, "--kind", "one-channel", "--require", "ticket_id")
        assert result.code == 1
        for field in ("operator_name", "date", "ticket_id"):
            assert f"sidecar-required {field}: 1 file" in result.out
        assert "channels: 1 file" in result.out

    def test_names_are_made_harmless(self, calls, inside):
        """fault 63, fault 64"""
        calls.put("[red]\x1b[31m\r.wav", b"")
        result = inside("check", calls, "--sidecar-wait", "0")
        assert result.code == 1
        assert "  [red]\\x1b[31m\\r.wav\n" in result.out
        assert "\x1b" not in result.out

    def test_verbose_explains_on_stderr(self, calls, inside):
        calls.write("a.wav")
        assert "upload a.wav: it is new\n" in inside("check", calls, "-v").err

    def test_no_such_directory(self, inside, tmp_path):
        result = inside("check", tmp_path / "missing")
        assert result.code == 4
        assert result.out == ""


class TestWithLedger:
    def test_what_is_there_is_skipped_without_naming_the_connection(self, calls, upload, program):
        calls.write("a.wav")
        assert upload().code == 0
        calls.write("b.wav")
        result = program("check", calls)
        assert result.code == 0
        assert result.out.splitlines()[2] == "1 already there"
        assert result.out.startswith("1 of 2 goes up, 1 is there already\n1 recording, ")

    def test_what_the_ledger_calls_invalid_is_told_again_with_its_cure(
        self, calls, upload, program
    ):
        calls.put("a.wav", b"")
        calls.put("b.json", b"{}")
        assert upload("--sidecar-wait", "0").code == 1
        result = program("check", calls, "--json")
        assert result.code == 1
        document = json.loads(result.out)
        assert document["carried_over"] == []
        kinds = {(each["path"], each["code"]) for each in document["defects"]}
        assert {("a.wav", "empty"), ("b.json", "orphan-sidecar")} <= kinds

    def test_what_is_held_is_told(self, calls, upload, program, start_service):
        calls.write("a.wav")
        with start_service("--lose-answer", "1", "--lost-answer", "proxy") as service:
            assert upload(to=service).code == 1
        result = program("check", calls)
        assert result.code == 1
        assert "1 held: in doubt" in result.out
        (held,) = json.loads(program("check", calls, "--json").out)["carried_over"]
        assert (held["path"], held["status"]) == ("a.wav", "in_doubt")

    def test_what_is_being_sent_is_held_only_once_its_run_is_dead(
        self, calls, upload, program, start_service
    ):
        calls.write("a.wav")
        with start_service("--silent", "1") as service:
            process = upload("--progress", "json", to=service, start=True)
            next(events(process, "upload_started"))
            result = program("check", calls)
            document = json.loads(program("check", calls, "--json").out)
            process.kill()
            process.communicate()
        assert (result.code, result.err) == (0, "")
        assert result.out.splitlines()[0] == "0 of 1 go up, 1 is being sent"
        assert result.out.splitlines()[2:] == ["1 in progress (another run)"]
        assert (document["in_flight"], document["carried_over"]) == (1, [])
        result = program("check", calls)
        assert result.code == 1
        assert "1 held: in doubt" in result.out
        document = json.loads(program("check", calls, "--json").out)
        assert (document["in_flight"], document["carried_over"][0]["status"]) == (0, "in_doubt")

    async def test_it_takes_no_lock(self, calls, program, upload):
        calls.write("a.wav")
        assert upload().code == 0
        async with SqliteLedger(calls.folder / ".batch-uploader" / "ledger.db", "calls"):
            assert program("check", calls).code == 0

    def test_a_directory_that_may_not_be_written_can_be_checked(
        self, calls, upload, program, unprivileged
    ):
        calls.write("a.wav")
        assert upload().code == 0
        folders = (calls.folder / ".batch-uploader", calls.folder)
        for folder in folders:
            folder.chmod(0o500)
        try:
            result = program("check", calls, preexec=unprivileged)
            writing = ["/bin/sh", "-c", f"echo > '{calls}/probe'"]
            refused = subprocess.run(
                writing, check=False, capture_output=True, preexec_fn=unprivileged
            )
        finally:
            for folder in folders:
                folder.chmod(0o700)
        assert refused.returncode != 0, "the test itself must not be able to write there"
        assert result.code == 0, result.err
        assert "1 already there" in result.out

    def test_several_connections_have_to_be_told_apart(self, calls, upload, program):
        calls.write("a.wav")
        ledger = calls.folder / ".batch-uploader" / "ledger.db"
        assert upload().code == 0
        # The service takes nothing for that one.
        assert upload("--connection-id", "strict").code == 1
        assert ledger.exists()
        result = program("check", calls)
        assert result.code == 2
        assert "specify one with --connection-id: calls, strict" in result.err
        assert program("check", calls, "--connection-id", "calls").code == 0

    def test_it_refuses_what_an_upload_refuses(self, calls, upload, program, tmp_path):
        """fault 8"""
        calls.write("a.wav")
        assert upload().code == 0
        elsewhere = ("--manifest", tmp_path / "elsewhere.jsonl")
        ledger = calls.folder / ".batch-uploader" / "ledger.db"
        ledger.rename(tmp_path / "moved.db")
        for flags in ((), elsewhere):
            for result in (upload(*flags), program("check", calls, *flags)):
                assert result.code == 7, result.said
                assert "is gone" in result.err
                assert result.out == ""


class TestJson:
    def test_one_document_with_every_defect(self, calls, inside):
        calls.write("a.wav", seconds=1.5)
        calls.write("b.wav")
        (calls.folder / "b.json").write_text('{"x": null, "y": [1]}')
        calls.rest("b.json")
        calls.write("young.wav")
        os.utime(calls.folder / "young.wav")
        result = inside("check", calls, "--json", "--min-age", "1m")
        assert result.code == 1
        document = json.loads(result.out)
        assert list(document) == [
            "recordings",
            "cost",
            "currency",
            "to_send",
            "to_send_bytes",
            "to_send_duration",
            "already_there",
            "waiting",
            "in_flight",
            "duplicates",
            "pieces",
            "pieces_duration",
            "to_convert",
            "to_convert_duration",
            "unconverted",
            "converted",
            "possible_duplicates",
            "read_bytes",
            "gone",
            "left_out_by",
            "passed_over",
            "looks_like_legs",
            "unusable_rows",
            "waiting_for",
            "carried_over",
            "defects",
        ]
        assert document["to_send"] == 1
        assert document["to_send_duration"] == 1.5
        assert document["to_send_bytes"] == (calls.folder / "a.wav").stat().st_size
        assert document["waiting"] == 1
        defects = {(each["code"], each["field"]) for each in document["defects"]}
        assert defects == {("sidecar-null", "x"), ("sidecar-nesting", "y")}
        assert all(each["cure"] and each["message"] for each in document["defects"])

    def test_of_many_defects_none_is_lost(self, calls, inside):
        for number in range(700):
            calls.put(f"{number:03}.wav", b"")
        document = json.loads(inside("check", calls, "--json", "--sidecar", "optional").out)
        assert len({each["path"] for each in document["defects"]}) == 700


class TestTable:
    def read(self, result):
        assert result.out.startswith("path,outcome,kind,message,cure,duration,bytes,defused\r\n")
        return list(csv.DictReader(result.out.splitlines()))

    def test_each_recording_and_each_defect_is_a_line(self, calls, upload, inside):
        calls.write("there.wav", "late.wav", seconds=2)
        (calls.folder / "late.json").unlink()
        calls.broken("acknowledged.wav", b"no audio")
        assert upload("--sidecar-wait", "0").code == 1
        result = inside("resolve", calls, "acknowledged.wav", "--acknowledge")
        assert result.code == 0, result.err
        calls.write("new.wav", seconds=2.5).write("short.wav", seconds=0.5)
        calls.put("copy.wav", (calls.folder / "there.wav").read_bytes())
        calls.put("copy.json", (calls.folder / "there.json").read_bytes())
        calls.broken("=bad.wav", b"no audio")
        calls.put("alone.json", b"{}")
        flags = ("--csv", "--min-length", "1s", "--sidecar-wait", "0", "--connection-id", "calls")
        result = inside("check", calls, *flags)
        assert result.code == 1
        found = {row["path"]: row for row in self.read(result)}
        assert {path: (row["outcome"], row["kind"]) for path, row in found.items()} == {
            "new.wav": ("upload", ""),
            "short.wav": ("left_out", "min-length"),
            "copy.wav": ("duplicate", "same-content"),
            "'=bad.wav": ("invalid", "unknown"),
            "alone.json": ("invalid", "orphan-sidecar"),
            "late.wav": ("invalid", "sidecar-missing"),
            "acknowledged.wav": ("acknowledged", "unknown"),
        }
        assert (found["new.wav"]["duration"], found["new.wav"]["bytes"]) == ("2.5", "80044")
        assert found["'=bad.wav"]["cure"]
        assert found["'=bad.wav"]["defused"] == "path"
        assert "there.wav" in found["copy.wav"]["message"]

    def test_what_would_be_held_is_in_it_one_by_one(self, calls, upload, inside):
        names = [f"{number}.wav" for number in range(9)]
        calls.write(*names)
        assert upload().code == 0
        for name in names:
            calls.write(name, noise="other")
        found = self.read(inside("check", calls, "--csv", "--connection-id", "calls"))
        assert [(row["path"], row["outcome"], row["kind"]) for row in found] == [
            (name, "possible_duplicate", "changed-audio") for name in names
        ]

    def test_it_is_one_document_or_the_other(self, calls, inside):
        result = inside("check", calls, "--csv", "--json")
        assert result.code == 2
        assert "--json and --csv contradict each other" in result.err


def test_it_begins_with_what_becomes_of_all(calls, upload, inside):
    calls.write("there.wav", seconds=2)
    assert upload().code == 0
    calls.write("new.wav", "other.wav", seconds=2).write("short.wav", seconds=0.5)
    calls.put("copy.wav", (calls.folder / "there.wav").read_bytes())
    calls.put("copy.json", (calls.folder / "there.json").read_bytes())
    calls.broken("bad.wav", b"no audio")
    calls.write("two.wav", seconds=2)
    calls.put("two.wav.json", b"{}")
    calls.put("alone.json", b"{}")
    flags = ("--min-length", "1s", "--sidecar-wait", "0", "--connection-id", "calls")
    result = inside("check", calls, *flags)
    assert result.out.splitlines()[0] == (
        "2 of 7 go up, 1 is there already, 1 is a copy, 1 is left out, 2 need attention"
    )
    assert json.loads(inside("check", calls, "--json", *flags).out)["recordings"] == 7


def test_it_tells_the_price_after_what_was_sent_this_month(calls, upload, inside, tmp_path):
    settings = tmp_path / "settings.toml"
    settings.write_text(
        """[price]
        currency = "RUB"
        per-minute = 30
        tiers = [{from-minutes = 0.1, per-minute = 15}]
        """
    )
    calls.write("a.wav", seconds=4)
    assert "RUB" not in inside("check", calls).out
    told = inside("check", calls, "--config", settings)
    assert "1 recording, 4s of audio, 125K to upload, for 2.00 RUB" in told.out
    assert upload().code == 0
    calls.write("b.wav", seconds=4)
    document = json.loads(inside("check", calls, "--json", "--config", settings).out)
    assert (document["cost"], document["currency"]) == (1.5, "RUB")
    shown = inside("runs", calls, "--config", settings).out.splitlines()
    assert shown[0].endswith("cost")
    assert shown[1].endswith("2.00 RUB")
    (run,) = json.loads(inside("runs", calls, "--json", "--config", settings).out)["runs"]
    assert (run["cost"], run["currency"]) == (2.0, "RUB")
    (run,) = json.loads(inside("runs", calls, "--json").out)["runs"]
    assert (run["cost"], run["currency"]) == (None, None)
