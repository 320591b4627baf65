"""What the end of a call proves: each status becomes one of the five SinkErrors, here alone.

Three kinds of evidence, the first that holds decides:

- *Not sent*: no connection was made, or the last message of a stream had not left. Safe.
- *The server's word*: a status that the peer sent. It is believed.
- *Silence*: the connection broke, the deadline passed, or the status says nothing. In doubt.

gRPC reports a broken connection with the codes that servers use themselves; the texts tell them
apart. The tests provoke those of the locked grpcio and of an Envoy, so an upgrade that changes one
fails.
"""

import re
from collections.abc import Callable, Iterable, Mapping
from enum import StrEnum
from typing import Final

from grpc import StatusCode

from batch_uploader.errors import (
    InDoubt,
    NotSent,
    Rejected,
    SinkError,
    Throttled,
    Unauthorized,
    UnknownConnection,
)
from batch_uploader.sinks.speechsense.answer import Answer, request_id, retry_after


class Extent(StrEnum):
    """How much of a recording may have left when its call ended."""

    PART = "part"
    """The last message of its stream was never handed to the transport."""
    WHOLE = "whole"
    """All of it, as far as anybody can tell."""


class Unavailable(StrEnum):
    """What an UNAVAILABLE that came from the service's side is worth."""

    BELIEVED = "believed"
    """Nothing was stored: try again."""
    DOUBTED = "doubted"
    """Nobody knows: in doubt."""


# What the locked grpcio cannot be made to say: older ones do (from 1.70 on), and peers and proxies
# whose gRPC is another. All other texts are provoked in tests/integration/test_sink_evidence.py.
ELSEWHERE: Final[Mapping[str, tuple[str, ...]]] = {
    "look-up": ("dns resolution failed",),
    "unreached": ("connections to all backends failing",),
    "broken": (
        "socket closed",
        "recvmsg:",
        "sendmsg:",
        "connection reset",
        "broken pipe",
        "rst_stream",
        "goaway",
        "ping timeout",
        "keepalive",
        "endpoint closing",
        "transport closed",
    ),
    "abandoned": (
        "timed out",
        "deadline exceeded",
        "transport is closing",
        "error reading from server",
        "connection closed",
        "network closed",
        "channel shutdown",
        "io exception",
        "unexpected eof",
    ),
    "unconnected": (
        "reset reason: connection failure",
        "reset reason: local connection failure",
    ),
    "too large": ("exceeds maximum size", "exceeds the maximum configured message size"),
    "answer too large": ("server: sent message",),
}

# No call leaves before there is a connection.
_LOOK_UP: Final = ("errors resolving", *ELSEWHERE["look-up"])
_NEVER_LEFT: Final = (
    "failed to connect to all addresses",
    *_LOOK_UP,
    *ELSEWHERE["unreached"],
)

# The client's own words for a connection that broke, under whatever code.
_BROKEN: Final = ("stream removed", *ELSEWHERE["broken"])

# UNAVAILABLE from the peer's side that speaks of a request given up, not of one refused: a server
# that is being shut down under its handlers, and proxies whose backend may have stored the talk.
_ABANDONED: Final = (
    "max connection age",
    "cancelling all calls",
    "received http2 header with status",
    "reset",
    "timeout",
    # Also when Envoy had tried before, and what it tried took the talk: it does not tell.
    "no healthy upstream",
    *ELSEWHERE["abandoned"],
)
# Envoy could not even connect to its backend; unless it had tried before.
_UNCONNECTED: Final = ("reset reason: remote connection failure", *ELSEWHERE["unconnected"])
_RETRIED: Final = "retried"
_TOO_MANY_REQUESTS: Final = "received http2 header with status: 429"

_TOO_LARGE: Final = ("larger than max", *ELSEWHERE["too large"])
# The same complaint about the answer, which means that the request was carried out.
_ANSWER_TOO_LARGE: Final = ("client: received message", *ELSEWHERE["answer too large"])

# For the advice alone.
_NOT_GRPC: Final = ("received http2 header", "no status received", "end_stream flag", "upstream")
_HTTP_STATUS: Final = re.compile(r"received http2 header with status: (\d{3})")
_NO_TLS: Final = "wrong_version_number"
_TLS: Final = ("tls handshake", "ssl", "certificate", "hostname verification", "peer name")

_WORD: Final[Mapping[StatusCode, type[SinkError]]] = {
    StatusCode.UNAVAILABLE: NotSent,
    StatusCode.ABORTED: NotSent,
    StatusCode.RESOURCE_EXHAUSTED: Throttled,
    StatusCode.INVALID_ARGUMENT: Rejected,
    StatusCode.NOT_FOUND: UnknownConnection,
    StatusCode.FAILED_PRECONDITION: Rejected,
    StatusCode.OUT_OF_RANGE: Rejected,
    StatusCode.UNAUTHENTICATED: Unauthorized,
    StatusCode.PERMISSION_DENIED: Unauthorized,
    StatusCode.UNIMPLEMENTED: Unauthorized,
}
"""Whatever is not here is silence."""


def never_left(answer: Answer) -> bool:
    """Whether no connection was made; a peer that sent metadata was connected to."""
    if answer.code is not StatusCode.UNAVAILABLE or answer.metadata:
        return False
    return answer.details.lower().startswith(_NEVER_LEFT)


