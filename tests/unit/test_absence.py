"""Most of what was on record is gone at once: a share may be away, so nothing is forgotten."""

import pytest
from msgspec.structs import replace
from support.engine_harness import OPTIONS, CountingSource, Harness, recordings, sidecar, wav

from batch_uploader.core import events
from batch_uploader.core.changes import Remember
from batch_uploader.core.model import Defect, Listing
from batch_uploader.core.ports import apply_one
from batch_uploader.core.states import Status

ON_PURPOSE = replace(OPTIONS, allow_empty=True)
BAD = {"0/bad.wav": b"no audio", "0/bad.json": sidecar()}


def remove(harness, *numbers):
    for n in numbers:
        for ending in ("wav", "json"):
            harness.source.remove(f"{n % 3}/call-{n}.{ending}")


def put_back(harness, *numbers):
    for path, content in recordings(max(numbers) + 1).items():
        if int(path.partition("-")[2].partition(".")[0]) in numbers:
            harness.source.put(path, content)


async def uploaded(count, more=()):
    harness = Harness(recordings(count) | dict(more))
    summary = await harness.run()
    assert (summary.counts[Status.UPLOADED], summary.gone) == (count, 0)
    return harness


async def test_nothing_is_forgotten_and_each_run_tells_until_it_is_back():
    """Fault 105."""
    harness = await uploaded(5, BAD)
    remove(harness, 0, 1, 2)
    for name in BAD:
        harness.source.remove(name)
    for _ in range(3):
        assert (await harness.run()).gone == 4
        assert harness.events(events.MostGone) == [events.MostGone(4, 6)]
        assert (await harness.statuses())["0/bad.wav"] is Status.INVALID
    put_back(harness, 0, 1, 2)
    summary = await harness.run()
    assert summary.gone == 0
    assert (await harness.statuses()).keys() == {f"{n % 3}/call-{n}.wav" for n in range(5)}
    assert len(harness.sink.talks) == 5, "nothing is sent again"


@pytest.mark.parametrize(("of", "gone", "found"), [(2, 1, 0), (3, 2, 2), (4, 2, 0), (7, 4, 4)])
async def test_more_than_half_is_most(of, gone, found):
    harness = await uploaded(of)
    remove(harness, *range(gone))
    assert (await harness.run()).gone == found


async def test_other_recordings_in_their_place_are_no_sign_that_these_are_there():
    harness = await uploaded(5)
    remove(harness, 0, 1, 2)
    for n in range(10, 20):
        harness.source.put(f"0/new-{n}.wav", wav(n))
        harness.source.put(f"0/new-{n}.json", sidecar(n=str(n)))
    summary = await harness.run()
    assert (summary.counts[Status.UPLOADED], summary.gone) == (10, 3)


async def test_new_recordings_each_night_do_not_make_less_of_what_is_gone():
    harness = await uploaded(5, BAD)
    remove(harness, 0, 1, 2)
    for name in BAD:
        harness.source.remove(name)
    for night in range(3):
        for n in range(100 + night * 10, 106 + night * 10):
            harness.source.put(f"0/new-{n}.wav", wav(n))
            harness.source.put(f"0/new-{n}.json", sidecar(n=str(n)))
        assert (await harness.run()).gone == 4
        assert harness.events(events.MostGone) == [events.MostGone(4, 6)]
        assert (await harness.statuses())["0/bad.wav"] is Status.INVALID
    put_back(harness, 0, 1, 2)
    assert (await harness.run()).gone == 0
    remove(harness, *range(5))
    assert (await harness.run()).gone == 0, "5 of 23: what was told of is over"


async def test_little_by_little_is_not_at_once():
    harness = await uploaded(9)
    for n in range(8):
        remove(harness, n)
        assert (await harness.run()).gone == 0


async def test_what_was_moved_is_not_gone():
    harness = await uploaded(4)
    files = recordings(4)
    remove(harness, *range(4))
    for path, content in files.items():
        harness.source.put(f"archive/{path}", content)
    summary = await harness.run()
    assert (summary.counts, summary.gone) == ({Status.DUPLICATE: 4}, 0)
    assert len(harness.sink.talks) == 4
    assert (await harness.run()).gone == 0


