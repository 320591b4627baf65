"""The manifest: what a line says, and that neither terminals nor spreadsheets are fooled by it."""

import csv
import gc
import io
import json
import re
import shutil
import stat as modes
import sys
import tempfile
from pathlib import Path

import anyio
import pytest
from hypothesis import given
from hypothesis import strategies as st
from msgspec.structs import replace
from support.interruption import cancelled, counted_tasks

from batch_uploader.core.cells import defuse, keep
from batch_uploader.core.errors import LedgerError
from batch_uploader.core.model import UNKNOWN_MTIME, Container, Failure, Version
from batch_uploader.core.parts import Part, as_json, paths
from batch_uploader.core.records import Record
from batch_uploader.core.states import Status
from batch_uploader.host.files import replace_atomically
from batch_uploader.ledgers.manifest import (
    CSV_COLUMNS,
    Format,
    export,
    mark_current,
    mark_stale,
    read_manifest,
    seal_of,
    write_manifest,
)

UP = Record(
    path="2025/01/a.wav",
    connection_id="connection-1",
    status=Status.UPLOADED,
    stat=Version(123, UNKNOWN_MTIME),
    attempts=1,
    sha256=bytes(range(32)),
    talk_id="talk-1",
    duration=12.3456789,
    container=Container.WAV,
    settled_at_ns=1_735_689_600_999_999_999,
)
REJECTED = Record(
    path="b.wav",
    connection_id="connection-1",
    status=Status.REJECTED,
    stat=Version(5, UNKNOWN_MTIME),
    attempts=2,
    settled_at_ns=1_735_689_600_000_000_000,
    failure=Failure("INVALID_ARGUMENT", "no such field", "request-1"),
)
DUPLICATE = Record(
    "connection-1",
    "c.wav",
    Status.DUPLICATE,
    Version(5, UNKNOWN_MTIME),
    duplicate_of="2025/01/a.wav",
)

# What no terminal may be told: C0, DEL and C1, line separators, and what turns text around.
CONTROLS = re.compile(
    "[\x00-\x1f\x7f-\x9f\u061c\u200e\u200f\u2028\u2029\u202a-\u202e\u2066-\u2069]"
)
names = st.text(
    st.one_of(
        st.characters(codec="utf-8"),
        st.sampled_from("=+-@,;\"'\\\t\r\n\x1b\x7f\x9b\u202e\u2028\u2067\u061c\U0001f4de"),
    ),
    min_size=1,
)


async def stream(*rows):
    for row in rows:
        yield row


async def exported(form, *rows, guard=defuse):
    target = io.BytesIO()
    assert await export(stream(*rows), target, form, guard) == len(rows)
    return target.getvalue()


def in_loop(form, *rows, guard=defuse):
    return anyio.run(lambda: exported(form, *rows, guard=guard))


# JSON lines


async def test_a_line_is_what_the_contract_says():
    text = (await exported(Format.JSONL, UP)).decode()
    assert text == (
        '{"path": "2025/01/a.wav", "status": "uploaded", "talk_id": "talk-1", '
        '"connection_id": "connection-1", '
        '"sha256": "000102030405060708090a0b0c0d0e0f101112131415161718191a1b1c1d1e1f", '
        '"size": 123, "duration": 12.346, "format": "wav", "attempts": 1, '
        '"uploaded_at": "2025-01-01T00:00:00Z", "duplicate_of": null, "error": null}\n'
    )


async def test_every_line_has_every_key():
    lines = (await exported(Format.JSONL, UP, REJECTED, DUPLICATE)).decode().splitlines()
    up, rejected, duplicate = map(json.loads, lines)
    assert list(up) == list(rejected) == list(duplicate)
    assert rejected["error"] == {"code": "INVALID_ARGUMENT", "message": "no such field"}
    assert rejected["uploaded_at"] is None
    assert (rejected["sha256"], rejected["duration"], rejected["format"]) == (None, None, None)
    assert duplicate["duplicate_of"] == "2025/01/a.wav"


@given(names, names)
def test_any_json_line_reads_back_and_is_safe_to_print(name, message):
    """Fault 64."""
    row = replace(REJECTED, path=name, failure=Failure("EIO", message))
    data = in_loop(Format.JSONL, row)
    (text, rest) = data.decode().split("\n")
    assert rest == ""
    assert not CONTROLS.search(text)
    line = json.loads(text)
    assert (line["path"], line["error"]["message"]) == (name, message)


async def test_letters_stay_readable():
    data = await exported(Format.JSONL, replace(UP, path="звонки/\U0001f4de.wav"))
    assert "звонки/\U0001f4de.wav".encode() in data


