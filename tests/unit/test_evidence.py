"""The mapping from a call's end to a decision: total, and safe where it cannot know.

That the texts here are those which gRPC really says is proved in integration/test_sink_evidence.py.
"""

import itertools

import pytest
from grpc import StatusCode
from hypothesis import example, given
from hypothesis import strategies as st
from rich.pretty import pretty_repr

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
from batch_uploader.sinks.speechsense import redaction, transport, wire
from batch_uploader.sinks.speechsense.evidence import Extent, Unavailable, classify, never_left
from batch_uploader.sinks.speechsense.rpc_result import RpcResult, request_id, retry_after

WHERE = "api.example:443"
UNCONNECTED = (
    "upstream connect error or disconnect/reset before headers. reset reason: remote connection "
    "failure, transport failure reason: delayed connect error: Connection refused"
)

# What each status means that the service sent with words of its own.
WORD = {
    StatusCode.OK: (InDoubt, InDoubt),
    StatusCode.CANCELLED: (InDoubt, NotSent),
    StatusCode.UNKNOWN: (InDoubt, NotSent),
    StatusCode.INVALID_ARGUMENT: (Rejected, Rejected),
    StatusCode.DEADLINE_EXCEEDED: (InDoubt, NotSent),
    StatusCode.NOT_FOUND: (UnknownConnection, UnknownConnection),
    StatusCode.ALREADY_EXISTS: (InDoubt, NotSent),
    StatusCode.PERMISSION_DENIED: (Unauthorized, Unauthorized),
    StatusCode.UNAUTHENTICATED: (Unauthorized, Unauthorized),
    StatusCode.RESOURCE_EXHAUSTED: (Throttled, Throttled),
    StatusCode.FAILED_PRECONDITION: (Rejected, Rejected),
    StatusCode.ABORTED: (NotSent, NotSent),
    StatusCode.UNIMPLEMENTED: (Unauthorized, Unauthorized),
    StatusCode.INTERNAL: (InDoubt, NotSent),
    StatusCode.UNAVAILABLE: (NotSent, NotSent),
    StatusCode.DATA_LOSS: (InDoubt, NotSent),
    StatusCode.OUT_OF_RANGE: (Rejected, Rejected),
}


def decide(answer, extent=Extent.WHOLE, **kwargs):
    return classify(answer, extent=extent, where=WHERE, **kwargs)


def test_the_table_knows_every_status():
    assert set(WORD) == set(StatusCode)


@pytest.mark.parametrize("code", list(StatusCode))
def test_the_services_own_word(code):
    whole, part = WORD[code]
    answer = RpcResult(code, "as the service says")
    for extent, expected in ((Extent.WHOLE, whole), (Extent.PART, part)):
        error = decide(answer, extent)
        assert type(error) is expected
        assert error.code == code.name
        assert error.problem.endswith('("as the service says")')


@given(
    code=st.sampled_from(StatusCode),
    details=st.text(),
    metadata=st.lists(
        st.tuples(
            st.sampled_from(
                [
                    "grpc-status-details-bin",
                    "grpc-retry-pushback-ms",
                    "x-request-id",
                    "other",
                ]
            ),
            st.text() | st.binary(),
        )
    ),
    extent=st.sampled_from(Extent),
    unavailable=st.sampled_from(Unavailable),
    how=st.fixed_dictionaries(
        {"connected": st.booleans(), "talk_id": st.none() | st.sampled_from(["", "talk-1"])}
    ),
    size=st.integers(0, 1 << 27),
)
def test_whatever_comes_is_one_of_the_five_in_one_short_line(
    *, code, details, metadata, extent, unavailable, how, size
):
    answer = RpcResult(code, details, tuple(metadata), **how)
    error = decide(answer, extent, unavailable=unavailable, size=size)
    assert type(error) in {
        *(NotSent, Throttled, Rejected, UnknownConnection),
        *(InDoubt, Contradicted, Unauthorized),
    }
    assert str(error).isprintable()
    assert len(str(error)) < 600
    assert error.retry_after is None or error.retry_after == error.retry_after  # never NaN


