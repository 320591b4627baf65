"""``check --explain``: where the metadata of one recording come from."""

import json
import sys
from collections.abc import Iterator, Mapping
from pathlib import Path, PurePath

import anyio

from batch_uploader.app.explaining import explain_recording
from batch_uploader.app.places import Places
from batch_uploader.cli import output
from batch_uploader.cli.again import settings_of
from batch_uploader.cli.output import ExitCode, data_on_stdout
from batch_uploader.core.text import printable
from batch_uploader.prepare.about.describer import Explained
from batch_uploader.settings import Settings
from batch_uploader.settings.files import own_files, require_places
from batch_uploader.ui.preview import explained_lines
from batch_uploader.ui.stream import Line, Span


def explain(directory: Path, flags: Mapping[str, object], path: str, *, as_json: bool) -> int:
    """Explain the metadata of the recording at a path. Returns the exit code."""
    return anyio.run(_explain, settings_of(directory, flags), path, as_json)


async def _explain(settings: Settings, path: str, as_json: bool) -> int:
    places, reading = require_places(settings), settings.reading()
    within = _within(places, path)
    explained = await explain_recording(
        places,
        within,
        rules=reading.rules,
        include=reading.include,
        exclude=reading.exclude,
        ignore=own_files(settings),
    )
    if as_json:
        _print_json(within, explained)
    else:
        output.data(_lines(within, explained))
    return ExitCode.ATTENTION if explained.defects else ExitCode.FINE


def _within(places: Places, path: str) -> str:
    """The path as it is on record, also if it was typed from the working directory."""
    for root in (places.directory, places.root):
        typed = PurePath(path)
        if typed.is_relative_to(root):
            return typed.relative_to(root).as_posix()
    return path.removeprefix("./")


def _lines(path: str, explained: Explained) -> Iterator[Line]:
    yield [Span(printable(path), "bold")]
    yield from explained_lines(explained)
    for each in explained.said:
        yield []
        yield [Span(f"{each.source}: {printable(each.origin)}", "bold")]
        for name, found in each.fields.items():
            text = found if isinstance(found, str) else _json(found)
            yield [Span(f"  {printable(name)} = {printable(text)}")]


def _print_json(path: str, explained: Explained) -> None:
    document = {
        "path": path,
        "fields": [
            {"name": name, "value": value, "origin": origin}
            for name, value, origin in explained.fields
        ],
        "defects": [
            {
                "code": defect.kind,
                "field": defect.field,
                "message": defect.message,
                "cure": defect.cure,
            }
            for defect in explained.defects
        ],
        "sources": [
            {"source": each.source, "origin": each.origin, "fields": dict(each.fields)}
            for each in explained.said
        ],
    }
    with data_on_stdout():
        sys.stdout.write(_json(document) + "\n")


def _json(value: object) -> str:
    # Databases return what JSON does not have.
    return json.dumps(value, default=str)
