"""A ledger of any older version: read as it is, and brought up to date with all that it knew."""

from contextlib import aclosing

import pytest
from msgspec.structs import replace
from support.ledger_cases import AUDIO, CONNECTION, recording
from support.ledger_harness import claim, duplicate, known, lines
from support.older_ledgers import ANOTHER, STATES, VERSIONS, columns_of, put_ledger

from batch_uploader.core.identity import Cause, Identity
from batch_uploader.core.model import Container, Failure, Fingerprint, Timestamp
from batch_uploader.core.records import Sight
from batch_uploader.core.states import Status
from batch_uploader.ledgers.sqlite import LedgerReader, SqliteLedger

pytestmark = pytest.mark.parametrize("version", VERSIONS)


@pytest.fixture
def older(path, version):
    put_ledger(version, path)
    return path


async def told_by(ledger):
    """All that a run, and whoever only reads, asks of a ledger."""
    records = {**await ledger.known(""), **await ledger.known("d")}
    return (
        records,
        await lines(ledger),
        await ledger.doubts(),
        await ledger.canaries("upload_key", 9),
    )


async def test_it_holds_every_state_of_its_time(older):
    assert len({Status(word) for word in STATES.values()}) == 9
    async with LedgerReader(older, CONNECTION) as reader:
        records, *_ = await told_by(reader)
        assert {path: record.status for path, record in records.items()} == STATES


async def test_who_reads_it_sees_what_it_tells_once_it_is_brought_up_to_date(older):
    """Fault 11."""
    before = older.read_bytes()
    async with LedgerReader(older, CONNECTION) as reader:
        unmigrated = await told_by(reader)
        counts = await reader.counts()
        assert await reader.connections() == [CONNECTION, ANOTHER]
        assert await reader.runs(9) == []
        assert await reader.unheard(await lines(reader)) == []
    assert older.read_bytes() == before
    async with SqliteLedger(older, CONNECTION) as ledger:
        assert await told_by(ledger) == unmigrated
        async with aclosing(ledger.everything()) as rows:
            everything = [row async for row in rows]
    async with LedgerReader(older, CONNECTION) as reader:
        assert await told_by(reader) == unmigrated
        assert await reader.counts() == counts
    assert [row for row in everything if row.connection_id == CONNECTION] == unmigrated[1]
    others = [row.talk_id for row in everything if row.connection_id == ANOTHER]
    assert others == ["talk-of-another"]


async def test_nothing_is_lost_when_it_is_brought_up_to_date(older, version):
    """Fault 11."""
    before = columns_of(older)
    async with SqliteLedger(older, CONNECTION):
        pass
    after = columns_of(older)
    changed = {each for each in before if after[each] != before[each]}
    # Facts are what each opening notes of itself.
    assert changed <= {("facts", "name"), ("facts", "value")}
    assert (("facts", "name") in before) == (version >= 5)


async def test_all_that_was_known_of_a_recording_is(older, version):
    async with SqliteLedger(older, CONNECTION) as ledger:
        record = (await ledger.known("d"))["d/ü.wav"]
        assert (record.talk_id, record.attempts, record.duration) == ("talk-other", 3, 12.34)
        assert (record.container, record.sha256) == (Container.WAV, b"other".ljust(32, b"."))
        assert (record.stat.sidecar, record.stat.size) == ("the sidecar", 1000)
        assert (record.stat.inode is not None) == (version >= 5)
        assert 1_735_689_600 < record.claimed_at_ns / 1e9 < record.settled_at_ns / 1e9
        past = [row.talk_id for row in await lines(ledger) if row.path == "replaced.wav"]
        assert past == ["talk-before", "talk-after"]
        (doubt,) = await ledger.doubts()
        assert doubt.failure == Failure("IN_DOUBT", "why in_doubt.wav is in_doubt", "request-1")
        assert doubt.stamp_field == ("upload_key" if version >= 2 else None)
        assert isinstance(doubt.since, Timestamp) == (version >= 2)
        assert doubt.first_miss == doubt.since


async def test_what_it_left_claimed_is_in_doubt_and_all_else_goes_on(older):
    async with SqliteLedger(older, CONNECTION) as ledger:
        assert await ledger.recover() == 1
        assert [doubt.path for doubt in await ledger.doubts()] == ["d/claimed.wav", "in_doubt.wav"]


async def test_what_it_lacks_is_unknown_until_a_look_shows_it_where_it_decides(older):
    """Fault 11: a file was moved after the upgrade, and exported again."""
    async with SqliteLedger(older, CONNECTION) as ledger:
        old = await known(ledger, "up.wav")
        assert (old.essence, old.default_id, old.named_id, old.cause) == (None,) * 4
        ids = Identity(b"p heard", b"date, operator, client")
        content = Fingerprint(old.sha256, b"exported again".ljust(32, b"."))
        moved = replace(recording("moved.wav"), fingerprint=content, identity=ids)
        sights = {"up.wav": Sight(gone=False, identity=ids)}
        answer = await claim(ledger, moved, sights=sights)
        assert answer == duplicate(moved, "up.wav", Cause.SAME_AUDIO)
        learned = await known(ledger, "up.wav")
        assert learned == replace(old, essence=ids.essence, default_id=ids.default_id, named_id=b"")


async def test_what_was_uploaded_is_not_sent_again_once_it_is_converted(older):
    """Fault 11: overnight, after the upgrade, so that nothing can be learned of it."""
    async with SqliteLedger(older, CONNECTION) as ledger:
        encoded = recording("d/ü.mp3", "B", info=replace(AUDIO, container=Container.MP3))
        answer = await claim(ledger, encoded, sights={"d/ü.wav": Sight(gone=True)})
        assert answer == duplicate(encoded, "d/ü.wav", Cause.CONVERTED)
