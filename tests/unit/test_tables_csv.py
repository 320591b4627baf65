"""CSV and its kin: dialects, encodings, headers, and the rows that cannot be used."""

# ruff: noqa: RUF001 - they are meant

import csv

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from support.table_harness import CDR, as_csv, read

from batch_uploader.core.errors import ConfigError

ROWS = [
    ["2026-03-27 09:25:17", "79001234567", "204", "31,5", "2026/03/27/a.wav"],
    ["2026-03-27 09:26:17", "Иванова, Анна", "205", "7", "2026/03/27/b.wav"],
    ["2026-03-27 09:27:17", 'Завод "Луч"', "206", "7", "две\r\nстроки"],
]


def values(rows):
    return [list(row.values) for row in rows]


@pytest.mark.parametrize("delimiter", [",", ";", "\t", "|"])
@pytest.mark.parametrize(
    "encoding", ["utf-8", "utf-8-sig", "utf-16", "utf-16-be", "utf-16-le", "cp1251", "koi8-r"]
)
def test_dialect_and_encoding_are_recognised(tmp_path, delimiter, encoding):
    path = tmp_path / "cdr.csv"
    path.write_bytes(as_csv([CDR, *ROWS], encoding, delimiter=delimiter))
    columns, rows, faults = read(path)
    assert columns == CDR
    assert values(rows) == ROWS
    assert not faults
    assert [row.line for row in rows] == [2, 3, 4]


TEXTS = st.text(
    st.characters(codec="utf-8", exclude_categories=["Cs"], exclude_characters="\x00"), max_size=20
)


