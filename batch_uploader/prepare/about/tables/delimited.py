"""Tables as text with delimiters: CSV and its kin, however they are quoted and encoded.

Parsed strictly: a row with a quote in the wrong place, or with fewer or more values than there are
columns, is a fault with its line, and the rows after it are read.
"""

import csv
import re
from collections.abc import Iterator, Mapping, Sequence
from typing import BinaryIO, Final

from msgspec import Struct, convert, to_builtins

from batch_uploader.core.errors import ConfigError
from batch_uploader.prepare.about.tables.lines import SAMPLE, Lines, recognise
from batch_uploader.prepare.about.tables.rows import Place, Row, RowFault, shown, unique

_DELIMITERS: Final = ",;\t|"
_LINES_SAMPLED: Final = 200
_EXCEL: Final = re.compile(r"[+-]?[0-9](?:[.,][0-9]+)?E\+[0-9]{1,3}")
_SEP: Final = re.compile(r'"?sep=(.)"?[\r\n]*', re.IGNORECASE)
_NO_NAME: Final = re.compile(r"[+-]?[0-9][0-9 .,:/T+-]*")


_EXPORT_AGAIN: Final = (
    "export the table again, and do not save it with Excel, or format the column as text before"
)


class Dialect(Struct, frozen=True):
    """How values are told from each other: the words are those of Python's ``csv``."""

    delimiter: str = ","
    quote: str | None = '"'
    escape: str | None = None
    spaces: bool = False

    def reader(self, lines: Iterator[str]) -> Iterator[list[str]]:
        """Python's parser of this dialect."""
        return csv.reader(
            lines,
            delimiter=self.delimiter,
            quotechar=self.quote,
            quoting=csv.QUOTE_MINIMAL if self.quote else csv.QUOTE_NONE,
            doublequote=True,
            escapechar=self.escape,
            skipinitialspace=self.spaces,
            strict=True,
        )


class Written(Struct, frozen=True):
    """How a table is declared to be written; None is recognised.

    ``header`` is whether its first row names the columns, ``columns`` are the names if it does not.
    """

    encoding: str | None = None
    delimiter: str | None = None
    quote: str | None = None
    escape: str | None = None
    header: bool | None = None
    columns: tuple[str, ...] = ()


class _Form(Struct, frozen=True):
    encoding: str
    dialect: Dialect
    columns: tuple[str, ...]
    begin: int
    line: int
    header: bool


class DelimitedReader:
    """A CSV file; ``form`` is that of the file when it was read before. Raises ConfigError."""

    def __init__(
        self, file: BinaryIO, written: Written, form: Mapping[str, object] | None = None
    ) -> None:
        self._file = file
        self._form = convert(form, _Form) if form else _recognised(file, written)
        self.columns = self._form.columns
        self._lines = Lines(file, self._form.encoding, Place(self._form.begin, self._form.line))
        self.unfinished: Place | None = None

    @property
    def form(self) -> Mapping[str, object]:
        """As ``Reader`` has it."""
        found: dict[str, object] = to_builtins(self._form)
        return found | {"encoding": self._lines.encoding}

    @property
    def place(self) -> Place:
        """As ``Reader`` has it."""
        return Place(self._lines.end, self._lines.line + 1)

    def read(self, begin: Place) -> Iterator[Row | RowFault]:
        """As ``Reader`` has it."""
        form = self._form
        if begin.offset < form.begin:
            begin = Place(form.begin, form.line)
        lines = self._lines = Lines(self._file, form.encoding, begin)
        reader = form.dialect.reader(lines)
        width = len(form.columns)
        given = lines.given
        while True:
            try:
                values = next(reader)
            except StopIteration:
                return
            except csv.Error as error:
                yield self._fault("table-quotes", *_misquoted(str(error)))
                continue
            if not lines.whole:
                self.unfinished = lines.begin
            if (
                len(values) == width
                and len(given) == 1
                and not lines.invalid
                and "E+" not in given[0][0]
            ):
                yield Row(lines.line, values)
                given.clear()
            elif values or len(given) > 1:
                yield self._checked(values)
            else:
                given.clear()  # a blank line

    def _checked(self, values: list[str]) -> Row | RowFault:
        form, lines = self._form, self._lines
        width = len(form.columns)
        if lines.invalid:
            message = f"it is not {lines.encoding}"
            return self._fault("table-encoding", message, "write it again, or specify encoding")
        while len(values) > width and not values[-1]:
            values.pop()  # a delimiter at the end
        if len(values) < width and not form.header:
            values.extend([""] * (width - len(values)))  # such logs gain columns with time
        if len(values) != width:
            message = f"it has {len(values):,} values, and the table {width:,} columns"
            cure = "look for a missing quote or delimiter there and in the line before"
            return self._fault("table-columns", message, cure)
        first = lines.begin.line
        lines.forget()
        for name, value in zip(form.columns, values, strict=True):
            if _EXCEL.fullmatch(value):
                message = f"{value} is a number that Excel has rounded"
                return RowFault(first, "table-rounded", message, _EXPORT_AGAIN, name)
        return Row(first, values)

    def _fault(self, kind: str, message: str, cure: str) -> RowFault:
        if not self._lines.whole:
            self.unfinished = self._lines.begin
        # Perhaps only the first of the lines is wrong: the others are read again.
        self._lines.back_to_second()
        return RowFault(self._lines.line, kind, message, cure)


