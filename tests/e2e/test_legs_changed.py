"""Calls of two legs in an archive that changes, and legs of every kind: one talk of each call."""

import json
import os
import time

import pytest
from e2e.test_legs import IN_OUT
from support.leg_makers import put_legs, sidecar, tone, wav
from support.sound_makers import ffmpeg


@pytest.fixture
def call(calls, upload, service):
    """A call that is uploaded, and its path."""
    put_legs(calls, "call.wav", seed=1)
    assert upload(*IN_OUT, "--kind", "two-channel", *FIELDS).code == 0
    return "call.wav"


FIELDS = [
    flag
    for name in ("operator_name", "operator_id", "client_name", "client_id", "language")
    for flag in ("--default", f"{name}=x")
] + ["--default", "date=2026-03-27T09:25:00Z", "--default", "direction_outgoing=true"]
HOW = (*IN_OUT, "--kind", "two-channel", *FIELDS)


def status_of(calls, path="call.wav"):
    line = calls.manifest()[path]
    return line["status"], (line["error"] or {}).get("code")


def test_legs_that_were_touched_are_the_same_call(calls, call, upload, service):
    (calls.folder / "call-in.wav").chmod(0o600)
    touched = upload(*HOW)
    assert touched.code == 0, touched.err
    assert "1 recording has a new change time: compared, 0 hold other audio" in touched.err
    os.utime(calls.folder / "call-out.wav", (time.time() - 60,) * 2)
    later = upload(*HOW)
    assert later.code == 0, later.err
    assert service.counts(calls) == {call: 1}


def test_legs_that_are_tagged_moved_or_converted_later_are_no_other_call(
    calls, call, upload, service
):
    for what in ("in", "out"):
        content = (calls.folder / f"call-{what}.wav").read_bytes()
        calls.put(f"call-{what}.wav", content + b"note\x04\x00\x00\x00tag!")
    tagged = upload(*HOW)
    assert (tagged.code, status_of(calls)) == (0, ("uploaded", None)), tagged.err
    for what in ("in", "out"):
        path = calls.folder / "moved" / f"call-{what}.wav"
        path.parent.mkdir(exist_ok=True)
        (calls.folder / f"call-{what}.wav").rename(path)
    (calls.folder / "call.json").rename(calls.folder / "moved" / "call.json")
    moved = upload(*HOW)
    assert service.counts(calls) == {call: 1}, moved.err
    for what in ("in", "out"):
        path = calls.folder / "moved" / f"call-{what}.wav"
        calls.put(f"moved/call-{what}.mp3", ffmpeg(path.read_bytes(), "wav", "mp3"))
        path.unlink()
    converted = upload(*HOW, "--min-age-open", "0")
    assert service.counts(calls) == {call: 1}, converted.err


def test_the_mix_of_a_call_whose_folder_was_renamed_is_held_when_legs_are_off(
    calls, upload, service
):
    put_legs(calls, "day/call.wav", seed=1, mix=True)
    assert upload(*IN_OUT).code == 0
    (calls.folder / "day").rename(calls.folder / "archive")
    assert upload(*IN_OUT).code == 0
    for _ in range(2):
        assert upload().code == 1
        assert service.counts(calls) == {"day/call.wav": 1}
    assert status_of(calls, "archive/call.wav") == ("possible_duplicate", "PART")


def test_another_leg_at_its_place_is_held(calls, call, upload, service):
    calls.put("call-in.wav", wav(tone("in", seed=99)))
    assert upload(*HOW).code == 1
    assert status_of(calls)[0] == "possible_duplicate"
    assert service.counts(calls) == {call: 1}


