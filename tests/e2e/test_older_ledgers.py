"""How things stand is told of a ledger of any older version, without bringing it up to date."""

import json

import pytest
from support.ledger_cases import CONNECTION
from support.older_ledgers import ANOTHER, STATES, VERSIONS, put_ledger

from batch_uploader.core.states import Status

COMMANDS = {
    "status": ("status", "--connection-id", CONNECTION),
    "status of all": ("status",),
    "check": ("check", "--connection-id", CONNECTION),
    "manifest": ("manifest",),
    "manifest of one": ("manifest", "--connection-id", CONNECTION),
}


@pytest.fixture
def older(calls, version):
    calls.write("new.wav", "in_doubt.wav")
    put_ledger(version, calls.ledger)
    return calls


def files_of(folder):
    """All that may not change: not what SQLite lays beside a file that it reads."""
    files = [path for path in folder.rglob("*") if path.is_file()]
    assert not [path for path in files if path.name.endswith("-wal") and path.stat().st_size]
    return {
        path: (path.stat().st_mtime_ns, path.stat().st_ino, path.read_bytes())
        for path in files
        if not path.name.endswith(("-wal", "-shm"))
    }


@pytest.mark.parametrize("version", VERSIONS)
@pytest.mark.parametrize("command", COMMANDS)
def test_whoever_reads_it_leaves_it_as_it_is(older, inside, command):
    """Fault 11."""
    before = files_of(older.folder)
    name, *flags = COMMANDS[command]
    result = inside(name, older, *flags)
    assert result.code in {0, 1}, result.err
    assert files_of(older.folder) == before
    result = inside(name, older, *flags, *(() if name == "manifest" else ("--json",)))
    told = [json.loads(line) for line in result.out.splitlines()]
    assert told, result.err
    assert files_of(older.folder) == before


@pytest.mark.parametrize("version", VERSIONS)
def test_all_of_them_say_what_is_on_record(older, inside):
    status = json.loads(inside("status", older, "--connection-id", CONNECTION, "--json").out)
    counts = {word: total["recordings"] for word, total in status["totals"].items()}
    # One talk is superseded; and no run is alive that could have a claim.
    more = {"uploaded": 4, "in_doubt": 2, "claimed": 0}
    none_yet = dict.fromkeys([status.value for status in Status], 0)
    assert counts == none_yet | dict.fromkeys(STATES.values(), 1) | more
    manifest = [json.loads(line) for line in inside("manifest", older).out.splitlines()]
    told = {
        line["path"]: line["status"] for line in manifest if line["connection_id"] == CONNECTION
    }
    assert told == STATES | {"d/claimed.wav": told["d/claimed.wav"]}
    assert [line["talk_id"] for line in manifest if line["connection_id"] == ANOTHER] == [
        "talk-of-another"
    ]
    checked = inside("check", older, "--connection-id", CONNECTION)
    assert "1 recording" in checked.out
