"""Real database servers, for the length of a test: what the machine has of them."""

import os
import pwd
import shutil
import socket
import subprocess
import tempfile
import time
from contextlib import contextmanager
from pathlib import Path

import pytest

POSTGRESQL = ("/usr/lib/postgresql", "/usr/pgsql-16", "/usr/local/pgsql")
_SECONDS = 60


def _program(*names):
    for name in names:
        if found := shutil.which(name):
            return Path(found)
    folders = [Path(each) for each in POSTGRESQL]
    found = [each for folder in folders for name in names for each in folder.rglob(f"bin/{name}")]
    if not found:
        pytest.skip(f"{names[0]} is not installed: a real server is needed")
    return max(found)


def _free_port():
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return probe.getsockname()[1]


@contextmanager
def _folder():
    # Servers refuse to be root's; the folders of tests are closed to others.
    path = Path(tempfile.mkdtemp(prefix="server-"))
    user = "nobody" if os.getuid() == 0 else None
    if user:
        shutil.chown(path, user, pwd.getpwnam(user).pw_gid)
    try:
        yield path, {"user": user} if user else {}
    finally:
        shutil.rmtree(path, ignore_errors=True)


def _prepared(command, folder, options):
    done = subprocess.run(command, check=False, capture_output=True, cwd=folder, **options)
    assert done.returncode == 0, done.stdout + done.stderr


@contextmanager
def _running(command, options, log, is_ready):
    with log.open("wb") as output:
        server = subprocess.Popen(command, stdout=output, stderr=output, **options)
    try:
        deadline = time.monotonic() + _SECONDS
        while not is_ready():
            assert server.poll() is None, log.read_text()
            assert time.monotonic() < deadline, log.read_text()
            time.sleep(0.1)
        yield
    finally:
        server.terminate()
        try:
            server.wait(timeout=20)
        except subprocess.TimeoutExpired:
            server.kill()
            server.wait()


@contextmanager
def postgresql():
    """A PostgreSQL server; yields its address without the database's name."""
    psycopg = pytest.importorskip("psycopg")
    initdb = _program("initdb")
    with _folder() as (folder, options):
        data, port = folder / "data", _free_port()
        command = [initdb, "-D", data, "-U", "test", "-A", "trust", "-N", "-E", "UTF8"]
        _prepared(command, folder, options)
        address = f"postgresql://test@127.0.0.1:{port}"

        def is_ready():
            try:
                psycopg.connect(f"{address}/postgres", connect_timeout=5).close()
            except psycopg.Error:
                return False
            return True

        command = [initdb.with_name("postgres"), "-D", data, "-p", str(port), "-k", folder, "-F"]
        with _running(command, {"cwd": folder, **options}, folder / "log", is_ready):
            yield address


@contextmanager
def mysql():
    """A MariaDB or MySQL server; yields its address without the database's name."""
    pymysql = pytest.importorskip("pymysql")
    server, install = _program("mariadbd"), _program("mariadb-install-db")
    with _folder() as (folder, options):
        data, port = folder / "data", _free_port()
        base = server.resolve().parents[1]
        _prepared(
            [
                *(install, "--no-defaults", f"--basedir={base}", f"--datadir={data}"),
                *("--skip-test-db", "--auth-root-authentication-method=normal"),
            ],
            folder,
            options,
        )
        address = f"mysql://root@127.0.0.1:{port}"

        def is_ready():
            try:
                pymysql.connect(host="127.0.0.1", port=port, user="root").close()
            except pymysql.Error:
                return False
            return True

        command = [
            *(server, "--no-defaults", f"--basedir={base}", f"--datadir={data}"),
            *(f"--port={port}", f"--socket={folder}/s", "--bind-address=127.0.0.1"),
            f"--pid-file={folder}/pid",
        ]
        with _running(command, {"cwd": folder, **options}, folder / "log", is_ready):
            yield address
