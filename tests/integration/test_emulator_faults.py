"""Each thing that the emulator does wrong on purpose, seen from both ends."""

import asyncio
import time

import grpc
import pytest
from support.emulator_client import (
    connected,
    metadata,
    raw,
    refused,
    running,
    stream,
    until,
    upload,
    wav,
)

from batch_uploader.core.errors import ConfigError
from batch_uploader.emulator import (
    Faults,
    LostAnswer,
    status_code,
    stored_talks,
)
from batch_uploader.sinks.speechsense import wire

UNAVAILABLE = grpc.StatusCode.UNAVAILABLE
EXHAUSTED = grpc.StatusCode.RESOURCE_EXHAUSTED
DEADLINE = grpc.StatusCode.DEADLINE_EXCEEDED


@pytest.fixture
async def emulator(tmp_path):
    async with running(tmp_path) as (emulator, client):
        yield emulator, client


@pytest.mark.parametrize(
    ("faults", "code"),
    [(Faults(unavailable=1), UNAVAILABLE), (Faults(exhausted=1), EXHAUSTED)],
)
async def test_busy_answers_store_nothing(emulator, faults, code):
    running, client = emulator
    running.control.faults = faults
    for call in (client.upload(), client.upload_as_stream()):
        error = await refused(call)
        assert error.code() is code
        assert "grpc-retry-pushback-ms" not in dict(error.trailing_metadata())
    assert running.control.talks() == []
    assert running.control.received == 0


async def test_a_rate_takes_a_second_s_worth_at_once_and_then_so_many_a_second(emulator):
    """Fault 22, the server's side."""
    running, client = emulator
    running.control.faults = Faults(max_rate=10)
    answers = await asyncio.gather(*(client.upload() for _ in range(30)), return_exceptions=True)
    refusals = [answer for answer in answers if isinstance(answer, grpc.aio.AioRpcError)]
    assert 10 <= 30 - len(refusals) <= 15
    assert {error.code() for error in refusals} == {EXHAUSTED}
    assert len(running.control.talks()) == 30 - len(refusals)
    await asyncio.sleep(0.5)
    for _ in range(4):
        await client.upload()


@pytest.mark.parametrize(("pushback", "header"), [(5.0, "5000"), (0.25, "250"), (-1.0, "-1000")])
async def test_busy_answers_ask_for_a_pause(emulator, pushback, header):
    """Fault 23, the server's side."""
    running, client = emulator
    for fault in ("unavailable", "exhausted"):
        running.control.faults = Faults(**{fault: 1}, pushback=pushback)
        trailers = dict((await refused(client.upload())).trailing_metadata())
        assert trailers["grpc-retry-pushback-ms"] == header
        if pushback < 0:
            assert "grpc-status-details-bin" not in trailers
            continue
        [detail] = wire.Status.FromString(trailers["grpc-status-details-bin"]).details
        delay = wire.RetryInfo()
        assert detail.Unpack(delay)
        assert delay.retry_delay.ToMilliseconds() == int(header)


def recordings(count):
    return [upload(wav(0.01), talk=metadata(fields={"n": str(n)})) for n in range(count)]


async def attempts_needed(client, requests, concurrency):
    """How many tries each of the recordings took, tried until it got through."""
    needed = [0] * len(requests)
    gate = asyncio.Semaphore(concurrency)

    async def one(number, request):
        async with gate:
            talk_id = None
            while talk_id is None:
                needed[number] += 1
                try:
                    talk_id = await client.upload(request)
                except grpc.aio.AioRpcError as error:
                    assert error.code() in {UNAVAILABLE, EXHAUSTED}  # noqa: PT017 - all of them

    await asyncio.gather(*[one(*each) for each in enumerate(requests)])
    return needed


async def test_faults_are_the_same_for_the_same_seed_however_concurrent(tmp_path):
    requests = recordings(60)
    results = []
    for seed, concurrency in ((1, 1), (1, 30), (2, 30)):
        folder = tmp_path / str(len(results))
        folder.mkdir()
        faults = Faults(seed=seed, unavailable=0.3, exhausted=0.2)
        async with running(folder, faults=faults) as (emulator, client):
            order = requests if concurrency == 1 else requests[::-1]
            needed = await attempts_needed(client, order, concurrency)
            results.append(needed if concurrency == 1 else needed[::-1])
            assert len(emulator.control.talks()) == 60
    assert results[0] == results[1] != results[2]
    # Half of all attempts fail, each with a draw of its own.
    assert 90 < sum(results[0]) < 160
    assert max(results[0]) > 2