async def test_half_a_character_is_escaped():
    """Fault 39: an error text may quote a file name as the system gave it."""
    row = replace(REJECTED, failure=Failure("EIO", "cannot read \udcff"))
    assert rb'"cannot read \udcff"' in await exported(Format.JSONL, row)
    assert rb"cannot read \udcff" in await exported(Format.CSV, row)


async def test_many_rows_come_in_their_order():
    rows = [replace(UP, path=f"{number:05}.wav") for number in range(2500)]
    lines = (await exported(Format.JSONL, *rows)).splitlines()
    assert [json.loads(line)["path"] for line in lines] == [row.path for row in rows]


# CSV


async def test_csv_says_the_same():
    assert (await exported(Format.CSV, UP, REJECTED, DUPLICATE)).decode() == (
        "path,status,talk_id,connection_id,sha256,size,duration,format,attempts,uploaded_at,"
        "duplicate_of,error_code,error_message,defused\r\n"
        "2025/01/a.wav,uploaded,talk-1,connection-1,"
        "000102030405060708090a0b0c0d0e0f101112131415161718191a1b1c1d1e1f,123,12.346,wav,1,"
        "2025-01-01T00:00:00Z,,,,\r\n"
        "b.wav,rejected,,connection-1,,5,,,2,,,INVALID_ARGUMENT,no such field,\r\n"
        "c.wav,duplicate,,connection-1,,5,,,0,,2025/01/a.wav,,,\r\n"
    )


async def test_csv_without_rows_has_its_header():
    assert await exported(Format.CSV) == ",".join(CSV_COLUMNS).encode() + b"\r\n"


FORMULA = re.compile("\\s*[=+\\-@\uff1d\uff0b\uff0d\uff20](?!$)")
SEPARATORS = ",;\t|: ^~!#&%*"


@pytest.mark.parametrize("start", ["=", "+", "-", "@", "\uff1d", "\uff20"])
@pytest.mark.parametrize(
    "before", ["", " ", "x;", "x; ", 'x;"', "x|", "x, ", "\u00e9\t;", "x ", "x:", ";;'"]
)
async def test_no_cell_is_a_formula(start, before):
    """Fault 65."""
    row = replace(
        REJECTED, path=f"{before}{start}1.wav", failure=Failure("EIO", f"{before}{start}2")
    )
    text = (await exported(Format.CSV, row)).decode()
    _, (path, *_, message, defused) = csv.reader(io.StringIO(text, newline=""))
    assert path.endswith(f"'{start}1.wav")
    assert message.endswith(f"'{start}2")
    assert defused == "path error_message"


@pytest.mark.parametrize(
    "name", ["2025-01-02/+74951234567-1.wav", "a--b_-_c.wav", "A - B.wav", "x-=y", "e@x.org"]
)
async def test_a_name_without_a_formula_stays_as_it_is(name):
    text = (await exported(Format.CSV, replace(REJECTED, path=name))).decode()
    assert next(csv.DictReader(io.StringIO(text)))["path"] == name
    assert next(csv.DictReader(io.StringIO(text)))["defused"] == ""


formulas = st.text(alphabet="=+-@;,|: \t\"'ab1\u2028\uff1d", max_size=12)


@given(names | formulas, names | formulas)
def test_any_csv_has_its_shape_and_is_safe_to_open(name, message):
    """Faults 64 and 65: whatever a spreadsheet takes for the end of a cell."""
    row = replace(REJECTED, path=name, failure=Failure("EIO", message))
    text = in_loop(Format.CSV, row).decode()
    assert not CONTROLS.search(text.replace("\r\n", ""))
    header, cells = csv.reader(io.StringIO(text, newline=""), strict=True)
    assert header == list(CSV_COLUMNS)
    for separator in SEPARATORS:
        for quoting in (csv.QUOTE_MINIMAL, csv.QUOTE_NONE):
            how = {"delimiter": separator, "quoting": quoting}
            for line in csv.reader(io.StringIO(text, newline=""), **how):
                assert [cell for cell in line if FORMULA.match(cell)] == []
    changed = []
    for column, cell, original in (("path", cells[0], name), ("error_message", cells[-2], message)):
        unescaped = CONTROLS.sub(lambda found: f"\\u{ord(found[0]):04x}", original)
        assert cell.replace("'", "") == unescaped.replace("'", "")
        changed += [column] if cell != original else []
    assert cells[-1] == " ".join(changed)


