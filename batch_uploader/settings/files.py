"""The files that settings name; none may have two uses at once."""

import os
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path

from batch_uploader.app.places import OwnFile, Places, output_file, require_distinct
from batch_uploader.core.text import printable, quote
from batch_uploader.host.exposure import others_may_read
from batch_uploader.settings import Settings
from batch_uploader.sources.selection import FileKind

_READ = {
    "ca-file": "the file of certificates",
    "api-key-file": "the file of the API key",
    "iam-token-file": "the file of the IAM token",
    "service-account-key-file": "the file of the authorized key",
}
"""The files that are only read, and must not be overwritten."""


def own_files(settings: Settings) -> list[Path]:
    """The files that may be among the recordings and are not recordings."""
    places = settings.places()
    ours = (settings.path(name) for name in ("log-file", "metrics-file"))
    files = (places.ledger, places.manifest, *ours, settings.file)
    return [*(file for file in files if file is not None), *settings.tables()]


def require_places(settings: Settings, output: Path | None = None) -> Places:
    """The places, checked by ``require_distinct``. Blocking."""
    places = settings.places()
    require_distinct(places, _files(settings, output), settings.patterns("include"))
    return places


def secrets_told(settings: Settings) -> Iterator[str]:
    """Warnings about files with secrets that other users can read, with hints."""
    for name in _READ.keys() - {"ca-file"}:
        path = settings.path(name)
        with suppress(OSError):
            if path is not None and others_may_read(path):
                shown = printable(os.fspath(path))
                yield f"other users can read the secret in {shown}; chmod 600 {quote(shown)}"


def _files(settings: Settings, output: Path | None) -> Iterator[OwnFile]:
    if output is not None:
        yield output_file(output)
    if log := settings.path("log-file"):
        # It is only appended to, and may be called log.json.
        yield OwnFile("the log file", log, "--log-file", frozenset({FileKind.AUDIO}))
    if told := settings.path("metrics-file"):
        unlike = frozenset({FileKind.AUDIO, FileKind.SIDECAR})
        yield OwnFile("the metrics file", told, "--metrics-file", unlike)
    if settings.file:
        yield OwnFile("the settings file", settings.file, "--config")
    for name, part in _READ.items():
        path = settings.path(name)
        # A pipe is read once and not harmed, and all uses of a terminal are the same device.
        if path is not None and path.is_file():
            yield OwnFile(part, path, f"--{name}")