SILENT = [
    "Stream removed (Socket closed)",
    "Stream removed (recvmsg:Connection reset by peer (104))",
    "Stream removed (sendmsg:Broken pipe (32))",
    "Stream removed (GOAWAY received; Error code: 0; Debug Text: max_age)",
    "Stream removed (RST_STREAM (Received RST_STREAM with error code 7))",
    "Stream removed (ping timeout)",
    "Socket closed",
    "recvmsg:Connection timed out",
    "keepalive watchdog timeout",
    "Endpoint closing",
    "max connection age",
    "Cancelling all calls",
    "Received http2 header with status: 502",
    "Received http2 header with status: 503",
    "Received http2 header with status: 504",
    (
        "upstream connect error or disconnect/reset before headers. reset reason: "
        "connection termination"
    ),
    (
        "upstream connect error or disconnect/reset before headers. retried and the latest "
        "reset reason: connection failure"
    ),
    "upstream request timeout",
    "no healthy upstream",
    "transport is closing",
    "error reading from server: EOF",
    "io exception",
    # What gateways pass on of a request that had left.
    "upstream max stream duration reached",
    "unexpected HTTP status code received from server: 502 (Bad Gateway)",
    "Connection dropped",
    "The response ended prematurely, with at least 9 additional bytes expected.",
    "http2: client connection lost",
    "stream error: stream ID 5; INTERNAL_ERROR; received from peer",
    "hyper::Error(IncompleteMessage)",
    "EOF",
    "unexpected EOF",
    "java.nio.channels.ClosedChannelException",
    "Network closed for unknown reason",
    "Channel shutdownNow invoked",
    "An error occurred while sending the request.",
    "A task was canceled.",
    "aborted",
    "socket hang up",
    "read ECONNRESET",
    "write EPIPE",
    "h2 protocol error: error reading a body from connection",
    "504 Gateway Time-out",
    "upstream_reset_before_response_started{connection_termination}",
    "read tcp 10.0.0.1:41250->10.0.0.2:443: i/o timeout",
    "context deadline exceeded",
    "ServerDisconnectedError",
    "Соединение разорвано",
    "Сервис не ответил вовремя",
    "сервис не отвечает",
    "превышено время обработки",
    "нет связи",
    "Request exceeded time limit",
    "The call took longer than 5s",
    "exceeded max duration",
    "gave up waiting",
    "Failed after 3 attempts",
    "attempt 2 of 3 failed",
    "retry budget exceeded",
    # What nginx makes of any 502 and 504, by its makers' own example.
    "unavailable",
    "UNAVAILABLE",
    "rpc failed",
    "Request failed.",
    "null",
    # What is said of a worker behind the door, or where nobody foresaw it.
    "no reply from worker",
    "curl: (52) Empty reply from server",
    "failed to send reply",
    "The session has been destroyed",
    "Subchannel is not ready",
    "Error: Server Error",
    "Internal Server Error",
    "InternalServerErrorException",
    "Exception calling application: [Errno 28]",
    "An exception has been thrown",
    "Exception was thrown by handler.",
    "Something went wrong",
    "etcdserver: leader changed",
    "server is stopping",
    "Instance restarted",
    "Pod is being evicted",
    "invalid content-type: text/html",
    "flow control error",
    "Web server is down",
    "Target failure",
    "commit outcome unknown",
    "The request may or may not have been executed",
    "operation may have been applied",
    "partial write",
    "503",
    "...",
    "",
]


ASKING_AGAIN = [StatusCode.UNAVAILABLE, StatusCode.ABORTED, StatusCode.RESOURCE_EXHAUSTED]


@pytest.mark.parametrize("code", ASKING_AGAIN)
@pytest.mark.parametrize("text", SILENT)
def test_what_nobody_said_on_purpose_is_silence(code, text):
    """Faults 15, 16 and 77: it is in doubt once the whole may have left, and safe before."""
    assert type(decide(RpcResult(code, text))) is InDoubt
    assert type(decide(RpcResult(code, text), Extent.PART)) is NotSent


