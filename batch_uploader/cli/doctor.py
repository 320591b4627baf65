"""``doctor``: each check as it ends, with its cure."""

import json
import os
import sys
from collections.abc import Mapping
from contextlib import aclosing
from pathlib import Path

import anyio

from batch_uploader.app.doctor.diagnosis import Diagnosis, Health
from batch_uploader.app.doctor.examination import diagnose
from batch_uploader.cli import output
from batch_uploader.cli.again import settings_of, spelled
from batch_uploader.cli.output import ExitCode, data_on_stdout
from batch_uploader.core.errors import ConfigError
from batch_uploader.settings import Settings
from batch_uploader.sinks.speechsense.channel import Endpoint, proxy_in_use
from batch_uploader.sinks.speechsense.credentials import Credentials
from batch_uploader.ui.doctor import diagnosis_fields, diagnosis_lines, verdict_line


def doctor(directory: Path | None, flags: Mapping[str, object], *, as_json: bool) -> int:
    """Print what is found. Returns the exit code."""
    settings = settings_of(directory or Path(os.curdir), flags)
    return anyio.run(_doctor, directory, settings, as_json)


async def _doctor(directory: Path | None, settings: Settings, as_json: bool) -> int:
    endpoint = settings.endpoint()
    found: list[Diagnosis] = []
    diagnoses = diagnose(
        directory,
        connection_id=settings.word("connection-id"),
        credentials=_credentials(settings),
        endpoint=endpoint,
        ledger=settings.path("ledger"),
        manifest=settings.path("manifest"),
        concurrency=settings.options().concurrency,
    )
    async with aclosing(diagnoses) as checks:
        async for each in checks:
            found.append(each)
            if not as_json:
                output.data(diagnosis_lines(each, spelled))
    if as_json:
        with data_on_stdout():
            sys.stdout.write(json.dumps(_document(endpoint, found)) + "\n")
    else:
        output.data(verdict_line(found))
    return ExitCode.ATTENTION if _failed(found) else ExitCode.FINE


def _failed(found: list[Diagnosis]) -> bool:
    return any(each.health is Health.FAIL for each in found)


def _credentials(settings: Settings) -> Credentials | ConfigError:
    try:
        return settings.credentials()
    except ConfigError as error:
        return error


def _document(endpoint: Endpoint, found: list[Diagnosis]) -> dict[str, object]:
    try:
        proxy = proxy_in_use(endpoint)
    except ConfigError:
        proxy = None
    return {
        "endpoint": str(endpoint),
        "proxy": proxy,
        "healthy": not _failed(found),
        "checks": [diagnosis_fields(each, spelled) for each in found],
    }
