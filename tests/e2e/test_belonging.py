"""What a ledger is of; the emulator's records are the judge."""

import json
import os
import shutil
import sqlite3
from contextlib import closing

import anyio
import pytest
from e2e.conftest import API_KEY, Calls, Program

from batch_uploader import ApiKey, Endpoint, upload_directory
from batch_uploader.core.errors import ConfigError

NAMES = [f"{number}.wav" for number in range(4)]


def pointer_of(folder):
    return folder / ".batch-uploader" / "source.json"


def source_id(folder):
    return json.loads(pointer_of(folder).read_text())["source_id"]


@pytest.fixture
def ledger(tmp_path):
    """A place for it that is in no directory of recordings."""
    (tmp_path / "state").mkdir()
    return tmp_path / "state" / "calls.db"


@pytest.fixture
def another(tmp_path, calls):
    """A directory with the same paths, sizes and times, and other calls."""
    made = Calls(tmp_path / "other").write(*NAMES)
    for file in calls.write(*NAMES).folder.iterdir():
        twin = made.folder / file.name
        os.utime(twin, ns=(0, file.stat().st_mtime_ns))
        assert twin.stat().st_size == file.stat().st_size
        assert twin.read_bytes() != file.read_bytes()
    return made


@pytest.fixture
def send(program, service):
    """Runs an upload of a directory; ``counts`` tells what the service holds of it."""

    def run(folder, *flags, **how):
        folder = getattr(folder, "folder", folder)
        key = folder.parent / "api-key"
        return program("upload", folder, *service.flags, "--api-key-file", key, *flags, **how)

    run.counts = service.counts
    return run


@pytest.mark.parametrize("then", ["it is there", "it was moved", "it is gone"])
def test_one_ledger_for_two_directories(send, calls, another, ledger, then):
    """Fault 91: what has the same path in both would be taken for the same recording."""
    assert send(calls, "--ledger", ledger).code == 0
    if then == "it was moved":
        calls.folder.rename(calls.folder.with_name("moved"))
    if then == "it is gone":
        shutil.rmtree(calls.folder)
    for flags in ([], ["--rebuild"]):
        refused = send(another, "--ledger", ledger, *flags)
        assert refused.code == 2, refused.err
        assert f"is of {calls}" in refused.err.replace("\n", "")
    assert not pointer_of(another.folder).exists()
    assert send(another).code == 0
    assert send.counts(another) == send.counts(calls) == dict.fromkeys(NAMES, 1)


def test_two_that_have_ledgers_of_their_own(send, calls, another, ledger):
    """Fault 91: and decisions are not made with the wrong one either."""
    assert send(calls, "--ledger", ledger).code == 0
    assert send(another).code == 0
    refused = send(another, "--ledger", ledger)
    assert refused.code == 2
    assert "hint: leave out --ledger\n" in refused.err
    refused = send(calls, "--ledger", another.folder / ".batch-uploader" / "ledger.db")
    assert refused.code == 2
    assert f"--ledger {ledger}" in refused.err.replace("\n", "")
    assert send.counts(another) == send.counts(calls) == dict.fromkeys(NAMES, 1)


def test_a_ledger_that_decides_about_another_directory(send, program, calls, another, ledger):
    """Fault 91: its manifest would be written into that."""
    assert send(calls, "--ledger", ledger).code == 0
    for command, *rest in (("resolve", NAMES[0], "--give-up"), ("check",)):
        refused = program(command, another, "--ledger", ledger, *rest)
        assert refused.code == 2
        assert "is of" in refused.err
    assert not (another.folder / "manifest.jsonl").exists()


def test_directories_that_cannot_be_written_are_told_by_their_places(
    send, calls, another, ledger, unprivileged
):
    """Fault 91: they have no pointer."""
    flags = ("--ledger", ledger, "--manifest", ledger.with_name("manifest.jsonl"))
    for each in (calls, another):
        each.folder.chmod(0o555)
    try:
        assert send(calls, *flags, preexec=unprivileged).code == 0
        assert not pointer_of(calls.folder).exists()
        assert send(another, *flags, preexec=unprivileged).code == 2
        moved = calls.folder.rename(calls.folder.with_name("moved"))
        assert send(moved, *flags, preexec=unprivileged).code == 0
    finally:
        for each in (moved, another.folder):
            each.chmod(0o755)
    assert send.counts(another) == {}
    assert send.counts(calls) == dict.fromkeys(NAMES, 1)


def test_a_directory_that_cannot_be_written_is_mounted_elsewhere(send, calls, ledger, unprivileged):
    """Fault 92: the mount point that it had is there, and empty, or holds something else."""
    flags = ("--ledger", ledger, "--manifest", ledger.with_name("manifest.jsonl"))
    calls.write(*NAMES).folder.chmod(0o555)
    try:
        assert send(calls, *flags, preexec=unprivileged).code == 0
        moved = calls.folder.rename(calls.folder.with_name("moved"))
        calls.folder.mkdir()
        (calls.folder / "other.wav").touch()
        refused = send(moved, *flags, preexec=unprivileged)
        assert refused.code == 2
        assert f"moved: move it back to {calls}, since" in " ".join(refused.err.split())
        (calls.folder / "other.wav").unlink()
        assert send(moved, *flags, preexec=unprivileged).code == 0
    finally:
        moved.chmod(0o755)
    assert send.counts(calls) == dict.fromkeys(NAMES, 1)


