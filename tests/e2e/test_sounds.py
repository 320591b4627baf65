"""The prompts of Asterisk, as Debian has them: each goes up, whole, and as FFmpeg decodes it.

Debian has them as GSM, G.722 and WAV; the other kinds that Asterisk has are made of the WAVs.
"""

import hashlib
import json
import shutil
import subprocess

import pytest

PACKAGES = ("gsm", "g722", "wav")
AT_ONCE = 40
MADE = {
    "ulaw": ("-f", "mulaw"),
    "alaw": ("-f", "alaw"),
    "sln16": ("-f", "s16le", "-ar", "16000"),
}
READ = {
    "ulaw": ("-f", "mulaw", "-ar", "8000"),
    "alaw": ("-f", "alaw", "-ar", "8000"),
    # FFmpeg does not recognise a file of a few frames.
    "gsm": ("-f", "gsm"),
}
PCM = ("-c:a", "pcm_s16le", "-bitexact", "-map_metadata", "-1", "-f", "wav")

pytestmark = [pytest.mark.slow, pytest.mark.timeout(400)]


def ffmpeg(pairs, read, write):
    """Make many files of as many others: pairs of paths."""
    for at in range(0, len(pairs), AT_ONCE):
        some = pairs[at : at + AT_ONCE]
        command = ["ffmpeg", "-nostdin", "-v", "error", "-y"]
        for source, _ in some:
            command += [*read, "-i", source]
        for number, (_, made) in enumerate(some):
            command += ["-map", f"{number}:a", *write, made]
        subprocess.run(command, check=True)


@pytest.fixture(scope="module")
def sounds(tmp_path_factory):
    """A folder for each kind of file."""
    if not all(map(shutil.which, ("apt-get", "dpkg-deb", "ffmpeg"))):
        pytest.skip("this needs Debian and ffmpeg")
    packages, folder = tmp_path_factory.mktemp("packages"), tmp_path_factory.mktemp("sounds")
    names = [f"asterisk-core-sounds-en-{each}" for each in PACKAGES]
    command = ["apt-get", "download", *names]
    got = subprocess.run(command, cwd=packages, capture_output=True, check=False)
    if got.returncode:
        pytest.skip("Debian's packages cannot be had here")
    for package in packages.glob("*.deb"):
        subprocess.run(["dpkg-deb", "-x", package, packages / "all"], check=True)
    for kind in (*PACKAGES, *MADE):
        (folder / kind).mkdir()
    for kind in PACKAGES:
        for number, path in enumerate(sorted((packages / "all").rglob(f"*.{kind}"))):
            path.rename(folder / kind / f"{number:03}-{path.name}")
    for kind, options in MADE.items():
        waves = sorted((folder / "wav").iterdir())
        pairs = [(each, folder / kind / f"{each.stem}.{kind}") for each in waves]
        ffmpeg(pairs, (), options)
    return folder


@pytest.fixture(params=[*PACKAGES, *MADE])
def prompts(request, calls, sounds):
    """All prompts of one kind, each with its sidecar; their kind and paths."""
    paths = sorted((sounds / request.param).iterdir())
    assert len(paths) > 500
    for path in paths:
        calls.put(path.name, path.read_bytes())
        told = {"origin": str(calls), "name": path.name}
        calls.put(f"{path.stem}.json", json.dumps(told).encode())
    return request.param, paths


def test_each_goes_up_whole_and_as_ffmpeg_decodes_it(prompts, calls, upload, service, tmp_path):
    kind, paths = prompts
    result = upload("--include", f"*.{kind}")

    assert result.code == 0, result.said
    sent = {talk.fields["name"]: talk.sha256 for talk in service.talks(calls)}
    assert len(service.talks(calls)) == len(sent) == len(paths)
    if kind in {"wav", "sln16"}:
        expected = {path.name: path.read_bytes() for path in paths}
    else:
        pairs = [(path, tmp_path / path.name) for path in paths]
        ffmpeg(pairs, READ.get(kind, ()), PCM)
        expected = {path.name: made.read_bytes() for path, made in pairs}
    wrong = [name for name, made in expected.items() if hashlib.sha256(made).digest() != sent[name]]
    assert wrong == []
