"""What the end of a call proves: each status becomes one of the five SinkErrors, only here.

Three kinds of evidence; the first that applies decides:

- *Not sent*: no connection was made, or the last message of a stream was not sent. Safe.
- *The service's answer*: a status whose text is about the service itself. It is believed.
- *Silence*: the connection broke, the deadline passed, the text is empty or about the transport
  (see ``transport``), or the status proves nothing. In doubt.

gRPC and gateways report a broken connection with codes that services use as well.
"""

import math
import re
from collections.abc import Callable, Iterable, Mapping
from enum import StrEnum
from typing import Final, NamedTuple

from grpc import StatusCode

from batch_uploader.core.errors import (
    Contradicted,
    InDoubt,
    NoSuchService,
    NotSent,
    Rejected,
    SinkError,
    Throttled,
    Unauthorized,
    UnknownConnection,
)
from batch_uploader.sinks.speechsense import transport
from batch_uploader.sinks.speechsense.refusals import refused_by_service
from batch_uploader.sinks.speechsense.rpc_result import RpcResult, request_id, retry_after


class Extent(StrEnum):
    """How much of a recording may have been sent when its call ended."""

    PART = "part"
    """The last message of its stream was not handed to the transport."""
    WHOLE = "whole"
    """All of it may have been sent."""


class Unavailable(StrEnum):
    """What an UNAVAILABLE after the last byte proves."""

    BELIEVED = "believed"
    """Nothing was stored: the recording is sent again."""
    DOUBTED = "doubted"
    """It proves nothing: the recording is in doubt."""


# Errors before there is a connection.
_LOOK_UP: Final = ("errors resolving", "dns resolution failed")
_NEVER_LEFT: Final = (
    "failed to connect to all addresses",
    "connections to all backends failing",
    *_LOOK_UP,
)

# Envoy reports that its only attempt could not connect to its backend.
_UNCONNECTED: Final = re.compile(
    r"upstream connect error or disconnect/reset before headers\. "
    r"reset reason: (?:remote |local )?connection failure\b"
)
# gRPC's text for an HTTP 429, which a gateway sends before it lets a request in: as good as the
# service's own refusal. Neither shows whether a proxy had tried before.
_TOO_MANY_REQUESTS: Final = "received http2 header with status: 429"

_TOO_LARGE: Final = re.compile(
    r"(?<!decompressed )(?:message larger than max|message exceeds (?:the )?maximum)"
)
# The answer was too large, so the request was carried out.
_ANSWER_TOO_LARGE: Final = re.compile(r"client: received|server: sent")
_NUMBER: Final = re.compile(r"\d{1,18}")
_ABORTED: Final = re.compile(r"\baborted\b", re.IGNORECASE)
"""The name of the code itself."""

_CHECK_FIRST: Final = "check whether it was stored before you resend it"

# Only for the explanation.
_NOT_GRPC: Final = ("received http2 header", "no status received", "end_stream flag", "upstream")
_HTTP_STATUS: Final = re.compile(r"received http2 header with status: (\d{3})")
_NO_SUCH_HOST: Final = (
    "domain name not found",
    "name or service not known",
    "name does not resolve",
    "nodename nor servname",
)
_REFUSED_CERTIFICATE: Final = (
    "certificate_verify_failed",
    "certificate verify failed",
    "hostname verification",
    "peer name",
)
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
"""All other codes are silence."""
_ASKS_AGAIN: Final = frozenset({NotSent, Throttled})
"""Believed only with a text about the service."""


class _Advice(NamedTuple):
    problem: str
    hint: str | tuple[str, ...] | None = None
    fault: str = ""


def never_left(answer: RpcResult) -> bool:
    """Whether no connection was made; received metadata show that there was one."""
    if answer.code is not StatusCode.UNAVAILABLE or answer.connected or answer.metadata:
        return False
    return answer.details.lower().startswith(_NEVER_LEFT)


