"""Files that look like audio and are not taken are counted by kind, without opening many."""

import string

import pytest
from hypothesis import given
from hypothesis import strategies as st
from support.audio_makers import encoded, gsm, mp3, opus, wav
from support.engine_harness import Harness, recordings

from batch_uploader.app.passed_over import ways_to_take
from batch_uploader.core.events import FilesPassedOver
from batch_uploader.plan import passed_over
from batch_uploader.plan.passed_over import OtherFiles
from batch_uploader.sources.directory import DirectorySource
from batch_uploader.sources.memory import MemorySource

M4A = b"\0\0\0\x18ftypM4A \0\0\0\0M4A mp42" + bytes(3000)
HEIC = b"\0\0\0\x18ftypheic\0\0\0\0mif1heic" + bytes(3000)
WEBM = bytes.fromhex("1a45dfa3") + bytes(3000)
SOUND = {
    "wav": wav(),
    "mp3": mp3(),
    "opus": opus(),
    "gsm": gsm(),
    "flac": encoded("FLAC"),
    "au": encoded("AU"),
    "w64": encoded("W64"),
    "rf64": encoded("RF64"),
}
pytestmark = pytest.mark.anyio


class Counting(MemorySource):
    """Counts what is opened."""

    def __init__(self, files, **selection):
        super().__init__(files, **selection)
        self.opened = []

    def open(self, path):
        self.opened.append(path)
        return super().open(path)


async def sorted_out(source, others=None):
    """What is passed over, by kind, and the files that are left of the listings."""
    others = others or OtherFiles()
    left = []
    async for listing in source.entries():
        kept = await others.sort_out(source, listing, counted=True)
        left += [entry.path for entry in kept.entries]
    return {each.kind: each for each in others.found()}, left


async def only(name, content, **more):
    kinds, _ = await sorted_out(MemorySource({name: content, **more}))
    return next(iter(kinds.values()), None)


@pytest.mark.parametrize(
    ("name", "content", "form"),
    [
        ("a.m4a", M4A, "MPEG-4 audio"),
        ("a.M4A", M4A, "MPEG-4 audio"),
        ("a.webm", WEBM, "WebM or Matroska"),
        ("a.bin", encoded("AIFF"), "AIFF"),
        ("a.amr", b"#!AMR\n" + bytes(99), "AMR"),
        ("a.wma", b"", "Windows Media Audio"),
    ],
)
@pytest.mark.parametrize("codecs", [True, False])
async def test_what_the_service_does_not_accept_is_counted_with_its_format(
    monkeypatch, codecs, name, content, form
):
    monkeypatch.setattr(passed_over, "AVAILABLE", codecs)
    found = await only(name, content)
    kind = f".{name[2:].lower()}"
    assert (found.kind, found.files, found.form) == (kind, 1, form)
    decoded = form != "AIFF"
    assert found.include == (f"*{kind}" if codecs and decoded else None)
    assert found.with_codecs == (decoded and not codecs)
    (way,) = ways_to_take([found], "calls")
    if codecs and decoded:
        assert f"--include '*{kind}'" in way
    else:
        assert f"`ffmpeg -n -i calls/{name} -c:a pcm_s16le calls/a.wav`" in way
        assert ("pip install" in way and f"--include '*{kind}'" in way) == decoded


async def test_what_has_no_header_is_taken_by_its_name_and_a_declared_rate():
    found = await only("a.vox", b"\x80\x08" * 99)

    assert (found.form, found.include, found.with_codecs) == ("Dialogic ADPCM", "*.vox", False)
    (way,) = ways_to_take([found], "calls")
    assert "--include '*.vox'" in way


async def test_what_nothing_decodes_has_no_command():
    found = await only("a.nmf", b"\x80\x08" * 99)

    assert (found.form, found.include) == ("a recording of NICE", None)
    (way,) = ways_to_take([found], "calls")
    assert "calls" not in way


@pytest.mark.parametrize("sound", SOUND)
@pytest.mark.parametrize("extension", ["dat", "wave", "m4a", "gsm", "ulaw", "call", "wav49"])
async def test_what_is_sent_or_converted_is_counted_with_the_pattern_for_it(sound, extension):
    found = await only(f"a.{extension}", SOUND[sound])
    assert found.include == f"*.{extension}"
    taken = MemorySource({f"a.{extension}": SOUND[sound]}, include=[found.include])
    assert await sorted_out(taken) == ({}, [f"a.{extension}"])


@pytest.mark.parametrize("name", ["q-501-1774595700.530", "call", "folder.d/call", "call.wav~"])
async def test_a_name_without_a_known_extension_is_told_by_its_content(name):
    found = await only(name, SOUND["wav"])
    assert (found.kind, found.files, found.form, found.include) == ("", 1, "WAV", None)


@pytest.mark.parametrize(
    ("name", "content"),
    [
        ("a.dat", b"\0\1\2\3" * 999),
        ("a.dat", b""),
        ("picture.x", HEIC),
        ("README", b"How to read it\n"),
        ("notes.txt", SOUND["wav"]),
        ("cdr.csv", b"src;dst\n"),
    ],
)
async def test_what_does_not_look_like_audio_is_not_told(name, content):
    assert await only(name, content) is None


async def test_a_file_that_a_cure_set_aside_is_not_told_of():
    assert await only("call.wav.orig", SOUND["wav"], **{"call.wav": SOUND["wav"]}) is None
    lost = await only("call.wav.orig", SOUND["wav"])
    assert (lost.kind, lost.include) == (".orig", None), "to take all of these would bill twice"


