"""What a claim is answered for pieces of a long file, by every ledger."""

import pytest
from msgspec.structs import replace
from support.ledger_cases import recording, uploaded
from support.ledger_changes import settle
from support.ledger_harness import GRANTED, KNOWN, claim, may_be

from batch_uploader.core.identity import CONSTANT, Cause, Identity
from batch_uploader.core.parts import Part
from batch_uploader.core.records import ClaimResult

WHOLE = "d/call.wav"
RANGES = {1: (0, 100), 2: (100, 200), 3: (200, 300)}


def heard(audio):
    return b"p" + audio.encode().ljust(16, b".")


def piece(number, audio="A", path=WHOLE, *, cut=None, date=b""):
    cut = cut or RANGES[number]
    mine = Identity(b"s" + f"{audio} {cut}".encode(), date)
    made = recording(path.replace(".wav", f"#{number}.wav"), f"{audio} {cut}", ids=mine)
    return replace(made, parts=(Part(path, heard(audio), cut=cut),))


async def send(ledger, new, talk_id="talk-1"):
    assert await claim(ledger, new) == GRANTED
    await settle(ledger, uploaded(new.path, talk_id))


@pytest.mark.parametrize("date", [b"", b"of the call"])
async def test_the_pieces_of_a_file_do_not_hold_each_other(ledger, date):
    for number in RANGES:
        await send(ledger, piece(number, date=date and date + bytes([number])), f"t{number}")
    for number in RANGES:
        new = piece(number, date=date and date + bytes([number]))
        assert await claim(ledger, new) == KNOWN


async def test_one_that_is_being_sent_does_not_keep_another_waiting(ledger):
    assert await claim(ledger, piece(1)) == GRANTED
    assert await claim(ledger, piece(2)) == GRANTED


@pytest.mark.parametrize("date", [b"", b"of the whole"])
@pytest.mark.parametrize("path", [WHOLE, "d/call.mp3", "elsewhere/x.wav"])
async def test_a_file_and_a_piece_of_it_are_never_both_sent(ledger, path, date):
    whole = recording(path, "A", ids=Identity(heard("A"), date))
    first = piece(1, date=date and b"of the piece")
    await send(ledger, whole)
    assert await claim(ledger, first) == may_be(first, path, Cause.PART)


@pytest.mark.parametrize("date", [b"", b"of the whole"])
@pytest.mark.parametrize("path", [WHOLE, "d/call.mp3", "elsewhere/x.wav"])
async def test_a_file_whose_piece_is_on_record_is_held(ledger, path, date):
    whole = recording(path, "A", ids=Identity(heard("A"), date))
    first = piece(1, date=date and b"of the piece")
    await send(ledger, first)
    assert await claim(ledger, whole) == may_be(whole, first.path, Cause.PART)


async def test_pieces_that_overlap_are_held(ledger):
    await send(ledger, piece(1))
    await send(ledger, piece(2), "talk-2")
    other = piece(3, cut=(150, 300))
    assert await claim(ledger, other) == may_be(other, "d/call#2.wav", Cause.PART)


async def test_a_new_piece_of_a_file_that_changed_is_held(ledger):
    await send(ledger, piece(1))
    other = piece(3, "B")
    assert await claim(ledger, other) == may_be(other, "d/call#1.wav", Cause.PART)


async def test_a_copy_is_a_duplicate_piece_by_piece(ledger):
    for number in RANGES:
        await send(ledger, piece(number), f"t{number}")
    for number in RANGES:
        answer = await claim(ledger, piece(number, path="copy/x.wav"))
        assert answer.claim is ClaimResult.DUPLICATE
        assert answer.outcome.duplicate_of == f"d/call#{number}.wav"


async def test_pieces_of_two_calls_and_other_recordings_are_others(ledger):
    await send(ledger, piece(1))
    await send(ledger, piece(1, "B", "d/other.wav"), "t2")
    await send(ledger, piece(2, "B", "d/other.wav"), "t3")
    await send(ledger, recording("d/third.wav", "C", ids=Identity(heard("C"))), "t4")


async def test_pieces_of_silence_hold_nothing_else(ledger):
    silence = CONSTANT + b"." * 16
    quiet = piece(1)
    quiet = replace(quiet, identity=Identity(silence), parts=(Part(WHOLE, silence, cut=RANGES[1]),))
    await send(ledger, quiet)
    await send(ledger, recording("d/other.wav", "S", ids=Identity(silence)), "t2")


async def test_a_piece_that_a_manifest_named_holds_no_other_piece_unless_the_size_differs(ledger):
    known = replace(piece(1), parts=(Part(WHOLE),))
    await send(ledger, known)
    await send(ledger, piece(2), "t2")
    larger = piece(3, "B")
    larger = replace(larger, stat=replace(larger.stat, size=larger.stat.size + 1))
    assert (await claim(ledger, larger)).claim is ClaimResult.POSSIBLE
