"""A ledger and its manifest through what changes the one, on a real ledger."""

import json

import pytest
from support.ledger_cases import CONNECTION, recording
from support.ledger_changes import claim_all
from support.ledger_harness import upload

from batch_uploader.app.bookkeeping import Bookkeeping
from batch_uploader.core.errors import LedgerError, LedgerGone
from batch_uploader.ledgers.places import stale_note
from batch_uploader.ledgers.sqlite import SqliteLedger


@pytest.fixture
def path(tmp_path):
    return tmp_path / "ledger.db"


@pytest.fixture
def manifest(tmp_path):
    folder = tmp_path / "calls"
    folder.mkdir()
    return folder / "manifest.jsonl"


def statuses(manifest):
    lines = map(json.loads, manifest.read_text().splitlines())
    return {line["path"]: line["status"] for line in lines}


async def test_a_kill_does_not_go_unnoticed(path, manifest):
    """Fault 2: the note is there before what the last run left is touched, and until the end."""
    async with SqliteLedger(path, CONNECTION) as ledger:
        await claim_all(ledger, [recording("a.wav")])
    async with SqliteLedger(path, CONNECTION) as ledger:
        recover = ledger.recover

        async def recorded(**how):
            assert stale_note(manifest).exists()
            return await recover(**how)

        ledger.recover = recorded
        books = Bookkeeping(ledger, manifest)
        await books.begin()
        # That one is killed here: nothing of its own changed, and the next one writes all the same.
    async with SqliteLedger(path, CONNECTION) as ledger:
        books = Bookkeeping(ledger, manifest)
        await books.begin()
        await books.finish(changed=False)
    assert statuses(manifest) == {"a.wav": "in_doubt"}
    assert not stale_note(manifest).exists()


async def test_what_is_current_is_not_written_again(path, manifest):
    async with SqliteLedger(path, CONNECTION) as ledger:
        await upload(ledger, "a.wav")
        for changed in (True, False):
            books = Bookkeeping(ledger, manifest)
            await books.begin()
            before = manifest.stat() if manifest.exists() else None
            await books.finish(changed=changed)
        assert manifest.stat() == before
        books = Bookkeeping(ledger, manifest)
        await books.begin()
        await upload(ledger, "b.wav", audio="B", talk_id="talk-2")
        await books.finish(changed=True)
    assert statuses(manifest) == {"a.wav": "uploaded", "b.wav": "uploaded"}


async def test_a_folder_that_took_the_place_of_the_manifests_is_not_written_to(path, manifest):
    async with SqliteLedger(path, CONNECTION) as ledger:
        books = Bookkeeping(ledger, manifest)
        await books.begin()
        moved = manifest.parent.rename(manifest.parent.with_name("moved"))
        manifest.parent.mkdir()
        with pytest.raises(LedgerError, match="was moved"):
            await books.finish()
    assert list(manifest.parent.iterdir()) == []
    assert stale_note(moved / manifest.name).exists()


@pytest.mark.parametrize("writes", [True, False])
async def test_a_ledger_that_is_gone_leaves_what_it_knew(path, manifest, writes):
    """Fault 6: in the manifest, or else in the error."""
    async with SqliteLedger(path, CONNECTION) as ledger:
        books = Bookkeeping(ledger, manifest if writes else None)
        await books.begin()
        await upload(ledger, "a.wav", talk_id="talk-1")
        await claim_all(ledger, [recording("b.wav", "B")])
        error = LedgerGone("it is gone")
        await books.save(error)
    if writes:
        assert statuses(manifest) == {"a.wav": "uploaded", "b.wav": "claimed"}
        assert error.__notes__ == [f"the manifest {manifest} has all that it knew"]
    else:
        assert error.__notes__ == ["a.wav is stored as talk talk-1", "b.wav may be stored"]
