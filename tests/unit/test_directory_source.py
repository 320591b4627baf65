"""A directory tree as it is in the wild: links, pipes, odd names, no rights, a share that goes."""

import contextlib
import errno
import gc
import os
import shutil
import socket
import tempfile
import time
import tracemalloc
from concurrent.futures import ThreadPoolExecutor
from contextlib import aclosing
from pathlib import Path

import anyio
import pytest
from support.directory_harness import posix, scan

from batch_uploader.core.errors import SourceError
from batch_uploader.host import beneath
from batch_uploader.prepare.pairing import pair
from batch_uploader.sources import directory
from batch_uploader.sources.directory import DirectorySource

NOBODY = 65534


async def kinds(source):
    entries, unreadable = await scan(source)
    return sorted(entries), {path: defect.kind for path, defect in unreadable.items()}


@contextlib.contextmanager
def nobody_in_particular():
    """Root may read everything, so for a while we are not."""
    if os.geteuid() != 0:
        yield
        return
    os.seteuid(NOBODY)
    try:
        yield
    finally:
        os.seteuid(0)


@pytest.fixture
def reachable():
    """A directory that also an unprivileged user can get at, and owns."""
    root = Path(tempfile.mkdtemp())
    yield root
    for path in root.rglob("*"):
        if path.is_dir():
            path.chmod(0o700)
    shutil.rmtree(root)


def give_to_nobody(root):
    if os.geteuid() == 0:
        for path in (root, *root.rglob("*")):
            os.chown(path, NOBODY, NOBODY)


@posix
async def test_a_folder_and_a_file_without_rights_are_reported_fault_36(reachable):
    (reachable / "locked").mkdir()
    (reachable / "locked" / "a.wav").touch()
    for name in ("b.wav", "c.wav"):
        (reachable / name).write_bytes(b"1")
    give_to_nobody(reachable)
    (reachable / "locked").chmod(0)
    (reachable / "b.wav").chmod(0)
    source = DirectorySource(reachable)

    with nobody_in_particular():
        assert await kinds(source) == (["b.wav", "c.wav"], {"locked": "unreadable"})
        with pytest.raises(SourceError, match=r"^b\.wav cannot be read by this user; grant"):
            source.open("b.wav")
        assert source.stat("b.wav").size == 1
        source.open("c.wav").close()


@posix
async def test_a_root_without_rights_is_an_error_with_a_cure_fault_36(reachable):
    give_to_nobody(reachable)
    reachable.chmod(0)
    with (
        nobody_in_particular(),
        pytest.raises(SourceError, match="; grant the user that runs"),
    ):
        await scan(DirectorySource(reachable))


@pytest.mark.parametrize("what", ["missing", "file"])
async def test_a_root_that_is_no_directory_is_an_error_with_a_cure(tmp_path, what):
    if what == "file":
        (tmp_path / "root").touch()

    with pytest.raises(SourceError, match=r"(does not exist; check|is not a directory; specify)"):
        await scan(DirectorySource(tmp_path / "root"))


class FailingScan:
    """The real reading of folders, but for one that fails, at its start or in its middle."""

    def __init__(self, monkeypatch, folder, error, after=0):
        self.folder, self.error, self.after = folder, error, after
        self.real = beneath.scan_beneath
        monkeypatch.setattr(beneath, "scan_beneath", self)

    @contextlib.contextmanager
    def __call__(self, root, parts):
        with self.real(root, parts) as items:
            yield self.broken(items) if "/".join(parts) == self.folder else items

    def broken(self, items):
        for number, item in enumerate(items):
            if number >= self.after:
                raise self.error
            yield item


@pytest.mark.parametrize("code", [errno.EIO, errno.ESTALE, errno.EACCES])
@pytest.mark.parametrize("after", [0, 1])
async def test_a_folder_that_fails_half_read_has_no_entries_and_the_rest_goes_on_fault_35(
    tmp_path, monkeypatch, code, after
):
    for folder in ("bad", "good"):
        (tmp_path / folder).mkdir()
        (tmp_path / folder / "a.wav").touch()
        (tmp_path / folder / "a.json").touch()
    FailingScan(monkeypatch, "bad", OSError(code, "no"), after)

    found = await kinds(DirectorySource(tmp_path))

    assert found == (["good/a.json", "good/a.wav"], {"bad": "unreadable"})


async def test_a_root_that_fails_half_read_is_an_error_fault_35(tmp_path, monkeypatch):
    (tmp_path / "a.wav").touch()
    FailingScan(monkeypatch, "", OSError(errno.EIO, "no"))

    with pytest.raises(SourceError, match=r"cannot be read \(.*check the disk"):
        await scan(DirectorySource(tmp_path))