async def test_the_idempotency_key_tells_recordings_apart_where_there_is_one(emulator):
    running, client = emulator
    running.control.faults = Faults(unavailable=0.5)
    request = recordings(1)[0]
    fates = []
    for key in range(40):
        headers = (("idempotency-key", str(key)),)
        try:
            fates.append(bool(await client.upload(request, headers=headers)))
        except grpc.aio.AioRpcError:
            fates.append(False)
    assert 8 < sum(fates) < 32


async def test_an_early_abort_comes_before_the_audio_is_read(emulator):
    """Fault 19, the server's side."""
    running, client = emulator
    for name in ("ABORTED", "INTERNAL", "INVALID_ARGUMENT"):
        running.control.faults = Faults(abort_early=1, abort_code=status_code(name))
        call = client.open_stream()
        await call.write(next(stream()))
        assert (await call.code()).name == name
        assert (await refused(client.upload())).code().name == name
    assert running.control.talks() == []


async def test_an_early_ok_stores_what_came(emulator):
    """Fault 20, the server's side."""
    running, client = emulator
    running.control.faults = Faults(early_ok=1)
    call = client.open_stream()
    for message in stream(wav(3.0)[:16_044], piece=16_044):
        await call.write(message)
    # The client has not finished, and is answered nonetheless.
    talk_id = (await call).talk_id
    [talk] = running.control.talks()
    assert (talk.talk_id, talk.size, talk.duration, talk.truncated) == (talk_id, 16_044, 1.0, True)


async def test_silence_stores_nothing(emulator):
    """Fault 21, the server's side."""
    running, client = emulator
    running.control.faults = Faults(silent=1)
    for call in (client.upload(deadline=0.5), client.upload_as_stream(deadline=0.5)):
        assert (await refused(call)).code() is DEADLINE
    assert running.control.talks() == []
    assert running.control.received == 2


@pytest.mark.parametrize(
    ("mode", "code", "text"),
    [
        (LostAnswer.SILENCE, DEADLINE, ""),
        (LostAnswer.INTERNAL, grpc.StatusCode.INTERNAL, "Internal error"),
        (
            LostAnswer.PROXY,
            UNAVAILABLE,
            "disconnect/reset before headers. reset reason: connection termination",
        ),
    ],
)
async def test_an_answer_is_lost_after_the_talk_was_stored(emulator, mode, code, text):
    """Fault 16, the server's side."""
    running, client = emulator
    running.control.faults = Faults(lose_answer=1, lost_answer=mode)
    for number, call in enumerate(
        (client.upload(deadline=0.5), client.upload_as_stream(deadline=0.5)), 1
    ):
        error = await refused(call)
        assert error.code() is code
        assert text in error.details()
        assert len(running.control.talks()) == number


async def test_an_answer_without_a_talk_id(emulator):
    """Fault 30, the server's side."""
    running, client = emulator
    running.control.faults = Faults(lose_answer=1, lost_answer=LostAnswer.BLANK)
    assert await client.upload() == ""
    assert await client.upload_as_stream() == ""
    assert len(running.control.talks()) == 2


async def test_a_reset_takes_one_connection_and_leaves_the_others(tmp_path):
    """Fault 16 with a real reset; needs the relay."""
    async with running(tmp_path, relay=True) as (emulator, client):
        options = [("grpc.use_local_subchannel_pool", 1)]
        async with connected(emulator, options=options) as other:
            first = next(stream())
            assert await other.upload()
            call = other.open_stream()
            await call.write(first)
            # Its fate is fixed with its first message.
            await asyncio.sleep(0.3)
            emulator.control.faults = Faults(lose_answer=1, lost_answer=LostAnswer.RESET)
            error = await refused(client.upload())
            assert error.code() is UNAVAILABLE
            assert error.details().startswith("Stream removed (")
            assert len(emulator.control.talks()) == 2
            emulator.control.faults = Faults()
            # The other's stream goes on, over the connection it was begun on.
            for message in list(stream())[1:]:
                await call.write(message)
            await call.done_writing()
            assert (await call).talk_id
        assert await client.upload()


