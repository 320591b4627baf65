"""A ledger that remembers the manifests that it agreed with."""

import os

import pytest
from support.ledger_cases import CONNECTION
from support.ledger_changes import remember
from support.ledger_harness import upload

from batch_uploader.app.agreement import Agreement, find_news
from batch_uploader.core.errors import LedgerError
from batch_uploader.ledgers.memory import MemoryLedger


@pytest.fixture
async def ledger():
    async with MemoryLedger(CONNECTION) as ledger:
        await upload(ledger, "a.wav", talk_id="talk of a.wav")
        yield ledger


@pytest.fixture
def manifest(tmp_path):
    return tmp_path / "manifest.jsonl"


def overwrite(path, content):
    """Other content for a file that looks as it did."""
    found = path.stat()
    with path.open("r+b") as file:
        file.write(content.ljust(found.st_size)[: found.st_size])
    os.utime(path, ns=(found.st_atime_ns, found.st_mtime_ns))


async def test_what_was_written_last_is_not_read(ledger, manifest):
    """Fault 89: of a million lines that would take longer than all else that a run does."""
    agreement = Agreement(ledger, manifest)
    await agreement.write()
    overwrite(manifest, b"not a line")
    await agreement.begin()
    os.utime(manifest)
    with pytest.raises(LedgerError, match=r"manifest\.jsonl cannot be read: line 1 is cut off"):
        await agreement.begin()


async def test_one_that_a_killed_run_wrote_is_compared_once(ledger, manifest, tmp_path):
    """Fault 89: the kill came before the ledger could remember it."""
    await Agreement(ledger, tmp_path / "another.jsonl").write()
    (tmp_path / "another.jsonl").rename(manifest)
    await remember(ledger, {"manifests": "[]"})
    agreement = Agreement(ledger, manifest)
    await agreement.begin()
    overwrite(manifest, b"not a line")
    await agreement.begin()


async def test_manifests_that_are_written_in_turns_are_all_remembered(ledger, tmp_path):
    places = [tmp_path / f"{number}.jsonl" for number in range(3)]
    for number, place in enumerate(places):
        await upload(ledger, f"{number}.wav", audio=str(number), talk_id=f"talk {number}")
        await Agreement(ledger, place).write()
    for place in places:
        overwrite(place, b"not a line")
        await Agreement(ledger, place).begin()


async def test_the_same_content_under_another_look_is_read_and_not_compared(ledger, manifest):
    await Agreement(ledger, manifest).write()
    content = manifest.read_bytes()
    manifest.unlink()
    manifest.write_bytes(content)
    os.utime(manifest, (1, 1))
    news, seal = await find_news(ledger, manifest)
    assert news is None
    assert seal.fits(manifest.stat())


async def test_what_is_no_file_tells_nothing(ledger, tmp_path):
    for place in (tmp_path, tmp_path / "none.jsonl", tmp_path / "none" / "manifest.jsonl"):
        assert await find_news(ledger, place) == (None, None)
