"""The service: whether it answers, this machine's clock, the credentials, the connection."""

import asyncio
import time
from datetime import timedelta
from typing import Final

from batch_uploader.app.doctor.diagnosis import Sign, fail, not_checked, warn, well
from batch_uploader.app.doctor.patient import Patient
from batch_uploader.core.errors import SinkError, UploaderError
from batch_uploader.core.text import plural
from batch_uploader.core.units import format_duration
from batch_uploader.sinks.speechsense.asking import (
    ask,
    code_of,
    require_admitted,
    require_connection,
    require_service,
)
from batch_uploader.sinks.speechsense.authorization import Authorization
from batch_uploader.sinks.speechsense.refusals import CredentialFault

_SECONDS: Final = 5.0
_ISSUER: Final = "check what issues it, and the way to it"
_CLOCK_FAILS: Final = 300.0
"""What issues tokens refuses a request that is signed in the future."""
_CLOCK_WARNS: Final = 30.0


async def service(patient: Patient) -> Sign:
    """Whether a SpeechSense answers, to a request without credentials."""
    asked = patient.first_answer = await ask(
        patient.endpoint, header=None, connection_id="", seconds=_SECONDS
    )
    require_service(asked, patient.endpoint)
    return well(f"{patient.endpoint} answers")


async def clock(patient: Patient) -> Sign:
    """Whether this machine's clock agrees with the service's, which dates its answers."""
    date = patient.first_answer.date if patient.first_answer else None
    if date is None:
        return not_checked("the service does not date its answers")
    off = patient.clock_off = time.time() - date
    if abs(off) < _CLOCK_WARNS:
        return well("it agrees with the service's")
    way = "ahead of" if off > 0 else "behind"
    text = f"this machine's clock is {timedelta(seconds=round(abs(off)))} {way} the service's"
    how = "set it, and keep it right: timedatectl set-ntp true"
    if abs(off) < _CLOCK_FAILS:
        return warn("clock_off", text, how)
    return fail("clock_off", text, how)


async def credentials(patient: Patient) -> Sign:
    """Whether there are credentials, and the service accepts them."""
    given = patient.credentials
    if isinstance(given, UploaderError):
        return fail("unusable_credentials", given.problem, *given.hints)
    if lacking := patient.lacks("machine"):
        return not_checked(f"they need {lacking}")
    kind = Authorization(given).kind
    try:
        async with asyncio.timeout(_SECONDS):
            header = await given.header()
    except TimeoutError:
        return fail(
            "no_token",
            f"{kind} did not come within {_SECONDS:.0f} seconds",
            _ISSUER,
        )
    except SinkError as error:
        code = code_of(CredentialFault(error.fault), token=False) if error.fault else "no_token"
        return fail(code, error.problem, *(error.hints or (_ISSUER,)))
    if lacking := patient.lacks("service"):
        return not_checked(f"it needs {lacking}; {kind} is there")
    connection_id = patient.connection_id or ""
    asked = await ask(
        patient.endpoint, header=header, connection_id=connection_id, seconds=_SECONDS
    )
    require_service(asked, patient.endpoint)
    require_admitted(asked, header)
    patient.header, patient.answer = header, asked
    life = Authorization(given).life
    lasts = f", valid for {format_duration(round(life))} more" if life is not None else ""
    return well(f"the service accepts {kind}{lasts}")


async def connection(patient: Patient) -> Sign:
    """Whether the service knows the connection, and lets the account search it."""
    connection_id = patient.connection_id
    if connection_id is None:
        return fail(
            "no_connection",
            "the connection ID is missing",
            "specify --connection-id or SPEECHSENSE_CONNECTION_ID; the SpeechSense console has the"
            " ID",
        )
    if patient.answer is None:
        return not_checked(f"it needs {patient.lacks('service', 'credentials') or 'credentials'}")
    require_connection(patient.answer, connection_id, patient.header)
    talks = patient.answer.talks
    has = f"it has {plural(talks, 'talk')}" if talks else "it has no talks yet"
    return well(
        f"the service knows {connection_id}; {has}; that the account may upload, too, only an"
        " upload shows"
    )
