"""What the service answered and the ledger could not take: kept beside it until it can."""

import asyncio
import os
import shutil
import struct
import zlib
from contextlib import aclosing, contextmanager

import pytest
from msgspec.structs import replace
from support.ledger_cases import CONNECTION, ended, recording, uploaded
from support.ledger_changes import claim_all, release, settle

from batch_uploader.core.errors import LedgerError
from batch_uploader.core.model import Container, Failure, Outcome, Timestamp, Version
from batch_uploader.core.states import Status
from batch_uploader.ledgers.sqlite import SqliteLedger, kept_answers
from batch_uploader.ledgers.sqlite.journal import SIZE, SpilledWrite, _answers, _frame, journal_path

LONG = "x" * 9000
"""Takes a page of the ledger, which on a full disk is not there."""


@contextmanager
def full_disk(ledger):
    """SQLite may have no more pages than it has."""
    (pages,) = ledger._connection.execute("PRAGMA page_count").fetchone()
    ledger._connection.execute(f"PRAGMA max_page_count = {pages}")
    yield
    ledger._connection.execute("PRAGMA max_page_count = 1000000")


async def talks(ledger):
    async with aclosing(ledger.rows()) as rows:
        return {row.path: (row.status, row.talk_id) async for row in rows}


def noted(error):
    """All that is told of it."""
    return "\n".join([str(error), *getattr(error, "__notes__", ())])


async def fill_up(path, *paths, connection_id=CONNECTION):
    """A ledger whose disk was full when the answers to these came, all at once."""
    async with SqliteLedger(path, connection_id) as ledger:
        await claim_all(
            ledger, [recording(each, each, connection_id=connection_id) for each in paths]
        )
        with full_disk(ledger):
            failures = await asyncio.gather(
                *(settle(ledger, uploaded(each, f"talk of {each} {LONG}")) for each in paths),
                return_exceptions=True,
            )
    kept = rf"its disk is full .*; free some space .*\n.* kept in {journal_path(path)}, and"
    for each in failures:
        with pytest.raises(LedgerError, match=kept):
            raise each


async def test_an_answer_that_a_full_disk_did_not_take_is_on_record_in_the_next_run(path):
    """Fault 6."""
    await fill_up(path, "a.wav", "b.wav", "c.wav")
    assert kept_answers(path) == 3
    async with SqliteLedger(path, CONNECTION) as ledger:
        assert kept_answers(path) == 0
        assert await ledger.recover() == 0
        assert await talks(ledger) == {
            each: (Status.UPLOADED, f"talk of {each} {LONG}")
            for each in ("a.wav", "b.wav", "c.wav")
        }


async def test_whichever_connection_comes_next_records_the_answers_of_all(path):
    """Fault 6."""
    await fill_up(path, "a.wav", connection_id="one")
    async with SqliteLedger(path, "two") as two:
        assert await two.known("") == {}
    assert kept_answers(path) == 0
    async with SqliteLedger(path, "one") as one:
        assert await talks(one) == {"a.wav": (Status.UPLOADED, f"talk of a.wav {LONG}")}


async def test_claims_come_after_a_doubt_that_was_kept_and_so_can_prove_it_absent(path):
    """Fault 6: sequence numbers tell what was stored after a doubt arose."""
    async with SqliteLedger(path, CONNECTION) as ledger:
        await claim_all(ledger, [recording("a.wav", "A")])
        doubt = ended("a.wav", Status.IN_DOUBT, code=LONG)
        with full_disk(ledger), pytest.raises(LedgerError, match="kept in"):
            await settle(ledger, doubt)
    async with SqliteLedger(path, CONNECTION) as ledger:
        await ledger.recover()
        await claim_all(ledger, [recording("b.wav", "B")])
        records = await ledger.known("")
        assert records["a.wav"].status is Status.IN_DOUBT
        assert records["b.wav"].claimed_seq > records["a.wav"].doubt_seq


async def test_once_there_is_room_the_same_run_records_it(path):
    """Fault 6."""
    async with SqliteLedger(path, CONNECTION) as ledger:
        await claim_all(ledger, [recording("a.wav", "A"), recording("b.wav", "B")])
        with full_disk(ledger), pytest.raises(LedgerError, match="kept in"):
            await settle(ledger, uploaded("a.wav", LONG))
        await settle(ledger, uploaded("b.wav", "talk-b"))
        assert kept_answers(path) == 0
        assert await talks(ledger) == {
            "a.wav": (Status.UPLOADED, LONG),
            "b.wav": (Status.UPLOADED, "talk-b"),
        }