@given(names | formulas)
def test_raw_cells_are_as_they_are(name):
    """Fault 65: for a join by path."""
    row = replace(REJECTED, path=name)
    text = in_loop(Format.CSV, row, guard=keep).decode()
    (line,) = csv.DictReader(io.StringIO(text, newline=""))
    assert line["path"] == name.encode("utf-8", "backslashreplace").decode()
    assert line["defused"] == ""


# The file


async def test_the_manifest_replaces_the_old_one(tmp_path):
    path = tmp_path / "manifest.jsonl"
    path.write_text("old")
    seal = await write_manifest(stream(UP, REJECTED), path)
    assert seal == seal_of(path)
    assert seal.fits(path.stat())
    assert path.read_bytes() == await exported(Format.JSONL, UP, REJECTED)
    assert list(tmp_path.iterdir()) == [path]


@pytest.mark.skipif(sys.platform == "win32", reason="Windows has no modes")
async def test_nobody_else_may_read_the_manifest(tmp_path):
    """Fault 67."""
    path = tmp_path / "manifest.jsonl"
    path.write_text("old")
    path.chmod(0o644)
    await write_manifest(stream(UP), path)
    assert modes.S_IMODE(path.stat().st_mode) == 0o600


async def failing(count, error):
    for _ in range(count):
        yield UP
    raise error


@pytest.mark.parametrize("count", [0, 1, 2500])
async def test_a_manifest_that_fails_leaves_the_old_one_whole(tmp_path, count):
    """Fault 12."""
    path = tmp_path / "manifest.jsonl"
    path.write_text("old")
    with pytest.raises(LedgerError, match="damaged"):
        await write_manifest(failing(count, LedgerError("damaged")), path)
    assert path.read_text() == "old"
    assert list(tmp_path.iterdir()) == [path]


async def test_a_manifest_that_is_cancelled_leaves_the_old_one_whole(tmp_path):
    """Fault 12."""
    path = tmp_path / "manifest.jsonl"
    path.write_text("old")

    async def endless():
        while True:
            yield UP

    with anyio.move_on_after(0.2) as scope:
        await write_manifest(endless(), path)
    assert scope.cancelled_caught
    assert path.read_text() == "old"
    assert list(tmp_path.iterdir()) == [path]


async def test_a_manifest_whose_task_is_cancelled_at_an_await_leaves_no_file_open(tmp_path):
    """Faults 3, 12: by asyncio itself, which waits for no thread."""
    path = tmp_path / "manifest.jsonl"
    at = 1
    async with counted_tasks():
        while await cancelled(write_manifest(stream(UP), path), at):
            assert {*tmp_path.iterdir()} <= {path}, at
            gc.collect()  # warns of a file that is still open
            at += 1
    assert at > 5


async def test_a_manifest_that_cannot_be_written_is_an_error_with_a_cure(tmp_path):
    with pytest.raises(LedgerError, match="; check its disk and folder, or specify another"):
        await write_manifest(stream(UP), tmp_path / "no such folder" / "manifest.jsonl")


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="needs a device that is full")
def test_what_the_stream_raises_is_the_callers():
    with Path("/dev/full").open("wb", 0) as full, pytest.raises(OSError, match="No space left"):
        anyio.run(export, stream(UP), full, Format.JSONL)


class Sluggish(io.RawIOBase):
    """Takes seven bytes at a time, as a raw pipe may."""

    def __init__(self):
        self.taken = b""

    def write(self, data):
        self.taken += bytes(data[:7])
        return len(data[:7])


@pytest.mark.parametrize("form", Format)
async def test_a_stream_that_takes_a_part_gets_it_all(form):
    sluggish = Sluggish()
    await export(stream(UP, REJECTED), sluggish, form)
    assert sluggish.taken == await exported(form, UP, REJECTED)


async def test_what_a_killed_writing_left_goes_with_the_next_one(tmp_path):
    """Fault 12: and nothing else does, such as what another manifest is being written to."""
    path = tmp_path / "manifest.jsonl"
    with replace_atomically(path):
        (half,) = tmp_path.iterdir()
        shutil.copy(half, tmp_path / f"{half.stem}2.tmp")
    with replace_atomically(tmp_path / "another.jsonl"):
        await write_manifest(stream(UP), path)
    assert sorted(each.name for each in tmp_path.iterdir()) == ["another.jsonl", "manifest.jsonl"]


async def test_a_manifest_is_behind_until_it_is_written_whole(tmp_path):
    path = tmp_path / "manifest.jsonl"
    assert mark_stale(path), "there is none"
    await write_manifest(stream(UP), path)
    assert not mark_stale(path)
    with pytest.raises(LedgerError, match="damaged"):
        await write_manifest(failing(1, LedgerError("damaged")), path)
    assert mark_stale(path)
    mark_current(path)
    assert [each.name for each in tmp_path.iterdir()] == ["manifest.jsonl"]


