"""What the whole is for, judged at the receiving end: how often each recording is there."""

import hashlib
import json
import os
import re
import struct
import subprocess
import sys
from collections import Counter

import pytest
from support import audio_makers

from batch_uploader.prepare.audio import DefectKind

MANY = 2000


def digests(calls):
    return {
        str(path.relative_to(calls.folder)): hashlib.sha256(path.read_bytes()).hexdigest()
        for path in calls.folder.rglob("*.wav")
    }


@pytest.mark.parametrize(
    "faults",
    [
        ("--unavailable", 0.1),
        ("--unavailable", 0.03, "--exhausted", 0.03, "--pushback", "0.1s"),
    ],
    ids=["unavailable", "mixed"],
)
@pytest.mark.slow
def test_two_thousand_recordings_go_up_once_through_planned_faults(
    calls, upload, start_service, faults
):
    names = [f"{n % 20:02}/call-{n}.wav" for n in range(MANY)]
    calls.write(*names, seconds=0.01)
    expected = digests(calls)
    with start_service("--seed", 3, *faults) as service:
        first = upload(to=service)
        assert first.code == 0, first.said
        talks = service.talks(calls)
        assert Counter(Counter(talk.fields["name"] for talk in talks).values()) == {1: MANY}
        assert {talk.fields["name"]: talk.sha256.hex() for talk in talks} == expected
        manifest = calls.manifest()
        assert {line["talk_id"] for line in manifest.values()} == {talk.talk_id for talk in talks}
        assert {path: line["sha256"] for path, line in manifest.items()} == expected
        assert sum(line["attempts"] for line in manifest.values()) > MANY, "there were faults"
    # Nobody is there any more, so a request would fail.
    second = upload(to=service)
    assert second.code == 0, second.said
    assert f"already there {MANY:,}" in second.said


DEFECTS = {
    "no-sidecar.wav": (b"WAV", None, "sidecar-missing"),
    "no-json.wav": (b"WAV", b"{", "sidecar-json"),
    "cp1251.wav": (b"WAV", '{"имя": "Анна"}'.encode("cp1251"), "sidecar-encoding"),
    "nan.wav": (b"WAV", b'{"a": NaN}', None),
    "null.wav": (b"WAV", b'{"a": null}', None),
    "nested.wav": (b"WAV", b'{"a": {"b": 1}}', None),
    "twice.wav": (b"WAV", b'{"a": 1, "a": 2}', None),
    "long.wav": (b"WAV", json.dumps({"a": "я" * 513}).encode(), None),
    "digits.wav": (b"WAV", b'{"a": ' + b"9" * 5000 + b"}", None),
    "deep.wav": (b"WAV", b'{"a": ' + b"[" * 200_000, None),
    "surrogate.wav": (b"WAV", rb'{"a": "\ud800"}', None),
    "empty.wav": (b"", b"{}", DefectKind.EMPTY),
    "one-byte.wav": (b"R", b"{}", None),
    "no-audio.wav": (b"this is text " * 100, b"{}", DefectKind.UNKNOWN),
    "mu-law.wav": ("ULAW", b"{}", DefectKind.CODEC),
    "a-law.wav": ("ALAW", b"{}", DefectKind.CODEC),
    "gsm.wav": ("GSM610", b"{}", DefectKind.CODEC),
    "float.wav": ("FLOAT", b"{}", DefectKind.CODEC),
    "24-bit.wav": ("PCM_24", b"{}", DefectKind.CODEC),
    "cut.wav": ("cut", b"{}", DefectKind.TRUNCATED),
    "undeclared.pcm": (b"\x01\x00" * 400, b"{}", DefectKind.RAW_UNDECLARED),
}
"""Recording, sidecar, and the kind of the defect where one kind alone will do."""


def make(content):
    if isinstance(content, bytes):
        return audio_makers.wav() if content == b"WAV" else content
    if content == "cut":
        return audio_makers.wav()[:-100]
    return audio_makers.encoded("WAV", content)


