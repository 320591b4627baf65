"""Which processes of this machine run, what they lock, and which file systems are remote.

Nothing here waits.
"""

import ctypes
import os
import socket
import sys
from collections.abc import Iterable, Iterator
from pathlib import Path

from msgspec import Struct


class Process(Struct, frozen=True):
    """What identifies a process among those of all machines.

    ``boot`` is the ID of the machine's boot, ``view`` the namespaces in which ``pid`` and
    ``started`` (ticks since boot) are counted. None where the system does not tell.
    """

    host: str
    pid: int
    boot: str | None = None
    view: str | None = None
    started: int | None = None


def this_process() -> Process:
    """The calling process. Does not block."""
    host, pid = socket.gethostname(), os.getpid()
    # If /proc is that of another PID namespace, its numbers are not ours.
    if _link("/proc/self") != str(pid):
        return Process(host, pid)
    boot = "".join(_lines(Path("/proc/sys/kernel/random/boot_id"))) or None
    view = f"{_link('/proc/self/ns/pid')} {_link('/proc/self/ns/time')}"
    return Process(host, pid, boot, view, _started(pid))


def lives(process: Process) -> bool | None:
    """Whether a process still runs; None if that cannot be told from here. Does not block."""
    me = this_process()
    if None in {me.boot, me.started, process.started}:
        return None
    if (process.host, process.boot, process.view) != (me.host, me.boot, me.view):
        return None
    try:
        os.kill(process.pid, 0)
    except ProcessLookupError:
        return False
    except (OSError, OverflowError):
        pass  # it runs, but as another user
    started = _started(process.pid)
    return None if started is None else started == process.started


def _started(pid: int) -> int | None:
    """When a process started, in ticks since boot; -1 for a zombie."""
    fields = _status(pid)
    try:
        return -1 if fields[0] in "ZX" else int(fields[19])
    except (IndexError, ValueError):
        return None


def _status(pid: int) -> list[str]:
    """The fields of a process from its state on, none if they are not told."""
    # The process name ends at the last bracket, and may contain anything.
    return " ".join(_lines(Path(f"/proc/{pid}/stat"))).rpartition(")")[2].split()


def _link(path: str) -> str:
    try:
        return os.readlink(path)  # noqa: PTH115 - it leads to no path
    except OSError:
        return ""


def holder_of_lock(inode: int) -> int | None:
    """A process that holds a lock (flock) on the file of this inode, if it can be told."""
    locks = (line.split() for line in _lines(Path("/proc/locks")))
    return next((int(pid) for _, _, pid, found in _flocks(locks) if found == inode), None)


def is_locked_for_us(inode: int) -> bool:
    """Whether a program locked this file for the time that this process runs.

    As ``flock FILE COMMAND`` does: it, or a shell between, has a descriptor that it passes on.
    """
    pid: int | None = os.getpid()
    while pid:
        for descriptor in _names(Path(f"/proc/{pid}/fdinfo")):
            lines = [line.split() for line in _lines(Path(f"/proc/{pid}/fdinfo/{descriptor}"))]
            passed_on = any(
                fields[0] == "flags:" and not int(fields[1], 8) & os.O_CLOEXEC for fields in lines
            )
            locks = _flocks(fields[1:] for fields in lines if fields[0] == "lock:")
            if passed_on and any(mode == "WRITE" and there == inode for _, mode, _, there in locks):
                return True
        fields = _status(pid)
        pid = int(fields[1]) if fields else None
    return False


def directory_locked_by(pid: int, *, below: Path) -> Path | None:
    """The directory below another one that a process has locked exclusively, if it can be told."""
    for descriptor in _names(Path(f"/proc/{pid}/fdinfo")):
        if "FLOCK  ADVISORY  WRITE" in "".join(_lines(Path(f"/proc/{pid}/fdinfo/{descriptor}"))):
            path = Path(_link(f"/proc/{pid}/fd/{descriptor}"))
            if path.is_relative_to(below) and path.is_dir():
                return path
    return None


def _flocks(locks: Iterable[list[str]]) -> Iterator[tuple[str, str, str, int]]:
    """Number, mode, process and inode of each lock, from lines of /proc/locks."""
    for fields in locks:
        # 1: FLOCK ADVISORY WRITE 4711 fd:00:1234 0 EOF
        if len(fields) > 5 and fields[1] == "FLOCK":  # noqa: PLR2004 - the columns of the line
            yield fields[0], fields[3], fields[4], int(fields[5].rpartition(":")[2])


def _names(folder: Path) -> list[str]:
    try:
        return [each.name for each in folder.iterdir()]
    except OSError:
        return []


_REMOTE = {
    0x6969: "NFS",
    0x517B: "SMB",
    0xFF534D42: "CIFS",
    0xFE534D42: "SMB",
    0x65735546: "FUSE",
    0x01021997: "9P",
    0x5346414F: "AFS",
    0x6B414653: "AFS",
    0x73757245: "Coda",
    0x00C36400: "Ceph",
    0x0BD00BD0: "Lustre",
    0x47504653: "GPFS",
    0x01161970: "GFS2",
    0x7461636F: "OCFS2",
    0x19830326: "BeeGFS",
    0x20030528: "OrangeFS",
    0xAAD7AAEA: "PanFS",
    0x786F4256: "VirtualBox",
    0xBACBACBC: "VMware",
    0x7C7C6673: "Parallels",
}
"""By the magic number of statfs: file systems on other machines, or of programs."""


def network_file_system(path: Path) -> str | None:
    """The kind of network file system of a file, which need not exist; None if it is local.

    None as well where the system does not tell: only Linux does. FUSE counts as a network file
    system unless a local disk is behind it.
    """
    if sys.platform != "linux":
        return None
    there = next((each for each in (path, *path.absolute().parents) if each.exists()), Path("/"))
    told = ctypes.create_string_buffer(512)
    try:
        failed = ctypes.CDLL(None).statfs(os.fsencode(there), told)
    except (AttributeError, OSError):
        return None
    number = ctypes.cast(told, ctypes.POINTER(ctypes.c_long))[0] & 0xFFFFFFFF
    kind = None if failed else _REMOTE.get(number)
    return None if kind == "FUSE" and _is_on_a_disk(there) else kind


def _is_on_a_disk(path: Path) -> bool:
    device = path.stat().st_dev
    number = f"{os.major(device)}:{os.minor(device)}"
    mounts = (line.split() for line in _lines(Path("/proc/self/mountinfo")))
    return any(
        fields[2] == number and fields[fields.index("-") + 1] == "fuseblk" for fields in mounts
    )


def _lines(file: Path) -> list[str]:
    try:
        return file.read_text("utf-8", "surrogateescape").splitlines()
    except OSError:
        return []
