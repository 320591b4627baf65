"""Archives of many systems, as they are, become talks with the right fields: compared one by one.

Nothing is told but what a human has to: the layout, where the tables are, the zone of the clocks.
"""

import json
from datetime import datetime

import pytest
from support.archives import make


def settings_of(made, layout):
    """What ``init`` would write with these answers."""
    lines = [f'layout = "{layout}"']
    if "timezone" in made.answers:
        lines += ["[metadata]", f'timezone = "{made.answers["timezone"]}"']
    return "\n".join(lines) + "\n"


@pytest.fixture
def uploaded(program, service, calls, tmp_path):
    """Makes an archive and uploads it: the truth, the manifest by path, the talks by their ID."""

    def run(layout):
        made = make(layout, tmp_path / "archive")
        here = made.root.parent
        (here / "batch-uploader.toml").write_text(settings_of(made, layout))
        program.directory = here
        key = ("--api-key-file", calls.key_file)
        result = program("upload", "records", *service.flags, *key)
        text = (made.root / "manifest.jsonl").read_text("utf-8")
        lines = [json.loads(line) for line in text.splitlines()]
        talks = {talk.talk_id: talk.fields for talk in service.talks()}
        return made, result, {line["path"]: line for line in lines}, talks

    return run


WITHOUT_TABLES = ("vendor", "3cx", "verint", "trunk-recorder")


@pytest.mark.parametrize("layout", WITHOUT_TABLES)
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


def comparable(fields):
    """Fields whose date is a moment, however it is written."""
    return fields | {"date": datetime.fromisoformat(fields["date"])}
