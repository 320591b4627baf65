"""The service names a talk a second time: the installed program believes it of the first alone."""

import itertools
from collections import Counter

import anyio
import pytest
from support.http2_peers import FrameServer, answers, ends, head, stores_talks, talk

from batch_uploader.pace.stop_policy import REPEATED

AGAIN = answers(head(), talk("talk-1"), ends(0))


@pytest.fixture
def upload_to(program, calls):
    """Runs an upload of ``calls``, one at a time, to a server of this test."""

    async def run(server):
        where = ("--connection-id", "calls", "--endpoint", server.endpoint, "--plaintext")
        one = ("--concurrency", "1", "--api-key-file", calls.key_file)
        return await anyio.to_thread.run_sync(lambda: program("upload", calls, *where, *one))

    return run


def lines(calls):
    """Status and talk ID of each line of the manifest, by path and age."""
    return [
        tuple(line[name] for name in ("path", "status", "talk_id")) for line in calls.every_line()
    ]


@pytest.mark.parametrize("runs", [1, 2], ids=["in one run", "in the next"])
async def test_the_second_recording_is_in_conflict_and_the_first_stays_up(calls, upload_to, runs):
    """Fault 84: nothing is lost, nothing is sent again, and the run goes on."""
    script = stores_talks(iter([None, AGAIN]))
    async with FrameServer(script) as server:
        calls.write("a.wav")
        if runs > 1:
            assert (await upload_to(server)).code == 0
        calls.write("b.wav", "c.wav")
        result = await upload_to(server)
        assert result.code == (await upload_to(server)).code == 1, result.said
    assert script.requests == 3
    up = {path: talk_id for path, status, talk_id in lines(calls) if status == "uploaded"}
    assert sorted(up.values()) == ["talk-1", "talk-2"]
    (other,) = {"a.wav", "b.wav", "c.wav"} - up.keys()
    first = next(path for path, talk_id in up.items() if talk_id == "talk-1")
    line = calls.manifest()[other]
    assert (line["status"], line["talk_id"]) == ("conflict", None)
    assert f"talk talk-1 was named for {other}, but it is {first}; " in line["error"]["message"]


async def test_an_earlier_recording_of_the_path_keeps_its_talk(calls, upload_to):
    """Fault 84: also one that is history."""
    script = stores_talks(iter([None, AGAIN]))
    async with FrameServer(script) as server:
        call = {"date": "2025-01-01T10:00:07Z", "operator_id": "1"}
        calls.write("a.wav", client_id="1", **call)
        assert (await upload_to(server)).code == 0
        calls.write("a.wav", seconds=0.2, client_id="2", **call)
        assert (await upload_to(server)).code == 1
        assert (await upload_to(server)).code == 1
    assert script.requests == 2
    assert lines(calls) == [("a.wav", "uploaded", "talk-1"), ("a.wav", "conflict", None)]
    assert "is a.wav as it was earlier" in calls.manifest()["a.wav"]["error"]["message"]


async def test_a_service_that_names_one_talk_for_all_is_sent_no_more(calls, upload_to):
    """Fault 84: each of them is billed and needs a human, so the run ends before the directory."""
    calls.write(*(f"{number}.wav" for number in range(40)))
    script = stores_talks(itertools.chain([None], itertools.repeat(AGAIN)))
    async with FrameServer(script) as server:
        result = await upload_to(server)
    assert result.code == 6, result.said
    assert "names talks that other recordings have" in result.err
    assert script.requests == 1 + REPEATED
    assert Counter(line["status"] for line in calls.manifest().values()) == {
        "uploaded": 1,
        "conflict": REPEATED,
    }


async def test_some_talks_that_are_named_twice_end_no_run(calls, upload_to):
    """Fault 84."""
    calls.write(*(f"{number}.wav" for number in range(40)))
    script = stores_talks(itertools.cycle([None, *[AGAIN] * 3]))
    async with FrameServer(script) as server:
        assert (await upload_to(server)).code == 1
    assert script.requests == 40
