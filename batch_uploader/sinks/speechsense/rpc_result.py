"""How a call ended, with the metadata of the answer."""

import math
from collections.abc import Iterable, Iterator
from contextlib import suppress
from email.utils import parsedate_to_datetime
from typing import Final, Self

from google.protobuf.message import DecodeError
from grpc import StatusCode
from grpc.aio import AioRpcError

from batch_uploader.sinks.speechsense import wire
from batch_uploader.sinks.speechsense.redaction import reveals, shown

_QUOTED: Final = 300
_ID_QUOTED: Final = 100
_LONGEST_ID: Final = 200
_BY_CHANCE: Final = 8
_UNWILLING: Final = -1.0
_COUNTERS: Final = (("x-envoy-attempt-count", 1), ("grpc-previous-rpc-attempts", 0))
"""The headers that count attempts, and their values at the first one."""


class RpcResult:
    """How a call ended: its status, and the metadata that came with it, the trailing first.

    ``secrets`` are texts to redact. ``connected`` says that there was a connection even so,
    ``talk_id`` is the talk named before an error status ("" if it could not be parsed). Its repr
    shows no secrets.
    """

    def __init__(
        self,
        code: StatusCode,
        details: str = "",
        metadata: tuple[tuple[str, str | bytes], ...] = (),
        secrets: tuple[str, ...] = (),
        *,
        connected: bool = False,
        talk_id: str | None = None,
    ) -> None:
        self.code = code
        self.details = details
        self.metadata = metadata
        self.secrets = secrets
        self.connected = connected
        self.talk_id = talk_id

    @classmethod
    def of(
        cls,
        error: AioRpcError,
        secrets: Iterable[str] = (),
        *,
        connected: bool = False,
        talk_id: str | None = None,
    ) -> Self:
        """The result of a failed call."""
        return cls(
            error.code(),
            error.details() or "",
            (*(error.trailing_metadata() or ()), *(error.initial_metadata() or ())),
            tuple(secrets),
            connected=connected,
            talk_id=talk_id,
        )

    def quote(self) -> str:
        """The peer's text, shortened, in one line, redacted."""
        violations = (f"{each.field}: {each.description}" for each in _violations(self.metadata))
        # Some services say the same as their status and as its detail.
        said = "; ".join(dict.fromkeys(filter(None, (*violations, self.details))))
        return shown(said, _QUOTED, self.secrets)

    @property
    def tried_before(self) -> bool:
        """Whether a proxy says that this answers a retry of its own."""
        return any(
            _number(value) > first
            for name, value in self.metadata
            for counter, first in _COUNTERS
            if name == counter
        )

    def faulty_fields(self) -> set[str]:
        """The request's fields at fault, each by the last part of its name."""
        return {each.field.rpartition(".")[2] for each in _violations(self.metadata)}


ENDED_WITHIN: Final = RpcResult(StatusCode.CANCELLED, "the call was ended within this program")


def unreadable(error: Exception, talk_id: str | None = None) -> RpcResult:
    """The result of a call whose answer gRPC could not parse, which may raise any exception."""
    said = f"gRPC could not read the answer: {type(error).__name__}"
    return RpcResult(StatusCode.UNKNOWN, said, talk_id=talk_id)


def flaw(talk_id: str) -> str | None:
    """Why a talk ID cannot be valid, None if it can."""
    if not talk_id.strip():
        return "a blank talk ID"
    if len(talk_id) > _LONGEST_ID:
        return f"a talk ID of {len(talk_id)} characters"
    if not talk_id.isprintable():
        return "a talk ID that cannot be printed"
    if reveals(talk_id):
        return "a part of the credential as its talk ID"
    return None


def request_id(
    metadata: Iterable[tuple[str, str | bytes]], secrets: Iterable[str] = ()
) -> str | None:
    """The ID that the vendor's support asks for: ``x-request-id``, else ``x-server-trace-id``.

    ``secrets`` are redacted in it; shorter ones may occur by chance.
    """
    found = dict(reversed([(name, value) for name, value in metadata if isinstance(value, str)]))
    given = found.get("x-request-id") or found.get("x-server-trace-id")
    long = (secret for secret in secrets if len(secret) >= _BY_CHANCE)
    return shown(given, _ID_QUOTED, long) if given else None


def date_of(metadata: Iterable[tuple[str, str | bytes]]) -> float | None:
    """When the answer was made by the peer's clock, in seconds since the epoch, if it says that."""
    for name, value in metadata:
        if name == "date" and isinstance(value, str):
            with suppress(ValueError, TypeError, OverflowError):
                return parsedate_to_datetime(value).timestamp()
    return None


def retry_after(metadata: Iterable[tuple[str, str | bytes]]) -> float | None:
    """The pause in seconds that the service asked for; negative: no retry; None: not given.

    ``grpc-retry-pushback-ms`` has priority over RetryInfo; if it is not a number it means no retry,
    as in gRPC.
    """
    metadata = tuple(metadata)
    for name, value in metadata:
        if name == "grpc-retry-pushback-ms":
            try:
                pause = float(value) / 1000
            except ValueError:
                return _UNWILLING
            return pause if math.isfinite(pause) and pause >= 0 else _UNWILLING
    for detail in _details(metadata, "google.rpc.RetryInfo"):
        try:
            delay = wire.RetryInfo.FromString(detail).retry_delay
        except DecodeError:
            continue
        return delay.seconds + delay.nanos / 1e9
    return None


def _number(value: str | bytes) -> int:
    try:
        return int(value)
    except ValueError:
        return 0


def _violations(
    metadata: Iterable[tuple[str, str | bytes]],
) -> Iterator[wire.BadRequest.FieldViolation]:
    for detail in _details(metadata, "google.rpc.BadRequest"):
        try:
            found = wire.BadRequest.FromString(detail).field_violations
        except DecodeError:
            continue
        yield from found


def _details(metadata: Iterable[tuple[str, str | bytes]], kind: str) -> Iterator[bytes]:
    for name, value in metadata:
        if name == "grpc-status-details-bin" and isinstance(value, bytes):
            try:
                status = wire.Status.FromString(value)
            except DecodeError:
                continue
            for detail in status.details:
                if detail.type_url.rpartition("/")[2] == kind:
                    yield detail.value
