"""What every source must do: one suite, run on each of them."""

import io
import os
from contextlib import aclosing
from dataclasses import dataclass

import pytest

from batch_uploader.core.errors import ConfigError, SourceError
from batch_uploader.core.model import Entry
from batch_uploader.prepare.audio import AudioRules
from batch_uploader.prepare.legs.pattern import KNOWN, LegPattern
from batch_uploader.prepare.legs.rules import LegRules
from batch_uploader.prepare.legs.source import JoinedSource
from batch_uploader.prepare.pairing import pair
from batch_uploader.prepare.pieces.known import KnownCuts
from batch_uploader.prepare.pieces.source import CutSource, Cutter
from batch_uploader.sources.directory import DirectorySource
from batch_uploader.sources.memory import MemorySource


class Directory:
    """A directory on the disk, and how to change it."""

    def __init__(self, root):
        self.root = root
        self.ticks = 0

    def make(self, files, **selection):
        for path, content in files.items():
            self.put(path, content)
        return DirectorySource(self.root, **selection)

    def put(self, path, content):
        target = self.root / path
        target.parent.mkdir(parents=True, exist_ok=True)
        new = target.with_name(".new")
        new.write_bytes(content)
        new.replace(target)
        self.touch(path)

    def touch(self, path):
        self.ticks += 1_000_000_000
        os.utime(self.root / path, ns=(self.ticks, self.ticks))

    def remove(self, path):
        (self.root / path).unlink()


class Memory:
    """A source in memory, which changes itself."""

    def make(self, files, **selection):
        self.source = MemorySource(files, **selection)
        self.put, self.touch, self.remove = (
            self.source.put,
            self.source.touch,
            self.source.remove,
        )
        return self.source


class Joined(Directory):
    """A directory in which legs are joined, of which there are none."""

    def make(self, files, **selection):
        rules = LegRules((*KNOWN.values(), LegPattern.parse("in/{call} out/{call}")))
        return JoinedSource(super().make(files, **selection), rules)


class InPieces(Directory):
    """A directory in which long recordings are listed in pieces, of which there are none."""

    def make(self, files, **selection):
        source = super().make(files, **selection)
        rules = AudioRules(max_duration=0.001)  # each file is looked into
        return CutSource(source, Cutter(source, rules, KnownCuts(None, "", keep=False)))


@pytest.fixture(params=["directory", "memory", "joined", "in pieces"])
def place(request, tmp_path):
    made = {"directory": Directory, "joined": Joined, "in pieces": InPieces}.get(request.param)
    return Memory() if made is None else made(tmp_path / "root")


@dataclass
class Listed:
    folders: list
    paths: list
    entries: dict


async def listed(source):
    folders, paths, entries = [], [], {}
    async with aclosing(source.entries()) as listings:
        async for listing in listings:
            folders.append(listing.folder)
            assert listing.unreadable == ()
            for entry in listing.entries:
                assert entry.path.rpartition("/")[0] == listing.folder
                paths.append(entry.path)
                entries[entry.path] = entry
    return Listed(sorted(folders), sorted(paths), entries)


async def paths_of(source):
    return (await listed(source)).paths


async def test_every_folder_comes_once_with_what_is_in_it(place):
    source = place.make({"a.wav": b"1", "a.json": b"{}", "x/y/b.mp3": b"22", "x/y/c/d.ogg": b""})

    found = await listed(source)

    assert found.folders == ["", "x", "x/y", "x/y/c"]
    assert found.paths == ["a.json", "a.wav", "x/y/b.mp3", "x/y/c/d.ogg"]
    assert found.entries["x/y/b.mp3"].size == 2


async def test_a_source_can_be_listed_again_and_sees_what_is_new(place):
    source = place.make({"a.wav": b"1"})
    assert await paths_of(source) == ["a.wav"]

    place.put("f/b.wav", b"2")
    place.remove("a.wav")

    assert await paths_of(source) == ["f/b.wav"]


async def test_a_listing_can_be_left_early(place):
    source = place.make({f"{n}/a.wav": b"1" for n in range(5)})

    async with aclosing(source.entries()) as listings:
        async for _ in listings:
            break

    assert len(await paths_of(source)) == 5


async def test_audio_is_known_by_its_extension_in_any_case(place):
    audio = ["a.wav", "B.WAV", "c.mp3", "d.Ogg", "e.opus"]
    source = place.make(dict.fromkeys([*audio, "f.flac", "notes.txt", "wav", "g.JSON"], b""))

    assert await paths_of(source) == sorted([*audio, "g.JSON"])
    assert all(source.is_audio(path) for path in audio)
    assert not any(source.is_audio(path) for path in ("f.flac", "g.JSON", "x.wav/y", "wav"))