async def test_every_way_to_end_is_kept_with_all_that_is_known_of_it(path):
    """Fault 6: also a claim that was taken back; nobody has to decide about what was not sent."""
    now = [1]
    failure = Failure("CODE", "it said \udcff " + LONG, "request-1")

    def moment():
        return ("this start", 5)

    ends = {
        "failed.wav": ended("failed.wav", Status.FAILED, attempts=3),
        "in doubt.wav": ended("in doubt.wav", Status.IN_DOUBT, attempts=1),
        "rejected.wav": ended("rejected.wav", Status.REJECTED, attempts=2),
    }
    ends = {name: replace(each, failure=failure) for name, each in ends.items()}
    async with SqliteLedger(path, CONNECTION, clock=lambda: now[0], boot=moment) as ledger:
        await claim_all(ledger, [recording(each, each) for each in (*ends, "given back.wav")])
        with full_disk(ledger):
            now[0] = 7
            results = await asyncio.gather(
                *(settle(ledger, each) for each in ends.values()),
                release(ledger, "given back.wav"),
                return_exceptions=True,
            )
            assert ["kept in" in noted(each) for each in results] == [True] * 4
    now[0] = 99
    async with SqliteLedger(path, CONNECTION, clock=lambda: now[0], boot=moment) as ledger:
        known = await ledger.known("")
        assert known.keys() == ends.keys()
        for name, end in ends.items():
            assert known[name].outcome.status is end.status
            assert known[name].outcome.attempts == end.attempts
            assert known[name].outcome.failure.message == "it said \\udcff " + LONG
            assert known[name].settled_at_ns == 7
            assert known[name].sha256 == recording(name, name).fingerprint.sha256
        (doubt,) = await ledger.doubts()
        assert doubt.since == Timestamp(7, "this start", 5)


async def test_a_crash_before_the_journal_was_emptied_does_no_harm(path):
    """Fault 6: what is on record already is not recorded once more."""
    async with SqliteLedger(path, CONNECTION) as ledger:
        await claim_all(ledger, [recording(each, each) for each in ("a.wav", "b.wav", "c.wav")])
        with full_disk(ledger):
            failed = ended("a.wav", Status.FAILED, code=LONG)
            await asyncio.gather(
                settle(ledger, failed),
                settle(ledger, uploaded("b.wav", LONG)),
                release(ledger, "c.wav"),
                return_exceptions=True,
            )
    journal = journal_path(path)
    before = journal.read_bytes()
    async with SqliteLedger(path, CONNECTION) as ledger:
        known = await ledger.known("")
    journal.write_bytes(before)
    async with SqliteLedger(path, CONNECTION) as ledger:
        assert await ledger.known("") == known
    assert journal.read_bytes() == bytes(SIZE)


