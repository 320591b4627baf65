"""Tables in files, and what is found in them."""

import csv
import io
import os
import time

from batch_uploader.prepare.about.tables.delimited import DelimitedReader, Written
from batch_uploader.prepare.about.tables.match import WantedRows
from batch_uploader.prepare.about.tables.rows import Place, RowFault
from batch_uploader.prepare.about.tables.spec import TableSpec
from batch_uploader.prepare.about.tables.table import Table

CDR = ("calldate", "src", "dst", "billsec", "recordingfile")


def as_csv(rows, encoding="utf-8", **dialect):
    text = io.StringIO(newline="")
    csv.writer(text, **dialect).writerows(rows)
    return text.getvalue().encode(encoding)


def read(path, **written):
    """The columns, the rows and the faults of a CSV file."""
    with path.open("rb") as file:
        reader = DelimitedReader(file, Written(**written))
        found = list(reader.read(Place()))
    rows = [item for item in found if not isinstance(item, RowFault)]
    return reader.columns, rows, [item for item in found if isinstance(item, RowFault)]


class Folder:
    """A folder with tables, and one for their indexes."""

    def __init__(self, path):
        self.path = path
        self.indexes = path / "indexes"

    def write(self, name, content):
        """A table that nobody has written for a while."""
        path = self.path / name
        path.write_bytes(content)
        age(path)
        return path

    def append(self, name, content):
        with (self.path / name).open("ab") as file:
            file.write(content)
        age(self.path / name, 1800)

    def table(
        self,
        file=None,
        *,
        column="recordingfile",
        by="path",
        compiled=None,
        recordings=None,
        **more,
    ):
        raw = {"match": {"column": column, "with": by}} | more
        if file:
            raw["file"] = str(self.path / file)
        if (address := str(more.get("database"))).startswith("sqlite:"):
            raw["database"] = f"sqlite:{self.path / address.removeprefix('sqlite:')}"
        return Table(TableSpec.of(raw), self.indexes, compiled or _no_expression, None, recordings)


def age(path, seconds=3600):
    long_ago = time.time() - seconds
    os.utime(path, (long_ago, long_ago))


def _no_expression(text):
    raise AssertionError(text)


def wanted(path, **groups):
    return WantedRows(path, groups)
