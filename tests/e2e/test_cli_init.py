"""``init``: an unknown directory becomes a settings file, and says what it lacks."""

import json
import os
import pty
import tomllib
from datetime import datetime

import pytest
from support import archives
from support.audio_makers import wav

from batch_uploader import layouts

NEEDED = {"megafon": "Europe/Moscow", "vendor": "Europe/Moscow"}


def settings_in(folder, name="batch-uploader.toml"):
    return tomllib.loads((folder / name).read_text("utf-8"))


@pytest.fixture
def archive(tmp_path):
    def make(name):
        (tmp_path / "archive").mkdir()
        return archives.make(name, tmp_path / "archive", 20)

    return make


def test_an_archive_is_recognised_and_its_settings_are_written(program, archive):
    made = archive("freepbx")
    result = program("init", made.root, "--metadata", made.tables["cdr.csv"])
    assert (result.code, result.err) == (0, "")
    assert "FreePBX, Issabel, Elastix (freepbx): sure" in result.out
    assert "its pattern fits 20 of 20 names" in result.out
    assert "cdr.csv has the columns" in result.out
    last = result.out.splitlines()[-3:]
    assert last == [
        f"  batch-uploader check {made.root}",
        f"  batch-uploader upload {made.root} --connection-id ID --api-key-file FILE --sample 3",
        f"  batch-uploader upload {made.root} --connection-id ID --api-key-file FILE",
    ]
    written = settings_in(program.directory)
    assert written["metadata"]["table"][0]["file"] == str(made.tables["cdr.csv"])
    assert written["metadata"]["map"] == layouts.load("freepbx").settings["metadata"]["map"]


def test_five_recordings_are_shown_with_the_metadata_that_they_would_get(program, archive):
    made = archive("vendor")
    result = program("init", made.root, "--timezone", "Europe/Moscow")
    assert result.code == 0, result.err
    shown = [line for line in result.out.splitlines() if line in made.talks]
    assert len(shown) == 5
    for path in shown:
        _, _, after = result.out.partition(f"\n{path}\n")
        of_it = [line.strip().split(" = ", 1) for line in after.splitlines()[:7]]
        told = {name: rest.rpartition("  (")[0] for name, rest in of_it}
        date = made.talks[path]["date"]
        assert datetime.fromisoformat(told.pop("date")) == datetime.fromisoformat(date)
        assert told.items() <= made.talks[path].items()
        assert all("of metadata.json, metadata[" in rest for _, rest in of_it)
    assert "of 20 recordings that were looked at, 20 have all that is required" in result.out


def test_what_is_missing_is_shown_with_its_cure(program, archive):
    made = archive("vendor")
    table = next(made.root.rglob("metadata.json"))
    whole = json.loads(table.read_text())
    for record in whole["metadata"]:
        del record["client_id"]
    first = min(record["file_name"] for record in whole["metadata"])
    whole["metadata"] = [each for each in whole["metadata"] if each["file_name"] > first]
    table.write_text(json.dumps(whole))
    result = program("init", made.root, "--timezone", "Europe/Moscow")
    assert result.code == 0, result.err
    assert "client_id: client_id is missing" in result.out
    assert "no record of metadata.json is about it" in result.out
    assert "add its record there" in result.out
    assert "0 have all that is required" in result.out
    assert "  metadata-missing of client_id: " in result.out


def test_tables_beside_it_are_found_by_their_names(program, archive):
    made = archive("bitrix24")
    result = program("init", made.root)
    assert result.code == 0, result.err
    assert "Bitrix24 telephony (bitrix24): sure" in result.out
    metadata = settings_in(program.directory)["metadata"]
    assert metadata["table"][0]["file"] == str(made.root.parent / "statistic.jsonl")
    assert metadata["lookup"][0]["file"] == str(made.root.parent / "operators.csv")


def test_it_overwrites_nothing(program, archive):
    """Fault 121"""
    made = archive("trunk-recorder")
    (program.directory / "batch-uploader.toml").write_text("verbose = true\n")
    result = program("init", made.root)
    assert result.code == 2
    assert "batch-uploader.toml exists" in result.err
    assert settings_in(program.directory) == {"verbose": True}

    result = program("init", made.root, "-o", "other.toml")
    assert result.code == 0, result.err
    assert f"  batch-uploader check {made.root} --config other.toml" in result.out
    assert settings_in(program.directory, "other.toml")["metadata"]["sidecar"]


