"""Default IDs that name no calls, in a large archive: found out in seconds, and nothing is held."""

import hashlib
import sqlite3
import time
from contextlib import closing
from datetime import UTC, datetime, timedelta

import pytest
from support.ledger_cases import AUDIO, CONNECTION, stat
from support.ledger_harness import lines

from batch_uploader.core.calls import possible
from batch_uploader.core.changes import JudgeDefaultIds, Rejudge
from batch_uploader.core.identity import Cause
from batch_uploader.core.model import Metadata
from batch_uploader.core.ports import apply_all, apply_one
from batch_uploader.core.records import ClaimResult, Record
from batch_uploader.core.states import Status
from batch_uploader.ledgers.sqlite import SqliteLedger
from batch_uploader.ledgers.sqlite.encoding import encode
from batch_uploader.ledgers.sqlite.queries import PUT
from batch_uploader.prepare.callid import CallIds

MANY = 400_000
OPERATORS = 12
A_DAY = 9 * 60
"""Minutes of work."""
AT_ONCE = 5_000
SECONDS = 30
"""Of CPU time; a machine with nothing else to do takes a third of it."""


def default_id(number):
    """Of an unknown client, at a minute of half a year."""
    day, minute = divmod(number // 13 * 7919 % (180 * A_DAY), A_DAY)
    began = datetime(2025, 1, 1, 9, 0, tzinfo=UTC) + timedelta(days=day, minutes=minute)
    fields = {
        "client_id": "unknown",
        "operator_id": str(number % OPERATORS),
        "date": began.isoformat(),
    }
    return CallIds().default_id(Metadata(fields))


def recordings():
    """As a scan leaves them: the first with an ID is uploaded, and the others are set aside."""
    first = {}
    for number in range(MANY):
        path, told = f"{number % 300:03}/{number:06}.wav", default_id(number)
        assert told
        digest = hashlib.blake2b(path.encode(), digest_size=16).digest()
        other = first.setdefault(told, path)
        record = Record(
            CONNECTION,
            path,
            Status.UPLOADED,
            stat(),
            sha256=digest * 2,
            metadata=digest * 2,
            duration=AUDIO.duration,
            container=AUDIO.container,
            talk_id=f"talk-{number}",
            essence=b"p" + digest,
            default_id=told,
        )
        if other != path:
            record = Record(
                CONNECTION,
                path,
                Status.POSSIBLE_DUPLICATE,
                stat(),
                sha256=digest * 2,
                metadata=digest * 2,
                duration=AUDIO.duration,
                container=AUDIO.container,
                duplicate_of=other,
                failure=possible(Cause.SAME_DEFAULT_ID, other),
                cause=Cause.SAME_DEFAULT_ID,
                essence=b"p" + digest,
                default_id=told,
            )
        yield path.rpartition("/")[0], *encode(record)


@pytest.mark.slow
@pytest.mark.timeout(600)
async def test_four_hundred_thousand_with_an_unknown_client_are_free(tmp_path):
    path = tmp_path / "ledger.db"
    async with SqliteLedger(path, CONNECTION):
        pass
    with closing(sqlite3.connect(path)) as connection, connection:
        connection.executemany(PUT, recordings())
    async with SqliteLedger(path, CONNECTION) as ledger:
        held = [row.path for row in await lines(ledger, frozenset({Status.POSSIBLE_DUPLICATE}))]
        assert len(held) > MANY // 20
        began = time.process_time()
        shared = await apply_one(ledger, JudgeDefaultIds())
        judged = time.process_time() - began
        assert shared.shared > 0.02 * shared.total
        assert len(shared.examples) > 1
        for start in range(0, len(held), AT_ONCE):
            asked = [Rejudge(each) for each in held[start : start + AT_ONCE]]
            answers = await apply_all(ledger, asked)
            assert {answer.claim for answer in answers} == {ClaimResult.GRANTED}
        took = time.process_time() - began
        print(f"{len(held)} held; judged in {judged:.1f} s, all in {took:.1f} s")  # noqa: T201
        assert took < SECONDS
        assert await apply_one(ledger, JudgeDefaultIds()) is None, "it is said once"
