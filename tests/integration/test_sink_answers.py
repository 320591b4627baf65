"""Answers that no server should give, after it has stored the talk: whose word is it?"""

import zlib

import pytest
from cryptography.hazmat.primitives.asymmetric import rsa
from grpc import StatusCode
from support.http2_peers import FrameServer, answers, breaks, ends, head, message, says, talk
from support.sink_failures import failure

from batch_uploader.core.errors import Contradicted, InDoubt, NotSent, SearchFailed
from batch_uploader.sinks.speechsense.credentials import ApiKey, ServiceAccountKey
from batch_uploader.sinks.speechsense.iam import AuthorizedKey
from batch_uploader.sinks.speechsense.reply import write
from batch_uploader.sinks.speechsense.sink import SpeechSenseSink

pytestmark = pytest.mark.usefixtures("way")

BUSY = (StatusCode.UNAVAILABLE.value[0], "busy, try again later")
MANY = tuple((f"x-{number}", "v" * 200) for number in range(100))

ODD = {
    "OK alone": answers(head(), ends(0)),
    "OK in the first headers": says(StatusCode.OK, ""),
    "no talk ID": answers(head(), talk(""), ends(0)),
    "no protobuf": answers(head(), message(b"\xff\xff"), ends(0)),
    "a cut frame": answers(head(), talk("talk-1", size=200), ends(0)),
    "an unknown flag": answers(head(), talk("talk-1", flag=7), ends(0)),
    "an unknown encoding": answers(head(("grpc-encoding", "nope")), talk("t", flag=1), ends(0)),
    "status 17": answers(head(), talk("talk-1"), ends(17)),
    "status 99": answers(head(), ends(99, BUSY[1])),
    "status -1": answers(head(), talk("talk-1"), ends(-1)),
    "status busy": answers(head(), talk("talk-1"), ends("busy")),
    "trailers of 20 KB": answers(head(), talk("talk-1"), ends(0, "", *MANY)),
    "headers of 20 KB": answers(head(*MANY), talk("talk-1"), ends(0)),
    "6 MB once unpacked": answers(
        head(("grpc-encoding", "deflate")),
        message(zlib.compress(bytes(6 << 20)), flag=1),
        ends(0),
    ),
    "5 MB": answers(head(), message(bytes(5 << 20)), ends(0)),
    "a talk, then busy": answers(head(), talk("talk-1"), ends(*BUSY)),
    "a talk, then too much": answers(head(), talk("talk-1"), ends(8, "too many requests")),
    "a talk, then aborted": answers(head(), talk("talk-1"), ends(10, "conflict")),
    "a talk, then refused": answers(head(), talk("talk-1"), ends(3, "it is invalid")),
    "a talk, then no access": answers(head(), talk("talk-1"), ends(7, "not yours")),
    "no talk ID, then busy": answers(head(), talk(""), ends(*BUSY)),
    "a talk, then reset": answers(head(), talk("talk-1"), breaks(2)),
    "a talk, then refused stream": answers(head(), talk("talk-1"), breaks(7)),
    "in the words of our client": says(
        StatusCode.UNAVAILABLE, "failed to connect to all addresses; last error: UNKNOWN"
    ),
    "as if it had not been found": says(StatusCode.UNAVAILABLE, "errors resolving it: []"),
    "what nginx makes of a 502": answers(
        lambda stream: FrameServer.answer(
            stream, (":status", "204"), ("grpc-status", "14"), ("grpc-message", "unavailable")
        )
    ),
    "nothing to say": says(StatusCode.UNAVAILABLE, ""),
    "too much, without a word": says(StatusCode.RESOURCE_EXHAUSTED, ""),
}
CONTRADICTORY = {
    "two talks": answers(head(), talk("talk-1"), talk("talk-2"), ends(0)),
    "a talk and none": answers(head(), talk("talk-1"), talk(""), ends(0)),
    "a blank one": answers(head(), talk(" \t"), ends(0)),
    "one of blanks beyond ASCII": answers(head(), talk("\u2003\u00a0"), ends(0)),
    "a huge one": answers(head(), talk("t" * 1_000_000), ends(0)),
    "one of 300 letters": answers(head(), talk("t" * 300), ends(0)),
    "one that moves the cursor": answers(head(), talk("talk\x1b[2J"), ends(0)),
    "one of two lines": answers(head(), talk("talk-1\ntalk-2"), ends(0)),
}


@pytest.mark.parametrize("whole", [True, False], ids=["whole", "stream"])
@pytest.mark.parametrize(
    ("script", "expected"),
    [
        *(pytest.param(script, InDoubt, id=name) for name, script in ODD.items()),
        *(pytest.param(script, Contradicted, id=name) for name, script in CONTRADICTORY.items()),
    ],
)
async def test_what_may_be_stored_is_never_taken_for_absent(script, expected, whole):
    """Faults 30, 77 and 78."""
    async with FrameServer(script) as server:
        error = await failure(server.endpoint, whole=whole)
    assert type(error) is expected
    assert len(str(error)) < 600
    assert str(error).isprintable()


async def test_a_talk_that_was_named_before_an_error_is_told():
    """Fault 78."""
    async with FrameServer(ODD["a talk, then busy"]) as server:
        error = await failure(server.endpoint)
    assert "as talk talk-1" in str(error)
    assert "busy, try again later" in str(error)
    assert error.code == "UNAVAILABLE"


NO_ANSWERS = {
    "OK alone": answers(head(), ends(0)),
    "no protobuf": answers(head(), message(b"\xff\xff"), ends(0)),
    "a cut frame": answers(head(), message(b"\x0a\x01a", size=200), ends(0)),
    "an unknown flag": answers(head(), message(b"\x0a\x01a", flag=7), ends(0)),
    "status 99": answers(head(), ends(99)),
    "status -1": answers(head(), ends(-1)),
    "6 MB once unpacked": ODD["6 MB once unpacked"],
    "a talk with a huge ID": answers(head(), message(b"\x0a\xac\x02" + b"t" * 300), ends(0)),
    "a talk with a blank ID": answers(head(), message(b"\x0a\x02  "), ends(0)),
}


@pytest.mark.parametrize("script", NO_ANSWERS.values(), ids=NO_ANSWERS)
async def test_a_search_that_makes_no_sense_has_found_nothing_out(script):
    """Faults 29 and 79: what is in doubt stays so."""
    async with (
        FrameServer(script) as server,
        SpeechSenseSink(server.endpoint, ApiKey("k"), stamp_field="stamp") as sink,
    ):
        with pytest.raises(SearchFailed):
            await sink.find("conn-1", ["key-1"])


@pytest.mark.parametrize("script", list(NO_ANSWERS.values())[:7], ids=list(NO_ANSWERS)[:7])
async def test_a_token_that_makes_no_sense_is_none(script):
    """Fault 79."""
    key = rsa.generate_private_key(public_exponent=65537, key_size=2048)
    async with FrameServer(script) as server:
        credentials = ServiceAccountKey(
            AuthorizedKey("key-1", "account-1", key), endpoint=server.endpoint
        )
        with pytest.raises(NotSent):
            await credentials.header()


class Plain:
    """A call of a gRPC that keeps what is beneath it elsewhere."""

    def __init__(self):
        self.written = []

    async def write(self, message):
        self.written.append(message)

    async def done_writing(self):
        self.written.append(None)


async def test_grpcs_own_write_serves_where_there_is_nothing_beneath_it():
    rpc = Plain()
    await write(rpc, b"message")
    await write(rpc, None)
    assert rpc.written == [b"message", None]