async def test_a_frame_that_was_torn_in_the_writing_is_none(path):
    """Faults 4 and 6: its recording is in doubt, the others are on record."""
    await fill_up(path, "a.wav", "b.wav")
    whole = journal_path(path).read_bytes()
    end = len(whole.rstrip(b"\0"))
    copies = path.parent.parent / "copies"
    for cut in (end - 1, end - 4096, end // 2 + 8, end // 2 + 3):
        shutil.copytree(path.parent, copies)
        copy = copies / path.name
        # A sector is written or not: what is behind the cut may be there, and it is not.
        torn = whole[:cut] + bytes(512) + whole[cut + 512 :]
        journal_path(copy).write_bytes(torn[:SIZE])
        async with SqliteLedger(copy, CONNECTION) as ledger:
            assert await ledger.recover() == 1
            states = await talks(ledger)
            assert states["a.wav"] == (Status.UPLOADED, f"talk of a.wav {LONG}")
            assert states["b.wav"] == (Status.IN_DOUBT, None)
        assert journal_path(copy).read_bytes() == bytes(SIZE)
        shutil.rmtree(copies)


async def test_a_journal_whose_making_was_cut_off_is_made_whole(path):
    await fill_up(path, "a.wav")
    journal = journal_path(path)
    with journal.open("r+b") as file:
        file.truncate(len(journal.read_bytes().rstrip(b"\0")))
    async with SqliteLedger(path, CONNECTION) as ledger:
        assert (await talks(ledger))["a.wav"][0] is Status.UPLOADED
    assert journal.read_bytes() == bytes(SIZE)


async def test_answers_of_another_ledger_are_refused_and_kept(path):
    """Fault 6: a backup from before the claim does not know what it was an answer to.

    It is found out by what lies beside it, and where that is lost, by the answers.
    """
    async with SqliteLedger(path, CONNECTION):
        pass
    shutil.copy(path, path.with_name("backup"))
    await fill_up(path, "a.wav")
    shutil.copy(path.with_name("backup"), path)
    before = journal_path(path).read_bytes()
    with pytest.raises(LedgerError, match="is older than") as caught:
        await SqliteLedger(path, CONNECTION).__aenter__()
    assert caught.value.__notes__[-1].startswith("a.wav is stored as talk talk of")
    path.with_name("ledger.db-run").unlink()
    for _ in range(2):
        with pytest.raises(
            LedgerError, match=r"put that ledger back.*\na\.wav is stored as talk talk"
        ):
            await SqliteLedger(path, CONNECTION).__aenter__()
    assert journal_path(path).read_bytes() == before


async def test_a_ledger_of_which_answers_alone_are_left_is_not_started_afresh(path):
    """Fault 7."""
    await fill_up(path, "a.wav")
    path.unlink()
    with pytest.raises(LedgerError, match=r"is gone, and only its ledger\.db-answers is left"):
        await SqliteLedger(path, CONNECTION).__aenter__()
    assert not path.exists()
    assert kept_answers(path) == 1


async def test_where_there_is_no_room_for_the_journal_no_run_begins(path):
    """Fault 5: a run that could not keep its answers sends nothing."""
    resource = pytest.importorskip("resource")
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (SIZE // 2, hard))
    try:
        with pytest.raises(LedgerError, match=r"ledger\.db cannot be used"):
            await SqliteLedger(path, CONNECTION).__aenter__()
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))
    assert not path.exists()
    async with SqliteLedger(path, CONNECTION):
        assert journal_path(path).stat().st_size == SIZE


async def test_what_finds_no_room_in_the_journal_either_is_told(path):
    """Fault 6: at the worst somebody reads the talk IDs from the screen."""
    names = [f"{number}.wav" for number in range(4)]
    async with SqliteLedger(path, CONNECTION) as ledger:
        await claim_all(ledger, [recording(each, each) for each in names])
        with full_disk(ledger):
            results = await asyncio.gather(
                *(settle(ledger, uploaded(each, f"{each}-{'x' * (SIZE // 3)}")) for each in names),
                return_exceptions=True,
            )
    told = [noted(each) for each in results if "kept in" not in noted(each)]
    assert [each.split("\n")[-1][:29] for each in told] == [
        "2.wav is stored as talk 2.wav",
        "3.wav is stored as talk 3.wav",
    ]
    async with SqliteLedger(path, CONNECTION) as ledger:
        assert await ledger.recover() == 2
        states = [status for status, _ in (await talks(ledger)).values()]
        assert states == [Status.UPLOADED] * 2 + [Status.IN_DOUBT] * 2


async def test_what_was_refused_is_not_kept(path):
    async with SqliteLedger(path, CONNECTION) as ledger:
        with pytest.raises(LedgerError, match=r"not claimed.*\na\.wav is stored as talk talk-1$"):
            await settle(ledger, uploaded("a.wav", "talk-1"))
    assert kept_answers(path) == 0


@pytest.mark.skipif(not hasattr(os, "symlink"), reason="needs links")
async def test_a_link_to_a_ledger_leads_to_its_answers(path, tmp_path):
    await fill_up(path, "a.wav")
    link = tmp_path / "link.db"
    link.symlink_to(path)
    assert kept_answers(link) == 1
    async with SqliteLedger(link, CONNECTION) as ledger:
        assert (await talks(ledger))["a.wav"][0] is Status.UPLOADED
    assert kept_answers(path) == 0


async def test_where_there_is_no_journal_nothing_is_kept(path):
    assert kept_answers(path) == 0
    assert not path.parent.exists()