class FailingItem:
    """A DirEntry whose file cannot be looked at."""

    def __init__(self, item, error):
        self.item, self.error = item, error
        self.name = item.name

    def stat(self, **_):
        raise self.error

    is_dir = stat


@pytest.mark.parametrize(
    ("error", "expected"),
    [
        (FileNotFoundError(errno.ENOENT, "gone"), {}),
        (OSError(errno.EIO, "no"), {"a.wav": "unreadable", "folder": "unreadable"}),
        (OSError(errno.ESTALE, "no"), {"a.wav": "unreadable", "folder": "unreadable"}),
    ],
)
async def test_a_file_that_cannot_be_looked_at_fails_alone_fault_35(
    tmp_path, monkeypatch, error, expected
):
    for name in ("a.wav", "b.wav"):
        (tmp_path / name).touch()
    (tmp_path / "folder").mkdir()
    real = beneath.scan_beneath

    @contextlib.contextmanager
    def scan_beneath(root, parts):
        with real(root, parts) as items:
            yield (item if item.name == "b.wav" else FailingItem(item, error) for item in items)

    monkeypatch.setattr(beneath, "scan_beneath", scan_beneath)

    assert await kinds(DirectorySource(tmp_path)) == (["b.wav"], expected)


@pytest.mark.parametrize("becomes", ["nothing", "a file"])
async def test_a_folder_that_vanishes_before_its_turn_is_passed_over_fault_35(tmp_path, becomes):
    for name in "abc":
        (tmp_path / name).mkdir()
        (tmp_path / name / "x.wav").touch()
    walk = DirectorySource(tmp_path)._walk()
    next(walk)
    shutil.rmtree(tmp_path / "b")
    if becomes == "a file":
        (tmp_path / "b").touch()

    assert sorted(listing.folder for listing in walk) == ["a", "c"]


@pytest.mark.parametrize("then", ["nothing", "another directory"])
async def test_a_tree_that_goes_in_mid_scan_is_an_error_and_no_empty_tree_fault_35(tmp_path, then):
    root = tmp_path / "root"
    for name in "abc":
        (root / name).mkdir(parents=True)
    walk = DirectorySource(root)._walk()
    next(walk)
    shutil.rmtree(root)
    if then == "another directory":
        for name in "abc":
            (root / name).mkdir(parents=True)

    with pytest.raises(SourceError, match="mount"):
        list(walk)


@posix
@pytest.mark.parametrize("then", ["nothing", "another directory", "a link"])
async def test_all_is_of_the_directory_that_the_path_led_to_at_first(tmp_path, then):
    """Fault 93."""
    root, other = tmp_path / "root", tmp_path / "other"
    for folder, content in ((root, b"old"), (other, b"another")):
        (folder / "f").mkdir(parents=True)
        (folder / "f" / "a.wav").write_bytes(content)
    (other / "g").mkdir()
    with DirectorySource(root) as source:
        source.require_same()
        root.rename(tmp_path / "elsewhere")
        if then == "another directory":
            other.rename(root)
        if then == "a link":
            root.symlink_to(other, target_is_directory=True)

        entries, _ = await scan(source)

        assert [(entry.path, entry.size) for entry in entries.values()] == [("f/a.wav", 3)]
        assert source.stat("f/a.wav") == entries["f/a.wav"]
        with source.open("f/a.wav") as handle:
            assert handle.read() == b"old"
        assert source.read_if_cached(entries["f/a.wav"]) in {b"old", None}
        with pytest.raises(SourceError, match=r"another directory|does not exist"):
            source.require_same()
    if then != "nothing":
        assert (await scan(source))[0]["f/a.wav"].size == 7
        source.require_same()


@posix
async def test_each_run_of_one_source_is_of_what_the_path_leads_to_by_then(tmp_path):
    """Fault 93: a link that is turned between two runs is no other directory in mid-run."""
    link = tmp_path / "today"
    for name in ("monday", "tuesday"):
        (tmp_path / name).mkdir()
        (tmp_path / name / f"{name}.wav").touch()
    source = DirectorySource(link)
    for name in ("monday", "tuesday"):
        link.unlink(missing_ok=True)
        link.symlink_to(tmp_path / name, target_is_directory=True)
        with source:
            assert await kinds(source) == ([f"{name}.wav"], {})
            source.require_same()


@posix
async def test_two_walks_at_once_see_all_of_it_each(tmp_path):
    """Fault 93: they hold one directory, but not one place in its list of names."""
    for number in range(1_000):
        (tmp_path / f"{number}.wav").touch()
    with DirectorySource(tmp_path) as source, ThreadPoolExecutor(4) as pool:
        walks = pool.map(lambda _: [len(each.entries) for each in source._walk()], range(16))
        assert list(walks) == [[1_000]] * 16