async def test_hidden_files_and_folders_are_left_out(place):
    source = place.make(
        {".a.wav": b"", "x/.b.wav": b"", ".batch-uploader/c.wav": b"", "x/.trash/d.wav": b""}
    )

    assert await paths_of(source) == []


async def test_include_adds_patterns_to_the_known_extensions(place):
    files = ["a.pcm", "A2.PCM", "b.wav", "arch/c.bin", "arch/deep/d.bin", "e.bin", "arch/f.json"]
    source = place.make(dict.fromkeys(files, b""), include=["*.pcm", "arch/**"])

    assert await paths_of(source) == sorted(set(files) - {"e.bin"})
    assert not source.is_audio("arch/f.json")
    assert source.is_audio("arch/deep/d.bin")


@pytest.mark.parametrize(
    ("pattern", "left"),
    [
        ("b.wav", ["a.wav", "x/a.wav", "x/y/a.wav"]),
        ("A.*", ["b.wav", "x/b.wav"]),
        ("x", ["a.wav", "b.wav"]),
        ("x/", ["a.wav", "b.wav"]),
        ("/x", ["a.wav", "b.wav"]),
        ("x/**", ["a.wav", "b.wav"]),
        ("x/*", ["a.wav", "b.wav"]),
        ("x/*.wav", ["a.wav", "b.wav", "x/y/a.wav"]),
        ("**/y/**", ["a.wav", "b.wav", "x/a.wav", "x/b.wav"]),
        ("y", ["a.wav", "b.wav", "x/a.wav", "x/b.wav"]),
        ("[!a].wav", ["a.wav", "x/a.wav", "x/y/a.wav"]),
        ("?.wav", []),
        ("[a-b].wav", []),
        ("[.wav", ["a.wav", "b.wav", "x/a.wav", "x/b.wav", "x/y/a.wav"]),
        ("a+.wav", ["a.wav", "b.wav", "x/a.wav", "x/b.wav", "x/y/a.wav"]),
        ("x[!b]a.wav", ["a.wav", "b.wav", "x/a.wav", "x/b.wav", "x/y/a.wav"]),
        ("x?a.wav", ["a.wav", "b.wav", "x/a.wav", "x/b.wav", "x/y/a.wav"]),
    ],
)
async def test_exclude_takes_files_and_folders_away(place, pattern, left):
    files = ["a.wav", "b.wav", "x/a.wav", "x/b.wav", "x/y/a.wav"]
    source = place.make(dict.fromkeys(files, b""), exclude=[pattern])

    assert await paths_of(source) == left


async def test_exclude_wins_over_include(place):
    source = place.make(
        dict.fromkeys(["a.pcm", "b.pcm"], b""), include=["*.pcm"], exclude=["b.*", "c"]
    )

    assert await paths_of(source) == ["a.pcm"]
    assert not source.is_audio("b.pcm")


async def test_sidecars_of_excluded_recordings_are_no_orphans(place):
    files = ["a.mp3", "a.json", "b.mp3", "b.mp3.json", "c.wav", "c.mp3", "c.json", "d.json"]
    source = place.make(dict.fromkeys(files, b""), exclude=["*.mp3"])

    async with aclosing(source.entries()) as listings:
        (listing,) = [each async for each in listings]
    pairs, orphans = pair(listing, source.is_audio)

    assert [(each.path, each.sidecar.path) for each in pairs] == [("c.wav", "c.json")]
    assert [each.entry.path for each in orphans] == ["d.json"]


@pytest.mark.parametrize("pattern", ["", "/", "[b-a]*"])
async def test_a_pattern_that_cannot_be_meant_is_refused(place, pattern):
    with pytest.raises(ConfigError, match="pattern"):
        place.make({"a.wav": b""}, exclude=[pattern])


@pytest.mark.parametrize("pattern", ["[a&&b]*", "[[:alpha:]]*", "[]]*", "[^a]*", "a[b/c]", "[\\d]"])
async def test_odd_patterns_are_read_without_a_warning(place, pattern):
    place.make({"a.wav": b""}, exclude=[pattern], include=[pattern])


async def test_names_that_look_alike_are_different_files_fault_40(tmp_path):
    names = ["й.wav", "и\u0306.wav", "CALL.wav", "call.wav"]
    root = tmp_path / "root"
    Directory(root).make(dict.fromkeys(names, b""))
    on_disk = [path.name for path in root.iterdir()]  # fewer where the system folds names

    assert await paths_of(DirectorySource(root)) == sorted(on_disk)
    assert await paths_of(MemorySource(dict.fromkeys(names, b""))) == sorted(names)


def test_a_file_reads_from_its_start_completely_and_seeks(place):
    content = bytes(range(256)) * 1_000
    source = place.make({"f/a.wav": content})

    with source.open("f/a.wav") as handle:
        assert handle.readable()
        assert handle.read(10) == content[:10]
        assert handle.seek(-5, io.SEEK_END) == len(content) - 5
        assert handle.read(100) == content[-5:]
        assert handle.read(1) == b""
        handle.seek(0)
        assert handle.read() == content
        handle.seek(1)
        buffer = bytearray(len(content))
        assert handle.readinto(buffer) == len(content) - 1
        assert buffer[:-1] == content[1:]
    assert handle.closed


