"""A directory and its ledger, which know each other; what processes do is in ``e2e``."""

import json
import os

import anyio
import pytest
from support.ledger_cases import CONNECTION

from batch_uploader.app.belonging import (
    Belonging,
    pointer_path,
    read_pointer,
    require_no_other_ledger,
)
from batch_uploader.core.errors import ConfigError, LedgerError
from batch_uploader.ledgers.memory import MemoryLedger


@pytest.fixture
def root(tmp_path):
    (tmp_path / "calls").mkdir()
    return tmp_path / "calls"


async def settle(path, root):
    path.touch()
    async with MemoryLedger(CONNECTION) as ledger:
        await Belonging(path, root).settle(ledger)


async def test_of_two_ledgers_at_once_one_has_the_directory(root, tmp_path):
    """Fault 92: neither saw a pointer when it began."""
    refused = []

    async def begin(path):
        try:
            await settle(path, root)
        except ConfigError:
            refused.append(path)

    for number in range(20):
        pointer_path(root).unlink(missing_ok=True)
        paths = [tmp_path / f"{number}-{name}.db" for name in "abc"]
        async with anyio.create_task_group() as group:
            for path in paths:
                group.start_soon(begin, path)
        winner = read_pointer(root).leads_to(root)
        assert set(paths) - set(refused) == {winner}
    assert [each.name for each in pointer_path(root).parent.iterdir()] == ["source.json"]


@pytest.mark.parametrize("name", ["ledger.db", "state/ledger.db"])
async def test_a_ledger_within_is_named_as_the_directory_sees_it(root, name):
    """Fault 92: so both may move together."""
    path = root / name
    path.parent.mkdir(exist_ok=True)
    await settle(path, root)
    moved = root.rename(root.with_name("moved"))
    assert read_pointer(moved).ledger == name
    assert read_pointer(moved).leads_to(moved) == moved / name


async def test_a_path_that_is_no_text_is_found_again(root, tmp_path):
    """Faults 39 and 92."""
    odd = tmp_path / os.fsdecode(b"caf\xe9")
    odd.mkdir()
    path = odd / "ledger.db"
    await settle(path, root)
    assert read_pointer(root).leads_to(root) == path
    with pytest.raises(ConfigError):
        require_no_other_ledger(root, tmp_path / "other.db")
    path.unlink()
    with pytest.raises(LedgerError, match=r" is gone \(its name is in "):
        require_no_other_ledger(root, tmp_path / "other.db")
    require_no_other_ledger(root, tmp_path / "other.db", rebuilding=True)


@pytest.mark.parametrize(
    "content", [b"", b"{", b"[]", b'{"source_id": "x"}', b"[" * 9_000, b"\xff\xfe", b"0" * 70_000]
)
async def test_a_pointer_that_cannot_be_read_is_named(root, tmp_path, content):
    """Fault 92: what it says of the ledger is not guessed."""
    await settle(tmp_path / "ledger.db", root)
    pointer_path(root).write_bytes(content)
    with pytest.raises(LedgerError, match=r"source\.json cannot be read"):
        require_no_other_ledger(root, tmp_path / "other.db")


async def test_what_a_newer_version_adds_to_a_pointer_is_left_out(root, tmp_path):
    await settle(tmp_path / "ledger.db", root)
    fields = json.loads(pointer_path(root).read_text())
    pointer_path(root).write_text(json.dumps({**fields, "more": 1}))
    assert read_pointer(root).source_id == fields["source_id"]
