"""How a call ended, and what the service said along with it."""

import math
from collections.abc import Iterable, Iterator
from typing import Final, Self

from google.protobuf.message import DecodeError
from grpc import StatusCode
from grpc.aio import AioRpcError

from batch_uploader.sinks.speechsense import wire

_QUOTED: Final = 300
_ID_QUOTED: Final = 100
_SHORTEST_HIDDEN: Final = 3
_UNWILLING: Final = -1.0


class Answer:
    """How a call ended: its status, and the metadata that came with it, the trailing first.

    ``secrets`` are texts that must not be repeated if the peer did. It has no repr to show them.
    """

    def __init__(
        self,
        code: StatusCode,
        details: str = "",
        metadata: tuple[tuple[str, str | bytes], ...] = (),
        secrets: tuple[str, ...] = (),
    ) -> None:
        self.code = code
        self.details = details
        self.metadata = metadata
        self.secrets = secrets

    @classmethod
    def of(cls, error: AioRpcError, secrets: Iterable[str] = ()) -> Self:
        """The answer that a failed call holds."""
        metadata = (*(error.trailing_metadata() or ()), *(error.initial_metadata() or ()))
        return cls(error.code(), error.details() or "", metadata, tuple(secrets))

    def quote(self) -> str:
        """What the peer said, short, in one line, without the secrets."""
        violations = (f"{each.field}: {each.description}" for each in _violations(self.metadata))
        said = "; ".join(filter(None, (*violations, self.details)))
        for secret in sorted(self.secrets, key=len, reverse=True):
            if len(secret) >= _SHORTEST_HIDDEN:
                said = said.replace(secret, "[...]")
        return printable(said, _QUOTED)

    def faulty_fields(self) -> set[str]:
        """The fields of the request at fault, each by the last part of its name."""
        return {each.field.rpartition(".")[2] for each in _violations(self.metadata)}


def request_id(metadata: Iterable[tuple[str, str | bytes]]) -> str | None:
    """What the vendor's support asks for: ``x-request-id``, else ``x-server-trace-id``."""
    found = dict(reversed([(name, value) for name, value in metadata if isinstance(value, str)]))
    given = found.get("x-request-id") or found.get("x-server-trace-id")
    return printable(given, _ID_QUOTED) if given else None


def retry_after(metadata: Iterable[tuple[str, str | bytes]]) -> float | None:
    """The pause in seconds that the service asked for; negative: no retry; None: it did not say.

    ``grpc-retry-pushback-ms`` comes before RetryInfo; one that is no number means no retry, as gRPC
    has it.
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


def printable(text: str, limit: int) -> str:
    """The text in one line without control characters, cut at ``limit`` characters."""
    line = " ".join("".join(c if c.isprintable() else " " for c in text).split())
    return line if len(line) <= limit else f"{line[: limit - 1]}…"


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
