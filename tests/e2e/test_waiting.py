"""What waits for the next run, and what does not wait for ever; the emulator counts the talks."""

import json
import os
import sys
import time
from pathlib import Path

import pytest
from e2e.conftest import assert_one_talk_each
from support import audio_makers as make
from support.shims import compile_shim

NOBODY = ("--endpoint", "127.0.0.1:9", "--max-outage", "1s")
HOUR = 3600
DAY = 24 * HOUR


def age(calls, *names, seconds):
    """Have files last modified so long ago, or in the future."""
    for name in names:
        then = time.time() - seconds
        os.utime(calls.folder / name, (then, then))


def describe(calls, name):
    """The sidecar of a recording that ``Calls`` did not write."""
    fields = {"origin": str(calls.folder), "name": name}
    calls.put(str(Path(name).with_suffix(".json")), json.dumps(fields).encode())


def pass_time(calls, seconds):
    """Have all that waits on record have been seen so much earlier."""
    calls.change_ledger(
        "UPDATE recordings SET doubt_wall_ns = doubt_wall_ns - ?,"
        " settled_at_ns = settled_at_ns - ? WHERE status IN ('waiting', 'stuck')",
        *(seconds * 10**9,) * 2,
    )


def status(program, calls):
    """How a status ends, and its document."""
    result = program("status", calls, "--json")
    return result.code, json.loads(result.out)


def cut(content, share):
    """What a recorder has written so far."""
    return content[: round(len(content) * share)]


WHOLE = {
    "mp3": make.mp3(4.0),
    "ogg": make.opus_pages(24_000, 48_000, 72_000),
    "wav": make.wav(4.0),
}
"""A call by the extension of its file."""


def written(kind, share):
    """The file after a share of a call; a header in front is finished at the end."""
    content = cut(WHOLE[kind], share)
    if kind == "wav" and share < 1:
        return make.wav(4.0, data_size=0, riff_size=0)[: len(content)]
    return content


@pytest.mark.parametrize("kind", WHOLE)
def test_a_call_that_is_being_recorded_waits_and_is_one_talk(kind, calls, program, upload, service):
    """Fault 112: its recorder goes on after a pause of seconds."""
    name = f"live.{kind}"
    describe(calls, name)
    end = ("--ogg-end", "optional")
    for share in (0.4, 0.7):
        calls.put(name, written(kind, share))
        age(calls, name, seconds=30)
        foretold = program("check", calls, *end)
        assert (foretold.code, "--min-age-open" in foretold.out) == (0, True), foretold.said
        result = upload(*end)
        assert result.code == 0, result.said
        assert "1 may still be being written (--min-age-open)" in result.err
        assert service.talks(calls) == []
        assert calls.manifest() == {}
    code, told = status(program, calls)
    (waits,) = told["waiting"]
    assert (code, waits["path"], waits["error"]["code"]) == (0, name, "NO_END_YET")
    shown = program("status", calls)
    assert f"{name}\n    NO_END_YET: " in shown.out
    assert f"since {waits['since'][:10]}" in shown.out
    calls.put(name, WHOLE[kind])
    assert upload(*end).code == 0
    assert_one_talk_each(calls, service, [name])
    (talk,) = service.talks(calls)
    assert talk.size == len(WHOLE[kind])
    assert status(program, calls)[1]["waiting"] == []


def test_what_shows_its_end_waits_two_seconds(calls, upload, service):
    calls.write("a.wav")
    age(calls, "a.wav", seconds=3)
    assert upload().code == 0
    assert_one_talk_each(calls, service, ["a.wav"])


@pytest.mark.parametrize("progress", ["none", "plain", "json"])
def test_a_run_in_which_all_waits_says_so_with_the_flag(progress, calls, upload):
    calls.put("a.mp3", make.mp3())
    describe(calls, "a.mp3")
    age(calls, "a.mp3", seconds=30)
    calls.put("b.wav", make.wav())
    result = upload("--progress", progress)
    assert result.code == 0
    assert (
        "2 files left to the next run: 1 may still be being written (--min-age-open);"
        " 1 without a sidecar yet (--sidecar-wait)"
    ) in " ".join(result.err.split())


def test_a_trial_with_fresh_files_sends_them_with_the_flags(calls, upload, service):
    """As the README says."""
    calls.put("a.mp3", make.mp3())
    describe(calls, "a.mp3")
    age(calls, "a.mp3", seconds=3)
    assert upload("--min-age-open", "0", "--sidecar-wait", "0").code == 0
    assert_one_talk_each(calls, service, ["a.mp3"])


def test_what_a_trial_left_out_waits_once_it_is_wanted(calls, program, upload):
    """Its record said that a filter leaves it out, which the run without the filter does not."""
    calls.put("a.mp3", make.mp3())
    describe(calls, "a.mp3")
    age(calls, "a.mp3", seconds=3)

    def found():
        totals = status(program, calls)[1]["totals"]
        return {state for state, total in totals.items() if total["recordings"]}

    assert upload("--since", "2099-01-01").code == 0
    assert found() == {"left_out"}
    assert upload().code == 0
    assert found() == {"waiting"}


def test_a_sidecar_may_come_later(calls, program, upload, service):
    """Fault 113."""
    calls.put("call.wav", make.wav())
    foretold = program("check", calls)
    assert (foretold.code, "without a sidecar yet" in foretold.out) == (0, True), foretold.said
    assert upload().code == 0
    assert status(program, calls)[1]["waiting"][0]["error"]["code"] == "NO_SIDECAR_YET"
    describe(calls, "call.wav")
    assert upload().code == 0
    assert_one_talk_each(calls, service, ["call.wav"])


