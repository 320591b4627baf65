"""One answer that makes no sense, or contradicts itself, among many: the installed program goes on.

The server counts what came in: each recording once, whatever it had said of it.
"""

from collections import Counter

import anyio
import pytest
from grpc import StatusCode
from support.http2_peers import FrameServer, answers, ends, head, says, stores_talks, talk
from support.sink_servers import Moment, TalkServer, Trouble

BUSY = (14, "busy, try again later")
RECORDINGS = 8


@pytest.fixture
def upload_to(program, calls):
    """Runs an upload of ``calls`` to a server of this test."""

    async def run(server, *flags):
        where = ("--connection-id", "calls", "--endpoint", server.endpoint, "--plaintext")
        upload = ("upload", calls, *where, "--api-key-file", calls.key_file, *flags)
        return await anyio.to_thread.run_sync(lambda: program(*upload))

    return run


@pytest.mark.parametrize(
    ("odd", "status", "said"),
    [
        (answers(head(), ends(0)), "in_doubt", "without a talk ID"),
        (answers(head(), talk("talk-x", size=200), ends(0)), "in_doubt", "without a talk ID"),
        (answers(head(), talk("talk-x", flag=7), ends(0)), "in_doubt", "without a talk ID"),
        (answers(head(), ends(99)), "in_doubt", "was lost or is unclear"),
        (answers(head(), talk("talk-x"), ends(17)), "in_doubt", "as talk talk-x"),
        (answers(head(), talk("talk-x"), ends(*BUSY)), "in_doubt", "as talk talk-x"),
        (answers(head(), talk("talk-x"), ends(8, "slow down")), "in_doubt", "as talk talk-x"),
        (answers(head(), ends(14)), "in_doubt", "was lost or is unclear"),
        (answers(head(), talk("  "), ends(0)), "conflict", "a blank talk ID"),
        (answers(head(), talk("t" * 100_000), ends(0)), "conflict", "100000 characters"),
        (answers(head(), talk("a"), talk("b"), ends(0)), "conflict", "more than one talk ID"),
    ],
    ids=lambda value: value if isinstance(value, str) else "",
)
async def test_one_odd_answer_is_one_recordings_affair(calls, upload_to, *, odd, status, said):
    """Faults 77, 78 and 79."""
    calls.write(*(f"{number}.wav" for number in range(RECORDINGS)))
    script = stores_talks(iter([None, None, odd]))
    async with FrameServer(script) as server:
        result = await upload_to(server)
        again = await upload_to(server)
    assert result.code == again.code == 1, result.said
    assert script.requests == RECORDINGS
    lines = calls.manifest()
    assert Counter(line["status"] for line in lines.values()) == {
        "uploaded": RECORDINGS - 1,
        status: 1,
    }
    (line,) = (line for line in lines.values() if line["status"] == status)
    assert said in line["error"]["message"]
    assert line["talk_id"] is None
    assert status == "in_doubt" or line["error"]["code"] == "CONTRADICTION"
    talks = {line["talk_id"] for line in lines.values() if line["status"] == "uploaded"}
    assert talks == {*script.talks}


TEXTS = [
    "upstream max stream duration reached",
    "unexpected HTTP status code received from server: 502 (Bad Gateway)",
    "The response ended prematurely",
    "http2: client connection lost",
    "stream error: stream ID 5; INTERNAL_ERROR",
    "hyper::Error(IncompleteMessage)",
    "EOF",
    "unavailable",
    "no reply from worker",
    "failed to connect to all addresses; last error: Connection refused",
    "errors resolving calls:443: [Domain name not found]",
    "",
]


async def test_what_gateways_pass_on_is_not_sent_again(calls, upload_to):
    """Fault 77: a gateway says UNAVAILABLE of what the service stored, a run long."""
    calls.write(*(f"{number}.wav" for number in range(48)))
    unavailable = [says(StatusCode.UNAVAILABLE, text) for text in TEXTS]
    script = stores_talks(each for odd in unavailable for each in (None, None, None, odd))
    async with FrameServer(script) as server:
        result = await upload_to(server)
    assert result.code == 1, result.said
    assert script.requests == 48
    counts = Counter(line["status"] for line in calls.manifest().values())
    assert counts == {"uploaded": 48 - len(TEXTS), "in_doubt": len(TEXTS)}


async def test_a_balancer_that_gives_up_on_what_is_stored_has_it_stored_once(calls, upload_to):
    """Fault 77: behind a real Envoy that lets no request last."""
    pytest.importorskip("envoy", reason="there is no Envoy for this system")
    from support.load_balancer import Envoy  # not everywhere

    calls.write(*(f"{number}.wav" for number in range(4)))
    forwards = {"route": {"cluster": "service", "timeout": "0s"}}
    impatient = {"common_http_protocol_options": {"max_stream_duration": "0.3s"}}
    async with TalkServer() as server:
        server.troubles.extend([Trouble(moment=Moment.STORED, hang=True)] * 20)
        async with Envoy(forwards, upstream=server.port, protocol=impatient) as between:
            results = [await upload_to(between), await upload_to(between)]
        assert len(server.talks) == 4
    assert {result.code for result in results} == {1}
    assert {line["status"] for line in calls.manifest().values()} == {"in_doubt"}
