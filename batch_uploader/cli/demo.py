"""``demo``: a complete upload on this machine, with everything real but the service."""

import os
import shutil
import sys
import tempfile
from collections.abc import Iterator
from contextlib import suppress
from itertools import islice
from pathlib import Path

import anyio
from anyio import to_thread

from batch_uploader.cli import output
from batch_uploader.cli.samples import FIELDS, write_samples
from batch_uploader.cli.upload import upload_as_told
from batch_uploader.core.errors import ConfigError
from batch_uploader.core.text import printable, quote
from batch_uploader.emulator import API_KEY, Connection, Emulator, EmulatorOptions, Faults
from batch_uploader.host.files import replace_atomically
from batch_uploader.ledgers.places import manifest_path
from batch_uploader.settings import Settings
from batch_uploader.sinks.speechsense.resources import require_resources
from batch_uploader.ui.printing import show
from batch_uploader.ui.stream import Line, Span

_CONNECTION = Connection("demo", frozenset(FIELDS), channels=2)
# A connection slow enough to watch uploads, and a service that is sometimes busy.
_FAULTS = Faults(seed=7, unavailable=0.12, latency=0.1, bandwidth=3_000_000.0)
_LINES = 3


def demo(directory: Path | None) -> int:
    """Run the demo. Returns the exit code of the upload."""
    require_resources()
    try:
        root = directory.absolute() if directory else Path(tempfile.mkdtemp(prefix="demo-calls-"))
        return anyio.run(_demo, root)
    except (FileExistsError, NotADirectoryError, PermissionError) as error:
        raise ConfigError(
            f"{error.filename or directory} cannot be used for the demo ({error.strerror})",
            hint="specify a new directory",
        ) from error


async def _demo(root: Path) -> int:
    calls, service = root / "calls", root / "emulator"
    await to_thread.run_sync(_prepare, calls, service)
    options = EmulatorOptions(
        store=service / "talks.db",
        connections=(_CONNECTION,),
        tls_dir=service / "tls",
        faults=_FAULTS,
    )
    async with Emulator(options) as emulator:
        show(
            [
                [Span(f"{'sample calls':18}", "dim"), Span(printable(os.fspath(calls)))],
                [Span(f"{'local SpeechSense':18}", "dim"), Span(emulator.address)],
            ],
            sys.stderr,
        )
        flags = {
            "connection-id": _CONNECTION.id,
            "endpoint": emulator.address,
            "ca-file": emulator.ca_file,
            "api-key-file": service / "api-key",
            "kind": "two-channel",
            "concurrency": "6",
            "whole-limit": "128K",
        }
        # Without the user's own settings.
        code = await upload_as_told(Settings(calls, flags, {}, service))
    manifest = manifest_path(calls)
    output.data(_head(manifest))
    program = program_as_started()
    output.hint(
        f"to see that nothing is sent twice: {program} demo {quote(os.fspath(root))}",
        f"to check your own recordings: {program} check DIRECTORY",
        f"to upload them: {program} upload DIRECTORY --connection-id ID --api-key-file FILE",
    )
    return code


def program_as_started() -> str:
    """The command that starts this program: in a fresh clone it is not in the PATH."""
    started = Path(sys.argv[0])
    if started.name == "__main__.py":
        return f"{quote(sys.executable)} -m batch_uploader"
    found = shutil.which(started.name)
    with suppress(OSError):
        if found is not None and started.samefile(found):
            return quote(started.name)
    return quote(sys.argv[0])


def _prepare(calls: Path, service: Path) -> None:
    calls.mkdir(parents=True, exist_ok=True)
    service.mkdir(mode=0o700, exist_ok=True)
    write_samples(calls)
    with replace_atomically(service / "api-key") as file:
        file.write(API_KEY.encode())


def _head(manifest: Path) -> Iterator[Line]:
    with suppress(OSError), manifest.open(encoding="utf-8") as lines:
        for line in islice(lines, _LINES):
            yield [Span(line.rstrip("\n"))]
