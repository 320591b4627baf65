"""What is decided folder by folder."""

import time

from batch_uploader.intake import Intake
from batch_uploader.ledgers.memory import MemoryLedger
from batch_uploader.model import Defect, Entry, Failure, Listing, Outcome, Stat, Status
from batch_uploader.sources.memory import MemorySource

NOW = time.time_ns()
SECOND = 1_000_000_000


class OneListing(MemorySource):
    """A source that lists what it is told to."""

    def __init__(self, listing: Listing) -> None:
        super().__init__({})
        self.listing = listing

    async def entries(self):
        yield self.listing


async def batch(listing, ledger=None, min_age=2.0):
    async with ledger or MemoryLedger("c") as opened:
        intake = Intake(OneListing(listing), opened, b"rules", min_age, clock=lambda: NOW)
        (only,) = [each async for each in intake.batches()]
        return only


def entry(path, age=3600.0):
    return Entry(path, 100, NOW - int(age * SECOND))


async def with_invalid(*paths):
    ledger = MemoryLedger("c")
    async with ledger:
        for path in paths:
            failure = Failure("empty", "it is empty")
            await ledger.settle(Outcome(path, Status.INVALID, Stat(1, 1), failure=failure))
    return ledger


async def test_young_files_wait_with_whichever_part_of_them_is_young():
    for ages in ((1, 3600), (3600, 1), (0, 0)):
        listing = Listing("", (entry("a.wav", ages[0]), entry("a.json", ages[1])))
        assert (await batch(listing)).waiting == 1
    young_orphan = Listing("", (entry("a.json", 1),))
    found = await batch(young_orphan)
    assert (found.waiting, found.orphans) == (1, [])


async def test_a_time_far_in_the_future_is_nonsense_and_no_reason_to_wait():
    """Fault 13."""
    found = await batch(Listing("", (entry("a.wav", -86_401), entry("a.json", -86_401))))
    assert (found.waiting, len(found.jobs)) == (0, 1)


async def test_a_little_in_the_future_is_the_clock_of_a_machine_that_may_be_writing():
    """Fault 32: and an old or future sidecar does not make up for young audio."""
    for ages in ((-5, 3600), (1, -86_401), (-5, -5), (3600, -5)):
        listing = Listing("", (entry("a.wav", ages[0]), entry("a.json", ages[1])))
        assert (await batch(listing)).waiting == 1


async def test_what_is_gone_is_told_of_what_is_not_stored_alone():
    ledger = MemoryLedger("c")
    async with ledger:
        for status in (Status.INVALID, Status.FAILED, Status.REJECTED, Status.DUPLICATE):
            failure = Failure("CODE", "a reason")
            await ledger.settle(Outcome(f"{status}.wav", status, Stat(1, 1), failure=failure))
    found = await batch(Listing("", ()), ledger)
    assert set(found.gone) == {"invalid.wav", "failed.wav", "rejected.wav"}


async def test_what_is_gone_is_told():
    ledger = await with_invalid("d/gone.wav", "d/here.wav")
    found = await batch(Listing("d", (entry("d/here.wav"),)), ledger)
    assert found.gone == ["d/gone.wav"]


async def test_of_an_unreadable_folder_nothing_is_known_to_be_gone():
    """Fault 36."""
    ledger = await with_invalid("d/a.wav")
    listing = Listing("d", (), (Defect("d", "unreadable", "no permission", "chmod"),))
    found = await batch(listing, ledger)
    assert found.gone == []
    assert [defect.path for defect in found.unreadable] == ["d"]


async def test_of_an_unreadable_file_nothing_is_known_to_be_gone():
    ledger = await with_invalid("d/a.wav")
    listing = Listing("d", (), (Defect("d/a.wav", "unreadable", "no permission", "chmod"),))
    assert (await batch(listing, ledger)).gone == []


async def test_what_is_planned_again_is_paired_anew_and_nothing_beside_it_is():
    """Fault 61: a sidecar came, another recording came too, and one is gone."""
    files = {"d/a.wav": b"a", "d/a.wav.json": b"{}", "d/b.wav": b"b", "d/b.json": b"{}"}
    source = MemorySource({**files, "e/c.wav": b"c", "e/c.wav.json": b"{}", "e/c.json": b"{}"})
    async with MemoryLedger("c") as ledger:
        intake = Intake(source, ledger, b"rules", 2.0)
        again = await intake.again(["d/a.wav", "d/gone.wav", "e/c.wav", "f/x.wav"])
    assert [(job.path, job.pair.sidecar.path) for job in again.jobs] == [
        ("d/a.wav", "d/a.wav.json")
    ]
    assert [orphan.entry.path for orphan in again.orphans] == ["e/c.wav"]
    assert (again.left_out, again.gone) == (["d/gone.wav", "f/x.wav"], [])
