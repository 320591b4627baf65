"""Tables in JSON and XLSX."""

import datetime as dt
import json
import sys

import pytest
from support.table_harness import Folder, age, wanted

from batch_uploader.core.errors import ConfigError
from batch_uploader.prepare.about.tables import names

ROWS = [
    {"uid": "u1", "file": "1.wav", "billsec": 31, "who": {"name": "Жанна"}, "ok": True},
    {"uid": "u2", "file": "2.wav", "billsec": 7.5, "who": None},
    {"uid": "u3", "file": None},
]


@pytest.fixture
def folder(tmp_path):
    return Folder(tmp_path)


def found(folder, name, *paths, **more):
    with folder.table(name, **{"column": "file"} | more) as table:
        return [table.about(wanted(path)) for path in paths], table.faults(), table.rows


def as_lines(rows):
    return "".join(json.dumps(row, ensure_ascii=False) + "\n" for row in rows).encode()


@pytest.mark.parametrize("indent", [None, 2])
@pytest.mark.parametrize("name", ["calls.json", "calls.jsonl"])
def test_a_list_and_an_object_a_line(folder, name, indent):
    content = json.dumps(ROWS, indent=indent).encode() if "jsonl" not in name else as_lines(ROWS)
    folder.write(name, content)
    [one, two, none], faults, count = found(folder, name, "1.mp3", "2.wav", "3.wav")
    assert one.fields == ROWS[0]
    assert two.fields == ROWS[1]
    assert none is None
    assert (faults, count) == ([], 3)
    if "jsonl" in name:
        assert (one.origin, two.origin) == ("calls.jsonl, line 1", "calls.jsonl, line 2")


@pytest.mark.parametrize("indent", [None, 2])
@pytest.mark.parametrize(
    "answer",
    [
        {"result": ROWS, "total": 3},
        {"jsonrpc": "2.0", "result": {"metadata": {"tags": [{"n": 1}]}, "data": ROWS}},
        {"list": [], "names": ["x"], "pages": {"first": {"calls": ROWS}}},
    ],
)
def test_the_answer_of_an_api_as_it_was_saved(folder, answer, indent):
    folder.write("calls.json", json.dumps(answer, indent=indent).encode())
    [one, none], faults, count = found(folder, "calls.json", "1.mp3", "3.wav")
    assert (one.fields, none, faults, count) == (ROWS[0], None, [], 3)


@pytest.mark.parametrize("name", ["calls.json", "calls.jsonl"])
def test_a_single_row_with_a_list_in_it_is_no_answer(folder, name):
    row = {"file": "1.wav", "employees": [{"file": "2.wav"}]}
    folder.write(name, as_lines([row]))
    [one, two], faults, count = found(folder, name, "1.mp3", "2.mp3")
    assert (one.fields, two, faults, count) == (row, None, [], 1)


def test_objects_a_line_may_be_in_a_json_file(folder):
    folder.write("calls.json", as_lines(ROWS))
    with folder.table("calls.json", column="file") as table:
        before = table.generation
    folder.append("calls.json", as_lines([{"file": "4.wav"}]))
    with folder.table("calls.json", column="file") as table:
        assert table.about(wanted("4.wav")).origin == "calls.json, line 4"
        assert table.changed_since(before) == {names.key("4")}


def test_a_list_larger_than_what_is_read_at_once_has_its_lines(folder):
    rows = [{"file": f"{number}.wav", "text": "ж\n" * (number % 50)} for number in range(20_000)]
    folder.write("calls.json", json.dumps(rows, indent=1, ensure_ascii=False).encode("utf-16"))
    [first, last], faults, count = found(folder, "calls.json", "0.wav", "19999.wav")
    assert first.origin == "calls.json, line 2"
    assert last.origin == "calls.json, line 79998"
    assert last.fields == rows[-1]
    assert (faults, count) == ([], 20_000)


def test_a_list_within_an_object(folder):
    folder.write("calls.json", json.dumps({"data": {"calls": ROWS}}).encode())
    [one], _, _ = found(folder, "calls.json", "1.wav", records="data.calls")
    assert one.fields == ROWS[0]
    with pytest.raises(ConfigError, match=r"no column other; its columns are data; or .* records"):
        found(folder, "calls.json", "1.wav", column="other")
    folder.write("null.jsonl", as_lines([{"file": None}, {"file": ""}]))
    assert found(folder, "null.jsonl", "1.wav") == ([None], [], 2)
    with pytest.raises(ConfigError, match="no list at calls"):
        found(folder, "calls.json", "1.wav", records="calls")
    folder.write("calls.json", json.dumps({"data": ROWS}, indent=1).encode())
    with pytest.raises(ConfigError, match="where its list is with records"):
        found(folder, "calls.json", "1.wav", column="other")


