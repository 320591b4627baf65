"""The checks of ``doctor`` in their order, and how they are run."""

import asyncio
import os
import time
from collections.abc import AsyncGenerator, Awaitable, Callable
from typing import Final

from msgspec import Struct

from batch_uploader.app.doctor import machine, network, service, storage
from batch_uploader.app.doctor.diagnosis import Diagnosis, Health, Sign, fail, not_checked
from batch_uploader.app.doctor.patient import Patient
from batch_uploader.app.places import Places, Where, require_distinct
from batch_uploader.core.checks import require_asyncio, require_word
from batch_uploader.core.errors import ConfigError, LedgerError, SourceError, UploaderError
from batch_uploader.run.options import RunOptions
from batch_uploader.sinks.speechsense.channel import DEFAULT_ENDPOINT, Endpoint
from batch_uploader.sinks.speechsense.credentials import Credentials
from batch_uploader.sinks.speechsense.route import Obstacle

_WHOLE_SECONDS: Final = 18.0
_MOUNT: Final = "check the mount: its disk or share may not answer"
_CODES: Final = (
    (SourceError, "unreadable_directory"),
    (LedgerError, "unusable_ledger"),
    (ConfigError, "settings"),
)


class Check(Struct, frozen=True):
    """One check: what it needs to have ended well, how long it may take, and what if it does."""

    name: str
    run: Callable[[Patient], Awaitable[Sign]]
    needs: tuple[str, ...] = ()
    seconds: float = 6.0
    late: str = "try again later"


OF_THE_SERVICE: Final = (
    Check("machine", machine.machine),
    Check("dns", network.dns),
    Check("tcp", network.tcp, ("dns",)),
    Check("proxy", network.proxy, ("tcp",)),
    Check("tls", network.certificate, ("proxy",)),
    Check("http2", network.http2, ("tls",)),
    Check("service", service.service, ("http2", "machine")),
    Check("clock", service.clock, ("service",)),
    Check("credentials", service.credentials, seconds=8.0),
    Check("connection", service.connection),
)
OF_THE_DIRECTORY: Final = (
    Check("directory", storage.directory, late=_MOUNT),
    Check("disk", storage.disk, ("directory",), late=_MOUNT),
    Check("ledger", storage.ledger, ("disk",), seconds=8.0, late=_MOUNT),
)


async def diagnose(
    directory: "Where | None" = None,
    *,
    connection_id: str | None = None,
    credentials: Credentials | UploaderError,
    endpoint: Endpoint = DEFAULT_ENDPOINT,
    ledger: str | os.PathLike[str] | None = None,
    manifest: str | os.PathLike[str] | None = None,
    concurrency: int = RunOptions().concurrency,
) -> AsyncGenerator[Diagnosis]:
    """Check all that an upload needs, one by one: the machine, the service, then the directory.

    Nothing is uploaded, and nothing is billed: the service is asked twice to Search for one talk.
    It takes 20 seconds at most. Without a directory only the rest is checked. ``credentials`` may
    be the error of those that cannot be used, which is told in its place. Raises ConfigError for
    parameters that cannot be right.
    """
    require_asyncio()
    require_word("connection_id", connection_id, optional=True)

    def find() -> Places:
        assert directory is not None  # noqa: S101 - called with one only
        if isinstance(directory, Places):
            return directory
        places = Places.of(directory, ledger, manifest, connection_id)
        require_distinct(places)
        return places

    patient = Patient(
        endpoint, credentials, connection_id, find if directory is not None else None, concurrency
    )
    checks = OF_THE_SERVICE + (OF_THE_DIRECTORY if directory is not None else ())
    end = time.monotonic() + _WHOLE_SECONDS
    for check in checks:
        began = time.monotonic()
        sign = await _sign_of(check, patient, end - began)
        if sign.health in {Health.FAIL, Health.NOT_CHECKED}:
            patient.ailing.add(check.name)
        elapsed = time.monotonic() - began
        yield Diagnosis(check.name, sign.health, sign.text, sign.code, sign.hints, elapsed)


async def _sign_of(check: Check, patient: Patient, left: float) -> Sign:
    if lacking := patient.lacks(*check.needs):
        return not_checked(f"it needs {lacking}")
    if left <= 0:
        return not_checked("the time was over")
    seconds = min(check.seconds, left)
    try:
        # Not anyio's: gRPC answers a cancellation with one of its own, which that would not take.
        async with asyncio.timeout(seconds):
            return await check.run(patient)
    except TimeoutError:
        return fail("timeout", f"it took longer than {seconds:.0f} seconds", check.late)
    except (UploaderError, OSError) as error:
        return _failed(error, check)


def _failed(error: UploaderError | OSError, check: Check) -> Sign:
    """What an error says that a check raised."""
    if isinstance(error, OSError):
        where = f"{error.filename}: " if error.filename else ""
        return fail("error", f"{where}{error.strerror or error}", check.late)
    code = next((word for kind, word in _CODES if isinstance(error, kind)), "error")
    if isinstance(error, Obstacle):
        code = error.code
    return fail(code, error.problem, *(error.hints or (check.late,)))
