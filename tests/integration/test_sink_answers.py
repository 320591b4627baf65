"""Answers that no server should give, after it has stored the talk: whose word is it?"""

import zlib

import pytest
from grpc import StatusCode
from http2_peers import FrameServer, answers, breaks, ends, head, message, says, talk
from sink_failures import failure

from batch_uploader.errors import Contradicted, InDoubt

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
