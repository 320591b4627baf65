"""Other content under the same name, size and modification time, as ``cp -p`` brings it."""

import json
import os
import shutil
import subprocess
import sys

import pytest
from e2e.conftest import CONNECTION, assert_one_talk_each

pytestmark = pytest.mark.skipif(sys.platform == "win32", reason="no change times there")


def other(content):
    """Of the same length."""
    return content[:-200] + bytes(each ^ 0x55 for each in content[-200:])


def copy_over(source, target):
    subprocess.run(["cp", "-p", source, target], check=True)


def rename_over(source, target):
    """As rsync does it."""
    source.rename(target)


def write_and_touch(source, target):
    """Afterwards with ``touch -r``."""
    target.write_bytes(source.read_bytes())
    shutil.copystat(source, target)


WAYS = [copy_over, rename_over, write_and_touch]


def put_over(way, target, content):
    """Put other content there, just as large and as old: nothing but ctime or inode tells."""
    before = target.stat()
    new = target.with_name(".new")
    new.write_bytes(content)
    os.utime(new, ns=(before.st_atime_ns, before.st_mtime_ns))
    way(new, target)
    after = target.stat()
    assert (after.st_size, after.st_mtime_ns) == (before.st_size, before.st_mtime_ns)


def sound(service, calls, name):
    return [talk.sha256 for talk in service.talks(calls) if talk.fields["name"] == name]


@pytest.mark.parametrize("way", WAYS)
def test_other_audio_is_held_until_somebody_says_that_it_is_another_call(
    calls, upload, service, inside, way
):
    """Fault 94: it is noticed, goes up at most once, and the rest is not touched."""
    calls.write("a.wav", "f/b.wav", "f/c.wav")
    assert upload().code == 0
    file = calls.folder / "f" / "b.wav"
    put_over(way, file, other(file.read_bytes()))
    result = upload()
    assert result.code == 1, result.err
    assert "1 recording has a new change time: compared, 1 holds other audio" in result.err
    assert service.counts(calls) == {"a.wav": 1, "f/b.wav": 1, "f/c.wav": 1}
    assert inside("resolve", calls, "--resend", "--yes", "f/b.wav").code == 0
    assert upload().code == 0
    assert service.counts(calls) == {"a.wav": 1, "f/b.wav": 2, "f/c.wav": 1}
    assert len(set(sound(service, calls, "f/b.wav"))) == 2
    lines = (calls.folder / "manifest.jsonl").read_text().splitlines()
    assert [json.loads(line)["path"] for line in lines].count("f/b.wav") == 2
    result = upload()
    assert result.code == 0
    assert "Nothing new" in result.err
    assert "change time" not in result.err
    assert len(service.talks(calls)) == 4


@pytest.mark.parametrize("way", WAYS)
def test_a_sidecar_put_right_in_the_same_way_is_noticed(calls, upload, service, way):
    """Fault 94: that of an invalid recording, and that of a talk."""
    calls.write("a.wav", "b.wav")
    good = (calls.folder / "a.json").read_bytes()
    calls.put("a.json", good.replace(b'"name"', b'"name\xff')[: len(good)])
    assert upload().code == 1
    put_over(way, calls.folder / "a.json", good)
    text = (calls.folder / "b.json").read_bytes()
    put_over(way, calls.folder / "b.json", text.replace(b"b.wav", b"B.wav"))
    result = upload()
    assert result.code == 0, result.err
    assert service.counts(calls) == {"a.wav": 1, "b.wav": 1}
    assert "outdated 1" in result.err


def test_a_change_of_rights_costs_one_look_each_and_nothing_else(calls, upload, service):
    """Fault 95."""
    names = [f"{number}.wav" for number in range(20)]
    calls.write(*names)
    assert upload().code == 0
    for file in calls.folder.iterdir():
        file.chmod(0o640)
    calls.write("new.wav")
    result = upload("--progress", "json")
    assert result.code == 0, result.err
    told = [json.loads(line) for line in result.out.splitlines()]
    kinds = [event["event"] for event in told]
    assert kinds.index("settled") < kinds.index("comparison_started") < kinds.index("compared")
    assert kinds.count("compared") == 20
    assert {event["found"] for event in told if event["event"] == "compared"} == {"same"}
    assert "20 recordings have new change times: compared, 0 hold other audio" in result.err
    assert_one_talk_each(calls, service, [*names, "new.wav"])
    result = upload()
    assert "Nothing new" in result.err
    assert "change time" not in result.err


def test_whoever_trusts_times_has_nothing_looked_at(calls, upload, service, inside, tmp_path):
    """Fault 95."""
    calls.write("a.wav", "b.wav")
    assert upload().code == 0
    (calls.folder / "a.wav").chmod(0o640)
    told = "1 of these with new change times (upload compares them last)"
    assert told in inside("check", calls, "--connection-id", CONNECTION).out
    trusting = tmp_path / "trusting.toml"
    trusting.write_text("trust-times = true\n")
    assert told not in inside("check", calls, "--config", trusting).out
    result = upload("--trust-times")
    assert result.code == 0
    assert "change time" not in result.err
    result = upload()
    assert "1 recording has a new change time: compared" in result.err
    assert service.counts(calls) == {"a.wav": 1, "b.wav": 1}


def test_what_was_not_looked_at_is_not_taken_for_it(calls, upload, service):
    """Fault 94: a run that trusts times compares the sidecar alone, and the next one the audio."""
    calls.write("a.wav")
    assert upload().code == 0
    audio = calls.folder / "a.wav"
    put_over(write_and_touch, audio, other(audio.read_bytes()))
    os.utime(calls.folder / "a.json", (1, 1))
    assert upload("--trust-times").code == 0
    assert service.counts(calls) == {"a.wav": 1}
    result = upload()
    assert result.code == 1
    assert "1 holds other audio" in result.err
    assert service.counts(calls) == {"a.wav": 1}


def test_a_talk_whose_file_may_not_be_read_any_more_stays_one(calls, upload, unprivileged):
    """Fault 95: a change of owner takes no talk back."""
    calls.write("a.wav", "b.wav")
    assert upload().code == 0
    (calls.folder / "a.wav").chmod(0)
    for _ in range(2):
        result = upload(preexec=unprivileged)
        assert result.code == 0, result.err
        assert "1 recording has a new change time: 0 compared" in result.err
        assert "1 left for the next run" in result.err
        assert "hint: to compare only sizes and modification times: --trust-times" in result.err
    assert {line["status"] for line in calls.manifest().values()} == {"uploaded"}
    (calls.folder / "a.wav").chmod(0o600)
    assert "1 recording has a new change time: compared" in upload().err
