"""The settings file that init writes: a layout with the answers of its owner."""

import re
import tomllib

import pytest
from hypothesis import given
from hypothesis import strategies as st

from batch_uploader import layouts
from batch_uploader.app.init.proposal import Answers, compose, needs_timezone
from batch_uploader.prepare.sidecar import FieldType, Kind

LAYOUTS = [layouts.load(name) for name in layouts.names()]


def lookups(settings):
    return settings["metadata"].get("lookup", [])


@pytest.mark.parametrize("layout", LAYOUTS, ids=lambda layout: layout.name)
def test_a_layout_keeps_all_that_it_says_and_gets_the_answers(layout):
    files = {
        each.get("file") or each["database"]: f"tables/{number}.csv"
        for number, each in enumerate(
            [*layout.settings["metadata"].get("table", []), *lookups(layout.settings)]
        )
    }
    answers = Answers(
        {"connection-id": "c1", "api-key-file": "key", "plaintext": True},
        "Asia/Omsk",
        files,
        kind=Kind.ONE_CHANNEL,
        fields={"ticket": FieldType.NUMBER, "имя": FieldType.STRING},
        talk_id="t1",
    )
    text = compose(layout, answers, "of records")
    found = tomllib.loads(text)

    assert found["connection-id"] == "c1"
    assert found["plaintext"] is True
    assert found.pop("connection") == {
        "kind": "one-channel",
        "fields": {"ticket": "number", "имя": "string"},
    }
    expected = {**layout.settings, "connection-id": "c1", "api-key-file": "key", "plaintext": True}
    metadata = found["metadata"]
    assert metadata["timezone"] == "Asia/Omsk"
    for each in [*metadata.get("table", []), *lookups(found)]:
        key = "file" if "file" in each else "database"
        assert each[key] in files.values()
        each[key] = next(name for name, path in files.items() if path == each[key])
    del metadata["timezone"]
    expected["metadata"] = dict(expected["metadata"])
    expected["metadata"].pop("timezone", None)
    assert found == expected
    for line in layout.text.splitlines():
        if line.startswith("#") and "timezone" not in line:
            assert line in text


@pytest.mark.parametrize("layout", LAYOUTS, ids=lambda layout: layout.name)
def test_without_its_second_tables_a_layout_reads_none(layout):
    absent = frozenset(each["file"] for each in lookups(layout.settings))
    text = compose(layout, Answers(absent=absent), "of records")
    found = tomllib.loads(text)
    assert not lookups(found)
    assert "lookup(" not in str(found["metadata"]["map"])
    assert not re.search(r"(\w+) or \1\b", str(found["metadata"]["map"]))
    assert all(f'# file = "{name}"' in text for name in absent)
    assert "# connection-id" in text


def test_which_layouts_need_a_time_zone():
    needed = {layout.name for layout in LAYOUTS if needs_timezone(layout)}
    assert {"megafon", "mikopbx", "vendor"} <= needed
    assert not needed & {"freepbx", "asterisk", "genesys-cloud", "trunk-recorder"}
    assert not needs_timezone(None)


@given(st.text(max_size=30), st.text(max_size=30))
def test_any_answer_is_what_the_file_has(path, name):
    answers = Answers({"ledger": path}, path, fields={name: FieldType.JSON}, talk_id="t")
    for layout in (None, layouts.load("freepbx"), layouts.load("megafon")):
        found = tomllib.loads(compose(layout, answers, "of records"))
        assert found["ledger"] == path
        assert found["connection"]["fields"] == {name: "json"}
        assert found["metadata"]["timezone"] == path