def test_legs_may_have_any_codec_that_is_converted(calls, upload, start_service, tmp_path):
    kept = tmp_path / "kept"
    codecs = {
        "a": ("wav", "wav", "-c:a", "pcm_alaw"),
        "b": ("wav", "wav", "-c:a", "libgsm_ms"),
        "c": ("wav", "mp3"),
    }
    for name, (source, target, *options) in codecs.items():
        put_legs(calls, f"{name}.wav", seed=ord(name), direction_outgoing="true")
        path = calls.folder / f"{name}-out.wav"
        made = ffmpeg(path.read_bytes(), source, target, *options)
        path.unlink()
        calls.put(f"{name}-out.{target}", made)
    with start_service("--keep-audio", kept) as service:
        off = upload(*IN_OUT, "--convert", "off", "--min-age-open", "0", to=service)
        assert off.code == 1
        assert service.counts(calls) == {"c.wav": 1}, "MP3 and PCM need no conversion"
        result = upload(*IN_OUT, "--convert", "needed", "--min-age-open", "0", to=service)
        assert result.code == 0, result.err
        assert service.counts(calls) == {f"{name}.wav": 1 for name in codecs}
        files = {
            talk.fields["name"]: next(kept.glob(f"{talk.talk_id}*")) for talk in service.talks()
        }
        assert {path.read_bytes()[22] for path in files.values()} == {2}, "channels"
        assert calls.manifest()["b.wav"]["sent"]["converted_from"].count("+") == 1


def test_legs_in_folders_of_their_own_are_one_recording(calls, upload, service):
    for number in range(3):
        for what in ("in", "out"):
            calls.put(f"day/{what}/{number}.wav", wav(tone(what, seed=number)))
        sidecar(calls, f"day/in/{number}.wav")
    sidecar(calls, "day/out/0.wav")  # the call has the one beside its first leg
    (calls.folder / "day/out/2.wav").unlink()
    folders = ("--legs", "in/{call} out/{call}", "--sidecar-wait", "0")

    result = upload(*folders)

    assert result.code == 1
    assert "leg-missing" in result.err
    assert service.counts(calls) == {f"day/in/{number}.wav": 1 for number in range(2)}
    calls.put("day/out/2.wav", wav(tone("out", seed=2)))
    assert upload(*folders).code == 0
    assert service.counts(calls) == {f"day/in/{number}.wav": 1 for number in range(3)}
    assert calls.manifest()["day/in/2.wav"]["parts"] == ["day/in/2.wav", "day/out/2.wav"]
    plain = upload()
    assert plain.code == 1
    assert len(service.talks(calls)) == 3


@pytest.mark.parametrize("first", ["mix", "legs"])
def test_a_mix_above_the_folders_of_its_legs_is_not_billed_beside_them(
    calls, upload, service, first
):
    files = {"mix": ["call.wav"], "legs": ["in/call.wav", "out/call.wav"]}
    for what in (first, *(files.keys() - {first})):
        for path in files[what]:
            calls.put(path, wav(tone("mix" if what == "mix" else path[: path.find("/")], seed=1)))
        sidecar(calls, files[what][0])
        result = upload("--legs", "in/{call} out/{call}", "--sidecar-wait", "0")
    assert result.code == 1
    assert "part: 1 recording" in result.err
    assert service.counts(calls) == {files[first][0]: 1}


def test_a_directory_above_takes_over_what_its_legs_were(calls, program, upload, service):
    put_legs(calls, "below/call.wav", seed=1)
    below = program(
        "upload", calls.folder / "below", *service.flags, "--api-key-file", calls.key_file, *IN_OUT
    )
    assert below.code == 0, below.err
    adopted = upload("--adopt", *IN_OUT)
    assert adopted.code == 0, adopted.err
    assert calls.manifest()["below/call.wav"]["parts"] == [
        "below/call-in.wav",
        "below/call-out.wav",
    ]
    for what in ("in", "out"):
        sidecar(calls, f"below/call-{what}.wav")
    assert upload().code == 1
    assert service.counts(calls) == {"below/call.wav": 1}


def test_legs_that_are_still_written_wait(calls, upload, service):
    put_legs(calls, "call.wav", seed=1)
    (calls.folder / "call-out.wav").write_bytes(wav(tone("out", 3.0))[:-9000])
    result = upload(*IN_OUT, "--min-age", "1h")
    assert result.code == 0, result.err
    assert "waiting" in result.err
    growing = upload(*IN_OUT, "--min-age", "0")
    assert growing.code == 0, growing.err
    assert service.talks(calls) == []


def test_explain_tells_what_describes_a_joined_call(calls, program):
    put_legs(calls, "call.wav", seed=1, colour="red")
    told = program("check", calls, *IN_OUT, "--explain", "call.wav")
    assert told.code == 0, told.err
    assert "colour" in told.out
    assert json.loads(program("check", calls, *IN_OUT, "--json").out)["to_send"] == 1
