"""What is decided folder by folder."""

import time

import pytest
from msgspec.structs import replace
from support.ledger_cases import recording, uploaded
from support.ledger_changes import claim_all, settle

from batch_uploader.core.model import Defect, Entry, Failure, Listing, Outcome, Version
from batch_uploader.core.states import Action, Status
from batch_uploader.ledgers.memory import MemoryLedger
from batch_uploader.plan.batch import Job, in_turn
from batch_uploader.plan.folders import FolderPlanner
from batch_uploader.plan.patience import Ages
from batch_uploader.prepare.bundle import bundle_of
from batch_uploader.prepare.describer import Sidecars
from batch_uploader.prepare.rules import SidecarMode
from batch_uploader.prepare.sidecar import Schema
from batch_uploader.sources.memory import MemorySource

NOW = time.time_ns()
SECOND = 1_000_000_000
SIDECARS = Sidecars(MemorySource({}), Schema(), SidecarMode.REQUIRED)


class OneListing(MemorySource):
    """A source that lists what it is told to."""

    def __init__(self, listing: Listing, **selection) -> None:
        super().__init__({}, **selection)
        self.listing = listing

    async def entries(self):
        yield self.listing


USUAL = Ages(2.0)


async def batch(listing, ledger=None, ages=USUAL, explain=False):
    async with ledger or MemoryLedger("c") as opened:
        planner = FolderPlanner(
            OneListing(listing), opened, SIDECARS, b"rules", ages, explain, lambda: NOW
        )
        (only,) = [each async for each in planner.batches()]
        return only


def entry(path, age=3600.0):
    return Entry(path, 100, NOW - int(age * SECOND))


async def with_invalid(*paths):
    ledger = MemoryLedger("c")
    async with ledger:
        for path in paths:
            failure = Failure("empty", "it is empty")
            await settle(ledger, Outcome(path, Status.INVALID, Version(1, 1), failure=failure))
    return ledger


async def with_each_status(extension):
    ledger = MemoryLedger("c")
    async with ledger:
        left = Status.INVALID, Status.FAILED, Status.REJECTED, Status.DUPLICATE, Status.LEFT_OUT
        for status in left:
            failure = Failure("CODE", "a reason")
            outcome = Outcome(f"{status}.{extension}", status, Version(1, 1), failure=failure)
            await settle(ledger, outcome)
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
    ledger = await with_each_status("wav")
    found = await batch(Listing("", ()), ledger)
    assert set(found.gone) == {"invalid.wav", "failed.wav", "rejected.wav", "left_out.wav"}


async def test_of_what_is_left_out_a_defect_alone_is_dropped():
    """Fault 61: a run that does not leave it out finds the defect again."""
    ledger = await with_each_status("mp3")
    listing = Listing("", (entry("a.wav"),))
    async with ledger as opened:
        source = OneListing(listing, exclude=["*.mp3"])
        planner = FolderPlanner(source, opened, SIDECARS, b"rules", Ages(2.0), False, lambda: NOW)
        (found,) = [each async for each in planner.batches()]
    assert found.gone == ["invalid.mp3", "left_out.mp3"]


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
        planner = FolderPlanner(source, ledger, SIDECARS, b"rules", Ages(2.0))
        again = await planner.again(["d/a.wav", "d/gone.wav", "e/c.wav", "f/x.wav"])
    assert [(job.path, job.bundle.sidecar.path) for job in again.jobs] == [
        ("d/a.wav", "d/a.wav.json")
    ]
    assert [orphan.entry.path for orphan in again.orphans] == ["e/c.wav"]
    assert (again.dropped, again.gone) == (["d/gone.wav", "f/x.wav"], [])