def test_an_empty_file_can_be_read(place):
    with place.make({"a.wav": b""}).open("a.wav") as handle:
        assert handle.read(10) == b""


async def test_listing_stat_and_handle_agree(place):
    source = place.make({"f/a.wav": b"123"})
    entry = (await listed(source)).entries["f/a.wav"]

    assert source.stat("f/a.wav") == entry
    with source.open("f/a.wav") as handle:
        assert source.handle_stat(handle, "f/a.wav") == entry


def test_a_file_replaced_in_mid_upload_is_read_as_the_old_one_throughout_fault_34(place):
    source = place.make({"a.wav": b"old content"})
    before = source.stat("a.wav")

    with source.open("a.wav") as handle:
        assert handle.read(3) == b"old"
        place.put("a.wav", b"new")
        assert handle.read() == b" content"
        assert source.handle_stat(handle, "a.wav").is_like(before)
    assert not source.stat("a.wav").is_like(before)
    with source.open("a.wav") as handle:
        assert handle.read() == b"new"


def test_a_file_removed_in_mid_upload_is_read_to_its_end_fault_35(place):
    source = place.make({"a.wav": b"content"})

    with source.open("a.wav") as handle:
        place.remove("a.wav")
        assert handle.read() == b"content"
        assert source.handle_stat(handle, "a.wav").size == 7


def test_a_glance_is_a_whole_file_as_it_was_listed_or_nothing(place):
    source = place.make({"f/a.wav": b"content", "f/b.wav": b""})
    for path, content in (("f/a.wav", b"content"), ("f/b.wav", b"")):
        source.open(path).close()
        entry = source.stat(path)

        assert source.read_if_cached(entry) in (content, None)
        assert source.read_if_cached(entry._replace(size=len(content) + 1)) is None
        assert source.read_if_cached(entry._replace(mtime_ns=entry.mtime_ns + 1)) is None
        place.touch(path)
        assert source.read_if_cached(entry) is None
        place.remove(path)
        assert source.read_if_cached(entry) is None


def test_a_touched_file_shows_it_by_name_and_by_handle(place):
    source = place.make({"a.wav": b"content"})
    before = source.stat("a.wav")

    with source.open("a.wav") as handle:
        place.touch("a.wav")
        assert source.handle_stat(handle, "a.wav").mtime_ns > before.mtime_ns
    assert source.stat("a.wav").mtime_ns > before.mtime_ns


def test_a_vanished_file_is_an_error_with_a_cure_fault_35(place):
    source = place.make({"a.wav": b"1"})
    place.remove("a.wav")

    for look in (source.open, source.stat):
        with pytest.raises(SourceError, match=r"^a\.wav is gone; .*list"):
            look("a.wav")


@pytest.mark.parametrize(
    "path",
    [
        "../secret.wav",
        "f/../../secret.wav",
        "f/../a.wav",
        "./a.wav",
        "f//b.wav",
        "/etc/passwd",
        "",
        ".",
        "..",
        "f/",
        "a.wav/",
        "a.wav\0",
        "\ud800.wav",
        r"\x2e\x2e/secret.wav",
        r"\x2e\x2e\x2fsecret.wav",
        r"f\x2fb.wav",
        r"\x61.wav",
        r"a.wav\x00",
        r"\x5c",
    ],
)
def test_a_path_that_no_listing_holds_opens_nothing_fault_62(place, tmp_path, path):
    (tmp_path / "secret.wav").write_bytes(b"secret")
    source = place.make({"a.wav": b"1", "f/b.wav": b"2"})

    for look in (source.open, source.stat):
        with pytest.raises(SourceError) as caught:
            look(path)
        str(caught.value).encode()
    status = (tmp_path / "secret.wav").stat()
    for folder in ("a.wav", "f/b.wav"):
        source.open(folder).close()
        assert source.read_if_cached(Entry(path, status.st_size, status.st_mtime_ns)) is None


def test_a_folder_cannot_be_opened(place):
    source = place.make({"f/a.wav": b"1"})

    for look in (source.open, source.stat):
        with pytest.raises(SourceError, match=r"^f(: it)? is (gone|a directory).*; "):
            look("f")


def test_a_handle_of_somebody_else_is_refused(place):
    source = place.make({"a.wav": b"1"})

    with pytest.raises(SourceError, match=r"^a\.wav .*; "):
        source.handle_stat(io.BytesIO(b"1"), "a.wav")


def test_a_source_has_a_name(place):
    assert place.make({"a.wav": b""}).where
