"""What a claim is answered where a recording is made of several files, by every ledger."""

import pytest
from msgspec.structs import replace
from support.ledger_cases import ended, recording, uploaded
from support.ledger_changes import settle
from support.ledger_harness import (
    GRANTED,
    KNOWN,
    busy,
    claim,
    known,
    lines,
    may_be,
    rejudge,
    upload,
)

from batch_uploader.core.changes import Forget
from batch_uploader.core.identity import CONSTANT, Cause, Identity
from batch_uploader.core.parts import Part, paths
from batch_uploader.core.ports import apply_one
from batch_uploader.core.records import ClaimResult
from batch_uploader.core.states import Status

IN, OUT = "d/call-in.wav", "d/call-out.wav"
MIX = Part("d/call.mp3", mix=True)


def heard(audio):
    return b"p" + audio.encode().ljust(16, b".")


def leg(path, audio, *, date=b""):
    return recording(path, audio, ids=Identity(heard(audio), date))


def joined(path="d/call.wav", one="I", other="O", *, legs=(IN, OUT), mix=(), date=b""):
    parts = tuple(Part(p, heard(a)) for p, a in zip(legs, (one, other), strict=True))
    whole = recording(path, one + other, ids=Identity(b"j" + heard(one + other)[1:], date))
    return replace(whole, parts=(*parts, *mix))


async def send(ledger, new, talk_id="talk-1"):
    assert await claim(ledger, new) == GRANTED
    await settle(ledger, uploaded(new.path, talk_id))


async def test_a_joined_call_is_on_record_with_its_parts(ledger):
    await send(ledger, joined(mix=(MIX,)))
    (row,) = await lines(ledger)
    assert paths(row.parts) == (IN, OUT)
    assert await claim(ledger, joined(mix=(MIX,))) == KNOWN


@pytest.mark.parametrize("path", [IN, OUT])
@pytest.mark.parametrize("audio", ["the same", "another"])
async def test_a_call_of_which_a_leg_is_on_record_is_held(ledger, path, audio):
    at = {IN: "I", OUT: "O"}[path]
    await send(ledger, leg(path, at if audio == "the same" else "X"))
    new = joined()
    assert await claim(ledger, new) == may_be(new, path, Cause.PART)


async def test_a_leg_is_known_again_at_another_place_whatever_its_ids(ledger):
    await send(ledger, leg("elsewhere/1.wav", "I", date=b"of the leg"))
    new = joined(date=b"of the call")
    assert await claim(ledger, new) == may_be(new, "elsewhere/1.wav", Cause.PART)


async def test_a_call_whose_mix_is_on_record_is_held(ledger):
    await send(ledger, leg(MIX.path, "M"))
    new = joined("d/x.wav", mix=(MIX,))
    assert await claim(ledger, new) == may_be(new, MIX.path, Cause.PART)


async def test_a_call_whose_mix_is_on_record_at_its_own_path_is_held(ledger):
    await send(ledger, leg("d/call.wav", "M"))
    new = joined(mix=(Part("d/call.wav", mix=True),))
    assert await claim(ledger, new) == may_be(new, "d/call.wav", Cause.PART)


@pytest.mark.parametrize(
    "part",
    [leg(IN, "I"), leg(OUT, "O"), leg("moved/9.wav", "O"), leg("d/call-in.mp3", "I as MP3")],
    ids=lambda each: each.path,
)
async def test_a_leg_of_a_call_on_record_is_held(ledger, part):
    await send(ledger, joined())
    assert await claim(ledger, part) == may_be(part, "d/call.wav", Cause.PART)


@pytest.mark.parametrize("path", ["d/call.mp3", "d/call.wav"])
async def test_the_mix_of_a_call_on_record_is_held(ledger, path):
    await send(ledger, joined("d/call.wav", mix=(replace(MIX, path=path),)))
    mix = leg(path, "M")
    assert await claim(ledger, mix) == may_be(mix, "d/call.wav", Cause.PART)


@pytest.mark.parametrize("path", ["e/call.mp3", "e/call.wav"])
async def test_the_mix_of_a_call_that_was_moved_is_held(ledger, path):
    await send(ledger, joined("d/call.wav", mix=(replace(MIX, path="d/call.wav"),)))
    moved = joined("e/call.wav", legs=("e/i.wav", "e/o.wav"), mix=(replace(MIX, path=path),))
    assert (await claim(ledger, moved)).claim is ClaimResult.DUPLICATE
    for _ in range(2):
        answer = await claim(ledger, leg(path, "M"))
        assert (answer.claim, answer.outcome.cause) == (ClaimResult.POSSIBLE, Cause.PART)
        assert answer.outcome.duplicate_of == "d/call.wav"
        again = await rejudge(ledger, path)
        assert again.claim is ClaimResult.POSSIBLE
    assert (await claim(ledger, leg(path, "other"))).claim is ClaimResult.POSSIBLE