@settings(max_examples=300, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(data=st.data())
def test_what_csv_writes_comes_back_equal(tmp_path, data):
    encoding = data.draw(st.sampled_from(["utf-8", "utf-8-sig", "utf-16", "utf-32", "cp1251"]))
    delimiter = data.draw(st.sampled_from(",;\t|:^"))
    quote = data.draw(st.sampled_from("\"'"))
    end = data.draw(st.sampled_from(["\n", "\r\n", "\r"]))
    # Python's writer does not quote a line end that is not its own.
    quoting = data.draw(st.sampled_from([0, 1, 2])) if end == "\r\n" else csv.QUOTE_ALL
    narrow = st.text(st.sampled_from("abЯё 0123,;\t|\"'\r\n"), max_size=12)
    texts = narrow if encoding == "cp1251" else TEXTS
    width = data.draw(st.integers(2, 6))
    rows = data.draw(st.lists(st.lists(texts, min_size=width, max_size=width), max_size=12))
    header = [f"column {number}" for number in range(width)]
    path = tmp_path / "any.csv"
    path.write_bytes(
        as_csv(
            [header, *rows],
            encoding,
            delimiter=delimiter,
            quotechar=quote,
            quoting=quoting,
            lineterminator=end,
        )
    )
    columns, found, faults = read(
        path, delimiter=delimiter, quote=quote, encoding=encoding, header=True
    )
    assert columns == tuple(header)
    excel = [row for row in rows if any("E+" in value for value in row)]
    assert values(found) == rows or excel
    assert not faults or excel


WORDS = st.sampled_from(
    [
        *("", "79001234567", "2026-03-27 09:25:17", "31,5", "7.5", "ANSWERED", "in", "204"),
        *("Иванова Анна", "Петров; Илья", 'ООО "Ромашка", отдел', "перезвонить\r\nзавтра"),
        *("2026/03/27/q-501.wav", "PJSIP/204-0000001a", "a|b", "tab\there", "'одна'", "№ 5 — да"),
    ]
)


@settings(max_examples=300, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(data=st.data())
def test_what_is_not_declared_is_recognised_or_refused_but_never_misread(tmp_path, data):
    encoding = data.draw(
        st.sampled_from(["utf-8", "utf-8-sig", "utf-16", "cp1251", "koi8-r", "cp866"])
    )
    dialect = {
        "delimiter": data.draw(st.sampled_from(",;\t|")),
        "quoting": data.draw(st.sampled_from([0, 1])),
    }
    width = data.draw(st.integers(2, 8))
    rows = data.draw(st.lists(st.lists(WORDS, min_size=width, max_size=width), max_size=30))
    rows = [
        [word.encode(encoding, "ignore").decode(encoding).lstrip("\ufeff") for word in row]
        for row in rows
    ]
    header = ["calldate", "имя", *[f"column {number}" for number in range(6)]][:width]
    path = tmp_path / "any.csv"
    path.write_bytes(as_csv([header, *rows], encoding, **dialect))
    try:
        columns, found, faults = read(path)
    except ConfigError as error:
        assert "encoding is unclear" in str(error)  # noqa: PT017 - it may be read as well
        assert not encoding.startswith("utf")
        return
    assert columns == tuple(header)
    assert values(found) == rows
    assert not faults


def test_a_file_of_one_encoding_that_begins_as_ascii(tmp_path):
    path = tmp_path / "cdr.csv"
    plain = [["2026-03-27", str(number), "x", "1", f"{number}.wav"] for number in range(20_000)]
    named = [["2026-03-28", name, "x", "1", "b.wav"] for name in ("Иванова Анна", "Петров Илья")]
    path.write_bytes(as_csv([CDR, *plain, *named], "cp1251"))
    _, rows, faults = read(path)
    assert [row.values[1] for row in rows[-2:]] == ["Иванова Анна", "Петров Илья"]
    assert len(rows) == 20_002
    assert not faults


def test_an_encoding_that_is_unclear_is_not_guessed(tmp_path):
    path = tmp_path / "cdr.csv"
    path.write_bytes(b"name,file\n\xe9t\xe9,a.wav\n\xfcber,b.wav\n")
    with pytest.raises(ConfigError, match=r"encoding is unclear.*encoding; it may be"):
        read(path)
    assert values(read(path, encoding="cp1252")[1]) == [["été", "a.wav"], ["über", "b.wav"]]


def test_quotes_that_are_not_doubled_are_told_with_their_line(tmp_path):
    path = tmp_path / "cdr.csv"
    path.write_bytes(
        b'"name","file"\n"Anna","a.wav"\n""Anna" <204>","b.wav"\n"Ivan "Vanya" P","c.wav"\n'
        b'"Olga","d.wav"\n'
    )
    _, rows, faults = read(path)
    assert values(rows) == [["Anna", "a.wav"], ["Olga", "d.wav"]]
    assert [(fault.line, fault.kind) for fault in faults] == [
        (3, "table-quotes"),
        (4, "table-quotes"),
    ]
    assert "doubled" in faults[0].message


def test_a_quote_that_is_never_closed_costs_one_row(tmp_path):
    path = tmp_path / "cdr.csv"
    good = b"".join(b"Anna %d,%d.wav\n" % (each, each) for each in range(20_000))
    path.write_bytes(b'name,file\n"Anna,a.wav\n' + good)
    _, rows, faults = read(path)
    assert [(fault.line, fault.kind) for fault in faults] == [(2, "table-quotes")]
    assert len(rows) == 20_000
    assert rows[0].line == 3


def test_rows_of_other_lengths_are_told_and_passed_over(tmp_path):
    path = tmp_path / "cdr.csv"
    path.write_bytes(b"a;b;c\n1;2;3\n1;2\n1;2;3;4\n1;2;3;\n\n4;5;6\n")
    _, rows, faults = read(path)
    assert values(rows) == [["1", "2", "3"], ["1", "2", "3"], ["4", "5", "6"]]
    assert [(fault.line, fault.message) for fault in faults] == [
        (3, "it has 2 values, and the table 3 columns"),
        (4, "it has 4 values, and the table 3 columns"),
    ]


def test_a_table_without_header_has_the_names_that_are_declared(tmp_path):
    path = tmp_path / "Master.csv"
    path.write_bytes(b'"","204","79001234567"\n"","205","79001234568","1774592717.512"\n')
    with pytest.raises(ConfigError, match="columns ="):
        read(path)
    columns = ("accountcode", "src", "dst", "uniqueid")
    named, rows, faults = read(path, columns=columns)
    assert named == columns
    assert values(rows) == [
        ["", "204", "79001234567", ""],
        ["", "205", "79001234568", "1774592717.512"],
    ]
    assert not faults


def test_declared_columns_that_are_the_header_are_no_row(tmp_path):
    path = tmp_path / "cdr.csv"
    path.write_bytes(b"SRC,dst\n1,2\n")
    columns, rows, _ = read(path, columns=("src", "dst"))
    assert columns == ("src", "dst")
    assert values(rows) == [["1", "2"]]


def test_columns_of_one_name_are_told_apart(tmp_path):
    path = tmp_path / "cdr.csv"
    path.write_bytes(b" date ,name,date,,name_1\n1,2,3,4,5\n")
    assert read(path)[0] == ("date_1", "name", "date_2", "column_4", "name_1")


def test_what_excel_has_rounded_is_refused_with_line_and_column(tmp_path):
    path = tmp_path / "cdr.csv"
    path.write_bytes(
        "src;file\r\n7,90012E+10;a.wav\r\n7.9E+10;b.wav\r\nE+ 10;c.wav\r\n".encode("cp1251")
    )
    _, rows, faults = read(path)
    assert [(fault.line, fault.column) for fault in faults] == [(2, "src"), (3, "src")]
    assert "7,90012E+10" in faults[0].message
    assert values(rows) == [["E+ 10", "c.wav"]]


def test_excel_may_say_itself_what_the_delimiter_is(tmp_path):
    path = tmp_path / "cdr.csv"
    path.write_bytes(b"sep=^\r\na^b\r\n1^2\r\n")
    columns, rows, _ = read(path)
    assert columns == ("a", "b")
    assert [(row.line, row.values) for row in rows] == [(3, ["1", "2"])]


def test_bytes_that_are_no_text_cost_one_row(tmp_path):
    path = tmp_path / "cdr.csv"
    path.write_bytes("name,file\nЖанна,a.wav\n".encode() + b"Iv\xffan,b.wav\nOlga,c.wav\n")
    _, rows, faults = read(path)
    assert values(rows) == [["Жанна", "a.wav"], ["Olga", "c.wav"]]
    assert [(fault.line, fault.kind) for fault in faults] == [(3, "table-encoding")]


def test_commas_within_values_do_not_make_a_delimiter(tmp_path):
    path = tmp_path / "cdr.csv"
    path.write_bytes("цена;имя;файл\n1,5;Анна;a.wav\n2,5;Ольга;b.wav\n".encode("cp1251"))
    assert read(path)[0] == ("цена", "имя", "файл")