POLITE = [
    "busy",
    "as the service says",
    "try again later",
    "The service is unavailable, try again",
    "Service Unavailable",
    "Too many requests, slow down",
    "Rate limit of 500 requests per second exceeded",
    "Too many concurrent uploads",
    "the quota is used up",
    "Server overloaded",
    "The service is under maintenance",
    "not ready",
    "deadlock, retry",
    "local_rate_limited",
    "the processing pipeline is busy",
    "requests are too close together",
    "ThrottlingException: Rate exceeded",
    "Сервис перегружен, попробуйте позже",
    "Сервис временно недоступен",
    "превышена квота: 40 запросов в секунду",
    "Temporary failure, please retry",
    "The queue is too long",
    "Too many attempts, retry after 3 seconds",
    "В связи с работами сервис недоступен, повторите попытку позже",  # noqa: RUF001 - Russian
    "quota on the duration of audio exceeded",
    "You may have exceeded your quota",
    "The request was throttled",
    "Too many sessions",
    "The limit on maximum number of active operations has exceeded.",
    "temporarily unavailable",
    "Database is unavailable",
]


@pytest.mark.parametrize("code", ASKING_AGAIN)
@pytest.mark.parametrize("text", POLITE)
def test_what_speaks_of_the_service_is_its_word(code, text):
    """Fault 22: an overload that is said politely leaves nothing in doubt."""
    assert type(decide(RpcResult(code, text))) is WORD[code][0]


@pytest.mark.parametrize("code", ASKING_AGAIN)
@pytest.mark.parametrize(
    "text", ["Too many uploads for connection {}", "quota exceeded (connection_id: '{}')"]
)
def test_the_services_own_connection_is_no_way(code, text):
    """Fault 22: SpeechSense calls by this word what recordings go to."""
    answer = RpcResult(code, text.format("bhq9k2"))
    assert type(decide(answer, connection_id="bhq9k2")) is WORD[code][0]
    assert text.format("bhq9k2") in str(decide(answer, connection_id="bhq9k2"))
    assert type(decide(answer, connection_id="bhq9")) is InDoubt
    for said in ("connection bhq9k2 is closed", "connection bhq9k2", "busy: the connection bhq9"):
        assert type(decide(RpcResult(code, said), connection_id="bhq9k2")) is InDoubt


WORDS = sorted(set(transport.CARRIED) - {"abort"})
"""Without the one that is the name of a status."""
ENDINGS = ["", "s", "ed", "ing", ":", ".", ";", "!", " 14", "_ERROR", "()"]
CASES = [str, str.upper, str.capitalize, str.title]


@st.composite
def texts_of_the_way(draw):
    """A text that speaks of the service and, somewhere, of what carried the request."""
    word = draw(st.sampled_from(WORDS))
    if not word.endswith(" "):
        word += draw(st.sampled_from(ENDINGS))
    word = draw(st.sampled_from(CASES))(word)
    if draw(st.booleans()):
        word = word.rstrip(" ").replace(" ", draw(st.sampled_from(["_", "-", " ", "  ", "/"])))
    others = draw(st.lists(st.sampled_from(POLITE), max_size=3))
    others.insert(draw(st.integers(0, len(others))), word)
    return draw(st.sampled_from([" ", ": ", "; ", " (", '"', "\n"])).join(others)


@given(text=texts_of_the_way(), code=st.sampled_from(ASKING_AGAIN))
def test_one_word_of_the_transport_makes_it_silence(text, code):
    """Fault 77: however it is written, and whatever else is said."""
    assert type(decide(RpcResult(code, text))) is InDoubt
    assert type(decide(RpcResult(code, text), Extent.PART)) is NotSent


@given(
    text=st.sampled_from(["", "busy", "failed to connect to all addresses", *SILENT]),
    code=st.sampled_from(StatusCode),
    extent=st.sampled_from(Extent),
    talk_id=st.sampled_from(["talk-1", ""]),
)
@example("failed to connect to all addresses", StatusCode.UNAVAILABLE, Extent.WHOLE, "talk-1")
def test_a_talk_that_was_named_is_there_whatever_is_said_of_it(text, code, extent, talk_id):
    """Fault 78."""
    error = decide(RpcResult(code, text, talk_id=talk_id), extent)
    assert type(error) is (Contradicted if code is StatusCode.OK else InDoubt)
    assert error.code == ("CONTRADICTION" if code is StatusCode.OK else code.name)
    assert code is StatusCode.OK or talk_id in str(error)


