"""The commands that a cure names, run by a shell as they are: one file is left in its place."""

import io
import os
import shutil
import sys
import unicodedata
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st
from support import audio_makers as make
from support.cures import command_of, cured, shell, shell_words

from batch_uploader.core.model import AudioInfo, Metadata
from batch_uploader.prepare import sidecar
from batch_uploader.prepare.audio import AudioRules, RawFormat, probe
from batch_uploader.sources.directory import DirectorySource
from batch_uploader.sources.names import escape_name

pytestmark = pytest.mark.skipif(sys.platform == "win32", reason="a POSIX shell runs them")

STAND_IN = """#!{python}
import sys
from pathlib import Path
source, target = Path(sys.argv[sys.argv.index("-i") + 1]), sys.argv[-1]
assert source.stat().st_size
target = Path(target % 0 if "segment" in sys.argv else target)
target.write_bytes(Path(__file__).with_name("result").read_bytes())
"""


@pytest.fixture(params=["a stand-in", "ffmpeg"])
def run(request, tmp_path):
    """Runs a command in a shell as a user would, with ffmpeg or with what behaves like it."""
    tools = tmp_path / "tools"
    tools.mkdir()
    if request.param == "ffmpeg":
        if not (found := shutil.which("ffmpeg")):
            pytest.skip("there is no ffmpeg here")
        (tools / "ffmpeg").symlink_to(found)
    else:
        (tools / "result").write_bytes(make.wav(0.5))
        (tools / "ffmpeg").write_text(STAND_IN.format(python=sys.executable))
        (tools / "ffmpeg").chmod(0o755)

    def run(command, folder, *, check=False):
        return shell(command, folder, tools=tools, check=check)

    return run


NAMES = [
    "call.wav",
    "CALL.WAV",
    "call",
    "a b.wav",
    " a   b .wav",
    "it's $(reboot).wav",
    "-n.wav",
    "pipe:1.wav",
    "50%.mp3",
    "звонок.ogg",
    "n\nl\x1b.wav",
    os.fsdecode(b"\xff\xd6.wav"),
]
DATA = {
    "another codec": (make.encoded("WAV", "ULAW"), AudioRules()),
    "another format": (make.encoded("FLAC"), AudioRules()),
    "a rate": (make.encoded("WAV", "FLOAT", rate=96000), AudioRules()),
    "too many channels": (make.wav(0.5, channels=2), AudioRules(channels=1)),
    "an unfinished header": (make.wav(0.5, data_size=0), AudioRules()),
    "Vorbis": (make.encoded("OGG", "VORBIS"), AudioRules()),
}


@pytest.mark.parametrize("name", NAMES)
def test_the_new_file_takes_the_old_ones_place_whatever_its_name(run, tmp_path, name):
    data, rules = DATA["another codec"]
    run(cured(tmp_path, name, data, rules), tmp_path, check=True)
    assert {path.name for path in (tmp_path / "calls").iterdir()} == {name, f"{name}.orig"}
    assert (tmp_path / "calls" / f"{name}.orig").read_bytes() == data
    fixed = (tmp_path / "calls" / name).read_bytes()
    assert isinstance(probe(io.BytesIO(fixed), name, len(fixed), rules), AudioInfo)


@pytest.mark.parametrize("what", DATA)
def test_each_command_makes_one_recording_that_is_taken(run, tmp_path, what):
    data, rules = DATA[what]
    command = cured(tmp_path, "call.wav", data, rules)
    if what == "too many channels" and (tmp_path / "tools" / "result").exists():
        (tmp_path / "tools" / "result").write_bytes(make.wav(0.5, channels=1))
    run(command, tmp_path, check=True)
    assert {path.name for path in (tmp_path / "calls").iterdir()} == {"call.wav", "call.wav.orig"}
    fixed = (tmp_path / "calls" / "call.wav").read_bytes()
    assert isinstance(probe(io.BytesIO(fixed), "call.wav", len(fixed), rules), AudioInfo)


def test_a_recording_that_is_too_long_is_cut_and_moved_out_of_the_way(run, tmp_path):
    command = cured(tmp_path, "50%.wav", make.wav(2.5), AudioRules(max_duration=1))
    run(command, tmp_path, check=True)
    names = {path.name for path in (tmp_path / "calls").iterdir()}
    assert names == {"50%.wav.orig", "50%.parts"}
    parts = {path.name for path in (tmp_path / "calls" / "50%.parts").iterdir()}
    assert "50%-000.wav" in parts