def test_a_directory_of_one_of_every_defect(calls, upload, program, service):
    """Faults 37, 38, 44 to 46, 49, 54, 56 to 59 and 61.

    Each is named with its cure, and the sound ones go up.
    """
    for name, (content, sidecar, _kind) in DEFECTS.items():
        calls.put(name, make(content))
        if sidecar is not None:
            calls.put(name.rsplit(".", 1)[0] + ".json", sidecar)
    calls.put("two.wav", audio_makers.wav())
    calls.put("two.json", b"{}")
    calls.put("two.wav.json", b"{}")
    calls.put("orphan.json", b"{}")
    (calls.folder / "link.wav").symlink_to("/etc/hostname")
    os.mkfifo(calls.folder / "fifo.wav")
    expected = {*DEFECTS, "two.wav", "orphan.json", "link.wav", "fifo.wav"}
    calls.write("sound.wav", "sub/also sound [bold].wav")

    reading = ("--include", "*.pcm", "--convert", "off", "--sidecar-wait", "0")
    checked = program("check", calls, *reading, "--json")
    assert checked.code == 1
    defects = json.loads(checked.out)["defects"]
    # A sidecar's defect names the sidecar.
    named = {re.sub(r"\.json$", ".wav", d["path"]) for d in defects} | {"orphan.json"}
    assert named >= expected - {"orphan.json"}
    assert all(defect["cure"] and defect["message"] for defect in defects)

    result = upload(*reading)
    assert result.code == 1
    assert service.counts(calls) == {"sound.wav": 1, "sub/also sound [bold].wav": 1}
    manifest = calls.manifest()
    for name, (_content, _sidecar, kind) in DEFECTS.items():
        assert manifest[name]["status"] == "invalid", name
        assert len(manifest[name]["error"]["message"]) > 20
        if kind is not None:
            assert manifest[name]["error"]["code"] == kind, name
    assert program("status", calls, "--connection-id", "calls").code == 1
    again = upload(*reading)
    assert again.code == 1, "they still need a human"
    assert len(service.talks(calls)) == 2


def big(path, size):
    """A WAV of mostly silence that takes no room on the disk."""
    head = struct.pack("<4sI4s4sIHHIIHH4sI", b"RIFF", size + 36, b"WAVE", b"fmt ", 16, 1, 2, 48_000,
                       192_000, 4, 16, b"data", size)  # fmt: skip
    with path.open("wb") as file:
        file.write(head + os.urandom(64))
        file.truncate(len(head) + size)


MEASURED = """
import resource, subprocess, sys
done = subprocess.run(sys.argv[1:], check=False)
print(resource.getrusage(resource.RUSAGE_CHILDREN).ru_maxrss)
sys.exit(done.returncode)
"""


@pytest.mark.slow
def test_memory_does_not_grow_with_what_waits_for_a_slow_service(calls, start_service):
    """Fault 28: 288 MB in six streams, of which the service reads 64 MB a second."""
    names = [f"{number}.wav" for number in range(6)]
    for name in names:
        big(calls.folder / name, 48 * 1024 * 1024)
        fields = {"origin": str(calls), "name": name}
        (calls.folder / name).with_suffix(".json").write_text(json.dumps(fields))
    with start_service("--bandwidth", "64M") as service:
        flags = (*service.flags, "--api-key-file", calls.key_file, "--min-age", 0)
        uploader = [sys.executable, "-m", "batch_uploader", "upload", calls, *flags]
        done = subprocess.run(
            [sys.executable, "-c", MEASURED, *map(str, uploader)],
            check=True,
            capture_output=True,
            text=True,
            timeout=100,
        )
        assert service.counts(calls) == dict.fromkeys(names, 1)
    peak = int(done.stdout) * 1024
    assert peak < 200 * 1024 * 1024