# And back


@given(names, names)
def test_what_was_written_is_read_as_it_was(name, message):
    """Faults 8 and 64: but for what a line does not tell."""
    failed = Record(
        "c",
        name,
        Status.FAILED,
        Version(5, UNKNOWN_MTIME),
        attempts=2,
        failure=Failure(message, message),
    )
    rows = [replace(UP, path=name, duration=1.5), failed, DUPLICATE]
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder, "manifest.jsonl")
        path.write_bytes(in_loop(Format.JSONL, *rows))
        first, *others = read_manifest(path)
    assert others == rows[1:]
    whole_seconds = UP.settled_at_ns // 10**9 * 10**9
    assert first == replace(rows[0], settled_at_ns=whole_seconds)


@pytest.mark.parametrize(
    ("old", "new"),
    [
        ('"status": "uploaded"', '"status": "up"'),
        ('"talk_id": "talk-1"', '"talk_id": null'),
        ('"sha256": "00', '"sha256": "'),
        ('"sha256": "', '"sha256": "zz'),
        ('"size": 123', '"size": "many"'),
        ('"uploaded_at": "2025', '"uploaded_at": "x'),
        ('"path": "2025/01/a.wav"', '"path": ""'),
        ("{", "["),
        ("{", "\ufffd"),
        ("{", "[" * 100_000),
        ("{", '{"x": ' * 100_000),
        ("{", '{"size": 5, '),
        ("{", '{"x": "' + "x" * 2**21 + '", '),
        ('"size": 123', '"size": 1e400'),
        ('"size": 123', '"size": NaN'),
        ('"size": 123', '"size": true'),
        ('"size": 123', '"size": -1'),
        ('"size": 123', '"size": 9223372036854775808'),
        ('"size": 123', '"size": 1' + "0" * 5000),
        ('"attempts": 1', '"attempts": [1]'),
        ('"attempts": 1', '"attempts": 1.5'),
        ('"duration": 12.346', '"duration": 1e400'),
        ('"duration": 12.346', '"duration": NaN'),
        ('"duration": 12.346', '"duration": "12"'),
        ('"duration": 12.346', '"duration": 1' + "0" * 400),
        ('"format": "wav"', '"format": {}'),
        ('"sha256": "', '"sha256": 1, "x": "'),
        ('"uploaded_at": "2025', '"uploaded_at": "9999'),
        ('"uploaded_at": "2025', '"uploaded_at": "0001'),
        ('00:00:00Z"', '00:00:00"'),
        ('"uploaded_at": "', '"uploaded_at": null, "x": "'),
        ('"duplicate_of": null', '"duplicate_of": 5'),
        ('"error": null', '"error": "no"'),
        ('"error": null', '"error": []'),
        ('"error": null', '"error": {"code": "X"}'),
        ('"path": "', '"path": "\\ud800'),
        ('"connection_id": "', '"connection_id": "\\udfff'),
        ('"talk_id": "', '"talk_id": "\\ud800'),
        ('"error": null', '"erorr": null'),
    ],
    ids=lambda text: text[:40],
)
async def test_a_line_that_nobody_wrote_is_named(tmp_path, old, new):
    """Faults 7, 12 and 101."""
    good = (await exported(Format.JSONL, REJECTED)).decode()
    bad = (await exported(Format.JSONL, UP)).decode().replace(old, new, 1)
    path = tmp_path / "manifest.jsonl"
    path.write_text(good + bad + good, "utf-8")
    with pytest.raises(LedgerError, match=r"manifest\.jsonl cannot be read: line 2 is damaged"):
        list(read_manifest(path))
    path.write_text(good + good[:-1], "utf-8")
    with pytest.raises(LedgerError, match="line 2 is cut off"):
        list(read_manifest(path))
    with pytest.raises(
        LedgerError,
        match=r"\); check it and its folder, or specify another",
    ):
        list(read_manifest(tmp_path))


async def test_a_line_tells_the_parts_and_reads_back(tmp_path):
    parts = as_json([Part("a-in.wav"), Part("a-out.wav"), Part("a.wav", mix=True)])
    text = await exported(Format.JSONL, replace(UP, parts=parts))
    assert json.loads(text)["parts"] == ["a-in.wav", "a-out.wav"]
    (tmp_path / "m.jsonl").write_bytes(text)
    (row,) = read_manifest(tmp_path / "m.jsonl")
    assert paths(row.parts) == ("a-in.wav", "a-out.wav")