def test_flags_are_its_answers_where_there_is_no_terminal(program, archive):
    made = archive("megafon")
    result = program("init", made.root)
    assert result.code == 2
    assert "--timezone Europe/Moscow" in result.err
    assert not list(program.directory.iterdir())

    (program.directory / "key").write_text("secret")
    answers = ("--timezone", "Europe/Samara", "--connection-id", "c1", "--kind", "one-channel")
    result = program("init", made.root, *answers, "--api-key-file", "key", "--plaintext")
    assert result.code == 0, result.err
    assert result.out.endswith(f"  batch-uploader upload {made.root}\n")
    written = settings_in(program.directory)
    assert written["metadata"]["timezone"] == "Europe/Samara"
    assert written["connection"]["kind"] == "one-channel"
    assert (written["connection-id"], written["api-key-file"]) == ("c1", "key")
    assert written["plaintext"] is True
    assert "secret" not in (program.directory / "batch-uploader.toml").read_text()


def test_a_wrong_answer_is_an_error_with_a_hint(program, archive):
    made = archive("megafon")
    for flags, word in (
        (("--timezone", "Mars/Olympus"), "Mars/Olympus"),
        (("--layout", "nortel"), "freepbx"),
        (("--metadata", "nothing.csv"), "nothing.csv"),
        (("--from-talk", "t1", "--timezone", "UTC"), "--connection-id"),
    ):
        result = program("init", made.root, *flags)
        assert result.code == 2, result.said
        assert word in result.err
        assert "hint:" in result.err
        assert not list(program.directory.iterdir())


def test_a_layout_that_lacks_its_table_says_so(program, archive):
    """Fault 121: told with both ways on."""
    made = archive("freepbx")
    made.tables["cdr.csv"].rename(made.root.parent / "export-27.csv")
    result = program("init", made.root)
    assert result.code == 2
    assert "freepbx needs its table, cdr*.csv" in result.err
    assert "--metadata FILE" in result.err
    assert "--layout guessed" in result.err
    result = program("init", made.root, "--layout", "guessed", "-o", "other.toml")
    assert result.code == 0, result.err
    assert "what describes the recordings is not known" in result.out
    assert "say so in [metadata]" in (program.directory / "other.toml").read_text()
    result = program("init", made.root, "--metadata", made.root.parent / "export-27.csv")
    assert result.code == 0, result.err


def test_a_directory_without_recordings_is_an_error(program, tmp_path):
    (tmp_path / "empty").mkdir()
    result = program("init", tmp_path / "empty")
    assert result.code == 4
    assert "no recordings" in result.err


def test_files_that_are_passed_over_are_told_if_there_are_no_others(program, tmp_path):
    (tmp_path / "other").mkdir()
    (tmp_path / "other" / "a.m4a").write_bytes(b"\0\0\0\x20ftypM4A " + bytes(500))
    result = program("init", tmp_path / "other")
    assert result.code == 4
    assert "1 .m4a" in result.err


def test_recordings_that_have_to_be_included_are(program, calls, service):
    calls.write("a.wav", "b.wav")
    for name in ("a", "b"):
        (calls.folder / f"{name}.wav").rename(calls.folder / f"{name}.webm")
    result = program("init", calls, *service.flags)
    assert result.code == 0, result.said
    assert settings_in(program.directory)["include"] == ["*.webm"]
    assert "of 2 recordings that were looked at" in result.out


def test_on_a_terminal_it_asks_what_it_cannot_find(program, archive):
    made = archive("megafon")
    ours, theirs = pty.openpty()
    os.write(ours, b"Mars/Olympus\nEurope/Samara\nc7\n")
    process = program.start("init", made.root, stdin=theirs, redirection=f"2>{os.ttyname(theirs)}")
    result = program.finish(process)
    os.close(theirs)
    asked = os.read(ours, 10_000).decode()
    os.close(ours)
    assert result.code == 0, asked
    assert "Time zone" in asked
    assert "Mars/Olympus" in asked
    assert "ID of the SpeechSense connection" in asked
    written = settings_in(program.directory)
    assert written["metadata"]["timezone"] == "Europe/Samara"
    assert written["connection-id"] == "c7"