def classify(
    answer: RpcResult,
    *,
    extent: Extent,
    where: str,
    unavailable: Unavailable = Unavailable.BELIEVED,
    size: int = 0,
    connection_id: str = "",
    scheme: str = "",
) -> SinkError:
    """The error for the end of a call. Total: each answer has one, also OK.

    OK stands for an answer without a talk ID. ``where`` names the endpoint for messages, ``size``
    is that of the largest message that was sent, in bytes. ``connection_id`` is the service's own
    connection: a text that names it is about the service. ``scheme`` is that of the credentials:
    ``Api-Key`` or ``Bearer``.
    """
    kind = _decide(_without_connection(answer, connection_id), extent, unavailable, size)
    advice = _explain(kind, answer, extent, where, scheme)
    said = "" if kind is Contradicted else answer.quote()
    return kind(
        f'{advice.problem} ("{said}")' if said else advice.problem,
        hint=advice.hint,
        code="CONTRADICTION" if kind is Contradicted else answer.code.name,
        request_id=request_id(answer.metadata, answer.secrets),
        retry_after=retry_after(answer.metadata),
        fault=advice.fault,
    )


def _without_connection(answer: RpcResult, connection_id: str) -> RpcResult:
    """The answer without the words that name the service's own connection."""
    if not connection_id or connection_id not in answer.details:
        return answer
    named = rf"\bconnection(?:[ _]?id)?\W{{1,3}}{re.escape(connection_id)}(?!\w)"
    details = re.sub(named, "", answer.details, flags=re.IGNORECASE)
    return RpcResult(
        answer.code,
        details,
        answer.metadata,
        answer.secrets,
        connected=answer.connected,
        talk_id=answer.talk_id,
    )


def _decide(
    answer: RpcResult, extent: Extent, unavailable: Unavailable, size: int
) -> type[SinkError]:
    if answer.talk_id is not None:
        # It was carried out, whatever the status.
        return Contradicted if answer.code is StatusCode.OK else InDoubt
    if never_left(answer):
        never = _any((*_NO_SUCH_HOST, *_REFUSED_CERTIFICATE), answer.details.lower())
        return NoSuchService if never else NotSent
    if _too_large(answer, size):
        return Rejected
    kind = _word(answer)
    if answer.code is StatusCode.UNAVAILABLE and unavailable is Unavailable.DOUBTED:
        kind = InDoubt
    # With OK the service may have stored a part; any other silence before the end stored nothing.
    if kind is InDoubt and extent is Extent.PART and answer.code is not StatusCode.OK:
        return NotSent
    return kind


def _word(answer: RpcResult) -> type[SinkError]:
    kind = _WORD.get(answer.code, InDoubt)
    if transport.is_of_a_break(answer.details) and not _unconnected(answer):
        return InDoubt
    if kind in _ASKS_AGAIN:
        return _asked_again(answer, kind)
    if answer.code is StatusCode.INVALID_ARGUMENT and "connection_id" in answer.faulty_fields():
        return UnknownConnection
    return kind


def _asked_again(answer: RpcResult, kind: type[SinkError]) -> type[SinkError]:
    text = answer.details
    if answer.tried_before:
        return InDoubt
    if _unconnected(answer):
        return NotSent
    if answer.code is StatusCode.UNAVAILABLE and text.lower().startswith(_TOO_MANY_REQUESTS):
        return Throttled
    if answer.code is StatusCode.ABORTED:
        text = _ABORTED.sub("", text)
    return InDoubt if transport.is_of_the_way(text) else kind


def _unconnected(answer: RpcResult) -> bool:
    text = answer.details.lower()
    return answer.code is StatusCode.UNAVAILABLE and _UNCONNECTED.match(text) is not None


def _too_large(answer: RpcResult, size: int) -> bool:
    """Whether a message of ours exceeded a limit: the text has its size."""
    text = answer.details.lower()
    if answer.code is not StatusCode.RESOURCE_EXHAUSTED or _ANSWER_TOO_LARGE.search(text):
        return False
    # A proxy that repacks it makes it a bit larger.
    most = size + size // 8 + 1024 if size else math.inf
    told = any(size <= int(number) <= most for number in _NUMBER.findall(text))
    return told and _TOO_LARGE.search(text) is not None


def _any(needles: Iterable[str], text: str) -> bool:
    return any(needle in text for needle in needles)


