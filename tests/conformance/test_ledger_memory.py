"""What every ledger remembers, and who may have it: reading, doubts, the lock."""

from contextlib import aclosing

import pytest
from msgspec.structs import replace
from support.ledger_cases import AUDIO, CONNECTION, ended, recording, uploaded
from support.ledger_changes import claim_all, forget, note, release, settle
from support.ledger_harness import GRANTED, LATER, bring_to, claim, known, lines, upload

from batch_uploader.core.errors import LedgerError, LedgerLocked
from batch_uploader.core.model import Failure, Timestamp
from batch_uploader.core.states import Status


def test_it_names_its_connection(opening):
    assert opening().connection_id == CONNECTION


# Reading


async def test_a_folder_is_known_without_those_below_and_beside_it(ledger):
    paths = ["r.wav", "a/x.wav", "a/y.wav", "a/b/z.wav", "ab/x.wav", "a!/x.wav", "A/x.wav"]
    for number, path in enumerate(paths):
        await claim(ledger, recording(path, f"audio {number}"))
    assert sorted(await ledger.known("")) == ["r.wav"]
    assert sorted(await ledger.known("a")) == ["a/x.wav", "a/y.wav"]
    assert sorted(await ledger.known("a/b")) == ["a/b/z.wav"]
    assert await ledger.known("none") == {}


async def test_lines_are_sorted_by_code_points_of_the_whole_path(ledger):
    paths = [
        "b",
        "a/b",
        "a.b",
        "a b",
        "a",
        "B",
        "\u044f",
        "\uffff",
        "\U0001f4de",
        "e\u0301",
        "\xe9",
    ]
    for number, path in enumerate(paths):
        await upload(ledger, path, f"audio {number}", talk_id=f"talk-{number}")
    assert [row.path for row in await lines(ledger)] == sorted(paths)


async def test_names_that_differ_in_form_or_case_are_two_recordings(ledger):
    """Fault 40."""
    paths = ["\xe9.wav", "e\u0301.wav", "CALL.wav", "call.wav"]
    for number, path in enumerate(paths):
        assert await claim(ledger, recording(path, f"audio {number}")) == GRANTED
    assert set(await ledger.known("")) == set(paths)


async def test_lines_can_be_chosen_by_status(ledger):
    for number, status in enumerate(Status):
        await bring_to(ledger, f"{status}.wav", status, audio=f"audio {number}")
    chosen = frozenset({Status.FAILED, Status.INVALID})
    assert [row.path for row in await lines(ledger, chosen)] == ["failed.wav", "invalid.wav"]
    assert await lines(ledger, frozenset()) == []
    # The duplicate and the possible one have another one each.
    assert len(await lines(ledger)) == len(Status) + 2


async def test_lines_are_those_of_one_moment_while_the_run_goes_on(ledger):
    paths = [f"{number:05}.wav" for number in range(2500)]
    await claim_all(ledger, [recording(path, path) for path in paths])
    seen = []
    async with aclosing(ledger.rows()) as rows:
        async for row in rows:
            if not seen:
                await settle(ledger, uploaded("02499.wav"))
                await claim(ledger, recording("zzz.wav", "new"))
            seen.append((row.path, row.status))
    assert seen == [(path, Status.CLAIMED) for path in paths]
    assert len(await lines(ledger)) == 2501


async def test_an_unfinished_reading_can_be_closed(ledger):
    await claim_all(ledger, [recording(f"{number}.wav", str(number)) for number in range(1500)])
    async with aclosing(ledger.rows()) as rows:
        async for _ in rows:
            break
    await claim(ledger, recording("new.wav", "new"))
    assert len(await lines(ledger)) == 1501


# Doubts

STAMP = "upload_key"


async def doubt_about(ledger, path, audio="A", *, stamp_field=STAMP):
    new = recording(path, audio)
    assert await claim_all(ledger, [new], stamp_field=stamp_field) == [GRANTED]
    await settle(ledger, ended(path, Status.IN_DOUBT, attempts=2))
    return new