def fold(name):
    """The name as a file system knows it that ignores case and the form of accents."""
    return unicodedata.normalize("NFC", name).casefold()


@given(
    st.text(st.characters(categories=["L", "N", "Zs", "Pc", "Pd", "Po"]), min_size=1, max_size=9),
    st.sampled_from(["", ".WAV", ".wav", ".wav.new", ".NEW", ".orig", ".Orig", ".parts", ".json"]),
    st.sampled_from(sorted(DATA)),
)
def test_no_command_writes_over_its_input_where_names_ignore_case(stem, extension, what):
    """Of a name that is on the disk, nothing is written but what is new beside it."""
    name = escape_name(stem + extension)
    data, rules = DATA[what]
    for limits in (rules, AudioRules(max_duration=0.01)):
        defect = probe(io.BytesIO(data), name, len(data), limits, user_path=lambda path: path)
        there, kept = {fold(name): data}, data
        for step in command_of(defect).split(" && "):
            words = [word.removeprefix("./") for word in shell_words(step)]
            if words[0] == "ffmpeg":
                assert fold(words[-1].replace("%%", "%")) not in there
                there[fold(words[-1])] = b"new"
            elif words[0] == "mv":
                assert fold(words[-1]) not in there
                there[fold(words[-1])] = there.pop(fold(words[-2]))
        assert kept in there.values()
        assert there[fold(f"{name}.orig")] == data


def test_nothing_is_written_over(run, tmp_path):
    data, rules = DATA["another codec"]
    command = cured(tmp_path, "call.wav", data, rules)
    (tmp_path / "calls" / "call.wav.orig").write_bytes(b"another's")
    run(command, tmp_path)
    assert (tmp_path / "calls" / "call.wav.orig").read_bytes() == b"another's"
    assert (tmp_path / "calls" / "call.wav").read_bytes() == data


def test_no_part_is_written_over(run, tmp_path):
    command = cured(tmp_path, "call.wav", make.wav(2.5), AudioRules(max_duration=1))
    (tmp_path / "calls" / "call.parts").mkdir()
    (tmp_path / "calls" / "call.parts" / "call-000.wav").write_bytes(b"another's")
    assert run(command, tmp_path)
    assert (tmp_path / "calls" / "call.parts" / "call-000.wav").read_bytes() == b"another's"
    assert (tmp_path / "calls" / "call.wav").read_bytes() == make.wav(2.5)


def test_a_conversion_that_fails_changes_nothing_and_can_be_repeated(run, tmp_path):
    data, rules = DATA["another codec"]
    command = cured(tmp_path, "call.wav", data, rules)
    assert run(f"ffmpeg() {{ echo half > calls/call.wav.new; false; }}; {command}", tmp_path)
    assert (tmp_path / "calls" / "call.wav").read_bytes() == data
    run(command, tmp_path, check=True)
    assert {path.name for path in (tmp_path / "calls").iterdir()} == {"call.wav", "call.wav.orig"}


def test_raw_pcm_is_converted_as_it_was_declared(run, tmp_path):
    rules = AudioRules(raw=RawFormat(6000, 1))
    run(cured(tmp_path, "call.raw", make.pcm(), rules), tmp_path, check=True)
    fixed = (tmp_path / "calls" / "call.raw").read_bytes()
    assert isinstance(probe(io.BytesIO(fixed), "call.raw", len(fixed), rules), AudioInfo)


@pytest.mark.parametrize("name", ["call.json", "-it's a \n.json"])
def test_a_sidecar_in_another_encoding_is_rewritten_in_its_place(run, tmp_path, name):
    folder = tmp_path / "calls"
    folder.mkdir()
    text = '{"operator_name": "Ольга"}'
    (folder / name).write_bytes(text.encode("cp1251"))
    source = DirectorySource("calls")
    path, schema = escape_name(name), sidecar.Schema()
    (defect,) = sidecar.parse((folder / name).read_bytes(), path, schema, source.user_path)
    run(defect.cure.split("`")[1], tmp_path, check=True)
    assert {each.name for each in folder.iterdir()} == {name, f"{name}.orig"}
    assert isinstance(sidecar.parse((folder / name).read_bytes(), path, schema), Metadata)


def test_the_path_is_the_users(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    for root, shown in [("calls", "calls/f/a.wav"), (".", "./f/a.wav"), (tmp_path, None)]:
        source = DirectorySource(root)
        assert source.user_path("f/a.wav") == (shown or str(Path(root, "f/a.wav")))