def _explain(
    kind: type[SinkError], answer: RpcResult, extent: Extent, where: str, scheme: str
) -> _Advice:
    if issubclass(kind, NotSent) and never_left(answer):
        return _unreached(answer.details.lower(), where)
    if kind is Unauthorized:
        return _refused(answer, where, scheme)
    if kind in _EXPLAIN:
        return _EXPLAIN[kind](answer, where)
    if kind is Throttled:
        return _Advice(f"{where} is throttling requests")
    if extent is Extent.PART:
        return _Advice(f"the stream to {where} broke off, so nothing was stored")
    return _Advice(f"{where} is unavailable at the moment")


def _unreached(text: str, where: str) -> _Advice:
    if _NO_TLS in text:
        return _Advice(
            f"{where} does not speak TLS",
            "check the endpoint; for an emulator on this machine without --tls, add --plaintext",
        )
    if _any(_TLS, text):
        return _Advice(
            f"the TLS certificate of {where} was not accepted",
            "check the CA file (a proxy that inspects TLS has a CA of its own: --ca-file), the host"
            " name in the endpoint and this machine's clock",
        )
    if "http proxy" in text:
        return _Advice(f"the HTTP proxy did not connect to {where}", "check the proxy settings")
    if "http1.x" in text:
        return _Advice(f"{where} does not speak gRPC", "check the endpoint")
    if text.startswith(_LOOK_UP):
        return _Advice(
            f"{where} cannot be resolved", "check the host name in the endpoint, and the DNS"
        )
    return _Advice(f"{where} cannot be reached", "check the endpoint and the network")


def _doubted(answer: RpcResult, where: str) -> _Advice:
    if answer.talk_id is not None:
        named = f"as talk {answer.talk_id}" if answer.talk_id else "without a talk ID"
        return _Advice(f"{where} accepted it {named}, then reported an error", _CHECK_FIRST)
    if answer.code is StatusCode.OK:
        return _Advice(f"{where} accepted it without a talk ID", _CHECK_FIRST)
    if answer.code is StatusCode.DEADLINE_EXCEEDED:
        return _Advice(f"{where} did not answer in time, so it may have been stored", _CHECK_FIRST)
    if other := stand_in(answer, where):
        return _Advice(other, f"check what is in between; {_CHECK_FIRST}")
    return _Advice(
        f"the answer of {where} was lost or is unclear, so it may have been stored", _CHECK_FIRST
    )


def stand_in(answer: RpcResult, where: str) -> str | None:
    """Says that something else than the service answered, None if nothing shows that."""
    text = answer.details.lower()
    if not _any(_NOT_GRPC, text):
        return None
    status = _HTTP_STATUS.search(text)
    how = f": HTTP {status[1]}" if status else ""
    return f"a proxy or load balancer in front of {where} answered in the service's place{how}"


def _refused(answer: RpcResult, where: str, scheme: str) -> _Advice:
    if other := stand_in(answer, where):
        return _Advice(other, "check the endpoint and what is in between")
    if answer.code is StatusCode.UNIMPLEMENTED:
        return _Advice(
            f"{where} does not support uploads", "check the endpoint and any proxy in between"
        )
    refused = refused_by_service(answer, where, scheme)
    return _Advice(refused.problem, refused.hints, refused.fault)


def _rejected(answer: RpcResult, where: str) -> _Advice:
    if answer.code is StatusCode.RESOURCE_EXHAUSTED:
        return _Advice(
            f"the message was too large on the way to {where}",
            "lower --whole-limit, so that recordings of this size are streamed",
        )
    return _Advice(f"{where} rejected it", "fix the recording or its metadata")


def _unknown(answer: RpcResult, where: str) -> _Advice:  # noqa: ARG001 - as the others are called
    return _Advice(f"{where} does not know this connection", "check the connection ID")


def _contradicted(answer: RpcResult, where: str) -> _Advice:
    return _Advice(
        f"{where} accepted it, but named {answer.quote() or 'no talk'}",
        "look for it among the talks of the connection, then decide with resolve",
    )


_EXPLAIN: Final[Mapping[type[SinkError], Callable[[RpcResult, str], _Advice]]] = {
    Contradicted: _contradicted,
    InDoubt: _doubted,
    Rejected: _rejected,
    UnknownConnection: _unknown,
}
