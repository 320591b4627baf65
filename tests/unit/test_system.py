"""What differs between operating systems: locks, private files, atomic replacement, no links."""

import errno
import os
import signal
import stat
import subprocess
import sys
from pathlib import Path

import pytest

from batch_uploader.host import beneath, locks

posix = pytest.mark.skipif(sys.platform == "win32", reason="Windows has neither modes nor FIFOs")

HOLD_A_LOCK = """
import sys, time
from pathlib import Path
from batch_uploader.host.locks import FileLock
assert FileLock(Path(sys.argv[1])).acquire()
lock = FileLock(Path(sys.argv[2]))
print(lock.acquire(), flush=True)
time.sleep(60)
"""


LINKED = "symbolic links|Not a directory"


def open_descriptors():
    return len(list(Path("/dev/fd").iterdir()))


def mode_of(path):
    return stat.S_IMODE(path.stat().st_mode)


def test_a_lock_keeps_others_out_until_it_is_released(tmp_path):
    mine, other = locks.FileLock(tmp_path / "lock"), locks.FileLock(tmp_path / "lock")

    assert mine.acquire()
    assert mine.acquire()
    assert not other.acquire()
    mine.release()
    mine.release()
    assert other.acquire()
    assert not mine.acquire()
    other.release()


def test_a_killed_process_leaves_its_lock_free_fault_10(tmp_path):
    path = tmp_path / "lock"
    other = tmp_path / "other"
    with subprocess.Popen(
        [sys.executable, "-c", HOLD_A_LOCK, str(path), str(other)], stdout=subprocess.PIPE
    ) as holder:
        assert holder.stdout.readline() == b"True\n"
        assert not locks.FileLock(path).acquire()
        holder.send_signal(getattr(signal, "SIGKILL", signal.SIGTERM))
        holder.wait()

    lock = locks.FileLock(path)
    assert lock.acquire()
    lock.release()


@posix
def test_a_lock_file_is_private_and_stays(tmp_path):
    path = tmp_path / "lock"
    lock = locks.FileLock(path)
    lock.acquire()
    lock.release()

    assert mode_of(path) == 0o600


def test_a_lock_that_cannot_be_made_is_an_error_and_not_a_held_lock(tmp_path):
    lock = locks.FileLock(tmp_path / "nowhere" / "lock")

    with pytest.raises(FileNotFoundError):
        lock.acquire()


@posix
def test_a_file_system_without_locks_is_an_error_and_leaks_nothing(tmp_path, monkeypatch):
    def no_locks(descriptor):
        raise OSError(errno.ENOLCK, "No locks available")

    monkeypatch.setattr(locks, "_lock", no_locks)
    before = open_descriptors()

    with pytest.raises(OSError, match="No locks"):
        locks.FileLock(tmp_path / "lock").acquire()

    assert open_descriptors() == before


@pytest.fixture
def tree(tmp_path):
    root = tmp_path / "root"
    (root / "a" / "b").mkdir(parents=True)
    (root / "a" / "b" / "file").write_bytes(b"content")
    (tmp_path / "outside").mkdir()
    (tmp_path / "outside" / "file").write_bytes(b"secret")
    (root / "link").symlink_to(tmp_path / "outside" / "file")
    (root / "door").symlink_to(tmp_path / "outside", target_is_directory=True)
    (root / "inner").symlink_to(root / "a", target_is_directory=True)
    return root


def test_opening_beneath_reads_a_file_by_its_parts(tree):
    descriptor = beneath.open_beneath(str(tree), ["a", "b", "file"])

    assert os.read(descriptor, 100) == b"content"
    os.close(descriptor)
    assert beneath.stat_beneath(str(tree), ["a", "b", "file"]).st_size == 7


def test_the_root_itself_may_be_a_link(tree, tmp_path):
    (tmp_path / "alias").symlink_to(tree, target_is_directory=True)

    os.close(beneath.open_beneath(str(tmp_path / "alias"), ["a", "b", "file"]))


@pytest.mark.parametrize("parts", [["link"], ["door", "file"], ["inner", "b", "file"]])
def test_opening_beneath_follows_no_link_fault_38(tree, parts):
    with pytest.raises(OSError, match=LINKED) as caught:
        beneath.open_beneath(str(tree), parts)

    assert caught.value.errno in (errno.ELOOP, errno.ENOTDIR)


@posix
@pytest.mark.parametrize("parts", [["link"], ["door", "file"], ["inner", "b", "file"]])
def test_systems_without_relative_opening_follow_no_link_either(tree, parts):
    with pytest.raises(OSError, match=LINKED) as caught:
        beneath._resolve_beneath(str(tree), parts)

    assert caught.value.errno == errno.ELOOP
    resolved = beneath._resolve_beneath(str(tree), ["a", "b", "file"])
    assert Path(resolved).read_bytes() == b"content"


def test_looking_at_a_link_describes_the_link(tree):
    assert stat.S_ISLNK(beneath.stat_beneath(str(tree), ["link"]).st_mode)


@posix
def test_opening_a_fifo_does_not_wait_for_a_writer_fault_37(tree):
    os.mkfifo(tree / "fifo")

    descriptor = beneath.open_beneath(str(tree), ["fifo"])

    assert stat.S_ISFIFO(os.fstat(descriptor).st_mode)
    os.close(descriptor)


def test_scanning_beneath_lists_a_folder_but_none_behind_a_link(tree):
    with beneath.scan_beneath(str(tree), ["a"]) as items:
        assert [(item.name, item.is_dir(), beneath.is_junction(item)) for item in items] == [
            ("b", True, False)
        ]
    with pytest.raises(OSError, match=LINKED), beneath.scan_beneath(str(tree), ["inner"]):
        pass


@posix
def test_nothing_beneath_leaks_a_descriptor(tree):
    before = open_descriptors()

    for parts in (["nowhere"], ["link"], ["door", "file"], ["a", "nowhere", "file"]):
        with pytest.raises(OSError, match=f"{LINKED}|No such file"):
            beneath.open_beneath(str(tree), parts)
    os.close(beneath.open_beneath(str(tree), ["a", "b", "file"]))
    with beneath.scan_beneath(str(tree), ["a"]):
        pass

    assert open_descriptors() == before
