"""When equal default IDs stop counting: for a bad default, not for a few calls put on hold."""

import pytest
from msgspec.structs import replace
from support.ledger_cases import recording

from batch_uploader.core.changes import Claim, JudgeDefaultIds
from batch_uploader.core.identity import Identity
from batch_uploader.core.model import Container
from batch_uploader.core.ports import apply_one
from batch_uploader.core.records import ClaimAnswer, ClaimResult, Sight

KINDS = {"wav": Container.WAV, "mp3": Container.MP3, "opus": Container.OGG_OPUS}


def of_call(path, call, seconds=1.0):
    """A recording with audio of its own, and the default ID of a call."""
    plain = recording(path, path, path)
    essence = b"p" + path.encode().ljust(16, b".")
    return replace(
        plain,
        identity=Identity(essence, call.to_bytes(16, "big")),
        audio=replace(plain.audio, duration=seconds, container=KINDS[path.rpartition(".")[2]]),
    )


async def claim(ledger, each):
    """Whether it is granted, with the files of all others still there."""
    answer = await apply_one(ledger, Claim(each))
    if answer.claim is ClaimResult.LOOK:
        sights = {other.path: Sight(gone=False) for other in answer.look}
        answer = await apply_one(ledger, Claim(each, sights=sights))
    if isinstance(answer, ClaimAnswer) and answer.claim is ClaimResult.BUSY:
        pytest.fail("all calls are settled first")
    return answer.claim is ClaimResult.GRANTED


async def fill(ledger, places, lengths=(1.0,), kinds=("wav",)):
    """Several recordings of each call: ``places`` has their number by call."""
    for call, number in enumerate(places, 1):
        for index in range(number):
            path = f"{call}/{index}.{kinds[index % len(kinds)]}"
            length = lengths[index % len(lengths)]
            if await claim(ledger, of_call(path, call, length)):
                await ledger.recover(ours=True)


@pytest.mark.parametrize(
    ("places", "lengths"),
    [
        ([12], [1.0]),
        ([4], [1.0, 60.0, 120.0]),
        ([2] * 12, [1.0]),
        ([2] * 12 + [1] * 500, [1.0]),
    ],
    ids=["one everywhere", "clearly different", "many", "over two percent"],
)
async def test_what_stands_in_several_calls_stops_counting(ledger, places, lengths):
    await fill(ledger, places, lengths)
    shared = await apply_one(ledger, JudgeDefaultIds())
    assert shared is not None
    assert len(shared.examples) >= 2
    assert await claim(ledger, of_call("new.wav", 1))
    assert await apply_one(ledger, JudgeDefaultIds()) is None, "once"


@pytest.mark.parametrize(
    ("places", "lengths"),
    [
        ([2], [1.0, 60.0]),
        ([3], [1.0, 60.0, 120.0]),
        ([4], [1.0, 2.0, 60.0]),
        ([2] * 9, [1.0]),
        ([2] * 12 + [1] * 600, [1.0]),
        ([1] * 50, [1.0]),
    ],
    ids=["on hold", "twice on hold", "two lengths", "a few", "under two percent", "none"],
)
async def test_a_few_parts_of_calls_are_held(ledger, places, lengths):
    await fill(ledger, places, lengths)
    assert await apply_one(ledger, JudgeDefaultIds()) is None
    assert not await claim(ledger, of_call("new.wav", 1))


@pytest.mark.parametrize("kinds", [("wav", "mp3"), ("opus", "wav", "mp3")])
async def test_an_archive_that_keeps_each_call_in_several_formats_has_good_ids(ledger, kinds):
    """All of these are shared, and all of one length: no bad default writes that."""
    await fill(ledger, [len(kinds)] * 30, kinds=kinds)
    assert await apply_one(ledger, JudgeDefaultIds()) is None
    assert not await claim(ledger, of_call("new.wav", 1))


@pytest.mark.parametrize("lengths", [(1.0, 60.0), (1.0, 1.0, 1.0)])
async def test_formats_of_other_lengths_or_two_of_one_format_are_several_calls(ledger, lengths):
    await fill(ledger, [len(lengths)] * 30, lengths, ("wav", "mp3"))
    assert await apply_one(ledger, JudgeDefaultIds()) is not None


@pytest.mark.parametrize("length", [0.5, 300.0])
async def test_a_second_tree_of_an_archive_has_the_ids_of_the_first(ledger, length):
    """Its files were made louder, say: held, each beside the one that it was made of."""
    for tree in ("raw", "louder"):
        for call in range(20):
            if await claim(ledger, of_call(f"{tree}/{call}.wav", call + 1, length)):
                await ledger.recover(ours=True)
    assert await apply_one(ledger, JudgeDefaultIds()) is None


async def test_names_that_are_used_again_in_each_folder_save_no_bad_default(ledger):
    for folder in range(12):
        for call in range(3):
            if await claim(ledger, of_call(f"{folder}/{call}.wav", call + 1)):
                await ledger.recover(ours=True)
    assert await apply_one(ledger, JudgeDefaultIds()) is not None