async def test_what_took_the_place_of_a_duplicate_stays_held(ledger):
    await send(ledger, recording("d/1.wav", "A", ids=Identity(heard("A"))))
    moved = recording("e/1.wav", "A", ids=Identity(heard("A")))
    assert (await claim(ledger, moved)).claim is ClaimResult.DUPLICATE
    other = recording("e/1.wav", "B", ids=Identity(heard("B")))
    for _ in range(2):
        assert (await claim(ledger, other)).outcome.cause is Cause.CHANGED_AUDIO
        assert (await rejudge(ledger, "e/1.wav")).claim is ClaimResult.POSSIBLE


async def test_an_announcement_that_is_a_leg_of_many_calls_proves_nothing(ledger):
    await send(ledger, joined())
    other = joined("e/other.wav", "I", "P", legs=("e/a.wav", "e/b.wav"))
    assert await claim(ledger, other) == GRANTED


async def test_the_same_legs_the_other_way_round_are_held(ledger):
    await send(ledger, joined())
    other = joined("e/other.wav", "O", "I", legs=("e/a.wav", "e/b.wav"))
    assert await claim(ledger, other) == may_be(other, "d/call.wav", Cause.PART)


async def test_an_announcement_that_is_the_only_leg_of_several_calls_is_sent_for_each(ledger):
    one, other = (
        replace(
            recording(f"{day}/call.wav", "A", day, ids=Identity(heard("A"), day.encode())),
            parts=(Part(f"{day}/call-out.wav", heard("A")),),
        )
        for day in ("monday", "sunday")
    )
    await send(ledger, one)
    assert await claim(ledger, other) == GRANTED


async def test_a_name_that_is_used_again_is_another_call(ledger):
    await send(ledger, joined(date=b"monday"))
    await send(ledger, joined(one="J", other="P", date=b"sunday"), "talk-2")
    assert await claim(ledger, leg(IN, "K", date=b"tuesday")) == GRANTED


async def test_a_silent_leg_proves_nothing(ledger):
    silence = CONSTANT + bytes(16)
    one, other = (
        replace(joined(f"{n}.wav", n, n), parts=(Part(f"{n}/i"), Part(f"{n}/o", silence)))
        for n in "ab"
    )
    await send(ledger, one)
    assert await claim(ledger, other) == GRANTED


async def test_other_calls_are_not_compared_by_parts(ledger):
    await send(ledger, joined())
    assert await claim(ledger, leg("d/another.wav", "A"), leg("d/call-in2.wav", "B")) == [
        GRANTED,
        GRANTED,
    ]


async def test_what_is_being_sent_is_waited_for(ledger):
    assert await claim(ledger, joined()) == GRANTED
    assert await claim(ledger, leg(IN, "I")) == busy("d/call.wav")


async def test_a_leg_is_sent_once_its_call_turns_out_not_to_be_stored(ledger):
    assert await claim(ledger, joined()) == GRANTED
    await settle(ledger, ended("d/call.wav", Status.IN_DOUBT))
    part = leg(IN, "I")
    assert await claim(ledger, part) == may_be(part, "d/call.wav", Cause.PART)
    await settle(ledger, ended("d/call.wav", Status.FAILED))
    assert await rejudge(ledger, IN) == GRANTED
    assert await known(ledger, IN) is None


async def test_a_held_call_is_compared_again_by_its_parts(ledger):
    await upload(ledger, IN, "I")
    new = joined()
    held = await claim(ledger, new)
    assert await rejudge(ledger, new.path) == held
    assert held == may_be(new, IN, Cause.PART)


async def test_a_superseded_call_is_found_by_its_parts(ledger):
    """Its path has another call by now, but the talk of its legs stands."""
    await send(ledger, joined(date=b"monday"))
    await send(ledger, leg("d/call.wav", "another", date=b"sunday"), "talk-2")
    part = leg("moved/in.wav", "I")
    assert await claim(ledger, part) == may_be(part, "d/call.wav", Cause.PART)


async def test_a_call_that_was_dropped_is_not_found(ledger):
    assert await claim(ledger, joined()) == GRANTED
    await settle(ledger, ended("d/call.wav", Status.FAILED))
    await apply_one(ledger, Forget("d/call.wav"))
    assert await claim(ledger, leg(IN, "I")) == GRANTED


async def test_parts_survive_a_new_opening(opening):
    async with opening() as ledger:
        await send(ledger, joined())
    part = leg(OUT, "O")
    async with opening() as ledger:
        assert await claim(ledger, part) == may_be(part, "d/call.wav", Cause.PART)
