"""``runs``: the runs on record, in a table or for programs."""

import json
import sys
from collections.abc import Mapping
from pathlib import Path

import anyio

from batch_uploader.app.history import MOST, directory_runs
from batch_uploader.cli import output
from batch_uploader.cli.again import settings_of
from batch_uploader.cli.output import ExitCode, data_on_stdout
from batch_uploader.core.units import parse_duration
from batch_uploader.settings import RawSetting, Settings
from batch_uploader.settings.files import require_places
from batch_uploader.ui.fields import run_fields
from batch_uploader.ui.runs import run_lines
from batch_uploader.ui.stream import Span


def runs(
    directory: Path, flags: Mapping[str, object], *, as_json: bool, since: str | None, limit: str
) -> int:
    """Print the latest runs. Returns the exit code."""
    most = RawSetting(limit, "--limit", Path()).count(1, MOST)
    within = None if since is None else RawSetting(since, "--since", Path()).limit(parse_duration)
    return anyio.run(_runs, settings_of(directory, flags), as_json, most, within)


async def _runs(settings: Settings, as_json: bool, most: int, within: float | None) -> int:
    found = await directory_runs(require_places(settings), limit=most, since=within)
    if as_json:
        with data_on_stdout():
            sys.stdout.write(json.dumps({"runs": [run_fields(run) for run in found]}) + "\n")
    elif found:
        several = len({run.connection_id for run in found}) > 1
        output.data(run_lines(found, several=several))
    else:
        output.data([[Span("no run" if within is None else "no run in that time")]])
    return ExitCode.FINE
