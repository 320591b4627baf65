"""The files that settings name, of which none may be two things at once."""

from collections.abc import Iterator
from pathlib import Path

from batch_uploader.app.places import OwnFile, Places, output_file, require_distinct
from batch_uploader.settings import Settings
from batch_uploader.sources.selection import FileKind

_READ = {
    "ca-file": "the file of certificates",
    "api-key-file": "the file of the API key",
    "iam-token-file": "the file of the IAM token",
    "service-account-key-file": "the file of the authorized key",
}
"""What is read alone, and would be lost to whoever writes it."""


def own_files(settings: Settings) -> list[Path]:
    """What may lie among the recordings and is none of them."""
    places = settings.places()
    files = (places.ledger, places.manifest, settings.path("log-file"), settings.file)
    return [file for file in files if file is not None]


def require_places(settings: Settings, output: Path | None = None) -> Places:
    """Where everything is, as ``require_distinct`` finds nothing wrong with it. Blocking."""
    places = settings.places()
    require_distinct(places, _files(settings, output), settings.patterns("include"))
    return places


def _files(settings: Settings, output: Path | None) -> Iterator[OwnFile]:
    if output is not None:
        yield output_file(output)
    if log := settings.path("log-file"):
        # It is only ever added to, and may well be called log.json.
        yield OwnFile("the log file", log, "--log-file", frozenset({FileKind.AUDIO}))
    if settings.file:
        yield OwnFile("the settings file", settings.file, "--config")
    for name, part in _READ.items():
        path = settings.path(name)
        # What is read once, such as a pipe, is not harmed; and all of a terminal is one device.
        if path is not None and path.is_file():
            yield OwnFile(part, path, f"--{name}")
