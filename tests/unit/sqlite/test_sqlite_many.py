"""Very many recordings that are alike in something: a claim takes as long as among a few."""

import hashlib
import sqlite3
import time
from contextlib import closing

import pytest
from msgspec.structs import replace
from support.ledger_cases import CONNECTION, recording, stat, uploaded
from support.ledger_changes import settle
from support.ledger_harness import GRANTED, claim

from batch_uploader.core.identity import Cause, Identity
from batch_uploader.core.records import Record
from batch_uploader.core.states import Status
from batch_uploader.ledgers.sqlite import SqliteLedger, encoding, queries

MANY = 10_000
OLDER = "audio of an older version"
LIKE = [
    "essence",
    "default_id",
    "named_id",
    "content",
    OLDER,
    "place",
    "name",
]


def digest(number):
    return hashlib.blake2b(str(number).encode(), digest_size=16).digest()


def one(like, number):
    path, audio, metadata = f"{number}/a.wav", digest(number).hex(), f"m{number}"
    ids = Identity(b"p" + digest(number), digest(-number))
    match like:
        case "essence":
            ids = replace(ids, essence=b"p one for all")
        case "default_id":
            ids = replace(ids, default_id=b"one for all")
        case "named_id":
            ids = replace(ids, named_id=b"the code:one for all")
        case "content":
            audio, metadata = "A", "m"
        case "audio of an older version":
            audio, ids = "A", Identity()
        case "place":
            path = "a.wav"
        case "name":
            path = f"a.{number}.wav"
    return recording(path, audio, metadata, ids=ids)


def on_record(new, number, status):
    known = new.identity.essence is not None
    return Record(
        CONNECTION,
        new.path,
        status,
        stat(),
        cause=Cause.SAME_DEFAULT_ID,
        sha256=new.fingerprint.sha256,
        metadata=new.fingerprint.metadata,
        talk_id=f"talk-{number:06}" if status is Status.UPLOADED else None,
        essence=new.identity.essence,
        default_id=new.identity.default_id if known else None,
        named_id=new.identity.named_id if known else None,
    )


def put_all(path, like, status):
    """Without a run, which would take a minute."""
    table = "superseded" if like == "place" else "recordings"
    query = queries.PUT.partition(" ON CONFLICT")[0].replace("recordings", table, 1)
    with closing(sqlite3.connect(path)) as connection, connection:
        # Nobody uses a name ten thousand times.
        some = range(1000, 2000 if like == "place" else MANY)
        records = (on_record(one(like, n), n, status) for n in some)
        connection.executemany(query, (("", *encoding.encode(each)) for each in records))


async def take(path, like, numbers):
    """The CPU time of claims, those that are granted sent."""
    async with SqliteLedger(path, CONNECTION) as ledger:
        began = time.process_time()
        for number in numbers:
            new = one(like, number)
            if await claim(ledger, new) == GRANTED:
                await settle(ledger, uploaded(new.path, f"talk-{number:06}"))
        return time.process_time() - began


@pytest.mark.parametrize(
    ("like", "status"),
    [
        (like, status)
        for like in LIKE
        for status in (Status.UPLOADED, Status.POSSIBLE_DUPLICATE, Status.DUPLICATE)
        # An older version holds nothing.
        if not (like == OLDER and status is Status.POSSIBLE_DUPLICATE)
    ],
)
async def test_a_claim_takes_no_longer_for_all_that_it_is_like(path, like, status):
    """Nor for what is held: a value that every sidecar has is met each time."""
    among_few = await take(path, like, range(100))
    put_all(path, like, status)
    assert await take(path, like, range(MANY, MANY + 100)) < 4 * among_few + 0.1
