"""docs/events.md is held to the code: every event, every field, in the order they come."""

import json
import re
import typing
from datetime import UTC, datetime
from pathlib import Path

from support.event_samples import OUTCOME, SAMPLES

from batch_uploader.core import events
from batch_uploader.core.model import Ending
from batch_uploader.core.states import Status
from batch_uploader.ui.fields import (
    NAMES,
    SCHEMA,
    event_fields,
    outcome_fields,
    progress_fields,
)
from batch_uploader.ui.tally import Tally

PAGE = (Path(__file__).parents[2] / "docs" / "events.md").read_text(encoding="utf-8")
EVENTS, WORDS = PAGE[: PAGE.index("## The other surfaces")], PAGE[PAGE.index("## The words") :]
ROWS = {
    match[1]: match[2] for match in re.finditer(r"^\| `(\w+)` \|(.*?)\|.*\|$", EVENTS, re.MULTILINE)
}


def words(text):
    return re.findall(r"`(\w+)`", text)


def test_every_event_has_a_name_and_a_row():
    told = set(typing.get_args(events.Event)) - {events.BytesSent}
    assert set(NAMES) == told == {type(sample) for sample in SAMPLES}
    assert set(ROWS) >= {*NAMES.values(), "progress", "lines_dropped"}


def test_every_event_has_the_fields_of_its_row():
    for sample in SAMPLES:
        documented = ROWS[NAMES[type(sample)]]
        if documented.strip() == "an outcome":
            assert event_fields(sample) == outcome_fields(OUTCOME)
        else:
            assert list(event_fields(sample)) == words(documented)


def paragraph(start):
    return PAGE[PAGE.index(start) :].split("\n\n", 1)[0].replace("\n", " ")


def test_an_outcome_has_the_fields_and_statuses_that_the_page_names():
    fields = [*outcome_fields(OUTCOME), *(status.value for status in Status), "null"]
    named = words(paragraph("**An outcome**"))
    assert sorted(named) == sorted([*set(fields) - {"claimed"}, *outcome_fields(OUTCOME)["error"]])


def test_progress_has_the_fields_that_the_page_names():
    table = EVENTS[EVENTS.index("**`progress`**") :]
    named = [
        word for row in re.findall(r"^\| (`.*?) \|", table, re.MULTILINE) for word in words(row)
    ]
    assert sorted(named) == sorted(progress_fields(Tally()))


def test_the_page_names_how_a_run_ends():
    assert set(words(PAGE[PAGE.index("`ending` is") :].split(".", 1)[0])) >= {*Ending}


def test_the_example_is_a_real_line():
    (line,) = re.findall(r"^    (\{.*\})$", PAGE, re.MULTILINE)
    example = json.loads(line)
    assert datetime.fromisoformat(example.pop("time")).tzinfo == UTC
    assert example.pop("event") == "returned_unsent"
    assert list(example) == list(event_fields(events.ReturnedUnsent("a", 1)))


def test_no_event_has_a_field_that_is_not_among_the_words():
    vocabulary = re.findall(r"^\| `(\w+)` \| [^|]+ \|$", WORDS, re.MULTILINE)
    assert len(vocabulary) == len(set(vocabulary))
    told = [*map(event_fields, SAMPLES), progress_fields(Tally()), outcome_fields(OUTCOME)["error"]]
    assert {key for fields in told for key in fields} <= set(vocabulary)


def test_a_run_names_the_schema_of_the_page():
    assert event_fields(events.RunStarted("r", "/calls"))["schema"] == SCHEMA
    assert f"`schema` is {SCHEMA}, " in EVENTS
