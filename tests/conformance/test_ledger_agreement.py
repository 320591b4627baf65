"""Random histories: both ledgers agree on each step, and what must never happen does not."""

import asyncio
import itertools
import tempfile
from collections import Counter
from contextlib import aclosing
from pathlib import Path

import hypothesis
from hypothesis import strategies as st
from msgspec.structs import replace
from support.ledger_cases import CONNECTION, ended, recording, stat, uploaded
from support.ledger_changes import forget, note, release, settle

from batch_uploader.core.changes import (
    Claim,
    JudgeDefaultIds,
    LearnIdentity,
    Rejudge,
    Release,
    Settle,
)
from batch_uploader.core.errors import LedgerError
from batch_uploader.core.identity import Cause, Identity
from batch_uploader.core.model import Container, Outcome
from batch_uploader.core.naming import stem
from batch_uploader.core.ports import apply_one
from batch_uploader.core.records import ClaimAnswer, ClaimResult, Sight
from batch_uploader.core.states import MAYBE_STORED, Status
from batch_uploader.ledgers.memory import MemoryLedger
from batch_uploader.ledgers.sqlite import LedgerReader, SqliteLedger

paths = st.sampled_from(["a.wav", "a.mp3", "a.b.wav", "d/a.wav", "d/b.wav"])
stats = st.integers(1, 3).map(lambda hour: stat(mtime_ns=hour * 3_600_000_000_000))


def essence_of(sha256):
    return b"p" + sha256[:16]


def made_of(path, audio, metadata, seen, *, date, call, length, known):
    """A recording; an unknown essence is as of an older version."""
    plain = recording(path, audio, metadata, seen=seen)
    container = Container.MP3 if path.endswith("mp3") else Container.WAV
    essence = essence_of(plain.fingerprint.sha256) if known else None
    return replace(
        plain,
        audio=replace(plain.audio, container=container, duration=length),
        identity=Identity(essence, date, call),
    )


recordings = st.builds(
    made_of,
    paths,
    st.sampled_from("ABC"),
    st.sampled_from("mn"),
    stats,
    date=st.sampled_from([b"", b"monday", b"sunday"]),
    call=st.sampled_from([b"", b"-fields-one", b"-fields-two", b"-others-one"]),
    length=st.sampled_from([10.0, 100.0, 1000.0]),
    known=st.booleans(),
)
talks = st.builds(
    lambda path, talk, seen: uploaded(path, f"talk-{talk}", seen=seen),
    paths,
    st.integers(1, 9),
    stats,
)
endings = st.builds(
    lambda path, end, seen, other: replace(
        ended(path, end[0], seen=seen, duplicate_of=other), cause=end[1]
    ),
    paths,
    st.sampled_from(
        [
            *((status, None) for status in Status if status is not Status.UPLOADED),
            (Status.DUPLICATE, Cause.SAME_AUDIO),
            (Status.FAILED, Cause.ANOTHER_CALL),
            (Status.FAILED, Cause.NO_DUPLICATE),
        ]
    ),
    stats,
    st.none() | paths,
)
gone = st.frozensets(paths)
claims = st.tuples(st.just("claim"), st.tuples(recordings, gone))
several = st.lists(
    st.one_of(
        st.builds(Claim, recordings, st.just("upload_key")),
        st.builds(Settle, talks, claimed=st.booleans()),
        st.builds(Settle, endings, claimed=st.booleans()),
        st.builds(Release, paths),
        st.builds(Rejudge, paths),
    ),
    max_size=6,
)
steps = st.one_of(
    st.tuples(st.just("several"), several),
    claims,
    claims,
    claims,
    st.tuples(st.just("rejudge"), st.tuples(paths, gone)),
    st.tuples(st.just("learn"), st.tuples(paths, stats)),
    st.tuples(st.just("default ids"), st.none()),
    st.tuples(st.just("settle"), talks),
    st.tuples(st.just("settle"), talks),
    st.tuples(st.just("settle"), endings),
    st.tuples(st.just("release"), paths),
    st.tuples(st.just("forget"), st.lists(paths, max_size=2)),
    st.tuples(st.just("recover"), st.booleans()),
    st.tuples(st.just("miss"), paths),
    st.tuples(st.just("reopen"), st.none()),
)


async def take(ledger, step, value):
    """The answer, or the words of the refusal."""
    calls = {
        "several": lambda: answers(ledger, value),
        "claim": lambda: judged(ledger, Claim(value[0], "upload_key"), value[1]),
        "rejudge": lambda: judged(ledger, Rejudge(value[0]), value[1]),
        "learn": lambda: learn_identity(ledger, *value),
        "default ids": lambda: apply_one(ledger, JudgeDefaultIds()),
        "miss": lambda: miss(ledger, value),
        "settle": lambda: settle(ledger, value, policy=b"rules"),
        "release": lambda: release(ledger, value),
        "forget": lambda: forget(ledger, value),
        "recover": lambda: ledger.recover(ours=value),
        "reopen": lambda: reopen(ledger),
    }
    try:
        return await calls[step]()
    except LedgerError as error:
        return words_of(error)


async def answers(ledger, changes):
    made = await ledger.apply(changes)
    return [words_of(each) if isinstance(each, LedgerError) else plain(each) for each in made]


def plain(answer):
    """Of records to look at only the paths: the places may leave gaps."""
    if not isinstance(answer, ClaimAnswer):
        return answer
    return replace(answer, look=tuple(each.path for each in answer.look))


async def judged(ledger, asked, gone):
    """The answer once all was seen that decides."""
    answer = await apply_one(ledger, asked)
    if answer.claim is not ClaimResult.LOOK:
        return plain(answer)
    sights = {
        each.path: Sight(each.path in gone, None if each.path in gone else seen_of(each))
        for each in answer.look
    }
    again = await apply_one(ledger, replace(asked, sights=sights))
    assert again.claim is not ClaimResult.LOOK, "all was seen"
    return plain(answer), plain(again)


