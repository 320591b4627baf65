"""What a ledger knows of itself, and which lines of a manifest are news to it."""

import pytest
from conformance.test_adoption import line
from msgspec.structs import replace
from support.ledger_cases import ended, recording
from support.ledger_changes import remember, settle
from support.ledger_harness import KNOWN, bring_to, claim, lines, upload

from batch_uploader.core.model import Fingerprint
from batch_uploader.core.states import Status

HOLDING = [
    Status.CLAIMED,
    Status.IN_DOUBT,
    Status.CONFLICT,
    Status.UPLOADED,
    Status.GIVEN_UP,
]
DOUBTFUL = [Status.CLAIMED, Status.IN_DOUBT, Status.CONFLICT, Status.GIVEN_UP]
FREE = [Status.FAILED, Status.REJECTED, Status.INVALID]


async def test_facts_outlive_the_run(opening):
    async with opening() as ledger:
        assert await ledger.fact("colour") is None
        await remember(ledger, {"colour": "red", "size": "8"})
        await remember(ledger, {"colour": "blue"})
    async with opening() as ledger:
        assert [await ledger.fact(name) for name in ("colour", "size")] == ["blue", "8"]


async def test_a_talk_that_is_on_record_nowhere_is_news(ledger):
    await upload(ledger, "a.wav", talk_id="talk of a.wav")
    await upload(ledger, "a.wav", audio="B", talk_id="second")
    superseded, other = line("a.wav"), line("a.wav", talk_id="third")
    elsewhere = line("b.wav", talk_id="second")
    assert await ledger.unheard([superseded, other, elsewhere, line("c.wav")]) == [
        other,
        line("c.wav"),
    ]


@pytest.mark.parametrize("told", DOUBTFUL)
@pytest.mark.parametrize("known", HOLDING)
async def test_what_the_service_may_hold_is_no_news_where_that_is_on_record(ledger, known, told):
    await bring_to(ledger, "a.wav", known)
    same, unknown = line("a.wav", told), line("a.wav", told, audio=None)
    other = line("a.wav", told, audio="B")
    assert await ledger.unheard([same, unknown, other]) == [other]


@pytest.mark.parametrize("told", DOUBTFUL)
@pytest.mark.parametrize("known", FREE)
async def test_what_the_ledger_would_send_is_news_if_the_service_may_hold_it(ledger, known, told):
    await bring_to(ledger, "a.wav", known)
    lines = [line("a.wav", told), line("never.wav", told, audio=None)]
    assert await ledger.unheard(lines) == lines


async def test_what_history_holds_is_no_news(ledger):
    assert await claim(ledger, recording("a.wav", "A"))
    await settle(ledger, ended("a.wav", Status.IN_DOUBT))
    await settle(ledger, ended("a.wav", Status.GIVEN_UP))
    await upload(ledger, "a.wav", audio="B")
    assert await ledger.unheard([line("a.wav", Status.GIVEN_UP)]) == []


@pytest.mark.parametrize("told", [*FREE, Status.DUPLICATE])
async def test_what_is_not_stored_is_never_news(ledger, told):
    assert await ledger.unheard([line("a.wav", told)]) == []


async def test_what_was_given_up_is_known_again_after_a_tag_was_written_into_it(ledger):
    """The manifest of the run before has the digest of that time."""
    await bring_to(ledger, "a.wav", Status.GIVEN_UP)
    before = await lines(ledger)
    tagged = recording("a.wav")
    content = Fingerprint(b"tagged".ljust(32, b"."), tagged.fingerprint.metadata)
    assert await claim(ledger, replace(tagged, fingerprint=content)) == KNOWN
    assert await ledger.unheard(before) == []
