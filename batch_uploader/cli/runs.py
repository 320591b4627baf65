"""``runs``: the runs on record, in a table or for programs."""

import json
import sys
from collections.abc import Mapping
from pathlib import Path

import anyio

from batch_uploader.app.history import MOST, directory_runs, is_within
from batch_uploader.cli import output
from batch_uploader.cli.again import settings_of
from batch_uploader.cli.output import ExitCode, data_on_stdout
from batch_uploader.cli.status import note_refused_run
from batch_uploader.core.errors import UploaderError
from batch_uploader.core.price import costs
from batch_uploader.core.units import parse_duration
from batch_uploader.settings import RawSetting, Settings
from batch_uploader.settings.files import require_places
from batch_uploader.ui.fields import cost_fields, run_fields
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
    price = settings.price()
    try:
        on_record = await directory_runs(require_places(settings))
    except UploaderError as error:
        await note_refused_run(error, settings)
        raise
    paid = costs(on_record, price) if price else [None] * len(on_record)
    both = zip(on_record, paid, strict=True)
    shown = [(run, cost) for run, cost in both if is_within(run, within)][:most]
    if as_json:
        fields = [run_fields(run) | cost_fields(price, cost) for run, cost in shown]
        with data_on_stdout():
            sys.stdout.write(json.dumps({"runs": fields}) + "\n")
    elif shown:
        output.data(run_lines(shown, price))
    else:
        output.data([[Span("no run" if within is None else "no run in that time")]])
    return ExitCode.FINE
