"""What describes a recording has one digest, whatever the order of sources and lines."""

from datetime import UTC, datetime
from decimal import Decimal

from batch_uploader.prepare.about.values import VERSION_SIZE, Values, version

ROW = Values("table", {"src": "204", "billsec": 31}, "cdr.csv, line 2")
NAME = Values("name", {"uid": "1774592717.512"}, "its name")


def test_the_order_of_sources_and_keys_and_the_line_do_not_matter():
    moved = Values("table", {"billsec": 31, "src": "204"}, "cdr.csv, line 1203")
    assert version([ROW, NAME]) == version([NAME, moved])
    assert len(version([ROW])) == VERSION_SIZE


def test_a_value_a_source_and_a_type_do_matter():
    others = [
        Values("table", {"src": "204", "billsec": "31"}, "cdr.csv, line 2"),
        Values("cdr", {"src": "204", "billsec": 31}, "cdr.csv, line 2"),
        Values("table", {"src": "204"}, "cdr.csv, line 2"),
    ]
    assert len({version([each]) for each in [ROW, *others]}) == 4


def test_two_tables_of_one_name_do_not_trip_the_order():
    one, two = Values("table", {"a": 1}, "x"), Values("table", {"a": "2"}, "y")
    assert version([one, two]) == version([two, one])


def test_what_databases_return_has_a_digest_too():
    when = datetime(2026, 3, 27, 9, 25, tzinfo=UTC)
    row = {"at": when, "sum": Decimal("1.50"), "id": b"\x01", "more": {"list": [when]}}
    assert version([Values("table", row, "a query")])