def test_a_directory_that_was_copied_with_its_pointer(send, calls, ledger):
    """Fault 91: the ledger is that of one of them."""
    calls.write(*NAMES)
    assert send(calls, "--ledger", ledger).code == 0
    copy = shutil.copytree(calls.folder, calls.folder.with_name("copy"))
    assert send(copy, "--ledger", ledger).code == 2
    links = calls.folder.with_name("links")
    shutil.copytree(calls.folder, links, copy_function=os.link)
    assert send(links, "--ledger", ledger).code == 2
    assert send(calls, "--ledger", ledger).code == 0
    # A ledger within is copied with it, and would know nothing of what the other one sends.
    inner = calls.folder.with_name("inner")
    Calls(inner).write("a.wav")
    assert send(inner).code == 0
    second = shutil.copytree(inner, inner.with_name("second"))
    assert [send(each).code for each in (second, inner, second)] == [2, 0, 2]
    inner.rename(inner.with_name("old"))
    assert send(second).code == 0
    assert send.counts(inner) == {"a.wav": 1}


def test_a_copy_that_is_named_like_the_original_from_where_it_is(calls, service):
    """Fault 91: what a relative path means depends on the working directory."""
    calls.write("a.wav")
    there = calls.folder.with_name("there")
    words = ("upload", "calls", *service.flags, "--api-key-file", calls.key_file)
    assert Program(calls.folder.parent)(*words).code == 0
    shutil.copytree(calls.folder, there / "calls")
    refused = Program(there)(*words)
    assert refused.code == 2, refused.err
    shutil.rmtree(calls.folder)
    assert Program(there)(*words).code == 0
    assert service.counts(calls) == {"a.wav": 1}


def test_a_directory_with_a_ledger_for_each_connection(send, program, calls, ledger, service):
    """Fault 92: as it could be before there were pointers; one of them takes over the other."""
    one, other = ledger, ledger.with_name("other.db")
    taken = ledger.with_name("taken.jsonl")
    flags = {
        "one": ("--ledger", one, "--manifest", one.with_suffix(".jsonl")),
        "other": ("--ledger", other, "--manifest", other.with_suffix(".jsonl")),
    }
    second = ("--connection-id", "strict")
    calls.write(*NAMES)
    assert send(calls, *flags["other"]).code == 0
    pointer_of(calls.folder).unlink()
    assert send(calls, *flags["one"], *second).code == 1  # it refuses all of it
    refused = send(calls, *flags["other"])
    assert refused.code == 2
    told = " ".join(refused.err.split())
    assert (
        "such as talks of another connection, would then be sent again; to take it over first: "
        in told
    )
    assert f"then run the upload with --rebuild --ledger {one} --manifest F" in told
    assert program("manifest", calls, "--ledger", other, "--output", taken).code == 0
    assert send(calls, "--rebuild", "--ledger", one, "--manifest", taken).code == 0
    assert send.counts(calls) == dict.fromkeys(NAMES, 1)


def test_a_manifest_for_two_directories(send, calls, another, tmp_path):
    """Fault 89: the second one is told what may be wrong."""
    shared = ("--manifest", tmp_path / "shared.jsonl")
    assert send(calls, *shared).code == 0
    for _ in range(2):
        refused = send(another, *shared)
        assert refused.code == 7
        assert (
            "if that is another directory's manifest, specify its own with --manifest"
            in " ".join(refused.err.split())
        )
        # The second time with a ledger.
        assert send(another).code == 0
    assert send.counts(another) == send.counts(calls) == dict.fromkeys(NAMES, 1)


@pytest.mark.parametrize("cure", ["move that away", "remove", "else remove"])
def test_the_cures_of_a_copy(send, calls, ledger, cure):
    """Fault 91: the copy goes on, or is begun anew as soon as its manifest is away as well."""
    calls.write(*NAMES)
    assert send(calls, "--ledger", ledger).code == 0
    copy = shutil.copytree(calls.folder, calls.folder.with_name("copy"))
    refused = send(copy, "--ledger", ledger).err.replace("\n", " ")
    assert "is a copy of" in refused
    assert cure in refused
    own = ledger.with_name("own.db")
    if cure == "move that away":
        calls.folder.rename(calls.folder.with_name("old"))
    elif cure == "remove":
        pointer_of(calls.folder).unlink()
    else:
        pointer_of(copy).unlink()
        assert send(copy, "--ledger", own).code == 7
        (copy / "manifest.jsonl").unlink()
    anew = cure == "else remove"
    assert send(copy, "--ledger", own if anew else ledger).code == 0
    assert send.counts(calls) == dict.fromkeys(NAMES, 2 if anew else 1)