def seen_of(record):
    """What its file shows."""
    essence = None if record.sha256 is None else essence_of(record.sha256)
    return Identity(essence, record.default_id or b"", record.named_id or b"")


async def learn_identity(ledger, path, seen):
    found = (await ledger.get([path])).get(path)
    if found is not None and found.sha256 is not None:
        await apply_one(ledger, LearnIdentity(path, seen, seen_of(found)))


def words_of(error):
    return str(error).partition("; note that")[0]


async def miss(ledger, path):
    doubts = [each for each in await ledger.doubts() if each.path == path]
    await note(ledger, [replace(each, first_miss=each.since) for each in doubts])


async def reopen(ledger):
    await ledger.__aexit__(None, None, None)
    await ledger.__aenter__()


PLACES = ("claimed_seq", "answered_seq", "doubt_seq", "owner")


async def known_to(ledger):
    """The records; of their places, which may leave gaps, only the order matters."""
    known = {**await ledger.known(""), **await ledger.known("d")}
    given = {(path, name): getattr(known[path], name) for path in known for name in PLACES}
    places = [None, *sorted({place for place in given.values() if place is not None})]
    ranks = {path: {name: places.index(given[path, name]) for name in PLACES} for path in known}
    return {path: replace(record, **ranks[path]) for path, record in known.items()}


async def in_order(ledger):
    """The places of doubts and canaries, of which, too, only the order matters."""
    found = [(doubt.path, doubt.doubt_seq) for doubt in await ledger.doubts()]
    found += [(canary.talk_id, canary.seq) for canary in await ledger.canaries("upload_key", 9)]
    places = sorted({place for _, place in found})
    return [(name, places.index(place)) for name, place in found]


async def lines_of(ledger):
    """All that is on record, superseded talks included, but for the places."""
    async with aclosing(ledger.rows()) as rows:
        return [replace(row, **dict.fromkeys(PLACES)) async for row in rows]


async def live(history):
    talks = set()
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder, "ledger.db")
        clocks = itertools.count(1), itertools.count(1)
        clock, other = ({"clock": each.__next__, "boot": lambda: ("boot", 1)} for each in clocks)
        sqlite = SqliteLedger(path, CONNECTION, **clock)
        memory = MemoryLedger(CONNECTION, **other)
        async with sqlite, memory:
            for step, value in history:
                answer = await take(memory, step, value)
                assert await take(sqlite, step, value) == answer
                lines, known = await lines_of(memory), await known_to(memory)
                assert await known_to(sqlite) == known
                for each in answer if step == "several" else [answer]:
                    if isinstance(each, Outcome) and each.status is Status.UPLOADED:
                        talks.add((each.path, each.talk_id))
                assert_sound(lines, known, talks)
                if step == "claim":
                    assert_granted_is_claimed(value[0], answer, known)
            # Once, since each question is a way to a thread and back.
            doubts = await memory.doubts()
            assert_all_doubts(doubts, known)
            assert await in_order(sqlite) == await in_order(memory)
        async with LedgerReader(path, CONNECTION) as reader:
            assert (await lines_of(reader), await known_to(reader)) == (lines, known)


def assert_sound(lines, known, talks):
    remembered = {(row.path, row.talk_id) for row in lines if row.status is Status.UPLOADED}
    assert talks <= remembered, "a talk ID was lost"
    named = Counter(row.talk_id for row in lines if row.talk_id is not None)
    assert all(count == 1 for count in named.values()), "a talk is two recordings"
    current = Counter(row.path for row in lines if row.path in known)
    assert set(current) == set(known)
    sent = [row for row in lines if row.status in MAYBE_STORED and row.sha256 is not None]
    sent = [row for row in sent if row.cause is not Cause.NO_DUPLICATE]
    for name, calls in (
        ("content", Counter((row.sha256, row.metadata) for row in sent)),
        ("place and audio", Counter((stem(row.path), row.sha256) for row in sent)),
    ):
        assert all(count == 1 for count in calls.values()), f"two of one {name} are sent"
    assert [row.path for row in lines] == sorted(row.path for row in lines)
    for row in lines:
        assert (row.talk_id is not None) == (row.status is Status.UPLOADED)
        assert (row.settled_at_ns is None) == (row.status is Status.CLAIMED)


def assert_all_doubts(doubts, known):
    in_doubt = [path for path, each in known.items() if each.outcome.status is Status.IN_DOUBT]
    assert [doubt.path for doubt in doubts] == sorted(in_doubt)
    for doubt in doubts:
        assert doubt.since is not None
        assert doubt.key == known[doubt.path].key


def assert_granted_is_claimed(asked, answer, known):
    last = answer[-1] if isinstance(answer, tuple) else answer
    status = known[asked.path].outcome.status if asked.path in known else None
    match last.claim:
        case ClaimResult.GRANTED:
            assert status is Status.CLAIMED
        case ClaimResult.KNOWN | ClaimResult.OUTDATED:
            assert status is not None
        case ClaimResult.DUPLICATE:
            assert status is Status.DUPLICATE
        case ClaimResult.POSSIBLE:
            assert status is Status.POSSIBLE_DUPLICATE
        case ClaimResult.BUSY:
            assert known[last.other].outcome.status is Status.CLAIMED


@hypothesis.settings(max_examples=50, deadline=None)
@hypothesis.given(st.lists(steps, min_size=20, max_size=40))
def test_both_ledgers_live_the_same_sound_life(history):
    asyncio.run(live(history))
