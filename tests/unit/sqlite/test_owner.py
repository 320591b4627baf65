"""The owner's record: who is dead is told at once or by watching, and one alone follows."""

import os
import subprocess
import sys
import threading
import time
from contextlib import contextmanager

import msgspec
import pytest

from batch_uploader.host.processes import Process, this_process
from batch_uploader.ledgers.sqlite import SqliteLedger
from batch_uploader.ledgers.sqlite.owner import Owned, Owner, OwnerRecord, is_owned, last_record

pytestmark = pytest.mark.skipif(sys.platform != "linux", reason="only Linux tells all of it")

PULSE = 0.05

TAKE = """
import sys
from pathlib import Path
from batch_uploader.ledgers.sqlite.owner import Owned, Owner
def identity(path):
    found = path.stat()
    return found.st_dev, found.st_ino
owner = Owner(Path(sys.argv[1]), identity)
print("ready", flush=True)
sys.stdin.readline()
try:
    owner.take()
except Owned:
    print("refused", flush=True)
else:
    print("taken", flush=True)
sys.stdin.readline()
if len(sys.argv) > 2:
    owner.release()
"""


@contextmanager
def another(path, *how):
    """A process that takes it when it is told to, and ends at the next line."""
    with subprocess.Popen(
        [sys.executable, "-c", TAKE, path, *how],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
    ) as process:
        assert process.stdout.readline() == "ready\n"
        yield process


def tell(process):
    process.stdin.write("\n")
    process.stdin.flush()


def taken(process):
    tell(process)
    return process.stdout.readline() == "taken\n"


def identity(path):
    found = path.stat()
    return found.st_dev, found.st_ino


@pytest.fixture
def path(tmp_path):
    return tmp_path / "ledger.db-owner"


def put(path, record):
    path.write_bytes(msgspec.json.encode(record).ljust(1023) + b"\n")


def stranger(**told):
    """The record of a process of another machine."""
    return OwnerRecord(
        "theirs", Process("elsewhere", 7, "boot", "pid:[1] ", 1), pulse=PULSE, **told
    )


@contextmanager
def beating(path, record, *, every=PULSE):
    """A record that somebody keeps up."""
    over = threading.Event()

    def beat():
        count = 0
        while not over.wait(every):
            count += 1
            put(path, msgspec.structs.replace(record, count=count))

    put(path, record)
    thread = threading.Thread(target=beat)
    thread.start()
    try:
        yield
    finally:
        over.set()
        thread.join()


def test_who_lives_on_this_machine_is_told_at_once(path):
    """Faults 85 and 10."""
    with another(path) as first:
        assert taken(first)
        assert is_owned(path)
        with pytest.raises(Owned, match=f"process {first.pid} on "):
            Owner(path, identity).take()
        first.kill()
        first.wait()
        began = time.monotonic()
        assert not is_owned(path)
        owner = Owner(path, identity)
        assert owner.take().token != owner.token
        assert time.monotonic() - began < PULSE * 60, "nothing was watched"
    owner.release()
    assert sorted(each.name for each in path.parent.iterdir()) == [path.name]
    assert path.stat().st_mode & 0o077 == 0


def test_one_that_nobody_has_buried_yet_is_dead(path):
    """Fault 85."""
    with another(path) as first:
        assert taken(first)
        first.kill()
        os.waitid(os.P_PID, first.pid, os.WEXITED | os.WNOWAIT)
        owner = Owner(path, identity)
        owner.take()
        owner.release()


def test_a_number_that_another_process_has_by_now_is_no_sign_of_life(path):
    """Fault 85."""
    me = this_process()
    put(path, OwnerRecord("theirs", msgspec.structs.replace(me, pid=os.getppid(), started=1)))
    owner = Owner(path, identity)
    owner.take()
    owner.release()


def test_this_very_process_is_alive_as_long_as_it_holds_it(path):
    """Fault 85."""
    first = Owner(path, identity)
    first.take()
    with pytest.raises(Owned):
        Owner(path, identity).take()
    first.release()
    second = Owner(path, identity)
    assert second.take().ended
    second.release()