def test_a_sidecar_that_does_not_come_is_a_defect(calls, program, upload, service):
    calls.put("call.wav", make.wav())
    calls.put("lonely.json", b"{}")
    wait = ("--sidecar-wait", "2s")
    assert upload(*wait).code == 0
    time.sleep(2.1)
    for result in (upload(*wait), upload(*wait), program("check", calls, *wait)):
        assert result.code == 1, result.said
    assert "a sidecar that comes later then never reaches its talk" in " ".join(result.out.split())
    codes = {path: line["error"]["code"] for path, line in calls.manifest().items()}
    assert codes == {"call.wav": "sidecar-missing", "lonely.json": "orphan-sidecar"}
    describe(calls, "call.wav")
    calls.put("lonely.wav", make.wav(2.0))
    describe(calls, "lonely.wav")
    assert upload(*wait).code == 0
    assert_one_talk_each(calls, service, ["call.wav", "lonely.wav"])


def test_a_recording_may_come_after_its_sidecar(calls, program, upload, service):
    describe(calls, "call.wav")
    assert upload().code == 0
    assert status(program, calls)[1]["waiting"][0]["error"]["code"] == "NO_RECORDING_YET"
    calls.put("call.wav", make.wav())
    assert upload().code == 0
    assert_one_talk_each(calls, service, ["call.wav"])
    assert status(program, calls)[1]["waiting"] == []


def test_what_two_runs_a_day_apart_saw_waiting_needs_a_human(calls, program, upload, service):
    """Fault 114: until it is ready, and then it is sent."""
    calls.put("a.mp3", make.mp3())
    describe(calls, "a.mp3")
    for hours, code in ((0, 0), (19, 0), (2, 1), (24, 1)):
        if hours:
            pass_time(calls, hours * HOUR)
        age(calls, "a.mp3", seconds=30)
        assert program("check", calls).code == code
        result = upload()
        assert result.code == code, result.said
        assert status(program, calls)[0] == code
    assert "waiting too long" in result.err
    assert "--min-age-open" not in result.err
    assert "NO_END_YET" in program("status", calls).out
    assert calls.manifest() == {}
    age(calls, "a.mp3", seconds=HOUR)
    assert upload().code == 0
    assert_one_talk_each(calls, service, ["a.mp3"])
    assert status(program, calls)[0] == 0


def test_a_time_in_the_future_does_not_wait_for_ever(calls, program, upload, service):
    """Faults 13, 32: nor is what may still be written sent for it."""
    ahead = {"hours.wav": 3 * HOUR, "days.wav": 3 * DAY, "h.mp3": 3 * HOUR, "d.mp3": 3 * DAY}
    for number, (name, seconds) in enumerate(ahead.items()):
        calls.put(name, make.mp3(2 + number) if "mp3" in name else make.wav(1 + number))
        describe(calls, name)
        age(calls, name, seconds=-seconds)
    result = upload()
    assert result.code == 0, result.said
    assert "3 with a time in the future: check the clocks" in " ".join(result.err.split())
    assert {*service.counts(calls)} == {"days.wav"}
    pass_time(calls, 60)
    assert upload().code == 0
    assert {*service.counts(calls)} == {"days.wav", "hours.wav"}
    pass_time(calls, 600)
    assert upload().code == 0
    assert_one_talk_each(calls, service, ahead)
    time.sleep(2.1)
    again = upload(*NOBODY)
    assert (again.code, "already there 4" in again.err) == (0, True), again.said


def test_what_waited_and_is_gone_is_forgotten_without_a_word(calls, program, upload, service):
    calls.put("live.mp3", make.mp3())
    describe(calls, "live.mp3")
    age(calls, "live.mp3", seconds=30)
    assert upload().code == 0
    for ending in ("mp3", "json"):
        (calls.folder / f"live.{ending}").rename(calls.folder / f"done.{ending}")
    describe(calls, "done.mp3")
    age(calls, "done.mp3", seconds=HOUR)
    result = upload()
    assert result.code == 0, result.said
    assert_one_talk_each(calls, service, ["done.mp3"])
    assert status(program, calls)[1]["waiting"] == []


@pytest.mark.skipif(sys.platform != "linux", reason="the shim is preloaded as on Linux")
def test_a_file_whose_name_and_handle_tell_other_times_is_sent(calls, program, service, tmp_path):
    """Fault 110: names tell seconds here, and open files nanoseconds."""
    calls.write(*(names := ["a.wav", "b.wav", "folder/c.wav"]))
    calls.write("large.wav", seconds=20)
    at = (int(time.time()) - 7200) * 10**9 + 123_456_789
    for file in calls.folder.rglob("*.*"):
        os.utime(file, ns=(at, at))
    env = {"LD_PRELOAD": str(compile_shim(Path(__file__).with_name("seconds.c"), tmp_path))}
    upload = ("upload", calls, *service.flags, "--api-key-file", calls.key_file)
    seen = program("check", calls, "--json", env=env)
    assert (seen.code, '"to_send": 4' in seen.out) == (0, True), seen.said
    result = program(*upload, env=env)
    assert result.code == 0, result.said
    assert_one_talk_each(calls, service, [*names, "large.wav"])
    again = program(*upload, *NOBODY, env=env)
    assert (again.code, "already there 4" in again.err) == (0, True), again.said