async def test_a_reset_without_the_relay_is_refused_at_once(emulator):
    running, _ = emulator
    faults = running.control.faults
    with pytest.raises(ConfigError, match="needs the relay"):
        running.control.faults = Faults(lost_answer=LostAnswer.RESET)
    assert running.control.faults is faults


async def test_the_relay_passes_everything_on_as_it_is(tmp_path):
    options = {"relay": True, "keep_audio": tmp_path / "audio"}
    async with running(tmp_path, **options) as (emulator, client):
        audio = bytes(range(256)) * 4096 * 8
        messages = list(stream(audio, raw(), piece=512 * 1024))
        ids = await asyncio.gather(*[client.upload_as_stream(messages) for _ in range(4)])
        for talk_id in ids:
            assert (tmp_path / "audio" / f"{talk_id}.raw").read_bytes() == audio
        assert len(emulator.control.talks()) == 4


async def test_a_talk_is_stored_after_its_client_gave_up(emulator):
    """Fault 17, the server's side."""
    running, client = emulator
    running.control.faults = Faults(store_late=1.0)
    calls = (client.upload(deadline=0.3), client.upload_as_stream(deadline=0.3))
    for error in await asyncio.gather(*map(refused, calls)):
        assert error.code() is DEADLINE
    assert running.control.talks() == []
    await until(lambda: len(running.control.talks()) == 2)


async def test_a_client_that_waits_for_a_late_talk_is_answered(emulator):
    running, client = emulator
    running.control.faults = Faults(store_late=0.3)
    before = time.monotonic()
    assert await client.upload()
    assert time.monotonic() - before > 0.29


async def test_what_was_to_be_stored_late_is_stored_when_the_emulator_ends(tmp_path):
    async with running(tmp_path, faults=Faults(store_late=3600)) as (emulator, client):
        assert (await refused(client.upload(deadline=0.3))).code() is DEADLINE
        assert emulator.control.talks() == []
    assert len(stored_talks(tmp_path / "talks.db")) == 1


async def test_an_update_of_nothing_that_comes_late_troubles_nobody(emulator):
    running, client = emulator
    running.control.faults = Faults(store_late=0.4)
    error = await refused(client.upload(upload(b"", talk_id="nobody"), deadline=0.2))
    assert error.code() is DEADLINE
    await asyncio.sleep(0.4)


@pytest.mark.parametrize(
    ("knobs", "message"),
    [
        ({"unavailable": 1.1}, "unavailable is not a probability; give 0 to 1"),
        ({"abort_early": -0.1}, "abort-early is not a probability"),
        ({"silent": float("nan")}, "silent is not a probability"),
        ({"search_unavailable": 2}, "search-unavailable is not a probability"),
        (
            {"unavailable": 0.6, "lose_answer": 0.6},
            "add up to more than 1; lower some of unavailable",
        ),
        ({"latency": -1}, "latency cannot be negative or infinite"),
        ({"search_lag": float("inf")}, "search-lag cannot be negative or infinite"),
        ({"bandwidth": 0}, "a bandwidth of 0 allows nothing"),
        ({"max_rate": 0}, "a max-rate of 0 allows nothing"),
        ({"max_rate": -1}, "max-rate cannot be negative"),
        ({"die_before_storing": 0}, "die-before-storing counts uploads from 1"),
        ({"die_after_storing": 0}, "die-after-storing counts uploads from 1"),
        ({"revoke_after": -1}, "revoke-after cannot be negative"),
    ],
)
def test_numbers_that_make_no_sense(knobs, message):
    with pytest.raises(ValueError, match=message):
        Faults(**knobs)


def test_a_status_that_is_none():
    with pytest.raises(
        ValueError, match="'OK' is not a gRPC status; the statuses are CANCELLED, UNKNOWN"
    ):
        status_code("OK")
