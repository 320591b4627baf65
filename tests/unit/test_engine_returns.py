"""What was up, given up or in doubt and comes back: moved, copied, changed."""

import pytest
from msgspec.structs import replace
from support.engine_harness import Harness, of_call, recordings, sidecar, wav
from support.ledger_changes import settle

from batch_uploader.core.errors import (
    InDoubt,
)
from batch_uploader.core.model import Failure
from batch_uploader.core.states import Status
from batch_uploader.prepare.rules import Rules
from batch_uploader.prepare.sidecar import Schema


async def given_up(harness):
    """A recording of which the service holds a talk, in truth, and that a human gave up."""
    harness.sink.lose_next(InDoubt("no answer", code="DEADLINE_EXCEEDED"))
    await harness.run()
    async with harness.ledger as ledger:
        known = (await ledger.known("0"))["0/call-0.wav"]
        failure = Failure("GIVEN_UP", "somebody decided so")
        await settle(ledger, replace(known.outcome, status=Status.GIVEN_UP, failure=failure))


@pytest.mark.parametrize(
    "change",
    [
        lambda source: source.touch("0/call-0.wav"),
        lambda source: source.touch("0/call-0.json"),
        lambda source: source.put("0/call-0.json", sidecar(n="corrected")),
        lambda source: source.put("0/call-0.wav.json", sidecar(n="0")),
    ],
    ids=["touched", "sidecar touched", "sidecar corrected", "second sidecar"],
)
async def test_what_was_given_up_is_never_sent_again_unasked(change):
    harness = Harness(recordings(1))
    await given_up(harness)
    change(harness.source)
    for _ in range(2):
        summary = await harness.run()
        assert summary.needs_attention == 0
    assert len(harness.sink.talks) == 1
    assert await harness.statuses() == {"0/call-0.wav": Status.GIVEN_UP}


async def test_a_copy_of_what_was_given_up_is_not_sent_either():
    harness = Harness(recordings(1))
    await given_up(harness)
    for ending in ("wav", "json"):
        harness.source.put(f"moved/x.{ending}", harness.source._files[f"0/call-0.{ending}"].content)
        harness.source.remove(f"0/call-0.{ending}")
    assert (await harness.run()).counts == {Status.DUPLICATE: 1}
    assert len(harness.sink.talks) == 1


async def test_other_audio_at_the_path_of_what_was_given_up_is_a_new_recording():
    harness = Harness(recordings(1))
    await given_up(harness)
    harness.source.put("0/call-0.wav", wav(5))
    harness.source.put("0/call-0.json", of_call(5))
    assert (await harness.run()).counts == {Status.UPLOADED: 1}
    harness.source.put("0/call-0.wav", wav(0))
    summary = await harness.run()
    assert (summary.already_there, summary.counts) == (1, {})
    assert len(harness.sink.talks) == 2, "the one given up, and the new one"


@pytest.mark.parametrize("way", ["moved", "removed"])
async def test_a_doubt_whose_file_is_elsewhere_still_needs_a_human(way):
    harness = Harness(recordings(3))
    harness.sink.lose_next(InDoubt("no answer", code="DEADLINE_EXCEEDED"))
    await harness.run()
    (path,) = [path for path, status in (await harness.statuses()).items() if status == "in_doubt"]
    for name in (path, path.replace(".wav", ".json")):
        if way == "moved":
            harness.source.put(f"done/{name}", harness.source._files[name].content)
        harness.source.remove(name)
    for _ in range(2):
        summary = await harness.run()
        assert summary.needs_attention == 1
        assert summary.attention[0].path == path
        assert summary.attention[0].failure.code == "DEADLINE_EXCEEDED"
    assert len(harness.sink.talks) == 3


async def test_audio_that_returns_to_its_path_is_its_old_talk_whatever_its_sidecar_says():
    harness = Harness(recordings(1))
    await harness.run()
    harness.source.put("0/call-0.wav", wav(5))
    harness.source.put("0/call-0.json", of_call(5))
    await harness.run()
    harness.source.put("0/call-0.wav", wav(0))
    harness.source.put("0/call-0.json", sidecar(n="edited"))
    summary = await harness.run()
    assert (summary.outdated, summary.counts) == (1, {})
    assert len(harness.sink.talks) == 2
    assert {row.talk_id for row in await harness.rows()} == {"talk-1", "talk-2"}, (
        "none is forgotten"
    )


async def test_other_defaults_make_no_other_call_of_a_moved_recording():
    def rules(value):
        return Rules(schema=Schema(defaults={"language": value}))

    harness = Harness(recordings(1))
    await harness.run(rules=rules("ru-RU"))
    assert harness.sink.talks[0].metadata.fields["language"] == "ru-RU"
    for ending in ("wav", "json"):
        harness.source.put(f"moved/x.{ending}", harness.source._files[f"0/call-0.{ending}"].content)
        harness.source.remove(f"0/call-0.{ending}")
    assert (await harness.run(rules=rules("kk-KZ"))).counts == {Status.DUPLICATE: 1}


async def test_attempts_are_those_of_this_audio():
    harness = Harness(recordings(1))
    for seed in (0, 1, 2):
        harness.source.put("0/call-0.wav", wav(seed))
        harness.source.put("0/call-0.json", of_call(seed))
        await harness.run()
    assert [row.attempts for row in await harness.rows()] == [1, 1, 1]