@pytest.mark.parametrize(
    ("header", "first", "second"),
    [("x-envoy-attempt-count", "1", "2"), ("grpc-previous-rpc-attempts", "0", "1")],
)
@pytest.mark.parametrize("text", ["busy", "Received http2 header with status: 429", UNCONNECTED])
def test_one_who_had_tried_before_speaks_of_the_last_try_alone(header, first, second, text):
    """Fault 77."""
    answers = [
        RpcResult(StatusCode.UNAVAILABLE, text, ((header, count),))
        for count in (first, second, "x")
    ]
    assert type(decide(answers[0])) in {NotSent, Throttled}
    assert type(decide(answers[1])) is InDoubt
    assert type(decide(answers[2])) in {NotSent, Throttled}


@pytest.mark.parametrize(
    "code",
    [
        StatusCode.RESOURCE_EXHAUSTED,
        StatusCode.PERMISSION_DENIED,
        StatusCode.ABORTED,
        StatusCode.UNIMPLEMENTED,
    ],
)
def test_a_reset_stream_is_silence_under_the_codes_that_http2_maps_to(code):
    for text in (
        "Stream removed (RST_STREAM (Received RST_STREAM with error code 11))",
        "stream terminated by RST_STREAM with error code: INADEQUATE_SECURITY",
        "stream error: stream ID 7; INADEQUATE_SECURITY",
        'grpc: Decompressor is not installed for grpc-encoding "zstd"',
        "Can't find decompressor for zstd",
    ):
        assert type(decide(RpcResult(code, text))) is InDoubt
        assert type(decide(RpcResult(code, text), Extent.PART)) is NotSent


@pytest.mark.parametrize(
    ("code", "text", "expected"),
    [
        (StatusCode.NOT_FOUND, "Connection calls is not found", UnknownConnection),
        (StatusCode.PERMISSION_DENIED, "No access to the connection", Unauthorized),
        (StatusCode.UNAUTHENTICATED, "The key was reset", Unauthorized),
        (StatusCode.INVALID_ARGUMENT, "unexpected EOF in the header of the stream", Rejected),
        (StatusCode.INVALID_ARGUMENT, "WAV of compression algorithm 2 is not taken", Rejected),
        (StatusCode.UNIMPLEMENTED, "", Unauthorized),
    ],
)
def test_a_refusal_may_speak_of_connections_and_streams_of_its_own(code, text, expected):
    assert type(decide(RpcResult(code, text))) is expected


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        (UNCONNECTED, NotSent),
        (
            (
                "upstream connect error or disconnect/reset before headers. reset reason: "
                "connection failure"
            ),
            NotSent,
        ),
        ("try again later", NotSent),
        ("Received http2 header with status: 429", Throttled),
    ],
)
def test_an_unavailable_that_refuses_is_believed(text, expected):
    assert type(decide(RpcResult(StatusCode.UNAVAILABLE, text))) is expected


UNREACHED = [
    ("failed to connect to all addresses; last error: Connection refused", "network"),
    ("DNS resolution failed for no.invalid:443: C-ares status", "DNS"),
    ("errors resolving no.invalid:443: [Temporary failure in name resolution]", "DNS"),
    ("errors resolving no.invalid:443: [Could not contact DNS servers]", "DNS"),
    ("failed to connect to all addresses; last error: Tls handshake failed: Socket closed", "TLS"),
    ("failed to connect to all addresses; HTTP proxy returned response code 403", "proxy"),
    ("failed to connect to all addresses; Trying to connect an http1.x server", "gRPC"),
]


NEVER = [
    ("errors resolving no.invalid:443: [Domain name not found]", "DNS"),
    ("errors resolving no.invalid:443: [os_error: Name or service not known]", "DNS"),
    (
        (
            "failed to connect to all addresses; last error: ipv4:127.0.0.1: Tls handshake "
            "failed (TSI_PROTOCOL_FAILURE): CERTIFICATE_VERIFY_FAILED"
        ),
        "TLS",
    ),
    ("failed to connect to all addresses; Hostname Verification Check failed.", "TLS"),
]


