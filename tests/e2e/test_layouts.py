"""Archives of many systems, as they are, become talks with the right fields: compared one by one.

Nothing is told but what a human has to: the layout, where the tables are, the zone of the clocks.
"""

import json
from datetime import datetime

import pytest
from conftest import API_KEY
from support.archives import MAKERS, make


def settings_of(made, layout):
    """What ``init`` would write with these answers."""
    lines = [f'layout = "{layout}"']
    if "timezone" in made.answers:
        lines += ["[metadata]", f'timezone = "{made.answers["timezone"]}"']
    return "\n".join(lines) + "\n"


@pytest.fixture
def uploaded(program, service, tmp_path):
    """Makes an archive and uploads it: the truth, the manifest by path, the talks by their ID."""

    def run(layout):
        made = make(layout, tmp_path / "archive")
        here = made.root.parent
        (here / "batch-uploader.toml").write_text(settings_of(made, layout))
        (here / "key").write_text(API_KEY)
        (here / "key").chmod(0o600)
        program.directory = here
        result = program("upload", "records", *service.flags, "--api-key-file", "key")
        lines = [json.loads(line) for line in (made.root / "manifest.jsonl").open()]
        talks = {talk.talk_id: talk.fields for talk in service.talks()}
        return made, result, {line["path"]: line for line in lines}, talks

    return run


@pytest.mark.parametrize("layout", MAKERS)
def test_an_archive_becomes_talks_with_the_right_fields(layout, uploaded):
    made, result, lines, talks = uploaded(layout)
    assert result.code == 1, result.said
    sent = {path: talks[line["talk_id"]] for path, line in lines.items() if line["talk_id"]}
    assert {path: comparable(sent[path]) for path in sent} == {
        path: comparable(fields) for path, fields in made.talks.items()
    }
    refused = {path: line["error"]["code"] for path, line in lines.items() if line["error"]}
    assert {path: refused.get(path) for path in made.defects} == made.defects
    assert set(refused) == {*made.defects, *made.undescribed}


def comparable(fields):
    """Fields whose date is a moment, however it is written."""
    return fields | {"date": datetime.fromisoformat(fields["date"])}
