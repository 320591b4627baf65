"""Where nothing is to be sent nobody is asked, by the count of those who would have been."""

import os
import socket
import sqlite3
import sys
from contextlib import closing

import pytest
from e2e.conftest import assert_one_talk_each


def test_a_second_run_with_nothing_new_asks_nobody(calls, upload, start_service):
    """Fault 76: by the service's own count, and by that of the connections to a port."""
    calls.write("a.wav", "b.wav")
    stamp = ("--stamp-field", "upload_key")
    with start_service() as service, socket.create_server(("127.0.0.1", 0)) as nobody:
        assert upload(*stamp, to=service).code == 0
        before = (calls.folder / "manifest.jsonl").stat()
        for where in ((), ("--endpoint", f"127.0.0.1:{nobody.getsockname()[1]}")):
            result = upload(*stamp, *where, to=service)
            assert result.code == 0, result.err
            assert "Nothing new" in result.err
            assert (calls.folder / "manifest.jsonl").stat() == before
        nobody.setblocking(False)
        with pytest.raises(BlockingIOError):
            nobody.accept()
    assert service.served == {"Upload": 2}


@pytest.mark.skipif(sys.platform != "linux", reason="0.0.0.0 leads to this machine")
def test_plaintext_to_another_machine(calls, program):
    """Fault 69: refused before a connection is made."""
    calls.write("a.wav")
    with socket.create_server(("0.0.0.0", 0)) as anybody:  # noqa: S104 - to see nobody come
        where = f"0.0.0.0:{anybody.getsockname()[1]}"
        usual = ("--connection-id", "calls", "--api-key-file", calls.key_file)
        result = program("upload", calls, *usual, "--endpoint", where, "--plaintext")
        assert result.code == 2, result.said
        assert "loopback" in result.err
        anybody.setblocking(False)
        with pytest.raises(BlockingIOError):
            anybody.accept()


@pytest.mark.skipif(sys.platform == "win32", reason="limits of POSIX")
def test_no_byte_more_fits_on_the_disk(calls, upload, start_service):
    """Fault 5: without a claim nothing is sent, and with room again all of it is."""
    import resource

    def fill_up():
        resource.setrlimit(resource.RLIMIT_FSIZE, (0, 0))

    calls.write("a.wav")
    with start_service() as service:
        assert upload(to=service).code == 0
        calls.write("b.wav", "c.wav")
        # The coverage of what can write nothing cannot be written either.
        uncovered = dict.fromkeys(name for name in os.environ if name.startswith("COV"))
        result = upload(to=service, preexec=fill_up, env=uncovered)
        assert result.code == 7, result.said
        assert "error: " in result.err
    assert service.served == {"Upload": 1}
    with start_service() as service:
        assert upload(to=service).code == 0
        assert_one_talk_each(calls, service, ["a.wav", "b.wav", "c.wav"])


def test_the_ledger_is_newer_than_the_program(calls, upload, start_service):
    """Fault 11: refused, and nothing is sent."""
    calls.write("a.wav")
    with start_service() as service:
        assert upload(to=service).code == 0
        calls.write("b.wav")
        with closing(sqlite3.connect(calls.folder / ".batch-uploader" / "ledger.db")) as file:
            file.execute("PRAGMA user_version = 99")
        result = upload(to=service)
        assert result.code == 7, result.said
        assert "newer" in result.err
    assert service.served == {"Upload": 1}
