"""The machine's memory: one heap that keeps its pages, and what there is to spare."""

import platform
import subprocess
import sys
from pathlib import Path
from types import SimpleNamespace

import pytest

from batch_uploader.host import resources

MIB = 1024 * 1024

ALLOCATE_IN_THREADS = """
import ctypes, sys, threading
from batch_uploader.host.resources import keep_one_heap
if sys.argv[1] == "shared":
    print(keep_one_heap())
together = threading.Barrier(8)
def allocate():
    together.wait()
    ctypes.CDLL(None).malloc(50_000)
    together.wait()
threads = [threading.Thread(target=allocate) for _ in range(8)]
for thread in threads: thread.start()
for thread in threads: thread.join()
ctypes.CDLL(None).malloc_stats()
"""

GIVE_BACK = """
import ctypes, sys
from batch_uploader.host.resources import keep_one_heap
if sys.argv[1] == "kept":
    keep_one_heap()
library = ctypes.CDLL(None)
library.malloc.restype, library.free.argtypes = ctypes.c_void_p, [ctypes.c_void_p]
block = library.malloc(20_000_000)
ctypes.memset(block, 1, 20_000_000)
library.free(block)
pages = int(open("/proc/self/statm").read().split()[1])
block = library.malloc(10_000_000)
ctypes.memset(block, 1, 10_000_000)
print(int(open("/proc/self/statm").read().split()[1]) - pages)
"""


@pytest.mark.skipif(platform.libc_ver()[0] != "glibc", reason="only glibc has several heaps")
@pytest.mark.parametrize("mode", ["shared", "usual"])
def test_all_threads_keep_one_heap(mode):
    done = subprocess.run(
        [sys.executable, "-c", ALLOCATE_IN_THREADS, mode],
        capture_output=True,
        check=True,
        text=True,
    )

    assert done.stdout == ("True\n" if mode == "shared" else "")
    assert (done.stderr.count("Arena ") == 1) is (mode == "shared")


@pytest.mark.skipif(platform.libc_ver()[0] != "glibc", reason="only glibc is told")
@pytest.mark.parametrize("mode", ["kept", "usual"])
def test_what_was_given_back_needs_no_new_pages(mode):
    done = subprocess.run(
        [sys.executable, "-c", GIVE_BACK, mode], capture_output=True, check=True, text=True
    )

    assert (int(done.stdout) < 100) is (mode == "kept")


def test_a_system_without_that_switch_is_left_alone(monkeypatch):
    class Library:
        """A C library that has no mallopt."""

    monkeypatch.setattr(resources.ctypes, "CDLL", lambda name: Library())

    assert not resources.keep_one_heap()


@pytest.fixture
def tell(tmp_path):
    """Makes files as the kernel shows them, under a root of our own."""

    def write(path, text):
        file = tmp_path / path
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_text(text)

    def group(path, most, taken, cached=0, high="max"):
        write(f"sys/fs/cgroup/{path}/memory.max", f"{most}\n")
        write(f"sys/fs/cgroup/{path}/memory.high", f"{high}\n")
        write(f"sys/fs/cgroup/{path}/memory.current", f"{taken}\n")
        write(f"sys/fs/cgroup/{path}/memory.stat", f"anon 7\ninactive_file {cached}\nslab 5\n")

    def group_1(path, most, taken, cached=0):
        write(f"sys/fs/cgroup/memory/{path}/memory.limit_in_bytes", f"{most}\n")
        write(f"sys/fs/cgroup/memory/{path}/memory.usage_in_bytes", f"{taken}\n")
        write(f"sys/fs/cgroup/memory/{path}/memory.stat", f"cache 7\ntotal_active_file {cached}\n")

    write("proc/meminfo", "MemTotal: 4194304 kB\nMemFree: 1024 kB\nMemAvailable: 2097152 kB\n")
    write("proc/self/cgroup", "5:cpu:/x\n4:memory:/docker/x\n0::/calls.slice/upload.service\n")
    return SimpleNamespace(group=group, group_1=group_1)


def test_what_is_spare_is_what_the_machine_has(tmp_path, tell):
    """Groups without a limit, or without any of memory, are none."""
    tell.group("calls.slice", "max", 5)
    tell.group_1("docker", 2**63 - 4096, 5)

    assert resources.spare_memory(tmp_path) == 2048 * MIB


def test_without_control_groups_it_is_what_the_machine_has(tmp_path, tell):
    (tmp_path / "proc/self/cgroup").unlink()

    assert resources.spare_memory(tmp_path) == 2048 * MIB


@pytest.mark.parametrize("group", ["", "calls.slice", "calls.slice/upload.service"])
def test_a_control_group_may_leave_less(tmp_path, tell, group):
    """As in a container, or under systemd's MemoryMax; what is cached of files is no loss."""
    tell.group("calls.slice/upload.service", "max", 5)
    tell.group(group, 512 * MIB, 400 * MIB, cached=100 * MIB)

    assert resources.spare_memory(tmp_path) == 212 * MIB


def test_a_control_group_may_be_slowed_down_before(tmp_path, tell):
    """By systemd's MemoryHigh."""
    tell.group("calls.slice", 512 * MIB, 100 * MIB, high=150 * MIB)

    assert resources.spare_memory(tmp_path) == 50 * MIB


@pytest.mark.parametrize("group", ["", "docker", "docker/x"])
def test_a_control_group_of_version_1_may_leave_less(tmp_path, tell, group):
    tell.group_1(group, 512 * MIB, 400 * MIB, cached=100 * MIB)

    assert resources.spare_memory(tmp_path) == 212 * MIB


def test_where_nothing_is_told_there_is_nothing_to_spare(tmp_path):
    assert resources.spare_memory(tmp_path) == 0


@pytest.mark.skipif(sys.platform != "linux", reason="only Linux tells")
def test_this_machine_has_some_to_spare():
    assert resources.spare_memory() > 0


@pytest.mark.skipif(sys.platform == "win32", reason="Windows has no such limits")
def test_what_is_left_of_the_limits_of_this_process(monkeypatch):
    """Fault 99."""
    resource = pytest.importorskip("resource")
    limits = {}
    monkeypatch.setattr(resource, "getrlimit", lambda kind: (limits[kind], limits[kind]))
    open_now = len(list(Path("/dev/fd").iterdir())) - 1
    for limit, left in ((resource.RLIM_INFINITY, None), (open_now + 7, 7), (1, 0)):
        limits[resource.RLIMIT_NOFILE] = limit
        assert resources.spare_descriptors() == left
    if sys.platform == "linux":
        limits[resource.RLIMIT_AS] = 1
        assert resources.spare_memory() < 0
    assert resources.spare_threads(3) == 3


def test_memory_that_is_not_there_is_not_taken():
    """Fault 99."""
    with pytest.raises(MemoryError), resources.taking(2**62):
        pytest.fail("it was taken")