@posix
async def test_pipes_sockets_and_devices_are_skipped_without_hanging_fault_37(tmp_path):
    os.mkfifo(tmp_path / "pipe.wav")
    os.mkfifo(tmp_path / "pipe")
    with socket.socket(socket.AF_UNIX) as server:
        old = Path.cwd()
        os.chdir(tmp_path)  # the path of a socket may not be long
        try:
            server.bind("socket.wav")
        finally:
            os.chdir(old)
        (tmp_path / "a.wav").touch()
        source = DirectorySource(tmp_path)

        with anyio.fail_after(10):
            found = await kinds(source)
        for name in ("pipe.wav", "pipe", "socket.wav"):
            with pytest.raises(SourceError, match=f"^{name}:? .*; "):
                source.open(name)

    assert found == (["a.wav"], {"pipe.wav": "not-a-file", "socket.wav": "not-a-file"})


async def test_links_are_not_followed_and_those_to_calls_are_reported_fault_38(tmp_path):
    root, outside = tmp_path / "root", tmp_path / "outside"
    (root / "folder").mkdir(parents=True)
    outside.mkdir()
    for file in (root / "a.wav", root / "folder" / "b.wav", outside / "c.wav", outside / "c.json"):
        file.write_bytes(b"1")
    (root / "loop").symlink_to(root, target_is_directory=True)
    (root / "folder" / "up").symlink_to("..", target_is_directory=True)
    (root / "self").symlink_to("self")
    (root / "dangling").symlink_to("nowhere")
    (root / "notes.txt").symlink_to(outside / "c.wav")
    (root / "out").symlink_to(outside, target_is_directory=True)
    (root / "out.wav").symlink_to(outside / "c.wav")
    (root / "inside.wav").symlink_to("a.wav")
    (root / "gone.wav").symlink_to("nowhere.wav")
    (root / "a.json").symlink_to(outside / "c.json")
    source = DirectorySource(root)

    entries, reported = await kinds(source)

    assert entries == ["a.wav", "folder/b.wav"]
    assert reported == dict.fromkeys(
        ["out", "out.wav", "inside.wav", "gone.wav", "a.json"], "symlink"
    )
    for path in ("out.wav", "out/c.wav", "inside.wav", "loop/a.wav", "self"):
        with pytest.raises(SourceError, match="links are not followed"):
            source.open(path)
    for path in ("out.wav", "out/c.wav"):
        with pytest.raises(SourceError, match="links are not followed"):
            source.stat(path)


async def test_a_linked_sidecar_keeps_its_recording_back_fault_38(tmp_path):
    (tmp_path / "a.wav").touch()
    (tmp_path / "a.json").symlink_to("elsewhere.json")
    source = DirectorySource(tmp_path)

    async with aclosing(source.entries()) as listings:
        (listing,) = [each async for each in listings]
    pairs, (orphan,) = pair(listing, source.is_audio)

    assert pairs == []
    assert orphan.defect.kind == "sidecar-unreadable"


async def test_links_that_are_meant_can_be_excluded_fault_38(tmp_path):
    (tmp_path / "root").mkdir()
    (tmp_path / "root" / "latest").symlink_to(tmp_path, target_is_directory=True)
    (tmp_path / "root" / "a.wav").symlink_to(tmp_path / "a.wav")

    assert await kinds(DirectorySource(tmp_path / "root", exclude=["latest", "a.*"])) == ([], {})


async def test_the_root_may_be_a_link(tmp_path):
    (tmp_path / "real").mkdir()
    (tmp_path / "real" / "a.wav").write_bytes(b"1")
    (tmp_path / "link").symlink_to(tmp_path / "real", target_is_directory=True)
    source = DirectorySource(tmp_path / "link")

    assert await kinds(source) == (["a.wav"], {})
    source.open("a.wav").close()


async def test_a_folder_may_be_called_like_a_recording(tmp_path):
    (tmp_path / "day.wav").mkdir()
    (tmp_path / "day.wav" / "a.wav").touch()

    assert await kinds(DirectorySource(tmp_path)) == (["day.wav/a.wav"], {})