def test_on_a_terminal_it_asks_for_the_table_that_a_layout_lacks(program, archive):
    made = archive("freepbx")
    made.tables["cdr.csv"].rename(made.root.parent / "export.csv")
    ours, theirs = pty.openpty()
    os.write(ours, f"{made.root.parent / 'export.csv'}\n\n".encode())
    process = program.start("init", made.root, stdin=theirs, redirection=f"2>{os.ttyname(theirs)}")
    result = program.finish(process)
    os.close(theirs)
    asked = os.read(ours, 10_000).decode()
    os.close(ours)
    assert result.code == 0, asked
    assert "freepbx needs its table, cdr*.csv. Where is it" in asked
    table = settings_in(program.directory)["metadata"]["table"][0]
    assert table["file"] == str(made.root.parent / "export.csv")


def test_another_table_is_guessed_instead_of_what_a_layout_lacks(program, archive):
    made = archive("freepbx")
    made.tables["cdr.csv"].unlink()
    rows = [
        f"{path},{fields['date']},{fields['operator_id']},{fields['client_id']},in"
        for path, fields in made.talks.items()
    ]
    table = made.root.parent / "mine.csv"
    table.write_text("\n".join(["file,start,agent,phone,direction", *rows]))
    result = program("init", made.root, "--metadata", table)
    assert result.code == 0, result.said
    assert "No known system: mine.csv describes the recordings" in result.out
    assert settings_in(program.directory)["metadata"]["table"][0]["file"] == str(table)


def test_our_own_sidecars_need_no_layout(program, calls):
    calls.write("a.wav", "b/c.wav", operator_id="7")
    result = program("init", calls)
    assert result.code == 0, result.err
    assert "100% of the recordings have a sidecar" in result.out
    assert settings_in(program.directory) == {"connection": {"kind": "two-channel"}}


def test_the_kind_is_left_open_if_the_channels_differ(program, calls):
    calls.write("a.wav", "b.wav")
    calls.put("b.wav", wav(0.2))
    result = program("init", calls)
    assert result.code == 0
    assert "specify --kind one-channel or two-channel" in result.err
    assert settings_in(program.directory) == {}


def test_the_fields_of_the_connection_are_learned_from_a_talk(program, calls, service, upload):
    calls.write("a.wav", date="2026-03-27T09:25:17+03:00", ticket="7")
    assert upload().code == 0
    (talk,) = service.talks(calls)
    flags = (*service.flags, "--api-key-file", calls.key_file, "--from-talk", talk.talk_id)
    result = program("init", calls, *flags)
    assert result.code == 0, result.err
    written = settings_in(program.directory)
    assert written["connection"]["fields"] == {
        "date": "date",
        "name": "string",
        "origin": "string",
        "ticket": "string",
    }
    assert program("check", calls).code == 0


def test_local_dates_of_our_own_sidecars_get_the_zone_that_is_given(program, calls, service):
    rest = {"operator_id": "7", "operator_name": "A", "client_name": "B", "language": "ru-RU"}
    rest["direction_outgoing"] = "true"
    for number, date in enumerate(["2025-04-24 14:34:19", "24.04.2025 14:34:19"]):
        calls.write(f"{number}.wav", date=date, client_id=str(number), **rest)
    given = ("--timezone", "Asia/Yekaterinburg", "--connection-id", "calls")
    result = program("init", calls, *given)
    assert (result.code, result.err) == (0, "")
    assert "time zone" not in result.out
    sent = program("upload", calls, *service.flags, "--api-key-file", calls.key_file)
    assert sent.code == 0, sent.err
    dates = {datetime.fromisoformat(talk.fields["date"]) for talk in service.talks(calls)}
    assert dates == {datetime.fromisoformat("2025-04-24T14:34:19+05:00")}


def test_a_table_that_is_of_no_use_is_told(program, archive):
    """Nothing that was named is left out in silence."""
    made = archive("trunk-recorder")
    (program.directory / "other.csv").write_text("a;b\n1;2\n")
    result = program("init", made.root, "--metadata", "other.csv")
    assert result.code == 0, result.err
    assert "warning: the settings do not use other.csv" in result.err
    assert "other.csv" not in (program.directory / "batch-uploader.toml").read_text()


def test_a_table_without_a_header_is_told_as_that(program, archive):
    made = archive("trunk-recorder")
    (program.directory / "other.csv").write_text("79001234567;2026-03-27 09:25:17\n" * 3)
    result = program("init", made.root, "--metadata", "other.csv")
    assert result.code == 0, result.err
    assert "other.csv has no header: name its 2 columns with columns = [...]" in result.err
    assert "[[metadata.lookup]] if it has names for IDs" in result.err