async def test_a_doubt_knows_its_key_its_stamp_and_since_when_it_is_one(ledger):
    later = await doubt_about(ledger, "d/b.wav", "B", stamp_field=None)
    new = await doubt_about(ledger, "a.wav")
    await upload(ledger, "up.wav", "C")
    first, second = await ledger.doubts()
    assert (first.path, first.key, first.stamp_field) == ("a.wav", new.key, STAMP)
    assert (second.path, second.key, second.stamp_field) == ("d/b.wav", later.key, None)
    assert first.outcome == replace(
        ended("a.wav", Status.IN_DOUBT, attempts=2),
        stat=new.stat,
        duration=AUDIO.duration,
        container=AUDIO.container,
    )
    assert second.since.wall_ns < first.since.wall_ns
    assert (first.since.boot is None) == (first.since.boot_ns is None)
    assert first.first_miss is None


async def test_a_killed_run_leaves_doubts_with_the_stamp_they_were_claimed_with(opening):
    """Fault 10, as far as the search for them goes."""
    async with opening() as ledger:
        await claim_all(ledger, [recording("a.wav")], stamp_field=STAMP)
        assert await ledger.doubts() == []
    async with opening() as ledger:
        assert await ledger.recover() == 1
        (doubt,) = await ledger.doubts()
        assert (doubt.path, doubt.stamp_field, doubt.first_miss) == ("a.wav", STAMP, None)
        assert doubt.since.wall_ns == (await known(ledger, "a.wav")).settled_at_ns


async def test_what_a_look_brought_is_remembered(opening):
    """Fault 13: also by the next run."""
    async with opening() as ledger:
        await doubt_about(ledger, "a.wav")
        (doubt,) = await ledger.doubts()
        failure = Failure("HELD", "wait", "request-1")
        noted = replace(
            doubt,
            failure=failure,
            since=Timestamp(77, "boot", 5),
            first_miss=Timestamp(78, None, None),
        )
        await note(ledger, [noted])
        assert await ledger.doubts() == [noted]
    async with opening() as ledger:
        assert await ledger.recover() == 0
        assert await ledger.doubts() == [noted]
        assert (await known(ledger, "a.wav")).failure == failure
        # Reported once more it is as old as it was, and ended and begun anew it is not.
        await settle(ledger, ended("a.wav", Status.IN_DOUBT))
        (same,) = await ledger.doubts()
        assert (same.since, same.first_miss) == (noted.since, noted.first_miss)
        await settle(ledger, ended("a.wav", Status.FAILED))
        assert await ledger.doubts() == []
        await doubt_about(ledger, "a.wav")
        (new,) = await ledger.doubts()
        assert new.first_miss is None
        assert new.since.wall_ns < 77


@pytest.mark.parametrize("status", [each for each in Status if each is not Status.IN_DOUBT])
async def test_what_is_not_in_doubt_any_more_is_not_noted(ledger, status):
    await doubt_about(ledger, "a.wav")
    (doubt,) = await ledger.doubts()
    await settle(ledger, ended("a.wav", Status.FAILED))
    if status is not Status.FAILED:
        await bring_to(ledger, "a.wav", status)
    before = await known(ledger, "a.wav")
    await note(ledger, [doubt])
    assert await known(ledger, "a.wav") == before


async def test_a_note_about_other_audio_at_the_path_is_left_out(ledger):
    await doubt_about(ledger, "a.wav")
    (old,) = await ledger.doubts()
    await settle(ledger, ended("a.wav", Status.FAILED))
    await doubt_about(ledger, "a.wav", "B")
    (new,) = await ledger.doubts()
    await note(ledger, [replace(old, first_miss=Timestamp(1))])
    assert await ledger.doubts() == [new]


async def asked_for(ledger, stamp_field=STAMP, limit=9):
    """The talks of the canaries."""
    return [canary.talk_id for canary in await ledger.canaries(stamp_field, limit)]


async def test_canaries_are_what_the_service_answered_the_latest_claim_first(ledger):
    """Fault 83: in the order of the claims, whatever came when by any clock."""
    for number in range(4):
        new = recording(f"{number}.wav", str(number))
        await claim_all(ledger, [new], stamp_field=STAMP if number != 1 else "other")
    for number in (3, 0, 1, 2):
        await settle(ledger, uploaded(f"{number}.wav", f"talk-{number}"))
    await upload(ledger, "bare.wav", "bare", talk_id="talk-bare")
    await doubt_about(ledger, "doubt.wav", "doubt")
    assert await asked_for(ledger, limit=2) == ["talk-3", "talk-2"]
    assert await asked_for(ledger) == ["talk-3", "talk-2", "talk-0"]
    assert await asked_for(ledger, "other") == ["talk-1"]
    (first, *_) = await ledger.canaries(STAMP, 9)
    assert first.key == recording("3.wav", "3").key


