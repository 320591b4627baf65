"""The words that show that a status text comes from the transport instead of the service.

Gateways report a failed request that was already sent as UNAVAILABLE or similar: "The response
ended prematurely", "stream error: stream ID 5; INTERNAL_ERROR", "EOF". A list of such texts is
never complete, so texts are classified by their words.
"""

import re
from collections.abc import Iterable
from typing import Final

BROKEN: Final = (
    *("stream removed", "stream reset", "stream terminated", "stream error stream id"),
    *("connection reset", "reset reason", "reset before", "rst stream", "rststream", "goaway"),
    *("broken pipe", "epipe", "econn", "socket", "recvmsg", "sendmsg", "disconnect"),
    *("upstream connect", "upstream request", "upstream reset", "transport", "ping timeout"),
    *("i o timeout", "io exception", "bad gateway", "gateway time"),
    # We compress nothing, so this is about the answer.
    *("decompressor", "grpc encoding"),
)
"""Words that only a broken transport explains, whatever the code; the service's own refusals
mention connections, streams and headers, too."""

CARRIED: Final = (
    # The transport.
    *("connect", "reconnect", "disconnect", "unconnect", "channel", "subchannel", "transport"),
    *("network", "flow control", "content type"),
    *("stream", "substream", "upstream", "downstream", "socket", "websocket", "pipe ", "tunnel"),
    *("http", "nghttp", "h2 ", "h2c ", "h3 ", "grpc", "tcp", "udp", "quic", "tls", "ssl", "dns"),
    *("handshake", "certificate", "alpn", "keepalive", "keep alive", "ping ", "pings ", "packet"),
    *("framing", "frame size", "frame with", "frame too", "header", "trailer", "body", "hpack"),
    *("respon", "unrespon", "reply", "replie", "compress", "decompress", "received metadata"),
    *("hard limit", "larger than max", "message exceeds", "status code", "bad status"),
    *("protocol", "resolving", "not resolve", "name resolution", "resolver", "lookup", "look up"),
    # Intermediaries.
    *("prox", "gateway", "balancer", "backend", "peer", "remote", "host", "endpoint", "origin "),
    *("mesh", "sidecar", "ingress", "egress", "relay", "route", "healthy", "unhealthy", "ejected"),
    *("circuit", "breaker", "overflow", "envoy", "istio", "linkerd", "nginx", "openresty"),
    *("haproxy", "traefik", "cloudflare", "varnish", "squid", "hyper", "tonic", "netty", "undici"),
    *("okhttp", "kestrel", "reqwest", "rustls", "libuv", "aiohttp"),
    *("web server", "worker process", "target", "lambda", "invocation failed", "fail fast"),
    # Endings without an answer.
    *("reset", "rst ", "rststream", "goaway", "go away", "going away", "went away"),
    *("timeout", "timedout", "timed out", "time out", "deadline", "expired", "took too long"),
    *("took longer", "taking too long", "too slow", "time limit", "time is up", "max duration"),
    *("maximum duration", "gave up", "giving up", "delivery failed"),
    *(
        "closed",
        "closing",
        "closure",
        "close notify",
        "eof",
        "end of file",
        "unexpected end",
        "ended",
        "premature",
        "incomplete",
    ),
    *("truncat", "broken", "drop", "lost", "hang up", "hung up", "interrupted", "abandon"),
    *("cancel", "abort", "terminat", "shut", "drain", "unreachable", "no answer", "unanswered"),
    *("not answer", "died", "crash", "panic", "killed", "recv", "recvmsg", "sendmsg"),
    *("io exception", "ioexception", "error occurred", "error reading", "error writing"),
    *("internal error", "unexpected", "malformed", "max age", "refused stream"),
    *("bytes read", "read error", "readerror", "write error", "writeerror", "fetch", "destroy"),
    *("restart", "stopping", "stopped", "evict", "failover", "fail over", "leader"),
    *("quorum", "replica", "delayed close"),
    *("errno", "os error", "econn", "epipe", "etimedout", "enet", "ehost", "enotfound", "eproto"),
    # Unexpected failures with an unknown result.
    *("unhandled", "uncaught", "exception was", "an exception", "exception calling"),
    *("exception serializing", "exception iterating", "nullpointer", "null pointer"),
    *("server error", "internalservererror", "service handler", "application error"),
    *("something went wrong", "fatal", "runtime error", "unknown", "outcome", "uncertain"),
    *("indetermin", "undetermin", "may have been", "may have succe", "might have been"),
    *("may or may not", "partial"),
    # An intermediary that retried reports only its last attempt.
    *("retried", "retries", "all attempts", "max attempts", "attempts failed"),
    *("attempts exhausted", "attempt count", "tries exceeded", "retry budget", "hedg"),
    # In Russian.
    *("соединен", "подключен", "поток", "прокси", "шлюз", "балансир", "таймаут", "тайм аут"),
    *("время ожидан", "истек", "сброше", "сброси", "закры", "разорв", "разрыв", "прерван", "обрыв"),
    *("оборв", "сокет", "транспорт", "сеть", "сети", "сетев", "заголов", "ответа", "ответил"),
    *("удаленн", "удалённ", "перезапус", "перезагруж", "останов", "потерян", "неизвестн"),
    *("внутренняя ошибка", "внутренний сбой", "ошибка сервера", "неожиданн", "не отвеча", "упал"),
    *("нет связи", "ошибка связи", "связь", "время вышло", "превышено время", "лимит времени"),
    *("слишком долго", "попытки исчерпан", "все попытки"),
)
"""Words about the transport instead of the service. Each is the beginning of a word or of several;
a space at the end ends the word."""

_SAYS_NOTHING: Final = frozenset(
    {
        *("unavailable", "aborted", "error", "errors", "fail", "failed", "failure", "failing"),
        *("null", "none", "nil", "undefined", "status", "code", "rpc", "request", "call", "the"),
        *("недоступен", "недоступна", "недоступно", "ошибка", "запрос", "запроса"),
    }
)
"""Words without information beyond the code: gateways build the text of any 502 from these."""

_TELLING: Final = re.compile(
    r"\b(?:408|499|50[234]|52\d)\b|\b\d{1,3}(?:\.\d{1,3}){3}\b"
    r"|\bafter \d+ (?:attempt|tries|retries)|\battempt \d",
    re.IGNORECASE,
)
"""HTTP statuses of gateways, addresses, and counts of attempts."""

_WORDS: Final = re.compile(r"[\W_]+")
_CAMEL: Final = re.compile(r"(?<=[^\W\d_A-Z])(?=[A-Z])|(?<=[A-Z])(?=[A-Z][a-z])")


def _any_of(beginnings: Iterable[str]) -> re.Pattern[str]:
    return re.compile(" (?:" + "|".join(map(re.escape, beginnings)) + ")")


_BROKEN: Final = _any_of(BROKEN)
_CARRIED: Final = _any_of(CARRIED)


def is_of_a_break(text: str) -> bool:
    """Whether a text can only come from a broken transport."""
    return _BROKEN.search(_words(text)) is not None


def is_of_the_way(text: str) -> bool:
    """Whether a text is about the transport, or says nothing."""
    words = _WORDS.split(text.lower())
    if _SAYS_NOTHING.issuperset(word for word in words if any(map(str.isalpha, word))):
        return True
    return _CARRIED.search(_words(text)) is not None or _TELLING.search(text) is not None


def _words(text: str) -> str:
    """The words in lower case, with names like ``ClosedChannelException`` split."""
    forms = (text, _CAMEL.sub(" ", text))
    return " ".join(f" {_WORDS.sub(' ', form.lower()).strip()} " for form in forms)
