"""From ``init`` to talks: archives of many systems, as they are, compared field by field.

Nothing is told but what only a human knows, the zone of the clocks. The tables lie beside.
"""

import csv
import json
import re
from datetime import datetime, timedelta

import pytest
from support.archives import MAKERS, make
from support.archives.kit import written

PATIENCE = ("--sidecar-wait", "0")
"""What was never described is told at once."""


@pytest.fixture
def uploaded(program, service, calls, tmp_path):
    """Makes an archive and uploads it: the truth, the manifest by path, the talks by their ID."""

    def run(layout, change=lambda made: None):
        made = make(layout, tmp_path / "archive")
        change(made)
        program.directory = made.root.parent
        zone = ("--timezone", made.answers["timezone"]) if made.answers else ()
        written = program("init", "records", *service.flags, *zone)
        assert written.code == 0, written.said
        result = program("upload", "records", *PATIENCE, "--api-key-file", calls.key_file)
        count = len(service.talks())
        again = program("upload", "records", *PATIENCE, "--api-key-file", calls.key_file)
        assert (again.code, len(service.talks())) == (1, count), again.said
        text = (made.root / "manifest.jsonl").read_text("utf-8")
        lines = [json.loads(line) for line in text.splitlines()]
        talks = {talk.talk_id: talk.fields for talk in service.talks()}
        return made, result, {line["path"]: line for line in lines}, talks

    return run


AT_ONCE = {"freepbx", "mikopbx", "megafon", "genesys-cloud", "vendor"}
ALL = [
    pytest.param(name, marks=() if name in AT_ONCE else pytest.mark.slow, id=name)
    for name in MAKERS
]


@pytest.mark.parametrize("layout", ALL)
def test_an_archive_becomes_talks_with_the_right_fields(layout, uploaded):
    made, result, lines, talks = uploaded(layout)
    assert result.code == 1, result.said
    sent = {path: talks[line["talk_id"]] for path, line in lines.items() if line["talk_id"]}
    assert {path: comparable(fields) for path, fields in sent.items()} == {
        path: comparable(fields) for path, fields in (made.talks | made.converted).items()
    }
    refused = {path: line["error"]["code"] for path, line in lines.items() if line["error"]}
    assert refused.keys() == (made.defects.keys() - made.converted.keys()) | made.undescribed
    assert made.defects.items() >= {
        (path, code) for path, code in refused.items() if path in made.defects
    }


@pytest.mark.slow
def test_master_csv_may_be_in_local_time(uploaded):
    def shift(made):
        text = made.tables["Master.csv"].read_text("utf-8")
        made.table("Master.csv", re.sub(r"2026-\d\d-\d\d \d\d:\d\d:\d\d", in_omsk, text))

    made, _, lines, talks = uploaded("asterisk", shift)
    sent = {path: talks[line["talk_id"]] for path, line in lines.items() if line["talk_id"]}
    assert {path: comparable(fields) for path, fields in sent.items()} == {
        path: comparable(fields) for path, fields in (made.talks | made.converted).items()
    }


def in_omsk(time):
    """A time in UTC on clocks that are six hours ahead."""
    return str(datetime.fromisoformat(time[0]) + timedelta(hours=6))


@pytest.mark.slow
def test_all_exports_of_a_table_are_read_together(uploaded):
    def split(made):
        """As the web interface names them; they overlap."""
        header, *rows = made.tables["cdr.csv"].read_text("utf-8").splitlines(keepends=True)
        made.tables["cdr.csv"].unlink()
        for number, part in enumerate((rows[:200], rows[150:])):
            target = made.root.parent / f"cdr__{1774602717 + number}pbx.csv"
            target.write_text(header + "".join(part), "utf-8")

    made, _, lines, _ = uploaded("freepbx", split)
    sent = {path for path, line in lines.items() if line["talk_id"]}
    assert sent == {*made.talks, *made.converted}


LACKING = {
    "freepbx": ("cdr.csv", {"did", "cnum", "cnam", "dst_cnam", "outbound_cnum", "outbound_cnam"}),
    "fusionpbx": ("xml_cdr.csv", {"extension", "cc_agent", "cc_queue"}),
}


@pytest.mark.slow
@pytest.mark.parametrize("layout", LACKING)
def test_columns_that_some_exports_lack_are_no_defects(layout, uploaded):
    name, lacking = LACKING[layout]

    def cut(made):
        with made.tables[name].open(encoding="utf-8", newline="") as file:
            rows = list(csv.DictReader(file))
        kept = [each for each in rows[0] if each not in lacking]
        made.table(name, written(rows, kept))

    made, _, lines, talks = uploaded(layout, cut)
    sent = {path: talks[line["talk_id"]] for path, line in lines.items() if line["talk_id"]}
    assert sent.keys() >= made.talks.keys() | made.converted.keys()
    for path, fields in made.talks.items():
        for field in ("operator_id", "client_id", "direction_outgoing"):
            assert sent[path][field] == fields[field], path


def test_a_layout_whose_second_table_is_not_there_says_what_it_has_to_have(program, tmp_path):
    made = make("megafon", tmp_path / "archive", 3)
    made.tables["operators.csv"].unlink()
    program.directory = made.root.parent
    zone = ("--timezone", "Europe/Moscow")
    result = program("check", "records", "--layout", "megafon", *zone)
    assert result.code == 2
    assert "operators.csv" in result.err
    assert "the columns login and name" in " ".join(result.err.split())
    assert program("init", "records", "--connection-id", "calls", *zone).code == 0
    assert program("check", "records").code == 0


def comparable(fields):
    """Fields whose date is a moment, however it is written."""
    return fields | {"date": datetime.fromisoformat(fields["date"])}
