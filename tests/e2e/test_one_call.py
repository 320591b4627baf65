"""One call, one talk, also when the archive changes: what an archive's files go through."""

import itertools
import os
from collections import Counter

import pytest
from e2e.conftest import API_KEY, emulator
from e2e.nights import Nights
from support import sound_makers as sound
from support.changing_archive import Archive, fields_of

CONNECTIONS = [f"archive-{number}" for number in range(100)]
STEREO = "archive-of-two-channels"


@pytest.fixture(scope="module")
def service(tmp_path_factory):
    """An emulator with a connection for each test, so that talks without metadata tell theirs."""
    flags = [("--connection", connection) for connection in (*CONNECTIONS, f"{STEREO}:2")]
    with emulator(tmp_path_factory.mktemp("archives"), *itertools.chain(*flags)) as running:
        yield running


@pytest.fixture(scope="module")
def connections():
    return iter(CONNECTIONS)


@pytest.fixture
def archive(tmp_path):
    return Archive(tmp_path / "archive")


@pytest.fixture
def nights(archive, inside, service, connections, tmp_path):
    key_file = tmp_path / "key"
    key_file.write_text(API_KEY)
    key_file.chmod(0o600)
    return Nights(archive, inside, service, next(connections), key_file)


@pytest.mark.parametrize("changed", [{"client_id": "17"}, {"date": "2025-04-02T10:11:12+03:00"}])
def test_a_sidecar_that_is_corrected(archive, nights, changed):
    archive.add(1, "call.wav")
    nights.night()
    archive.correct("call.json", **changed)
    assert "outdated 1" in nights.night().err
    assert nights.counts() == {1: 1}
    nights.nothing_to_do()


def test_a_sidecar_that_is_corrected_while_the_owner_of_all_changes(archive, nights):
    archive.add(1, "call.wav")
    archive.add(2)
    nights.night()
    archive.correct("call.json", client_id="17")
    for path in archive.folder.iterdir():
        os.chown(path, os.getuid(), os.getgid())
        path.chmod(0o640)
    assert "outdated 1" in nights.night().err
    assert nights.counts() == {1: 1, 2: 1}
    nights.nothing_to_do()


def test_a_recorder_that_uses_its_names_again(archive, nights):
    for night in range(4):
        for line in range(3):
            archive.add(3 * night + line, f"line-{line}.wav")
        nights.night()
    assert nights.counts() == dict.fromkeys(range(12), 1)
    assert archive.statuses() == {"uploaded": 12}
    nights.nothing_to_do()


def with_sidecars_each(archive, call, name, channels=1, mp3_channels=None):
    """A WAV and the MP3 that was made of it, each with a sidecar."""
    content = sound.call_wav(call, 3.0, channels)
    how = ("-ac", str(mp3_channels or channels), "-c:a", "libmp3lame", "-b:a", "32k")
    archive.put(f"{name}.wav", content, call=call)
    archive.put(f"{name}.mp3", sound.ffmpeg(content, "wav", "mp3", *how), call=call)
    for kind in ("wav", "mp3"):
        archive.describe(f"{name}.{kind}.json", fields_of(call))


def test_the_other_format_goes_up_where_the_first_is_rejected(archive, nights):
    nights.connection = STEREO
    with_sidecars_each(archive, 1, "call", channels=2, mp3_channels=1)
    nights.night("--concurrency", "1", code=1)
    nights.night("--concurrency", "1", code=1)
    assert nights.lines("rejected").keys() == {"call.mp3"}
    assert nights.lines("uploaded").keys() == {"call.wav"}
    assert nights.counts() == {1: 1}
    nights.nothing_to_do()


ALIKE = {
    "a prompt": (sound.call_wav(0), 3),
    "silence": (sound.wav(bytes(48_000)), 3),
    "silence once a night": (sound.wav(bytes(48_000)), 1),
    "silence that is not zero": (sound.wav(b"\x03\0" * 24_000), 1),
}


@pytest.mark.parametrize(("audio", "a_night"), ALIKE.values(), ids=ALIKE)
def test_prompts_and_silence_in_a_drop_folder(archive, nights, audio, a_night):
    """Calls that nobody answers sound alike, and the folder is emptied each day."""
    for night in range(4):
        archive.remove(*archive.files("*.wav"), *archive.files("*.json"))
        for line in range(a_night):
            archive.add(10 * night + line, content=audio)
        archive.add(10 * night + 5)
        # Said once that files leave it.
        nights.night(*([] if night else ["--allow-empty"]))
    dates = Counter(talk.fields["date"] for talk in nights.talks())
    calls = [10 * night + line for night in range(4) for line in (*range(a_night), 5)]
    assert dates == {fields_of(call)["date"]: 1 for call in calls}
    nights.nothing_to_do()