async def test_files_of_our_own_are_ignored_wherever_they_are_named_from(tmp_path, monkeypatch):
    root = tmp_path / "root"
    (root / "state").mkdir(parents=True)
    for name in ("manifest.json", "state/ledger.json", "state/a.wav", "other.json"):
        (root / name).touch()
    (tmp_path / "alias").symlink_to(root, target_is_directory=True)
    monkeypatch.chdir(root)
    ignore = [
        Path("manifest.json"),
        tmp_path / "alias" / "state" / ".." / "state" / "ledger.json",
        tmp_path / "outside.json",
        root,
    ]

    for source in (DirectorySource(root, ignore=ignore), DirectorySource(Path(), ignore=ignore)):
        assert await kinds(source) == (["other.json", "state/a.wav"], {})


async def test_a_relative_root_stays_where_it_was(tmp_path, monkeypatch):
    (tmp_path / "root").mkdir()
    (tmp_path / "root" / "a.wav").write_bytes(b"1")
    monkeypatch.chdir(tmp_path)
    source = DirectorySource(Path("root"))
    monkeypatch.chdir("/")

    assert await kinds(source) == (["a.wav"], {})
    source.open("a.wav").close()


@posix
def test_refused_files_leave_no_descriptor_open(tmp_path):
    os.mkfifo(tmp_path / "pipe.wav")
    (tmp_path / "folder").mkdir()
    gc.collect()
    before = len(list(Path("/dev/fd").iterdir()))

    with DirectorySource(tmp_path) as source:
        for name in ("pipe.wav", "folder", "gone.wav"):
            with pytest.raises(SourceError):
                source.open(name)
    with pytest.raises(SourceError):  # whoever leaves none is left by it in the end
        DirectorySource(tmp_path).stat("gone.wav")
    gc.collect()

    assert len(list(Path("/dev/fd").iterdir())) == before


@pytest.mark.parametrize("into", [False, True])
def test_reads_that_the_system_cuts_short_are_completed(into):
    """A pipe hands out what it has so far; some network shares do so with a file."""
    reader, writer = os.pipe()

    def trickle():
        for piece in (b"ab", b"c", b"de"):
            os.write(writer, piece)
            time.sleep(0.05)
        os.close(writer)

    with directory._Handle(reader) as handle, ThreadPoolExecutor() as pool:
        done = pool.submit(trickle)
        if into:
            buffer = bytearray(4)
            assert handle.readinto(buffer) == 4
            assert buffer == b"abcd"
        else:
            assert handle.read(4) == b"abcd"
        assert handle.read(4) == b"e"
        done.result()


async def test_many_files_take_no_more_memory_than_few_fault_41(tmp_path):
    for number in range(50):
        folder = tmp_path / f"{number:02}"
        folder.mkdir()
        for name in range(100):
            os.close(os.open(folder / f"call-{name:04}.wav", os.O_CREAT))
    source = DirectorySource(tmp_path)

    async def measure(keep):
        kept, count = [], 0
        tracemalloc.start()
        async with aclosing(source.entries()) as listings:
            async for listing in listings:
                count += len(listing.entries)
                kept += [listing] * keep
        _, peak = tracemalloc.get_traced_memory()
        tracemalloc.stop()
        assert count == 5_000
        return peak

    await measure(keep=False)
    assert await measure(keep=False) < await measure(keep=True) / 2


async def test_a_slow_disk_does_not_hold_the_first_folders_back(tmp_path, monkeypatch):
    for number in range(5):
        (tmp_path / str(number)).mkdir()
    moments = iter(range(1_000))
    monkeypatch.setattr(directory.time, "monotonic", lambda: next(moments))
    walk = DirectorySource(tmp_path)._walk()

    assert len(directory._batch(walk)) == 1


async def test_small_folders_come_many_at_a_time(tmp_path):
    for number in range(20):
        (tmp_path / str(number)).mkdir()
        (tmp_path / str(number) / "a.wav").touch()
    walk = DirectorySource(tmp_path)._walk()

    assert len(directory._batch(walk)) > 1


async def test_large_folders_do_not_pile_up_in_a_batch_fault_41(tmp_path, monkeypatch):
    for number in range(5):
        (tmp_path / str(number)).mkdir()
        for name in ("a.wav", "b.wav"):
            (tmp_path / str(number) / name).touch()
    monkeypatch.setattr(directory.time, "monotonic", lambda: 0.0)
    monkeypatch.setattr(directory, "_BATCH_ENTRIES", 3)
    walk = DirectorySource(tmp_path)._walk()

    batches = list(iter(lambda: directory._batch(walk), []))

    assert [sum(len(each.entries) for each in batch) for batch in batches] == [4, 4, 2]


async def test_a_scan_can_be_cancelled(tmp_path):
    for number in range(50):
        (tmp_path / str(number)).mkdir()

    with anyio.move_on_after(0) as scope:
        await scan(DirectorySource(tmp_path))

    assert scope.cancelled_caught
    assert await kinds(DirectorySource(tmp_path)) == ([], {})
