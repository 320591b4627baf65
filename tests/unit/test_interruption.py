"""Struck at each await, a run leaves states that the next one resolves: nothing lost or twice."""

import io
import wave

import pytest
from anyio.lowlevel import checkpoint
from support.interruption import Fault, Injected, Place, counted_tasks, struck

from batch_uploader.core.errors import UploaderError
from batch_uploader.ledgers import rules
from batch_uploader.run.delivery import Delivery
from batch_uploader.sinks.memory import MemorySink

pytestmark = pytest.mark.timeout(600)
"""Hundreds of runs to a test; one that hangs is noticed by ``struck``."""

WHOLE_LIMIT = 1000
"""In bytes; some of the recordings are streamed."""


def wav(frames):
    buffer = io.BytesIO()
    with wave.open(buffer, "wb") as file:
        file.setparams((1, 2, 8000, 0, "NONE", ""))
        file.writeframes(frames.to_bytes(2, "little") * frames)
    return buffer.getvalue()


class Remote(MemorySink):
    """Request and answer are on their way for a while."""

    async def upload(self, recording, audio, attempt):
        await checkpoint()
        receipt = await super().upload(recording, audio, attempt)
        await checkpoint()
        return receipt


CONTENTS = [wav(400), wav(401), wav(900)]


def sink():
    return Remote(whole_limit=WHOLE_LIMIT, stamp_field="upload_key")


def talks(sink):
    return [(talk.metadata.fields["n"], talk.talk_id) for talk in sink.talks]


async def strike(folder, how, at):
    """Whether there is so late an await; judged as it is."""
    place, service = Place(folder, CONTENTS), sink()
    async with counted_tasks():
        landed = await struck(place.uploader(service), how, at)
    await place.judge(talks(service))
    async with place.uploader(service) as uploader:
        await uploader.run()
    await place.require_all_up(talks(service))
    return landed


async def fail(folder, at, *, unexpected):
    """The same with a call of a port that fails."""
    place, service = Place(folder, CONTENTS), sink()
    fault = Fault(at, unexpected=unexpected)
    said = "injected"
    try:
        async with place.uploader(service, fault) as uploader:
            await uploader.run()
    except (UploaderError, Injected) as error:
        said = str(error)
    assert "injected" in said
    await place.judge(talks(service))
    async with place.uploader(service) as uploader:
        await uploader.run()
    await place.require_all_up(talks(service))
    return fault.landed


async def sweep(folder, attack, stride=1):
    """Attack one run after another, each at a later moment; how many of these there are."""
    at = 1
    while await attack(folder / str(at), at):
        at += stride
    return at


@pytest.mark.parametrize(
    ("how", "stride"),
    [("native cancellation", 1), ("anyio cancellation", 3), ("drain", 5), ("cancel", 5)],
)
async def test_ended_at_each_await(how, stride, tmp_path):
    """Fault 3."""
    assert await sweep(tmp_path, lambda folder, at: strike(folder, how, at), stride) > 30


@pytest.mark.parametrize("unexpected", [False, True])
async def test_a_failure_before_and_after_each_call(unexpected, tmp_path):
    """Fault 3: of source, sink and ledger, with an error of theirs and with a bug."""
    attack = lambda folder, at: fail(folder, at, unexpected=unexpected)  # noqa: E731
    assert await sweep(tmp_path, attack) > 30


# Without these it would prove nothing.


async def test_what_was_cut_off_may_be_up(monkeypatch, tmp_path):
    """A claim that is taken back while its recording is on its way is caught."""
    never = property(lambda _: False, lambda _, __: None)
    monkeypatch.setattr(Delivery, "open", never, raising=False)
    with pytest.raises(AssertionError, match="is up, and None"):
        await sweep(tmp_path, lambda folder, at: strike(folder, "native cancellation", at))


async def test_a_claim_that_nobody_settled_may_be_up(monkeypatch, tmp_path):
    """Claims that the next run forgets are caught."""

    def forgets(store, _now, _living, *, ours):
        claims = store.claimed()
        for record in claims:
            store.drop(record.path)
        return len(claims)

    monkeypatch.setattr(rules, "recover", forgets)
    with pytest.raises(AssertionError, match="is up, and None"):
        await sweep(tmp_path, lambda folder, at: fail(folder, at, unexpected=True))