async def test_a_part_that_was_moved_does_not_excuse_the_rest():
    harness = await uploaded(9)
    files = recordings(9)
    remove(harness, *range(7))
    for path in ("0/call-0.wav", "0/call-0.json"):
        harness.source.put(f"archive/{path}", files[path])
    assert (await harness.run()).gone == 6


async def test_said_once_that_files_leave_it_is_heard_for_good():
    harness = await uploaded(5, BAD)
    remove(harness, 0, 1, 2)
    for name in BAD:
        harness.source.remove(name)
    assert (await harness.run()).gone == 4
    assert (await harness.run(options=ON_PURPOSE)).gone == 0
    assert "0/bad.wav" not in await harness.statuses()
    remove(harness, 3, 4)
    assert (await harness.run()).gone == 0


async def test_what_another_selection_leaves_out_is_not_gone():
    harness = await uploaded(6)
    files = {**recordings(6)}
    some = CountingSource(files, exclude=["0/**", "1/**"])
    assert (await harness.run(source=some)).gone == 0
    assert (await harness.run()).gone == 0
    # Each selection has its own memory.
    fewer = CountingSource({}, exclude=["0/**", "1/**"])
    assert (await harness.run(source=fewer)).gone == 2
    assert (await harness.run()).gone == 0


async def test_sidecars_whose_recordings_came_are_not_gone():
    harness = Harness({path: text for path, text in recordings(4).items() if ".json" in path})
    assert (await harness.run()).counts == {Status.INVALID: 4}
    put_back(harness, 0, 1, 2, 3)
    summary = await harness.run()
    assert (summary.counts, summary.gone) == ({Status.UPLOADED: 4}, 0)
    assert set((await harness.statuses()).values()) == {Status.UPLOADED}


async def test_a_ledger_that_does_not_say_what_was_there_proves_nothing():
    """As one of an older version, whose files may have left over the years."""
    harness = await uploaded(5)
    async with harness.ledger as ledger:
        await apply_one(ledger, Remember("absent", "{}"))
    remove(harness, 0, 1, 2)
    assert (await harness.run()).gone == 0
    remove(harness, 3)
    assert (await harness.run()).gone == 0
    remove(harness, 4)
    assert (await harness.run()).gone == 1


async def test_a_folder_that_cannot_be_listed_is_told_and_not_gone():
    class Closed(CountingSource):
        async def entries(self):
            async for listing in super().entries():
                if listing.folder == "0":
                    defect = Defect("0", "unreadable", "it cannot be read", "grant access")
                    yield Listing("0", (), (defect,))
                else:
                    yield listing

    harness = Harness(
        {
            f"{n // 4}/{n}.{ending}": content
            for n in range(5)
            for ending, content in (("wav", wav(n)), ("json", sidecar(n=str(n))))
        }
    )
    await harness.run()
    closed = Closed({path: wav(4) for path in ("1/4.wav",)} | {"0/x.wav": b""})
    summary = await harness.run(source=closed)
    assert (summary.needs_attention, summary.gone) == (2, 0)
    assert (await harness.run()).gone == 0


async def test_too_many_to_remember_are_forgotten_by_later_runs(monkeypatch):
    monkeypatch.setattr("batch_uploader.run.absence._MOST_FORGOTTEN", 2)
    bad = {f"{n}.wav": b"no audio" for n in range(5)}
    harness = await uploaded(9, bad)
    for path in bad:
        harness.source.remove(path)
    for left in (3, 1, 0):
        summary = await harness.run()
        assert summary.gone == 0
        assert len(await harness.statuses()) == 9 + left


async def test_a_run_that_is_cut_short_judges_nothing():
    harness = await uploaded(5)
    remove(harness, 0, 1, 2)
    async with harness.uploader() as uploader:
        uploader.drain("told to")
        assert (await uploader.run()).gone == 0
    assert (await harness.run()).gone == 3