@pytest.mark.parametrize("before", [Status.IN_DOUBT, Status.CONFLICT, Status.GIVEN_UP])
async def test_what_a_search_or_a_human_said_of_it_is_not_a_canary(ledger, before):
    """Fault 82."""
    await claim_all(ledger, [recording("a.wav")], stamp_field=STAMP)
    if before is Status.GIVEN_UP:
        await settle(ledger, ended("a.wav", Status.IN_DOUBT))
    await settle(ledger, ended("a.wav", before))
    await settle(ledger, uploaded("a.wav"))
    assert await asked_for(ledger) == []
    # Other audio at its path goes up, as ever.
    await claim_all(ledger, [recording("a.wav", "B")], stamp_field=STAMP)
    await settle(ledger, uploaded("a.wav", "talk-2"))
    assert await asked_for(ledger) == ["talk-2"]


async def test_what_was_claimed_before_a_doubt_arose_is_before_it_in_the_order(opening):
    """Faults 82 and 83: also what a killed run claimed later, and in the order of the runs."""
    async with opening() as ledger:
        await claim_all(
            ledger, [recording("0.wav", "0"), recording("1.wav", "1")], stamp_field=STAMP
        )
        await settle(ledger, ended("0.wav", Status.IN_DOUBT))
        await settle(ledger, uploaded("1.wav", "talk-1"))
        (doubt,) = await ledger.doubts()
        assert [each.seq < doubt.doubt_seq for each in await ledger.canaries(STAMP, 9)] == [True]
        await claim_all(ledger, [recording("2.wav", "2")], stamp_field=STAMP)
        await claim_all(ledger, [recording("3.wav", "3")], stamp_field=STAMP)
        await settle(ledger, uploaded("3.wav", "talk-3"))
    async with opening() as ledger:
        await ledger.recover()
        await claim_all(ledger, [recording("4.wav", "4")], stamp_field=STAMP)
        await settle(ledger, uploaded("4.wav", "talk-4"))
        first, killed = await ledger.doubts()
        canaries = await ledger.canaries(STAMP, 9)
        since = {
            each.path: [canary.talk_id for canary in canaries if canary.seq > each.doubt_seq]
            for each in (first, killed)
        }
        assert since == {"0.wav": ["talk-4", "talk-3"], "2.wav": ["talk-4"]}
        # Reported once more it is as old as it was, and so it is when a look says why it stays.
        await settle(ledger, ended("0.wav", Status.IN_DOUBT))
        await note(ledger, [replace(killed, first_miss=Timestamp(7))])
        assert [each.doubt_seq for each in await ledger.doubts()] == [
            first.doubt_seq,
            killed.doubt_seq,
        ]


# The lock and the life


async def test_one_run_at_a_time(opening):
    """Fault 9, within one process."""
    async with opening() as first:
        await claim(first, recording("a.wav"))
        with pytest.raises(LedgerLocked, match="another run"):
            await opening().__aenter__()
        await settle(first, uploaded("a.wav"))
    async with opening() as second:
        assert (await known(second, "a.wav")).outcome.talk_id == "talk-1"


async def test_a_ledger_that_is_not_entered_refuses_everything(opening):
    async with opening() as ledger:
        await claim(ledger, recording("a.wav"))
    calls = [
        ledger.recover,
        lambda: ledger.known(""),
        lambda: claim_all(ledger, [recording("b.wav")]),
        lambda: release(ledger, "a.wav"),
        lambda: settle(ledger, ended("a.wav", Status.INVALID)),
        lambda: forget(ledger, ["a.wav"]),
        ledger.doubts,
        lambda: note(ledger, []),
        lambda: ledger.canaries(STAMP, 1),
        lambda: lines(ledger),
    ]
    for call in calls:
        with pytest.raises(LedgerError, match="not open"):
            await call()


@pytest.mark.parametrize("answer", [Status.UPLOADED, Status.IN_DOUBT])
async def test_of_another_file_at_the_path_nothing_was_decided(ledger, answer):
    await bring_to(ledger, "a.wav", Status.GIVEN_UP)
    other = uploaded("a.wav") if answer is Status.UPLOADED else ended("a.wav", answer)
    other = replace(other, stat=LATER)
    with pytest.raises(LedgerError, match="not the one that was claimed"):
        await settle(ledger, other)
    assert (await known(ledger, "a.wav")).outcome.status is Status.GIVEN_UP