def judge(
    answer: Answer,
    *,
    extent: Extent,
    where: str,
    unavailable: Unavailable = Unavailable.BELIEVED,
) -> SinkError:
    """The error that a call's end amounts to. Total: each answer has one, OK too.

    OK stands for an answer without a talk ID. ``where`` names the endpoint for a human.
    """
    kind = _decide(answer, extent, unavailable)
    advice = _advice(kind, answer, extent, where)
    said = answer.quote()
    return kind(
        f'{advice} ("{said}")' if said else advice,
        code=answer.code.name,
        request_id=request_id(answer.metadata),
        retry_after=retry_after(answer.metadata),
    )


def _decide(answer: Answer, extent: Extent, unavailable: Unavailable) -> type[SinkError]:
    if never_left(answer):
        return NotSent
    if _too_large(answer):
        return Rejected
    kind = _word(answer)
    if answer.code is StatusCode.UNAVAILABLE and unavailable is Unavailable.DOUBTED:
        kind = InDoubt
    # A service that says OK may have stored what it had; any other silence before the end has not.
    if kind is InDoubt and extent is Extent.PART and answer.code is not StatusCode.OK:
        return NotSent
    return kind


def _word(answer: Answer) -> type[SinkError]:
    text = answer.details.lower()
    if _any(_BROKEN, text) or _any(_ANSWER_TOO_LARGE, text):
        return InDoubt
    if answer.code is StatusCode.UNAVAILABLE:
        if text.startswith(_TOO_MANY_REQUESTS):
            return Throttled
        if _any(_UNCONNECTED, text) and _RETRIED not in text:
            return NotSent
        if _any(_ABANDONED, text):
            return InDoubt
    if answer.code is StatusCode.INVALID_ARGUMENT and "connection_id" in answer.faulty_fields():
        return UnknownConnection
    return _WORD.get(answer.code, InDoubt)


def _too_large(answer: Answer) -> bool:
    text = answer.details.lower()
    return (
        answer.code is StatusCode.RESOURCE_EXHAUSTED
        and _any(_TOO_LARGE, text)
        and not _any(_ANSWER_TOO_LARGE, text)
    )


def _any(needles: Iterable[str], text: str) -> bool:
    return any(needle in text for needle in needles)


def _advice(kind: type[SinkError], answer: Answer, extent: Extent, where: str) -> str:
    if never_left(answer):
        return _unreached(answer.details.lower(), where)
    if kind in _ADVICE:
        return _ADVICE[kind](answer, where)
    if kind is Throttled:
        return f"send less at a time: {where} has too much to do"
    if extent is Extent.PART:
        return f"try again: the stream to {where} broke off, so nothing is stored"
    return f"try again: {where} cannot take it now"


def _unreached(text: str, where: str) -> str:
    if _NO_TLS in text:
        return (
            f"check the endpoint: {where} does not speak TLS; give --plaintext if it is an "
            "emulator on this machine that was started without --tls"
        )
    if _any(_TLS, text):
        return (
            f"check the CA file, the endpoint's host name and this machine's clock: the TLS "
            f"certificate of {where} was not accepted"
        )
    if "http proxy" in text:
        return f"check the proxy settings: the HTTP proxy on the way to {where} refused"
    if "http1.x" in text:
        return f"check the endpoint: what answers at {where} does not speak gRPC"
    if text.startswith(_LOOK_UP):
        return f"check the endpoint's host name and the DNS: {where} cannot be looked up"
    return f"check the endpoint and the network: {where} cannot be reached"


def _doubted(answer: Answer, where: str) -> str:
    do = "find out whether the service has it before it is sent again"
    if answer.code is StatusCode.OK:
        return f"{do}: {where} accepted it without naming a talk ID"
    if answer.code is StatusCode.DEADLINE_EXCEEDED:
        return f"{do}: {where} did not answer in time"
    if stand_in := _stand_in(answer, where):
        return f"check what is in between, and {do}: {stand_in}"
    return f"{do}: the answer of {where} was lost or does not tell"


def _stand_in(answer: Answer, where: str) -> str | None:
    text = answer.details.lower()
    if not _any(_NOT_GRPC, text):
        return None
    status = _HTTP_STATUS.search(text)
    how = f": HTTP {status[1]}" if status else ""
    return f"a proxy or load balancer in front of {where} answered in the service's place{how}"


def _refused(answer: Answer, where: str) -> str:
    if stand_in := _stand_in(answer, where):
        return f"check the endpoint and what is in between: {stand_in}"
    if answer.code is StatusCode.UNIMPLEMENTED:
        return f"check the endpoint and any proxy in between: {where} does not know uploads"
    if answer.code is StatusCode.PERMISSION_DENIED:
        return f"have the account be given the right to upload to this connection at {where}"
    return f"check the credentials: {where} does not accept them"


def _rejected(answer: Answer, where: str) -> str:
    if _too_large(answer):
        return (
            f"send recordings of this size as streams, by a lower limit for whole ones: "
            f"the message was too large on the way to {where}"
        )
    return f"mend the recording or its metadata: {where} refuses it as it is"


def _unknown(answer: Answer, where: str) -> str:  # noqa: ARG001 - as the others are called
    return f"check the connection ID: {where} does not know this one"


_ADVICE: Final[Mapping[type[SinkError], Callable[[Answer, str], str]]] = {
    InDoubt: _doubted,
    Unauthorized: _refused,
    Rejected: _rejected,
    UnknownConnection: _unknown,
}