@pytest.mark.parametrize("unavailable", list(Unavailable))
@pytest.mark.parametrize(
    ("text", "named", "kind"),
    [(*each, NotSent) for each in UNREACHED] + [(*each, NoSuchService) for each in NEVER],
)
def test_without_a_connection_nothing_was_sent(text, named, kind, unavailable):
    """Fault 14: safe even for those who doubt."""
    answer = RpcResult(StatusCode.UNAVAILABLE, text)
    assert never_left(answer)
    error = decide(answer, unavailable=unavailable)
    assert type(error) is kind
    assert named in "; ".join((error.problem.partition("(")[0], *error.hints))
    assert WHERE in error.problem


@pytest.mark.parametrize("how", [{"metadata": (("x-request-id", "1"),)}, {"connected": True}])
def test_a_service_that_repeats_the_words_of_its_own_client_was_connected_to(how):
    """Fault 77."""
    text = "failed to connect to all addresses; last error: Connection refused"
    answer = RpcResult(StatusCode.UNAVAILABLE, text, **how)
    assert not never_left(answer)
    assert type(decide(answer)) is InDoubt


@pytest.mark.parametrize("text", ["busy", "Received http2 header with status: 429"])
def test_those_who_doubt_believe_no_unavailable(text):
    answer = RpcResult(StatusCode.UNAVAILABLE, text)
    assert type(decide(answer, unavailable=Unavailable.DOUBTED)) is InDoubt
    assert type(decide(answer, Extent.PART, unavailable=Unavailable.DOUBTED)) is NotSent
    aborted = RpcResult(StatusCode.ABORTED, "busy")
    assert type(decide(aborted, unavailable=Unavailable.DOUBTED)) is NotSent


@pytest.mark.parametrize(
    "text",
    [
        "CLIENT: Sent message larger than max (2097152 vs. 1048576)",
        "SERVER: Received message larger than max (2097152 vs. 1048576)",
        "grpc: received message larger than max (5 vs. 4)",
        "gRPC message exceeds maximum size 4194304: 8388608",
    ],
)
def test_a_message_that_is_too_large_is_no_throttling(text):
    """Fault 24."""
    error = decide(RpcResult(StatusCode.RESOURCE_EXHAUSTED, text))
    assert type(error) is Rejected
    assert error.hints == ("lower --whole-limit, so that recordings of this size are streamed",)


def test_a_message_that_is_too_large_is_ours_if_its_size_is():
    """Faults 24 and 78: a gateway says the same of the answer to it."""
    text = "grpc: received message larger than max (6291456 vs. 4194304)"
    answer = RpcResult(StatusCode.RESOURCE_EXHAUSTED, text)
    assert type(decide(answer, size=6291440)) is Rejected
    assert type(decide(answer, size=2000)) is InDoubt
    assert type(decide(answer, size=8_000_000)) is InDoubt


@pytest.mark.parametrize(
    "text",
    [
        "CLIENT: Received message larger than max (6291456 vs. 4194304)",
        "SERVER: Sent message larger than max (6291456 vs. 4194304)",
        "Decompressed message larger than max",
        "Decompressed message larger than max (6291456 vs. 4194304)",
        "received metadata size exceeds hard limit (16554 vs. 16384);  grpc-status:44B x-0:235B",
        "Stream removed (received metadata size exceeds soft limit (16554 vs. 16384);  x-0:235B)",
    ],
)
def test_an_answer_that_is_too_large_was_an_answer(text):
    """Fault 78."""
    assert type(decide(RpcResult(StatusCode.RESOURCE_EXHAUSTED, text))) is InDoubt


@pytest.mark.parametrize(
    "code",
    [StatusCode.UNIMPLEMENTED, StatusCode.PERMISSION_DENIED, StatusCode.UNAUTHENTICATED],
)
def test_a_proxy_that_answers_in_place_of_the_service_is_named(code):
    """Fault 26."""
    error = decide(RpcResult(code, "Received http2 header with status: 404"))
    assert type(error) is Unauthorized
    assert "proxy" in str(error)


@pytest.mark.parametrize(
    ("value", "expected"),
    [("5000", 5.0), ("0", 0.0), ("-1", -1.0), ("soon", -1.0), ("", -1.0), ("nan", -1.0)],
)
def test_pushback(value, expected):
    """Fault 23."""
    metadata = (("grpc-retry-pushback-ms", value),)
    error = decide(RpcResult(StatusCode.UNAVAILABLE, "busy", metadata))
    assert error.retry_after == expected


