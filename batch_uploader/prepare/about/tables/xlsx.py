"""Tables in XLSX: a sheet, row by row."""

import datetime as dt
from collections.abc import Iterator
from itertools import chain
from pathlib import Path
from typing import Final

from batch_uploader.core.errors import ConfigError
from batch_uploader.prepare.about.tables.delimited import Written, has_header
from batch_uploader.prepare.about.tables.rows import Place, Row, RowFault, Whole, unique

_DIGITS: Final = 15
"""How many digits of a number Excel keeps."""


class XlsxReader(Whole):
    """The first sheet, or the one of that name. Raises ConfigError."""

    def __init__(self, path: Path, written: Written, sheet: str | None = None) -> None:
        try:
            import openpyxl
        except ImportError:
            raise ConfigError(
                "to read XLSX, openpyxl is needed",
                hint="install it: pip install 'batch-uploader[xlsx]'; or save the table as CSV",
            ) from None
        try:
            book = openpyxl.load_workbook(path, read_only=True, data_only=True)
        except OSError:
            raise
        except Exception as error:  # noqa: BLE001 - what a damaged one raises is not documented
            raise ConfigError(
                f"it is not an XLSX file: {error}", hint="save it again as XLSX or CSV"
            ) from None
        self._book = book
        if sheet is not None and sheet not in book.sheetnames:
            self.close()
            there = ", ".join(book.sheetnames)
            raise ConfigError(f"it has no sheet {sheet!r}", hint=f"its sheets are {there}")
        self._sheet = book[sheet] if sheet is not None else book.worksheets[0]
        # The size in the file may be wrong; without it, the rows are read as they are.
        self._sheet.reset_dimensions()
        self._rows = enumerate(self._sheet.iter_rows(values_only=True), start=1)
        number, first = next(((at, row) for at, row in self._rows if _filled(row)), (0, ()))
        header = bool(first) and has_header([_text(each) for each in first], written)
        names = [_text(each) for each in first] if header else list(written.columns)
        if header and written.columns:
            names = list(written.columns)
        while names and not names[-1].strip():
            names.pop()
        self.columns: tuple[str, ...] = unique(names)
        if not header and first:
            self._rows = chain([(number, first)], self._rows)  # type: ignore[assignment]

    def read(self, begin: Place) -> Iterator[Row | RowFault]:
        """As ``Reader`` has it; always from the beginning."""
        del begin
        width = len(self.columns)
        for number, cells in self._rows:
            if not _filled(cells):
                continue
            values = [_value(each) for each in cells[:width]]
            values.extend([None] * (width - len(values)))
            yield self._damaged(number, cells) or Row(number, values)

    def close(self) -> None:
        """Close the file."""
        self._book.close()

    def _damaged(self, number: int, cells: tuple[object, ...]) -> RowFault | None:
        if any(each not in (None, "") for each in cells[len(self.columns) :]):
            message = f"it has values beyond the last of {len(self.columns):,} columns"
            return RowFault(number, "table-columns", message, "name that column in the first row")
        for name, value in zip(self.columns, cells, strict=False):
            if isinstance(value, str) and value.startswith("#") and value.rstrip("!?").isupper():
                message = f"{value} is an error of a formula"
                return RowFault(number, "table-formula", message, "fix it in Excel", name)
            if isinstance(value, int | float) and abs(value) >= 10**_DIGITS:
                message = f"Excel keeps {_DIGITS} digits of a number, and this one is longer"
                cure = "export the table as CSV, or format the column as text before"
                return RowFault(number, "table-rounded", message, cure, name)
        return None


def _filled(row: tuple[object, ...]) -> bool:
    return any(each not in (None, "") for each in row)


def _value(cell: object) -> object:
    """A cell as JSON has it; a time as CSV would have it."""
    match cell:
        case dt.datetime():
            return cell.isoformat(" ")
        case dt.date() | dt.time():
            return cell.isoformat()
        case dt.timedelta():
            return cell.total_seconds()
        case float() if cell.is_integer():
            return int(cell)
        case None | str() | bool() | int() | float():
            return cell
    return str(cell)


def _text(cell: object) -> str:
    return "" if cell is None else str(_value(cell))
