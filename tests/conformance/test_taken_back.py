"""A talk that a human named by mistake is taken back; one that the service named never is."""

import pytest
from conformance.test_adoption import line
from support.ledger_cases import ended, recording, uploaded
from support.ledger_changes import settle
from support.ledger_harness import GRANTED, bring_to, claim, lines, upload

from batch_uploader.core.changes import TakeBack
from batch_uploader.core.errors import LedgerError
from batch_uploader.core.states import Status


async def decided(ledger, path="a.wav", talk_id="wrong"):
    """A doubt that a human recorded as a talk."""
    await bring_to(ledger, path, Status.IN_DOUBT)
    await settle(ledger, uploaded(path, talk_id))


async def test_it_is_in_doubt_again_and_the_talk_is_free(ledger):
    await decided(ledger)
    assert await ledger.apply([TakeBack("a.wav", "wrong")]) == [None]
    (doubt,) = await ledger.doubts()
    assert (doubt.status, doubt.talk_id, doubt.sha256 is not None) == (Status.IN_DOUBT, None, True)
    assert doubt.failure.code == "TAKEN_BACK"
    assert doubt.since is not None
    await bring_to(ledger, "b.wav", Status.IN_DOUBT, audio="B")
    assert (await settle(ledger, uploaded("b.wav", "wrong"))).status is Status.UPLOADED


async def test_the_right_talk_goes_on_record_in_the_same_step(ledger):
    await decided(ledger)
    await ledger.apply([TakeBack("a.wav", "wrong")])
    await settle(ledger, uploaded("a.wav", "right"))
    assert [(row.status, row.talk_id) for row in await lines(ledger)] == [
        (Status.UPLOADED, "right")
    ]


async def test_nothing_is_sent_before_it_is_decided_again(ledger):
    await decided(ledger)
    await ledger.apply([TakeBack("a.wav", "wrong")])
    assert await claim(ledger, recording("a.wav")) != GRANTED
    resend = ended("a.wav", Status.FAILED)
    await settle(ledger, resend)
    assert await claim(ledger, recording("a.wav")) == GRANTED


async def test_what_the_service_answered_stays(ledger):
    await upload(ledger, "a.wav", talk_id="theirs")
    before = await lines(ledger)
    (refusal,) = await ledger.apply([TakeBack("a.wav", "theirs")])
    assert isinstance(refusal, LedgerError)
    assert await lines(ledger) == before


@pytest.mark.parametrize("status", [each for each in Status if each is not Status.UPLOADED])
async def test_so_does_all_that_is_not_uploaded(ledger, status):
    await bring_to(ledger, "a.wav", status)
    before = await lines(ledger)
    (refusal,) = await ledger.apply([TakeBack("a.wav", "wrong")])
    assert isinstance(refusal, LedgerError)
    assert await lines(ledger) == before


async def test_another_talk_than_the_one_on_record_is_not_taken_back(ledger):
    await decided(ledger)
    (refusal,) = await ledger.apply([TakeBack("a.wav", "another")])
    assert isinstance(refusal, LedgerError)
    assert (await ledger.get(["a.wav"]))["a.wav"].talk_id == "wrong"


async def test_a_manifest_of_that_time_is_no_news(ledger):
    await decided(ledger)
    old, unknown = line("a.wav", talk_id="wrong"), line("a.wav", talk_id="unknown")
    assert await ledger.unheard([old]) == []
    await ledger.apply([TakeBack("a.wav", "wrong")])
    assert await ledger.unheard([old, unknown]) == [unknown]
    await settle(ledger, ended("a.wav", Status.FAILED, code="RESEND"))
    assert await ledger.unheard([old]) == []