def test_a_column_within_lists_and_objects(folder):
    """Amazon Connect: one contact, several recordings."""
    rows = [
        {"id": "a", "Recordings": [{"Location": "bucket/x/1.wav"}, {"Location": "bucket/x/2.wav"}]},
        {"id": "b", "Recordings": []},
        {"id": "c", "Recordings": None},
    ]
    folder.write("calls.jsonl", as_lines(rows))
    column = "Recordings.Location"
    both, faults, _ = found(folder, "calls.jsonl", "x/1.wav", "x/2.wav", column=column)
    assert [each.fields["id"] for each in both] == ["a", "a"]
    assert not faults


def test_one_bad_line_does_not_stop_the_others(folder):
    good = as_lines(ROWS[:2]).splitlines(keepends=True)
    bad = [b'{"a": 1,}\n', b"[1]\n", b'{"a": NaN}\n', b'{"a": 1, "a": 2}\n', b'{"a":"\xff"}\n']
    bad.append(b'{"file": "\\ud800"}\n')
    folder.write("calls.jsonl", b"".join([good[0], *bad, good[1]]))
    both, faults, _ = found(folder, "calls.jsonl", "1.wav", "2.wav")
    assert [each.fields["uid"] for each in both] == ["u1", "u2"]
    assert [fault.message.partition(":")[0] for fault in faults] == [
        f"line {number}" for number in range(2, 8)
    ]


def test_a_list_that_is_broken_is_read_as_far_as_it_is_whole(folder):
    content = json.dumps(ROWS[:2], indent=1)
    for name, broken, line in (
        ("cut.json", content.rpartition("}")[0], 16),
        ("bad.json", content.replace('"u2"', "u2"), 12),
        ("open.json", content.rpartition("{")[0], 0),
    ):
        folder.write(name, broken.encode())
        [one, two], [fault], _ = found(folder, name, "1.wav", "2.wav")
        assert one.fields["uid"] == "u1"
        assert two is None
        where = f"invalid JSON at line {line}," if line else "it ends within its list"
        assert fault.message.startswith(f"line 11: {where}")


def sheet(folder, name, rows, more=()):
    openpyxl = pytest.importorskip("openpyxl")
    book = openpyxl.Workbook()
    for row in rows:
        book.active.append(row)
    for title, others in more:
        added = book.create_sheet(title)
        for row in others:
            added.append(row)
    book.save(folder.path / name)
    age(folder.path / name)


def test_a_sheet(folder):
    time = dt.datetime(2026, 3, 27, 9, 25, 17)  # noqa: DTZ001 - Excel has no zones
    rows = [
        ["uid", "file", "start", "phone", None],
        [1774592717, "1.wav", time, 79001234567],
        [],
        ["u2", "2.wav", "27.03.2026", None],
    ]
    sheet(folder, "cdr.xlsx", rows, [("other", [["file"], ["3.wav"]])])
    [one, two, none], faults, count = found(folder, "cdr.xlsx", "1.wav", "2.wav", "3.wav")
    assert one.fields == {
        "uid": 1774592717,
        "file": "1.wav",
        "start": "2026-03-27 09:25:17",
        "phone": 79001234567,
    }
    assert one.origin == "cdr.xlsx, line 2"
    assert two.fields["phone"] is None
    assert (none, faults, count) == (None, [], 2)
    [third], _, _ = found(folder, "cdr.xlsx", "3.wav", sheet="other")
    assert third
    with pytest.raises(ConfigError, match="its sheets are Sheet, other"):
        found(folder, "cdr.xlsx", "3.wav", sheet="first")


def test_what_excel_has_damaged_is_refused_with_line_and_column(folder):
    rows = [
        ["uid", "file"],
        [1774592717512345678, "1.wav"],
        ["#N/A", "2.wav"],
        ["u3", "3.wav", "beyond"],
        ["u4", "4.wav"],
    ]
    sheet(folder, "cdr.xlsx", rows)
    [*bad, good], faults, _ = found(folder, "cdr.xlsx", "1.wav", "2.wav", "3.wav", "4.wav")
    assert bad == [None, None, None]
    assert good.fields["uid"] == "u4"
    assert [(fault.kind, fault.field) for fault in faults] == [
        ("table-rounded", "uid"),
        ("table-formula", "uid"),
        ("table-columns", None),
    ]


def test_what_is_no_sheet(folder, monkeypatch):
    folder.write("cdr.xlsx", b"PK nonsense")
    with pytest.raises(ConfigError, match=r"cdr\.xlsx: it is not an XLSX file"):
        found(folder, "cdr.xlsx", "1.wav")
    folder.write("cdr.xls", b"")
    with pytest.raises(ConfigError, match="save it as XLSX or CSV"):
        found(folder, "cdr.xls", "1.wav")
    monkeypatch.setitem(sys.modules, "openpyxl", None)
    with pytest.raises(ConfigError, match=r"pip install 'batch-uploader\[xlsx\]'"):
        found(folder, "cdr.xlsx", "1.wav")