async def test_what_lies_beside_a_recording_of_its_name_is_told_to_be_there():
    files = {"a.wav": SOUND["wav"], "a.gsm": gsm(), "b.gsm": gsm(), "0.gsm": gsm(), "0.mp3": b""}
    kinds, _ = await sorted_out(MemorySource(files))
    assert (kinds[".gsm"].files, kinds[".gsm"].beside, kinds[".gsm"].first) == (3, 2, "b.gsm")


async def test_the_sidecar_of_such_a_file_is_no_orphan():
    files = dict.fromkeys(("a.json", "b.json", "C.dat.JSON", "d.json", "e.json"), b"{}")
    files |= {"a.m4a": M4A, "b.txt": b"?", "c.dat": SOUND["mp3"], "d.gsm": gsm(), "d.wav": b""}
    _, left = await sorted_out(MemorySource(files))
    assert sorted(left) == ["b.json", "d.json", "d.wav", "e.json"]


async def test_what_describes_in_another_form_is_no_recording_of_the_same_name():
    files = {"a.m4a": M4A, "a.xml": b"<a/>", "a.json": b"{}"}
    kinds, left = await sorted_out(MemorySource(files, sidecars=["*.xml"]))
    assert (kinds[".m4a"].beside, left) == (0, ["a.xml"])


async def test_excluded_and_hidden_files_are_not_told_of():
    files = {"a.m4a": M4A, ".b.m4a": M4A, "old/c.m4a": M4A}
    assert await sorted_out(MemorySource(files, exclude=["old", "a.*"])) == ({}, [])


async def test_a_million_files_of_other_kinds_cost_few_opens():
    kinds = [f"{a}{b}" for a in string.ascii_lowercase for b in "0123"] + [*map(str, range(300))]
    files = {f"{n % 100}/{n}.{kinds[n % len(kinds)]}": b"other" for n in range(20_000)}
    files |= {f"z/{n}.m4a": M4A for n in range(1_000)}
    source = Counting(files)
    others = OtherFiles()
    found, _ = await sorted_out(source, others)
    assert [(each.kind, each.files) for each in found.values()] == [(".m4a", 1_000)]
    few = len(source.opened)
    assert few <= 600
    assert len(set(source.opened)) == few
    async for listing in source.entries():
        await others.sort_out(source, listing, counted=False)
    assert len(source.opened) == few


async def test_a_kind_that_comes_late_is_told_of_all_the_same():
    files = {f"{n}/{n}.{a}{b}": b"?" for n in range(20) for a in "abcdefgh" for b in "0123456789"}
    files["z/late.dat"] = SOUND["mp3"]
    kinds, _ = await sorted_out(MemorySource(files))
    assert sum(each.files for each in kinds.values()) == 1


async def test_a_kind_that_is_audio_here_and_something_else_there_is_told_apart():
    files = {f"{n}/{n}.dat": SOUND["wav"] if n % 3 else b"other" for n in range(9)}
    kinds, _ = await sorted_out(MemorySource(files))
    assert kinds[".dat"].files == 6


async def test_a_directory_tells_the_same_and_what_cannot_be_opened_is_left(tmp_path):
    (tmp_path / "a.m4a").write_bytes(M4A)
    (tmp_path / "b.dat").write_bytes(SOUND["wav"])
    (tmp_path / "b.json").write_bytes(b"{}")
    (tmp_path / "folder.m4a").mkdir()
    (tmp_path / "link.m4a").symlink_to("a.m4a")
    with DirectorySource(tmp_path) as source:
        kinds, left = await sorted_out(source)
    assert {kind: each.files for kind, each in kinds.items()} == {".m4a": 1, ".dat": 1}
    assert left == []


async def test_a_second_run_of_the_same_uploader_counts_what_is_there_then():
    harness = Harness({**recordings(2), "a.m4a": M4A, "b.m4a": M4A})
    async with harness.uploader() as uploader:
        first = (await uploader.run()).passed_over
        harness.source.remove("a.m4a")
        second = (await uploader.run()).passed_over
    assert [(each.kind, each.files, each.new) for each in first] == [(".m4a", 2, True)]
    assert [(each.kind, each.files, each.new) for each in second] == [(".m4a", 1, False)]
    assert [event.kinds for event in harness.events(FilesPassedOver)] == [first, second]


NAMES = st.sampled_from(["a", "b", "c", "A"])
KINDS = st.sampled_from(
    ["wav", "m4a", "dat", "gsm", "txt", "json", "wav.json", "wav.orig", "m4a.json"]
)
CONTENTS = {
    "m4a": M4A,
    "dat": SOUND["mp3"],
    "gsm": gsm(),
    "wav.orig": SOUND["wav"],
    "wav": SOUND["wav"],
}


@given(st.sets(st.tuples(NAMES, KINDS)))
async def test_whatever_lies_there_is_taken_told_of_or_no_audio(names):
    files = {f"{name}.{kind}": CONTENTS.get(kind, b"{}") for name, kind in names}
    kinds, left = await sorted_out(MemorySource(files))
    told = sum(each.files for each in kinds.values())
    audio = [name for name in files if not name.endswith((".json", ".txt"))]
    aside = [name for name in audio if name.endswith(".orig") and name[:-5] in files]
    assert len(audio) == len([name for name in left if name.endswith(".wav")]) + told + len(aside)
    # No sidecar of what is taken is dropped.
    for name in files:
        if name.endswith(".wav"):
            kept = {f"{name}.json", f"{name[:-4]}.json"} & files.keys()
            assert kept <= set(left)
