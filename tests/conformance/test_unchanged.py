"""What every ledger must say of a folder that is, or is not, as it was."""

import pytest
from support.ledger_cases import CONNECTION, ended, recording, stat, uploaded
from support.ledger_changes import claim_all, settle

from batch_uploader.core.changes import Claim
from batch_uploader.core.model import Entry
from batch_uploader.core.ports import apply_one
from batch_uploader.core.records import Likeness, Sight
from batch_uploader.core.states import Status
from batch_uploader.ledgers.memory import MemoryLedger
from batch_uploader.ledgers.sqlite import SqliteLedger

TIME_NS = stat().mtime_ns
AT_REST = {Status.UPLOADED, Status.DUPLICATE, Status.GIVEN_UP}


@pytest.fixture(params=["memory", "sqlite"])
async def ledger(request, tmp_path):
    if request.param == "sqlite":
        made = SqliteLedger(tmp_path / "ledger.db", CONNECTION)
    else:
        made = MemoryLedger(CONNECTION)
    async with made as ledger:
        yield ledger


async def up(ledger, path, sidecar):
    """Upload a recording; its two files."""
    seen = stat(sidecar=sidecar)
    # Of one place, so the file of the other one is looked at.
    sights = {other: Sight(gone=False) for other in await ledger.known(path.rpartition("/")[0])}
    await apply_one(ledger, Claim(recording(path, path, path, seen=seen), sights=sights))
    await settle(ledger, uploaded(path, f"talk of {path}", seen=seen))
    files = [Entry(path, seen.size, TIME_NS)]
    if sidecar is not None:
        folder, slash, _ = path.rpartition("/")
        files.append(Entry(folder + slash + sidecar, seen.sidecar_size, TIME_NS))
    return files


@pytest.mark.parametrize("folder", ["", "sub/", "sub/deep/"])
async def test_a_folder_as_it_was_is_unchanged_whatever_the_others_hold(ledger, folder):
    files = []
    for name, sidecar in (("a.wav", "a.json"), ("b.wav", "b.wav.json"), ("é.ogg", None)):
        files += await up(ledger, f"{folder}{name}", sidecar)
    for other in ("x/a.wav", "sub/x/a.wav", "subx/a.wav", "z.wav" if folder else "x/z.wav"):
        await up(ledger, other, "a.json")
    assert await ledger.unchanged(folder.rstrip("/"), tuple(reversed(files))) == 3


async def test_whatever_differs_is_a_change(ledger):
    files = await up(ledger, "d/a.wav", "a.json") + await up(ledger, "d/b.wav", "b.json")
    assert await ledger.unchanged("d", files) == 2
    for number, file in enumerate(files):
        without = [*files[:number], *files[number + 1 :]]
        others = (
            file._replace(size=file.size + 1),
            file._replace(mtime_ns=file.mtime_ns - 1),
            file._replace(path=f"{file.path}x"),
        )
        assert await ledger.unchanged("d", without) == 0
        for other in others:
            assert await ledger.unchanged("d", [*without, other]) == 0
    for new in ("d/c.wav", "d/a.wav.json"):
        assert await ledger.unchanged("d", [*files, Entry(new, 1000, TIME_NS)]) == 0


async def test_one_sidecar_of_two_recordings_has_to_be_looked_at(ledger):
    files = {*await up(ledger, "a.wav", "a.json"), *await up(ledger, "a.mp3", "a.json")}
    assert len(files) == 3
    assert await ledger.unchanged("", list(files)) == 0


@pytest.mark.parametrize("status", Status)
async def test_what_is_not_at_rest_has_to_be_looked_at_even_if_it_is_gone(ledger, status):
    files = await up(ledger, "b.wav", "b.json")
    if status in {Status.DUPLICATE, Status.INVALID, Status.ACKNOWLEDGED}:
        if status is Status.ACKNOWLEDGED:
            await settle(ledger, ended("a.wav", Status.INVALID, seen=stat(sidecar="a.json")))
        await settle(ledger, ended("a.wav", status, seen=stat(sidecar="a.json")))
    else:
        await claim_all(ledger, [recording("a.wav", seen=stat(sidecar="a.json"))])
        if status is Status.GIVEN_UP:
            await settle(ledger, ended("a.wav", Status.IN_DOUBT))
        if status is Status.UPLOADED:
            await settle(ledger, uploaded("a.wav"))
        elif status is not Status.CLAIMED:
            await settle(ledger, ended("a.wav", status))
    assert (await ledger.known(""))["a.wav"].outcome.status is status
    assert await ledger.unchanged("", files) == 0
    size = stat().sidecar_size
    both = [*files, Entry("a.wav", 1000, TIME_NS), Entry("a.json", size, TIME_NS)]
    assert await ledger.unchanged("", both) == (2 if status in AT_REST else 0)


async def test_what_these_filters_left_out_is_as_it_was_and_counted_by_filter(ledger):
    files = await up(ledger, "d/b.wav", "b.json")
    assert await ledger.left_out("d") == {}
    for number, code in enumerate(["sample", "sample", "min-length"]):
        path = f"d/{number}.wav"
        left = ended(path, Status.LEFT_OUT, seen=stat(sidecar=None), code=code)
        await settle(ledger, left, policy=b"these")
        files.append(Entry(path, stat().size, TIME_NS))
    await settle(ledger, ended("e/a.wav", Status.LEFT_OUT), policy=b"these")
    for by in Likeness:
        entries = [file._replace(inode=None) for file in files]
        for ranges in ([(b"these", b"these")], [(b"a", b"b"), (b"these", b"these"), (b"b", b"a")]):
            assert await ledger.unchanged("d", entries, by, ranges) == 4
        assert await ledger.unchanged("d", entries, by, [(b"them", b"they")]) == 4
        for ranges in ([], [(b"others", b"others")], [(b"thesf", b"a"), (b"", b"thes")]):
            assert await ledger.unchanged("d", entries, by, ranges) == 0
    assert await ledger.left_out("d") == {"sample": 2, "min-length": 1}
    await settle(ledger, ended("e/a.wav", Status.INVALID, seen=stat(sidecar=None)), policy=b"these")
    defective = [Entry("e/a.wav", stat().size, TIME_NS)]
    assert await ledger.unchanged("e", defective, Likeness.CTIME, [(b"these", b"these")]) == 0


async def test_what_another_connection_has_is_nothing_to_this_one(tmp_path):
    async with SqliteLedger(tmp_path / "ledger.db", "another") as another:
        seen = stat(sidecar=None)
        await claim_all(another, [recording("a.wav", connection_id="another", seen=seen)])
        await settle(another, uploaded("a.wav", seen=seen))
        files = [Entry("a.wav", seen.size, TIME_NS)]
        assert await another.unchanged("", files) == 1
    async with SqliteLedger(tmp_path / "ledger.db", CONNECTION) as ledger:
        assert await ledger.unchanged("", files) == 0


async def test_a_folder_of_nothing_has_no_recordings(ledger):
    assert await ledger.unchanged("", ()) == 0
