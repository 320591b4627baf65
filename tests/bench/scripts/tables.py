"""Brings the index of a table up to date and asks it about recordings, as a run does.

tables.py TABLE INDEXES COUNT find|touch

Asks for the row of each of COUNT recordings, or whether it may have changed since the state that
INDEXES/seen has, and leaves the state there. Fails unless each has one row, or none has changed but
those of ``bench.works.tables``.
"""

import sys
from pathlib import Path

from bench.works.tables import APPENDED, call

from batch_uploader.prepare.about.tables.match import Wanted
from batch_uploader.prepare.about.tables.spec import TableSpec
from batch_uploader.prepare.about.tables.table import Table
from batch_uploader.prepare.about.values import Values


def main():
    path, indexes, count, how = Path(sys.argv[1]), Path(sys.argv[2]), int(sys.argv[3]), sys.argv[4]
    spec = TableSpec.of(
        {
            "file": str(path),
            "match": {"column": "recordingfile", "with": "path"},
            "choose": ["longest billsec"],
        }
    )
    seen = indexes / "seen"
    with Table(spec, indexes, path.parent, lambda text: None) as table:
        recordings = (Wanted(call(number).path) for number in range(count))
        if how == "find":
            found = sum(isinstance(table.about(each), Values) for each in recordings)
            expected = count
        else:
            changed = table.changed_since(seen.read_text())
            found = sum(table.touches(changed, each) for each in recordings)
            expected = min(APPENDED // 2, count)
        if found != expected or table.fault_count:
            sys.exit(f"{found:,} of {expected:,}; {table.fault_count:,} rows cannot be used")
        seen.write_text(table.generation)


main()
