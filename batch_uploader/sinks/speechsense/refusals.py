"""Why credentials are refused, as far as the answer shows, and what to do about it."""

import re
from datetime import timedelta
from enum import StrEnum
from typing import Final, NamedTuple

from grpc import StatusCode

from batch_uploader.sinks.speechsense.rpc_result import RpcResult, date_of

ROLE: Final = "speech-sense.data.editor"
SCOPE: Final = "yc.speech-sense.use"

_EXPIRED: Final = re.compile(r"\bexpired\b", re.IGNORECASE)
_SCOPE: Final = re.compile(r"\bscopes?\b", re.IGNORECASE)
_TIMES: Final = re.compile(
    r"\b(?:iat|exp|nbf|expired|not (?:yet )?valid at|not yet valid|issued at|future|clock)\b",
    re.IGNORECASE,
)
_CLOCK_OFF: Final = 300.0
"""Seconds; by less than that no issuer of tokens refuses a signed request."""


class CredentialFault(StrEnum):
    """What is wrong with credentials that are refused."""

    WRONG = "wrong"
    """They are unknown, revoked, deleted or of another kind."""
    EXPIRED = "expired"
    CLOCK = "clock"
    """What is signed with them is not valid at this time by the issuer's clock."""
    ROLE = "role"
    """The account has no role that allows this."""
    SCOPE = "scope"
    """The API key has no scope that allows this."""


class Refused(NamedTuple):
    """The fault, for programs, and problem and hints, for people."""

    fault: CredentialFault
    problem: str
    hints: tuple[str, ...]


def refused_by_service(answer: RpcResult, where: str, scheme: str) -> Refused:
    """Why the service refuses a header, ``Api-Key`` or ``Bearer`` by its ``scheme``."""
    token = scheme == "Bearer"
    what = "IAM token" if token else "API key" if scheme else "credentials"
    if _SCOPE.search(answer.details):
        return Refused(
            CredentialFault.SCOPE,
            f"{where} refuses the API key, which lacks a scope",
            (f"create a key with it: {_new_key()}",),
        )
    if answer.code is StatusCode.PERMISSION_DENIED:
        scope = () if token else (f"an API key also needs the scope {SCOPE}: {_new_key()}",)
        return Refused(
            CredentialFault.ROLE,
            f"{where} does not let the account use this connection",
            (f"grant the service account the role {ROLE} on the space of the connection", *scope),
        )
    if _EXPIRED.search(answer.details):
        return Refused(
            CredentialFault.EXPIRED,
            f"{where} refuses the {what}, since it has expired",
            (_renewal() if token else f"create another key: {_new_key()}",),
        )
    hint = "check that it is whole, of this kind, and neither deleted nor revoked"
    if token:
        hint = f"it may have expired, or be of another kind; {_renewal()}"
    return Refused(CredentialFault.WRONG, f"{where} does not accept the {what}", (hint,))


def refused_by_issuer(answer: RpcResult, where: str, now: float) -> Refused:
    """Why IAM refuses a JWT that was signed ``now``, in seconds since the epoch."""
    date = date_of(answer.metadata)
    off = 0.0 if date is None else now - date
    if abs(off) > _CLOCK_OFF or _TIMES.search(answer.details):
        return Refused(
            CredentialFault.CLOCK,
            f"{where} does not accept what was signed by this machine's clock{_by(off)}",
            ("set the clock, and keep it right: timedatectl set-ntp true",),
        )
    return Refused(
        CredentialFault.WRONG,
        f"{where} does not accept the authorized key",
        (
            "check that the key still exists: yc iam key list --service-account-name NAME",
            "create another: yc iam key create --service-account-name NAME --output FILE",
        ),
    )


def _by(off: float) -> str:
    if abs(off) < _CLOCK_OFF:
        return ""
    way = "ahead" if off > 0 else "behind"
    return f", which is {timedelta(minutes=round(abs(off) / 60))} {way}"


def _new_key() -> str:
    return f"yc iam api-key create --service-account-name NAME --scopes {SCOPE}"


def _renewal() -> str:
    return (
        "an IAM token lives 12 hours at most: renew it with yc iam create-token, or specify what"
        " renews it, --service-account-key-file, --metadata-credentials or --iam-token-command"
    )