async def two_that_are_up(age=3600.0):
    """A ledger, and the entries of a folder that is as it remembers it."""
    ledger = MemoryLedger("c")
    files = [entry(f"d/{name}", age) for name in ("a.wav", "a.json", "b.wav", "b.wav.json")]
    async with ledger:
        for audio, sidecar in (files[:2], files[2:]):
            name = sidecar.path.removeprefix("d/")
            seen = Version(audio.size, audio.mtime_ns, name, sidecar.size, sidecar.mtime_ns)
            await claim_all(
                ledger, [recording(audio.path, audio.path, connection_id="c", seen=seen)]
            )
            await settle(ledger, uploaded(audio.path, audio.path, seen=seen))
    return ledger, files


class Forgetful(MemoryLedger):
    """One that is asked of no recording."""

    async def known(self, folder):
        raise AssertionError(folder)


async def test_of_a_folder_as_it_was_nothing_more_is_asked():
    ledger, files = await two_that_are_up()
    ledger.__class__ = Forgetful
    found = await batch(Listing("d", tuple(files)), ledger)
    assert (found.folder, found.already_there, found.jobs) == ("d", 2, [])


@pytest.mark.parametrize("age", [1.0, -3_600.0])
async def test_a_young_file_that_is_up_as_it_is_waits_for_nothing(age):
    """Fault 13: by a clock a little ahead or behind, what is done is not said to wait."""
    ledger, files = await two_that_are_up(age=age)
    listing = Listing("d", tuple(files))
    assert (await batch(listing, ledger)).already_there == 2
    new = entry("d/new.wav", 1.0), entry("d/new.json", 1.0)
    found = await batch(Listing("d", (*files, *new)), ledger)
    assert (found.already_there, found.waiting) == (2, 1)


FOLDERS = {
    "as it was": lambda files: files,
    "a recording is gone": lambda files: files[1:],
    "a sidecar is gone": lambda files: files[:-1],
    "all is gone": lambda _: [],
    "a new recording": lambda files: [*files, entry("d/c.wav"), entry("d/c.json")],
    "a sidecar too many": lambda files: [*files, entry("d/a.wav.json")],
    "another of the same name": lambda files: [*files, entry("d/a.mp3")],
    "a lonely sidecar": lambda files: [*files, entry("d/x.json")],
    "new audio": lambda files: [files[0]._replace(size=7), *files[1:]],
    "a touched sidecar": lambda files: [*files[:3], files[3]._replace(mtime_ns=5)],
}


@pytest.mark.parametrize("change", FOLDERS)
@pytest.mark.parametrize("unreadable", [False, True])
async def test_a_folder_at_once_is_decided_as_its_recordings_one_by_one(change, unreadable):
    ledger, files = await two_that_are_up()
    lost = (Defect("d/u.wav", "unreadable", "no permission", "chmod"),) if unreadable else ()
    listing = Listing("d", tuple(FOLDERS[change](files)), lost)
    each = await batch(listing, ledger, explain=True)
    assert await batch(listing, ledger) == replace(each, decisions=[])


def jobs_of(*files):
    return [
        Job(bundle_of(Entry(path, size, mtime), None), Action.UPLOAD, None)
        for path, size, mtime in files
    ]


def chains(jobs):
    found = []
    for first in in_turn(jobs):
        found.append([])
        job = first
        while job is not None:
            found[-1].append(job.path)
            job = job.then
    return found


def test_what_may_be_one_call_follows_the_first_of_its_folder():
    found = chains(
        jobs_of(
            ("a.wav", 9, 1),
            ("b.wav", 8, 1),
            ("a.mp3", 3, 2),
            ("copy of b.wav", 8, 1),
            ("c.wav", 8, 2),
            ("a.opus", 8, 1),
        )
    )
    assert found == [["a.wav", "a.mp3", "a.opus"], ["b.wav", "copy of b.wav"], ["c.wav"]]


def test_files_that_are_all_as_large_and_old_are_sent_at_once():
    names = [f"{number}.wav" for number in range(5)]
    assert chains(jobs_of(*((name, 8, 1) for name in names))) == [[name] for name in names]
    assert chains([]) == []
