"""An archive with the defects that recorders make: each printed command is run, and all goes up."""

import json
import subprocess
import unicodedata

import pytest
from e2e.conftest import environment
from support import audio_makers as make
from support import ogg_pages as ogg
from support.cures import needs_ffmpeg

FIELDS = {"operator_name": "Иван Петров", "client_name": "Мария Сидорова"}
PCM = make.pcm(1.0)


def wav(data_size=None, form=None, before=b""):
    """A WAV whose size of the file is right, whatever the rest says."""
    return make.riff(
        make.chunk(b"fmt ", form or make.fmt()), before, make.chunk(b"data", PCM, data_size)
    )


BROKEN = {
    "GSM.WAV": make.encoded("WAV", "GSM610"),
    "block.wav": wav(form=make.fmt(block=4)),
    "unpadded.wav": wav(before=b"LIST\x1b\0\0\0" + bytes(27)),
    "small.wav": wav(len(PCM) - 8000),
    "large.wav": wav(len(PCM) + 9000),
    "unfinished.wav": make.wav(1.1, data_size=0, riff_size=0),
    "jump.ogg": ogg.with_positions(make.opus(3.0), lambda n, now: now + (n > 1) * 86_400 * 48_000),
    "vorbis.ogg": make.encoded("OGG", "VORBIS"),
    "cut-ogg.ogg": ogg.without_end_mark(make.opus(4.0))[:-100],
    "cut.mp3": make.mp3(5.0)[:-1500],
}
SOUND = {
    "header.wav": wav(len(PCM) + 44),
    "open.ogg": ogg.without_end_mark(make.opus(2.0)),
}


@pytest.fixture
def archive(calls):
    for number, (name, data) in enumerate({**BROKEN, **SOUND}.items()):
        calls.put(name, data)
        side = {**FIELDS, "origin": str(calls), "name": name, "client_id": str(number)}
        text = json.dumps(side, ensure_ascii=False)
        codec = {"GSM.WAV": "koi8_r", "block.wav": "cp866", "small.wav": "utf-16-le"}.get(name)
        calls.put(f"{name.rpartition('.')[0]}.json", text.encode(codec or "utf-8"))
    (calls.folder / "GSM.WAV").chmod(0o600)
    return calls


def defects(program, calls):
    """All defects, those included that conversion would mend without a word."""
    result = program("check", calls, "--json", "--convert", "off")
    return json.loads(result.out)["defects"]


def fold(name):
    return unicodedata.normalize("NFC", name).casefold()


@needs_ffmpeg
def test_every_printed_command_is_run_and_every_call_goes_up_once(
    archive, program, upload, service
):
    """Faults 46, 48, 49, 56."""
    before = {path.name: path.read_bytes() for path in archive.folder.iterdir()}
    found = defects(program, archive)
    named = {each["path"] for each in found}
    assert named == {*BROKEN, "GSM.json", "block.json", "small.json", "open.ogg"}
    for defect in found:
        if defect["path"] != "open.ogg":
            words = ["bash", "-c", defect["cure"].split("`")[1]]
            subprocess.run(words, env=environment(), check=True, stderr=subprocess.DEVNULL)
    assert [each["path"] for each in defects(program, archive)] == ["open.ogg"]
    after = {path.name: path.read_bytes() for path in archive.folder.iterdir()}
    assert after.keys() - before.keys() == {f"{name}.orig" for name in named - {"open.ogg"}}
    assert all(after[f"{name}.orig"] == before[name] for name in named - {"open.ogg"})
    assert len({fold(name) for name in after}) == len(after)

    archive.rest(*after)
    unmarked = upload()
    assert unmarked.code == 1, unmarked.said
    assert "--ogg-end optional" in unmarked.said
    result = upload("--ogg-end", "optional")
    assert result.code == 0, result.said
    assert service.counts(archive) == dict.fromkeys([*BROKEN, *SOUND], 1)
    names = {talk.fields["operator_name"] for talk in service.talks(archive)}
    assert names == {FIELDS["operator_name"]}


def test_what_may_still_be_written_is_not_called_broken(archive, program):
    """Fault 49: a live recording is not to be halved."""
    found = {each["path"]: each for each in defects(program, archive)}
    for name in ("large.wav", "small.wav", "unfinished.wav", "open.ogg", "cut-ogg.ogg", "cut.mp3"):
        assert "it may still be being written" in found[name]["cure"], name