def _misquoted(error: str) -> tuple[str, str]:
    if "field larger" in error or "end of data" in error:
        return "a quote is never closed", 'close it, or double it if it is part of a value ("")'
    return (
        "a quote within a value is not doubled",
        'write "" for each quote within a value; a program that cannot do so may write JSON',
    )


def _recognised(file: BinaryIO, written: Written) -> _Form:
    file.seek(0)
    sample = file.read(SAMPLE)
    encoding, mark = recognise(sample, written.encoding)
    begin = Place(mark)
    texts = _begin(file, encoding, begin)
    said = _SEP.fullmatch(texts[0]) if texts else None
    if said:
        begin = Place(mark + len(texts[0].encode(encoding)), 2)
        texts = texts[1:]
    dialect = _dialect(texts, written, said[1] if said else None)
    lines = Lines(file, encoding, begin)
    try:
        first = next((row for row in dialect.reader(lines) if row), [])
    except csv.Error:
        raise ConfigError(
            f"line {begin.line}: its first row cannot be read: a quote is in the wrong place",
            hint="fix it there, or specify its delimiter",
        ) from None
    header = has_header(first, written)
    columns = unique(first) if header else written.columns
    if header and first and not lines.whole:
        columns = ()  # it is still being written
    elif header:
        begin = Place(lines.end, lines.line + 1)
        if written.columns:
            columns = unique(written.columns)
    return _Form(lines.encoding, dialect, columns, begin.offset, begin.line, header)


def _begin(file: BinaryIO, encoding: str, begin: Place) -> list[str]:
    lines = Lines(file, encoding, begin)
    found = []
    for text in lines:
        found.append(text)
        if len(found) == _LINES_SAMPLED or lines.end > SAMPLE:
            break
    return found


def has_header(first: Sequence[str], written: Written) -> bool:
    """Whether the first row names the columns. Raises ConfigError if it seems not to."""
    if written.header is not None:
        if not written.header and not written.columns:
            raise ConfigError("its columns have no names", hint="specify columns as well")
        return written.header
    if written.columns:
        names = [name.strip().casefold() for name in first]
        return names == [name.strip().casefold() for name in written.columns]
    if odd := next((value for value in first if _NO_NAME.fullmatch(value.strip())), None):
        raise ConfigError(
            f"its first row seems to be no header: it has the value {shown(odd)}",
            hint='name its columns: columns = ["calldate", "src", ...]; or specify header = true',
        )
    return True


def _dialect(texts: Sequence[str], written: Written, said: str | None) -> Dialect:
    """The dialect with which most of these lines have as many values as the first one."""
    quote = written.quote if written.quote is not None else '"'
    delimiters = written.delimiter or said or _DELIMITERS
    found = []
    for spaces in (False, True):
        for order, delimiter in enumerate(delimiters):
            dialect = Dialect(delimiter, quote or None, written.escape, spaces)
            lengths = list(_lengths(dialect, texts)) or [0]
            width = lengths[0]
            alike = lengths.count(width) / len(lengths)
            found.append((width > 1, alike, not spaces, width, -order, dialect))
    return max(found, key=lambda each: each[:-1])[-1]


def _lengths(dialect: Dialect, texts: Sequence[str]) -> Iterator[int]:
    reader = dialect.reader(iter(texts))
    while True:
        try:
            row = next(reader)
        except StopIteration:
            return
        except csv.Error:
            yield -1
        else:
            if row:
                yield len(row)