def details(*parts):
    status = wire.Status(code=8, message="m")
    for name, part in parts:
        status.details.add(type_url=f"type.googleapis.com/{name}", value=part)
    return (("grpc-status-details-bin", status.SerializeToString()),)


def test_retry_info_is_read_and_pushback_comes_before_it():
    info = wire.RetryInfo(retry_delay=wire.Duration(seconds=2, nanos=500_000_000))
    metadata = details(("google.rpc.RetryInfo", info.SerializeToString()))
    assert retry_after(metadata) == 2.5
    assert retry_after((*metadata, ("grpc-retry-pushback-ms", "100"))) == 0.1
    assert retry_after(()) is None


def test_the_fields_at_fault_are_named():
    violation = wire.BadRequest.FieldViolation(field="metadata.fields", description="no date")
    metadata = details(
        ("google.rpc.RetryInfo", b"\xff"),
        ("google.rpc.BadRequest", b"\xff"),
        (
            "google.rpc.BadRequest",
            wire.BadRequest(field_violations=[violation]).SerializeToString(),
        ),
    )
    error = decide(RpcResult(StatusCode.INVALID_ARGUMENT, "bad", metadata))
    assert '("metadata.fields: no date; bad")' in str(error)
    assert error.retry_after is None
    error = decide(RpcResult(StatusCode.INVALID_ARGUMENT, "metadata.fields: no date", metadata))
    assert '("metadata.fields: no date")' in str(error)


@pytest.mark.parametrize(
    ("field", "kind"),
    [("metadata.connection_id", UnknownConnection), ("metadata.fields[x]", Rejected)],
)
def test_a_field_at_fault_may_be_the_connection(field, kind):
    violation = wire.BadRequest.FieldViolation(field=field, description="is no ID")
    request = wire.BadRequest(field_violations=[violation])
    metadata = details(("google.rpc.BadRequest", request.SerializeToString()))
    assert type(decide(RpcResult(StatusCode.INVALID_ARGUMENT, "bad", metadata))) is kind


def test_what_the_service_repeats_of_us_is_not_repeated():
    """Faults 66 and 70: a service may quote the key or a value, we do not."""
    redaction.remember("AQVN-canary")
    answer = RpcResult(
        StatusCode.INVALID_ARGUMENT,
        "bad key AQVN-canary for Ольга Иванова (no)",
        secrets=("Ольга Иванова", "no", ""),
    )
    error = decide(answer)
    assert '("bad key [...] for [...] (no)")' in str(error)
    assert "canary" not in repr(answer)
    assert "canary" not in pretty_repr(answer)


def test_an_id_repeats_no_value_that_cannot_be_there_by_chance():
    """Fault 70."""
    metadata = (("x-request-id", "r-123-+79001234567"),)
    answer = RpcResult(StatusCode.INTERNAL, "", metadata, secrets=("123", "+79001234567"))
    assert decide(answer).request_id == "r-123-[...]"


def test_what_the_service_says_cannot_break_a_line_or_a_terminal():
    """Fault 64."""
    error = decide(RpcResult(StatusCode.INTERNAL, "a\r\nb\x1b[31m\u202ec" + "x" * 1000))
    assert '("a b [31m c' in str(error)
    assert len(str(error)) < 450


@pytest.mark.parametrize(
    ("metadata", "expected"),
    [
        ((("x-server-trace-id", "t"), ("x-request-id", "r")), "r"),
        ((("x-server-trace-id", "t"),), "t"),
        ((("x-request-id", "trailing"), ("x-request-id", "initial")), "trailing"),
        ((("x-request-id", "a\nb"),), "a b"),
        ((), None),
    ],
)
def test_the_id_that_support_asks_for(metadata, expected):
    assert request_id(metadata) == expected
    assert decide(RpcResult(StatusCode.INTERNAL, "", metadata)).request_id == expected


def test_every_advice_says_what_to_do_and_where():
    for code, extent in itertools.product(StatusCode, Extent):
        text = str(decide(RpcResult(code), extent))
        assert WHERE in text
        assert text[0].islower()
        assert isinstance(decide(RpcResult(code), extent), SinkError)
