"""Calls that nobody answered, and what else is left out on purpose: told, and no alarm."""

import json

import pytest
from support.sound_makers import call_wav, ffmpeg

EMPTY = b"RIFF\x24\0\0\0WAVEfmt \x10\0\0\0\1\0\1\0\x40\x1f\0\0\x80\x3e\0\0\2\0\x10\0data\0\0\0\0"
"""44 bytes: a header and nothing else."""


def night(calls, number):
    """A night at a PBX: three calls nobody answered, and the name of one that was."""
    unanswered = [f"{number:02}/unanswered{n}.wav" for n in range(3)]
    calls.write(*unanswered, f"{number:02}/call.wav")
    for name in unanswered:
        calls.put(name, EMPTY)
    return f"{number:02}/call.wav"


def left_out(result):
    return json.loads(result.out)["left_out_by"]


@pytest.mark.parametrize("flags", [["--skip-empty"], ["--min-length", "50ms"]], ids=str)
def test_calls_that_nobody_answered_alarm_nobody(flags, calls, upload, inside, service):
    """Fault 111: each night there are three more; none of them hides a real defect."""
    by = flags[0].removeprefix("--")
    answered = [night(calls, 1)]
    result = upload()
    assert result.code == 1
    assert "--skip-empty" in result.err
    assert "resolve --acknowledge" in result.err
    checked = inside("check", calls, *flags)
    assert checked.code == 0, "what was a defect is none under these filters"
    assert "left out: 3 " in checked.said
    for number in (2, 3):
        result = upload(*flags)
        assert (result.code, "left out: " in result.err) == (0, True), result.err
        count = 3 * (number - 1)
        assert f"left out: {count} " in result.err
        told = inside("status", calls, "--json")
        assert (told.code, left_out(told)) == (0, {by: count})
        assert f"{count} left out: {count} " in inside("status", calls).out
        answered.append(night(calls, number))
        foretold = inside("check", calls, "--json", *flags)
        assert left_out(foretold) == {by: count + 3}
        assert (json.loads(foretold.out)["to_send"], foretold.code) == (1, 0)
    calls.write("04/broken.wav")
    calls.put("04/broken.json", b"{")
    result = upload(*flags, "--progress", "none")
    assert result.code == 1, "a real defect"
    assert service.counts(calls) == dict.fromkeys(answered, 1)
    lines = calls.manifest()
    assert {line["error"]["code"] for line in lines.values() if line["error"]} == {
        by,
        lines["04/broken.wav"]["error"]["code"],
    }
    assert [line["status"] for line in lines.values()].count("left_out") == 9


def test_the_settings_file_has_them_and_says_where_a_wrong_one_is(calls, upload, inside):
    night(calls, 1)
    settings = calls.folder.parent / "quiet.toml"
    settings.write_text(
        'skip-empty = true\nsample = "100%"\nsince = "2001-01-01"\nmin-length = 0.01\n'
    )
    assert upload("--config", settings).code == 0
    settings.write_text('sample = "some"\n')
    result = inside("check", calls, "--config", settings)
    assert (result.code, "quiet.toml" in result.err, "is not a sample" in result.err) == (
        2,
        True,
        True,
    )
    result = upload("--since", "2025-02-01", "--until", "2025-01-01")
    assert (result.code, "before --since begins" in result.err) == (2, True)
    assert upload("--since", "2025-02-01", "--timezone", "Asia/Tokyo").code == 1
    result = upload("--min-length", "1h", "--max-length", "1m")
    assert (result.code, "less than --min-length" in result.err) == (2, True)
    result = upload("--since", "yesterday")
    assert (result.code, "2025-04-24" in result.err) == (2, True)


def test_a_trial_is_a_part_of_what_follows(calls, upload, inside, service):
    names = [f"2025/{n:02}.wav" for n in range(12)]
    calls.write(*names)
    foretold = inside("check", calls, "--sample", "3", "--json")
    assert (json.loads(foretold.out)["to_send"], left_out(foretold)) == (3, {"sample": 9})
    for _ in range(2):
        result = upload("--sample", "3")
        assert result.code == 0
        assert "left out: 9 outside --sample" in result.err
        assert len(service.talks(calls)) == 3
    assert upload("--sample", "50%").code == 0
    assert 3 <= len(service.talks(calls)) < 12
    result = upload()
    assert (result.code, "left out" in result.err) == (0, False)
    assert service.counts(calls) == dict.fromkeys(names, 1)
    assert {line["status"] for line in calls.manifest().values()} == {"uploaded"}


def test_what_does_not_say_how_long_it_is_is_measured(calls, upload, inside, service):
    seconds = {"short.aac": 1, "long.aac": 4, "brief.g722": 1, "ample.g722": 4}
    for name, length in seconds.items():
        rate = ("-ar", "16000") if name.endswith("g722") else ()
        calls.put(name, ffmpeg(call_wav(length, length), "wav", name.split(".")[1], *rate))
        told = {"origin": str(calls), "name": name}
        calls.put(f"{name}.json", json.dumps(told).encode())
    calls.put("empty.amr", b"#!AMR\n")
    calls.put("empty.amr.json", b"{}")
    rules = ("--min-length", "2", "--include", "*.aac", "--include", "*.g722", "--include", "*.amr")
    for fast in ((), ("--fast",)):
        checked = json.loads(inside("check", calls, *rules, *fast, "--json").out)
        assert (checked["to_send"], checked["left_out_by"]) == (2, {"min-length": 3})

    for _ in range(2):
        result = upload(*rules)
        assert result.code == 0, result.err
        assert "left out: 3 shorter than --min-length" in result.err
    assert service.counts(calls) == {"long.aac": 1, "ample.g722": 1}
    assert upload(*rules, "--max-length", "3", "--skip-empty").code == 0
    result = upload(*rules[2:], "--skip-empty")
    assert result.code == 0, result.err
    assert "left out: 1 without audio (--skip-empty)" in result.err
    assert service.counts(calls) == dict.fromkeys(seconds, 1)
