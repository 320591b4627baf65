"""A machine that gives no more descriptors, threads or memory, and files of another user."""

import ctypes
import os
import sys
from functools import partial

import pytest

from batch_uploader.cli.output import explain_failure

pytestmark = pytest.mark.skipif(sys.platform != "linux", reason="limits as Linux has them")

resource = pytest.importorskip("resource")

_NOBODY = 65534
_DROP_CAPABILITY = 24
_ADMINISTRATION, _RESOURCES = 21, 24


def limit(kind, amount):
    resource.setrlimit(kind, (amount, amount))


def as_few_threads(amount):
    """As another user, since a limit of threads holds for all that a user runs, and never for root.

    What it may do to files stays as it is.
    """
    limit(resource.RLIMIT_NPROC, amount)
    os.setresuid(_NOBODY, os.geteuid(), os.geteuid())
    libc = ctypes.CDLL(None)
    for capability in (_ADMINISTRATION, _RESOURCES):
        assert libc.prctl(_DROP_CAPABILITY, capability, 0, 0, 0) == 0


files = partial(partial, limit, resource.RLIMIT_NOFILE)
memory = partial(partial, limit, resource.RLIMIT_AS)
threads = partial(partial, as_few_threads)
root = pytest.mark.skipif(os.geteuid() != 0, reason="becomes another user")


@pytest.mark.parametrize(
    ("refuse", "cure"),
    [
        (files(8), "ulimit -n"),
        (files(16), "ulimit -n"),
        (files(24), "ulimit -n"),
        (memory(90 << 20), "ulimit -v"),
        (memory(150 << 20), "ulimit -v"),
        pytest.param(threads(1), "ulimit -u", marks=root),
        pytest.param(threads(6), "ulimit -u", marks=root),
        pytest.param(threads(12), "ulimit -u", marks=root),
    ],
)
def test_what_grpc_would_die_of_is_refused_before_it_starts(calls, upload, service, refuse, cure):
    """Fault 99: with the limit to raise, and nothing is sent."""
    calls.write("a.wav", "b.wav")
    result = upload(preexec=refuse)
    assert result.code == 2, result.err
    assert cure in result.err
    assert service.counts(calls) == {}
    assert upload().code == 0
    assert service.counts(calls) == {"a.wav": 1, "b.wav": 1}


@pytest.mark.parametrize("refuse", [files(40), pytest.param(threads(24), marks=root)])
def test_with_little_there_are_fewer_at_a_time(calls, upload, service, refuse):
    """Fault 99: and none fails, be they as large as they like."""
    names = [f"{number}.wav" for number in range(40)]
    calls.write(*names, seconds=4)
    result = upload("--whole-limit", "32K", preexec=refuse)
    assert result.code == 0, result.err
    assert service.counts(calls) == dict.fromkeys(names, 1)


@pytest.mark.parametrize("command", ["upload", "check", "status", "manifest", "resolve"])
def test_a_working_directory_that_was_removed(calls, program, tmp_path, command):
    """Fault 99."""
    calls.write("a.wav")
    gone = tmp_path / "gone"
    gone.mkdir()

    def remove():
        os.chdir(gone)
        gone.rmdir()

    flags = ["--all", "--resend"] if command == "resolve" else []
    result = program(command, calls, *flags, preexec=remove)
    assert result.code == 2
    assert "the working directory" in result.err


@pytest.mark.parametrize(
    ("command", "amount"),
    [
        *((name, amount) for name in ("check", "status", "manifest") for amount in (6, 7, 9, 14)),
        *((name, amount) for name in ("demo", "emulator") for amount in (9, 12, 16, 20)),
    ],
)
def test_few_descriptors_are_told_of_by_every_command(calls, upload, program, command, amount):
    """Fault 99: and not taken for a fault of the ledger, nor of the directory."""
    calls.write("a.wav")
    assert upload().code == 0
    arguments = {"demo": [calls.folder.parent / "demo"], "emulator": ["--connection", "c"]}
    result = program(command, *arguments.get(command, [calls]), preexec=files(amount))
    assert result.code == 2, result.said
    assert "ulimit -n" in result.err


@root
@pytest.mark.parametrize("command", ["upload", "rebuild", "check", "status", "manifest", "resolve"])
def test_the_ledger_of_another_user(calls, upload, program, unprivileged, command):
    """Fault 99: exit 7, and what to do about it."""
    calls.write("a.wav")
    assert upload().code == 0
    os.chown(calls.folder / ".batch-uploader", _NOBODY, _NOBODY)
    if command in {"upload", "rebuild"}:
        flags = ["--rebuild"] if command == "rebuild" else []
        result = upload(*flags, preexec=unprivileged)
    else:
        flags = ["--all", "--resend"] if command == "resolve" else []
        result = program(command, calls, *flags, preexec=unprivileged)
    assert result.code == 7
    assert "the ledger" in result.err
    assert "grant this user access to it and its folder" in result.err


@pytest.mark.parametrize("variable", ["API_KEY", "IAM_TOKEN", None])
def test_a_credential_that_no_request_takes(calls, upload, program, service, variable):
    """Fault 100: refused before anything is sent, and not shown."""
    calls.write("a.wav")
    secret = "x" * 100_000
    if variable is None:
        calls.key_file.write_text(secret)
        result = upload()
    else:
        result = program("upload", calls, *service.flags, env={variable: secret})
    assert result.code == 2, result.err
    assert "100,000 characters" in result.err
    assert secret[:100] not in result.said
    assert service.counts(calls) == {}
    assert not (calls.folder / ".batch-uploader").exists()


@pytest.mark.parametrize(
    ("failure", "said"),
    [
        (MemoryError(), "error: out of memory\n"),
        (RuntimeError("can't start new thread"), "error: cannot start more threads\n"),
        (ExceptionGroup("", [MemoryError()]), "error: out of memory\n"),
    ],
)
def test_what_is_refused_in_the_middle_is_told_in_good_words(capsys, failure, said):
    """Fault 99: exit 7, as for a disk."""
    assert explain_failure(failure) == 7
    err = capsys.readouterr().err
    assert said in err
    assert "hint: " in err


def test_a_limit_of_the_size_of_files_is_told_with_its_cure(calls, upload, service):
    """Fault 99: nothing is sent, and all of it once larger files are allowed."""
    calls.write("a.wav")
    small = (65_536, 65_536)
    result = upload(preexec=lambda: resource.setrlimit(resource.RLIMIT_FSIZE, small))
    assert result.code == 7
    assert "ulimit -f" in result.err
    assert service.counts(calls) == {}
    assert upload().code == 0
    assert service.counts(calls) == {"a.wav": 1}
