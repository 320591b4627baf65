"""The same for the directory, the disk and the ledger."""

import asyncio
import os
import sqlite3
from contextlib import asynccontextmanager, closing

import pytest


@asynccontextmanager
async def no_range_locks(lab):
    env = {"LD_PRELOAD": lab.shim("kill/nolocks.c"), "NO_RANGES": "1"}
    yield lab.healthy(env=env)


@asynccontextmanager
async def locks_for_everybody(lab):
    env = {"LD_PRELOAD": lab.shim("kill/nolocks.c"), "NO_LOCKS": "1"}
    yield lab.healthy(env=env)


@asynccontextmanager
async def no_directory(lab):
    lab.calls.folder = lab.folder / "elsewhere-at-all"
    yield lab.healthy()


@asynccontextmanager
async def uploaded(lab):
    """With a ledger of a run before."""
    flags = (*lab.service.flags, "--api-key-file", lab.calls.key_file)
    result = await asyncio.to_thread(lab.program, "upload", lab.calls, *flags)
    assert result.code == 0, result.said
    yield lab.healthy()


@asynccontextmanager
async def damaged_ledger(lab):
    async with uploaded(lab) as setup:
        size = lab.calls.ledger.stat().st_size
        with lab.calls.ledger.open("r+b") as file:
            file.seek(size // 2)
            file.write(os.urandom(size // 2))
        yield setup


@asynccontextmanager
async def newer_ledger(lab):
    async with uploaded(lab) as setup:
        with closing(sqlite3.connect(lab.calls.ledger)) as connection:
            connection.execute("PRAGMA user_version = 99")
        yield setup


@asynccontextmanager
async def lost_ledger(lab):
    async with uploaded(lab) as setup:
        lab.calls.ledger.unlink()
        yield setup


@asynccontextmanager
async def ledger_of_another_directory(lab):
    async with uploaded(lab):
        other = lab.folder / "other"
        other.mkdir()
        yield lab.setup(
            other,
            *lab.service.flags,
            *("--api-key-file", lab.calls.key_file, "--ledger", lab.calls.ledger),
        )


@asynccontextmanager
async def read_only_ledger(lab):
    async with uploaded(lab) as setup:
        lab.calls.ledger.chmod(0o400)
        setup.how["preexec"] = lab.unprivileged
        yield setup


@asynccontextmanager
async def full_disk(lab):
    """As far as the directory goes."""
    full = lab.write("full", b"")
    under = {"KILL_UNDER": str(lab.calls), "FULL_WHILE": str(full)}
    yield lab.healthy(env={"LD_PRELOAD": lab.shim("kill/shim.c"), **under})


@asynccontextmanager
async def dead_share(lab):
    yield lab.healthy(env={"LD_PRELOAD": lab.shim("e2e/hangs.c"), "HANGS": str(lab.calls)})


@asynccontextmanager
async def unknown_owner(lab):
    """As in a container, whose system knows no name for who owns the files."""
    async with uploaded(lab) as setup:
        for path in (lab.calls.ledger.parent, *lab.calls.ledger.parent.iterdir()):
            os.chown(path, 54321, 54321)
        lab.calls.ledger.parent.chmod(0o755)
        setup.how["preexec"] = lab.unprivileged
        yield setup


@asynccontextmanager
async def closed_folder(lab):
    closed = lab.folder / "closed"
    closed.mkdir(mode=0)
    flags = ("--ledger", closed / "below" / "ledger.db")
    yield lab.healthy(*flags, preexec=lab.unprivileged)


@asynccontextmanager
async def read_only_disk(lab):
    """A mount of the directory that cannot be written, for this program alone."""
    mount = 'mount --bind "$0" "$0" && mount -o remount,ro,bind "$0" && exec "$@"'
    under = ("unshare", "--mount", "sh", "-c", mount, lab.calls)
    tried = await asyncio.create_subprocess_exec(*map(str, under), "true")
    if await tried.wait():
        pytest.skip("this machine gives no namespaces")
    yield lab.healthy(under=tuple(map(str, under)))
