"""Somebody else answers, or nobody knows the connection: the installed program stops in time."""

import time
from collections import Counter

import anyio
import pytest
from support.http2_peers import FrameServer, hangs_up, http, stores_talks

HTML = b"<html><h1>Bad Gateway</h1></html>"


@pytest.fixture
def upload_to(program, calls):
    """Runs an upload of ``calls`` to a server of this test."""

    async def run(server, *flags):
        flags = ("--connection-id", "calls", "--endpoint", server.endpoint, "--plaintext", *flags)
        upload = ("upload", calls, *flags, "--api-key-file", calls.key_file)
        return await anyio.to_thread.run_sync(lambda: program(*upload))

    return run


def statuses(calls):
    return Counter(line["status"] for line in calls.manifest().values())


@pytest.mark.parametrize(
    ("script", "said"),
    [
        (http(502, HTML), "HTTP 502"),
        (http(503), "HTTP 503"),
        (http(200, HTML), "answered in the service's place"),
        (hangs_up, "was lost"),
    ],
    ids=["502", "503", "HTML", "hangs up"],
)
async def test_a_run_stops_where_all_ends_in_doubt(
    calls, upload, upload_to, service, *, script, said
):
    """Fault 26: soon, with few in doubt, and the next run does the rest."""
    calls.write(*(f"{number}.wav" for number in range(60)))
    async with FrameServer(script) as server:
        result = await upload_to(server)
    assert result.code == 6, result.said
    told = " ".join(result.said.split())
    assert said in told
    assert str(server.endpoint) in told
    assert "every upload ends in doubt" in told
    assert set(seen := statuses(calls)) == {"in_doubt"}
    assert seen["in_doubt"] <= 24
    assert upload().code == 1
    assert len(service.talks(calls)) == 60 - seen["in_doubt"]


async def test_a_proxy_that_knows_no_such_way_leaves_nothing_in_doubt(calls, program, upload_to):
    """Fault 26."""
    calls.write(*(f"{number}.wav" for number in range(40)))
    async with FrameServer(http(404, HTML)) as server:
        result = await upload_to(server)
    assert result.code == 3
    said = " ".join(result.said.split())
    assert "error: a proxy or load balancer in front of" in said
    assert "HTTP 404" in said
    assert statuses(calls) == {}


class Restart:
    """What a proxy does while the service behind it restarts: a bit, and then for two seconds."""

    def __init__(self):
        self.answers = 0

    def __iter__(self):
        for _ in range(5):
            yield from [None] * 19
            yield self.answered()
        end = time.monotonic() + 2
        while time.monotonic() < end:
            yield self.answered()

    def answered(self):
        self.answers += 1
        return http(502)


@pytest.mark.slow
async def test_a_restart_behind_a_proxy_stops_nothing(calls, upload_to):
    """Fault 26: some answers in the service's place, then many at once, and all is well again."""
    calls.write(*(f"{number}.wav" for number in range(300)))
    restart = Restart()
    script = stores_talks(iter(restart))
    async with FrameServer(script) as server:
        result = await upload_to(server)
    assert result.code == 1, result.said
    assert statuses(calls) == {
        "in_doubt": restart.answers,
        "uploaded": len(script.talks),
    }
    assert len(script.talks) >= 150


def test_a_connection_that_nobody_knows_stops_the_run_and_marks_nothing(
    calls, program, upload, service
):
    calls.write(*(f"{number}.wav" for number in range(40)))
    result = upload("--connection-id", "mistyped")
    assert result.code == 3, result.said
    told = " ".join(result.said.split())
    assert "check the connection ID" in told
    assert "Connection mistyped is not found" in told
    assert statuses(calls) == {}
    assert upload().code == 0
    assert len(service.talks(calls)) == 40
    both = program("status", calls)
    assert both.code == 1, "the mistyped one has never had a good run"
    assert "hint: if its ID was a typing error, name yours: --connection-id ID" in both.err
    assert program("status", calls, "--connection-id", "calls").code == 0