@pytest.mark.parametrize(
    "changed",
    [
        {"host": "elsewhere"},
        {"boot": "another"},
        {"view": "pid:[1] time:[1]"},
        {"started": None},
        {"boot": None, "view": None, "started": None},
    ],
)
def test_where_a_process_cannot_be_seen_its_count_tells(path, changed):
    """Fault 85: also for a process of the same number."""
    process = msgspec.structs.replace(this_process(), pid=os.getppid(), **changed)
    record = OwnerRecord("theirs", process, pulse=PULSE, ledger="its ID")
    owner = Owner(path, identity)
    with beating(path, record):
        assert is_owned(path)
        with pytest.raises(Owned):
            owner.take()
    assert not is_owned(path)
    assert owner.take().token == "theirs"
    assert last_record(path).ledger == "its ID", "which ledger it was is not forgotten"
    owner.release()


def test_one_that_ends_while_it_is_watched_is_over(path):
    """Fault 85."""
    put(path, stranger())
    timer = threading.Timer(PULSE, put, (path, stranger(ended=True)))
    timer.start()
    owner = Owner(path, identity)
    owner.take()
    owner.release()
    timer.join()


@pytest.mark.parametrize("content", [b"", b"half of {", b"\0" * 1024, b"[]" * 4096])
def test_what_a_power_loss_left_of_a_record_is_watched(path, content, monkeypatch):
    """Fault 85."""
    monkeypatch.setattr("batch_uploader.ledgers.sqlite.owner._PULSE", PULSE)
    for each in (path, path.with_name(f"{path.name}.next")):
        each.write_bytes(content)
    owner = Owner(path, identity)
    assert owner.take() is None
    owner.release()


def test_its_count_goes_up_while_it_is_held(path, monkeypatch):
    """Fault 85."""
    monkeypatch.setattr("batch_uploader.ledgers.sqlite.owner._PULSE", PULSE)
    owner = Owner(path, identity)
    owner.take()
    while last_record(path).count < 3:
        time.sleep(PULSE)
    owner.name_ledger("its ID")
    owner.release()
    at_last = last_record(path)
    assert at_last.ended
    assert at_last.ledger == "its ID"
    time.sleep(3 * PULSE)
    assert last_record(path) == at_last


def test_whoever_is_taken_for_dead_finds_it_out(path):
    """Fault 85."""
    owner = Owner(path, identity)
    owner.take()
    assert owner.stands()
    path.rename(path.with_name("away"))
    assert not owner.stands()
    put(path, stranger())
    with pytest.raises(Owned, match="process 7 on elsewhere"):
        owner.stands()
    owner.release()
    assert last_record(path) == stranger(), "what is another's is not written to"


@pytest.mark.parametrize("left", ["nothing", "a dead one", "a dead one that was taking over"])
def test_of_many_that_begin_at_once_one_has_it(path, left):
    """Fault 85: without any lock."""
    if left != "nothing":
        put(path, stranger(ended=True))
    if left == "a dead one that was taking over":
        put(path.with_name(f"{path.name}.next"), stranger(ended=True))
    for _ in range(5):
        with another(path) as a, another(path) as b, another(path) as c:
            all_of_them = (a, b, c)
            for each in all_of_them:
                tell(each)
            answers = [each.stdout.readline() for each in all_of_them]
            assert answers.count("taken\n") == 1, answers
            for each in all_of_them:
                tell(each)
    assert [each.name for each in path.parent.iterdir()] == [path.name]


def test_another_mount_of_its_folder_shows_it(path, tmp_path):
    """Fault 86."""
    owner = Owner(path, identity)
    owner.take()
    link = tmp_path / "link"
    link.symlink_to(path.parent)
    assert owner.is_at(link / path.name)
    assert not owner.is_at(tmp_path / "nowhere")
    owner.release()


def test_this_process_is_known_where_the_system_tells_of_it():
    me = this_process()
    assert me.pid == os.getpid()
    assert None not in {me.boot, me.view, me.started}


@pytest.mark.skipif(not hasattr(os, "geteuid") or os.geteuid() != 0, reason="root alone gives away")
async def test_what_root_makes_beside_another_s_ledger_is_that_one_s(tmp_path):
    """Fault 99: else its owner could never use it again."""
    path = tmp_path / "ledger.db"
    async with SqliteLedger(path, "calls"):
        pass
    for file in tmp_path.iterdir():
        os.chown(file, 12345, 12345)
    (tmp_path / "ledger.db-answers").unlink()
    async with SqliteLedger(path, "calls"):
        during = {file.name: file.stat().st_uid for file in tmp_path.iterdir()}
    after = {file.name: file.stat().st_uid for file in tmp_path.iterdir()}
    assert {*during.values(), *after.values()} == {12345}, (during, after)
