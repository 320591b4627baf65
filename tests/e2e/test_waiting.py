"""What waits for the next run, and what does not wait for ever; the emulator counts the talks."""

import os
import sys
import time
from pathlib import Path

import pytest
from e2e.conftest import assert_one_talk_each
from support.shims import compile_shim

NOBODY = ("--endpoint", "127.0.0.1:9", "--max-outage", "1s")


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
