"""Recorders write what is not taken by its name: it is counted by kind, never left out unsaid."""

import json
import re

import pytest
from support.audio_makers import encoded, gsm, mp3, opus
from support.cures import shell

M4A = b"\0\0\0\x18ftypM4A \0\0\0\0M4A mp42" + bytes(3000)
CAF = encoded("CAF")
WEBM = bytes.fromhex("1a45dfa3") + bytes(3000)


def describe(calls, name):
    origin = {"origin": str(calls.folder), "name": name}
    calls.put(f"{name.rpartition('.')[0]}.json", json.dumps(origin).encode())


def recorder(calls):
    """A directory as several recorders leave it, only one of which is taken by default."""
    for name, content in (
        ("voice.oga", opus()),
        ("tg.m4a", M4A),
        ("miko.webm", WEBM),
        ("old/line.dat", mp3()),
    ):
        calls.put(name, content)
        describe(calls, name)
    for name in ("nosidecar/b.caf", "nosidecar/c.caf"):
        calls.put(name, CAF)


def words(text):
    return " ".join(text.split())


def test_it_is_counted_by_kind_everywhere_and_its_sidecars_are_no_orphans(
    calls, upload, program, service
):
    recorder(calls)
    told = "5 files look like audio and are not taken: 2 .caf (CAF), 1 .dat (MP3)"
    foretold = program("check", calls)
    assert foretold.code == 0, foretold.said
    assert "1 recording," in foretold.out
    assert told in foretold.err
    result = upload()
    assert result.code == 0, result.said
    assert told in words(result.err)
    assert service.counts(calls) == {"voice.oga": 1}
    status = program("status", calls)
    assert status.code == 0
    assert told in status.err
    for each in (foretold, result, status):
        assert f"batch-uploader upload {calls}" in each.err
        assert "--include '*.dat'" in each.err
        assert f"`ffmpeg -n -i {calls}/nosidecar/b.caf -c:a pcm_s16le" in each.err

    kinds = json.loads(program("status", calls, "--json").out)["passed_over"]
    assert {each["kind"]: (each["files"], each["include"]) for each in kinds} == {
        ".caf": (2, None),
        ".dat": (1, "*.dat"),
        ".m4a": (1, "*.m4a"),
        ".webm": (1, "*.webm"),
    }
    assert upload("--include", "*.dat").code == 0
    assert service.counts(calls) == {"voice.oga": 1, "old/line.dat": 1}
    again = upload("--include", "*.dat")
    assert "Nothing new" in again.err
    assert "1 .dat" not in again.err


def test_the_flag_takes_what_it_says(calls, upload, service):
    sounds = {kind: encoded(kind) for kind in ("WAV", "FLAC", "AU", "W64", "RF64")}
    sounds |= {"MP3": mp3(), "OPUS": opus(), "GSM": gsm(200)}
    for kind, content in sounds.items():
        calls.put(f"{kind}.dat", content)
        describe(calls, f"{kind}.dat")
    assert "--include '*.dat'" in upload("--allow-empty").err
    result = upload("--include", "*.dat", "--convert", "needed")
    assert result.code == 0, result.said
    assert service.counts(calls) == {f"{kind}.dat": 1 for kind in sounds}


def test_without_a_display_a_kind_is_told_of_when_it_is_new(calls, upload):
    calls.write("a.wav")
    silent = ("--progress", "none")
    assert upload(*silent).said == ""
    recorder(calls)
    calls.folder.joinpath("voice.oga").unlink()
    calls.folder.joinpath("voice.json").unlink()
    first, second = upload(*silent), upload(*silent)
    assert (first.code, second.code) == (0, 0)
    assert "5 files look like audio and are not taken" in first.err
    assert second.said == ""
    calls.put("more.caf", CAF)
    assert upload(*silent).said == ""
    calls.put("more.aac", encoded("WAV"))
    third = upload(*silent)
    assert "1 file looks like audio and is not taken: 1 .aac (WAV)" in third.err


def test_as_json_it_is_an_event_and_in_the_last_line(calls, upload):
    calls.write("a.wav")
    calls.put("b.caf", CAF)
    lines = list(map(json.loads, upload("--progress", "json").out.splitlines()))
    (event,) = [line for line in lines if line["event"] == "files_passed_over"]
    assert event["passed_over"] == lines[-1]["passed_over"]
    assert event["passed_over"][0] == {
        "kind": ".caf",
        "files": 1,
        "beside": 0,
        "form": "CAF",
        "first": "b.caf",
        "include": None,
        "new": True,
    }


@pytest.mark.parametrize("command", ["check", "upload"])
def test_a_directory_with_nothing_else_is_like_an_empty_one(calls, upload, program, command):
    calls.put("tg.m4a", M4A)
    describe(calls, "tg.m4a")
    calls.put("sub/b.caf", CAF)
    before = sorted(calls.folder.rglob("*"))
    result = upload() if command == "upload" else program("check", calls)
    assert result.code == 4, result.said
    problem = "has no recordings: 2 files look like audio and are not taken: 1 .caf"
    assert problem in words(result.err)
    assert "ffmpeg -n" in result.err
    assert sorted(calls.folder.rglob("*")) == before
    allowed = upload("--allow-empty")
    assert allowed.code == 0
    assert "2 files look like audio" in words(allowed.err)


def test_a_recorder_that_changed_its_format_is_named_once_the_old_files_are_gone(
    calls, upload, tmp_path
):
    calls.write("a.wav")
    ledger = ("--ledger", tmp_path / "of-calls.db")
    assert upload(*ledger).code == 0
    for path in (*calls.folder.glob("a.*"), calls.folder / "manifest.jsonl"):
        path.unlink()
    calls.put("b.m4a", M4A)
    result = upload(*ledger)
    assert result.code == 4, result.said
    problem = "and its ledger has 1 recording on record: 1 file looks like audio and is not taken"
    assert problem in words(result.err)
    assert "--include '*.m4a'" in result.err


@pytest.mark.parametrize(
    ("name", "content"),
    [("b.aiff", encoded("AIFF")), ("it's 5.caf", encoded("CAF"))],
)
def test_the_printed_command_makes_a_recording_that_is_taken(calls, upload, service, name, content):
    calls.write("a-call.wav")
    calls.put(name, content)
    describe(calls, name)
    command = re.search(r"`(ffmpeg .*?)`", upload().err)[1]
    shell(command, calls.folder, check=True)
    new = f"{name.rpartition('.')[0]}.wav"
    calls.rest(new)
    result = upload()
    assert result.code == 0, result.said
    assert service.counts(calls) == {"a-call.wav": 1, name: 1}
    assert "beside a recording of the same name" in words(result.err)
    assert "ffmpeg" not in result.err