ANSWERS = {
    '{"connection_id": "c", "path": "\\u0439.wav", '
    '"at": {"wall_ns": 1, "boot": null, "boot_ns": null}, "outcome": null}': SpilledWrite(
        "c", "й.wav", Timestamp(1), None
    ),
    '{"connection_id": "c", "path": "a.wav", "at": {"wall_ns": 1, "boot": "b", "boot_ns": 5}, '
    '"outcome": {"path": "a.wav", "status": "rejected", '
    '"stat": {"size": 1, "mtime_ns": 4611686018427387904, "sidecar": "a.json", '
    '"sidecar_size": 3, "sidecar_mtime_ns": 4}, "attempts": 3, "talk_id": "t", '
    '"failure": {"code": "C", "message": "\\udcff\\n", "request_id": "r"}, '
    '"duplicate_of": "d", "duration": 1.0, "container": "wav"}}': SpilledWrite(
        "c",
        "a.wav",
        Timestamp(1, "b", 5),
        Outcome(
            "a.wav",
            Status.REJECTED,
            Version(1, 2**62, "a.json", 3, 4),
            3,
            "t",
            Failure("C", "\udcff\n", "r"),
            "d",
            1.0,
            Container.WAV,
        ),
    ),
}
SINCE_5 = {
    # More is known of the files.
    text.replace(
        '"sidecar_mtime_ns": 4',
        '"sidecar_mtime_ns": 4, "ctime_ns": null, "inode": null, "sidecar_ctime_ns": null, '
        '"sidecar_inode": null',
    ): answer
    for text, answer in ANSWERS.items()
}
SINCE_7 = {
    # There is a cause.
    text.replace('"container": "wav"', '"container": "wav", "cause": null'): answer
    for text, answer in SINCE_5.items()
}
WRITTEN = {
    # Since version 8 there is a digest of what else describes it.
    text.replace('"sidecar_inode": null', '"sidecar_inode": null, "about": null'): answer
    for text, answer in SINCE_7.items()
}
KEPT = [*ANSWERS.items(), *SINCE_5.items(), *SINCE_7.items(), *WRITTEN.items()]


@pytest.mark.parametrize(("text", "answer"), KEPT)
def test_what_another_version_kept_can_be_read(path, text, answer):
    """Fault 6: the literals are what the versions write."""
    if text in WRITTEN:
        assert _frame(answer)[8:] == text.encode()
    frame = struct.pack("<II", len(text), zlib.crc32(text.encode())) + text.encode()
    (read,) = _answers(path, frame + bytes(16))
    assert read == answer
    if read.outcome is not None:
        assert type(read.outcome.status) is Status
        assert type(read.outcome.container) is Container


@pytest.mark.parametrize("news", ['"status": "quarantined"', '"news": 1, "status": "rejected"'])
async def test_what_a_newer_version_kept_is_not_read_by_halves(path, news):
    """Faults 6, 11: it stays where it is for the one that understands it."""
    text = next(text for text in ANSWERS if '"status": "rejected"' in text)
    text = text.replace('"status": "rejected"', news).encode()
    async with SqliteLedger(path, CONNECTION):
        pass
    frame = struct.pack("<II", len(text), zlib.crc32(text)) + text
    journal_path(path).write_bytes(frame.ljust(SIZE, b"\0"))
    with pytest.raises(LedgerError, match="upgrade this one"):
        await SqliteLedger(path, CONNECTION).__aenter__()
    with pytest.raises(LedgerError, match="upgrade this one"):
        kept_answers(path)
    assert journal_path(path).read_bytes().startswith(frame)


async def test_of_two_kept_answers_that_name_one_talk_the_first_has_it(path):
    """Faults 6 and 84."""
    async with SqliteLedger(path, CONNECTION) as ledger:
        await claim_all(ledger, [recording(each, each) for each in ("a.wav", "b.wav")])
        with full_disk(ledger):
            for each in ("a.wav", "b.wav"):
                with pytest.raises(LedgerError, match="the next run records it"):
                    await settle(ledger, uploaded(each, f"talk {LONG}"))
    async with SqliteLedger(path, CONNECTION) as ledger:
        assert await talks(ledger) == {
            "a.wav": (Status.UPLOADED, f"talk {LONG}"),
            "b.wav": (Status.CONFLICT, None),
        }