def test_a_directory_whose_ledger_is_elsewhere_is_not_begun_anew(send, program, calls, ledger):
    """Fault 92: with or without its manifest, and each command says where it is."""
    calls.write(*NAMES)
    assert send(calls, "--ledger", ledger).code == 0
    for _ in range(2):
        others = ([], ["--ledger", ledger.with_name("new.db")], ["--rebuild"])
        for refused in [send(calls, *flags) for flags in others]:
            assert refused.code == 2, refused.err
            assert f"hint: specify it: --ledger {ledger}" in refused.err.replace("\n", "")
        for command in ("check", "status", "manifest"):
            assert f"--ledger {ledger}" in program(command, calls).err.replace("\n", "")
        (calls.folder / "manifest.jsonl").unlink(missing_ok=True)
    assert not ledger.with_name("new.db").exists()
    assert send(calls, "--ledger", ledger).code == 0
    assert send.counts(calls) == dict.fromkeys(NAMES, 1)


def test_nor_is_one_whose_ledger_is_gone(send, calls, ledger):
    """Fault 92: the pointer alone tells that there was one."""
    calls.write(*NAMES)
    assert send(calls, "--ledger", ledger).code == 0
    manifest = calls.folder / "manifest.jsonl"
    lines = manifest.read_bytes()
    manifest.unlink()
    shutil.rmtree(ledger.parent)
    ledger.parent.mkdir()
    for flags in ([], ["--ledger", ledger], ["--ledger", ledger.with_name("new.db")]):
        refused = send(calls, *flags)
        assert refused.code == 7, refused.err
        assert " is gone (its name is in " in refused.err.replace("\n", " ")
    manifest.write_bytes(lines)
    before = source_id(calls.folder)
    assert send(calls, "--rebuild", "--ledger", ledger.with_name("new.db")).code == 0
    assert source_id(calls.folder) == before
    assert send(calls).code == 2
    assert send.counts(calls) == dict.fromkeys(NAMES, 1)


def test_a_directory_and_its_ledger_may_move(send, calls, ledger, tmp_path):
    """Fault 92: each of them, or both, with new ones where they were."""
    calls.write(*NAMES)
    assert send(calls, "--ledger", ledger).code == 0
    known = source_id(calls.folder)
    moved = calls.folder.rename(tmp_path / "moved")
    calls.folder.mkdir()
    assert send(moved, "--ledger", ledger).code == 0
    within = moved / "state.db"
    ledger.rename(within)
    assert send(moved, "--ledger", within).code == 0
    again = moved.rename(tmp_path / "again")
    usual = again / ".batch-uploader" / "ledger.db"
    assert send(again, "--ledger", again / "state.db").code == 0
    (again / "state.db").rename(usual)
    assert send(again).code == 0
    linked = tmp_path / "linked"
    linked.symlink_to(again)
    assert send(linked).code == 0
    assert source_id(again) == known
    assert send.counts(calls) == dict.fromkeys(NAMES, 1)


def test_a_pointer_that_was_removed_and_a_ledger_from_before_there_were_any(send, calls, ledger):
    """Fault 92: where the place is the same."""
    calls.write(*NAMES)
    for flags in (["--ledger", ledger], ["--ledger", ledger]):
        assert send(calls, *flags).code == 0
        known = source_id(calls.folder)
        shutil.rmtree(pointer_of(calls.folder).parent)
        assert send(calls, *flags).code == 0
        assert source_id(calls.folder) == known
        assert pointer_of(calls.folder).stat().st_mode & 0o777 == 0o600
        with closing(sqlite3.connect(ledger)) as connection, connection:
            connection.execute("DELETE FROM facts WHERE name GLOB 'source*'")
        shutil.rmtree(pointer_of(calls.folder).parent)
    assert send.counts(calls) == dict.fromkeys(NAMES, 1)


def test_no_pointer_is_made_or_believed_by_way_of_a_link(send, calls, ledger, tmp_path):
    """Fault 96."""
    victim = tmp_path / "victim"
    victim.mkdir()
    calls.write(*NAMES)
    (calls.folder / ".batch-uploader").symlink_to(victim)
    assert send(calls, "--ledger", ledger).code == 0
    assert list(victim.iterdir()) == []
    (calls.folder / ".batch-uploader").unlink()
    assert send(calls, "--ledger", ledger).code == 0
    pointer = pointer_of(calls.folder)
    (victim / "file").write_bytes(pointer.read_bytes())
    pointer.unlink()
    pointer.symlink_to(victim / "file")
    refused = send(calls, "--ledger", ledger)
    assert refused.code == 7
    assert "source.json cannot be read" in refused.err.replace("\n", " ")


def test_for_programs_as_well(send, service, calls, ledger):
    """Fault 92."""
    calls.write(*NAMES)
    assert send(calls, "--ledger", ledger).code == 0
    endpoint = Endpoint.parse(service.address, ca_file=service.folder / "tls" / "ca.pem")
    key = ApiKey(API_KEY)

    async def run():
        await upload_directory(
            calls.folder, connection_id="calls", credentials=key, endpoint=endpoint
        )

    with pytest.raises(ConfigError, match="the ledger of"):
        anyio.run(run)
    assert send.counts(calls) == dict.fromkeys(NAMES, 1)
