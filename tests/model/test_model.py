"""Everything that can happen, walked to its end: no recording twice, none lost (fault 1).

Two recordings, three runs, three attempts each; a run may be killed at any step, the wire may lose
or delay anything, Search may lag. ``decisions`` says what is real in it.
"""

import pytest
from model.protocol import Model, explore
from model.world import File, World
from msgspec.structs import replace

from batch_uploader.core.errors import InDoubt
from batch_uploader.core.states import MAYBE_STORED, Status
from batch_uploader.doubts import policy
from batch_uploader.doubts.policy import SearchPatience
from batch_uploader.ledgers import rules
from batch_uploader.ledgers.memory import _MemoryStore
from batch_uploader.pace.retry import may_repeat

A, B = File("a", "A"), File("b", "B")
COPY = File("b", "A")

SITUATIONS = {
    "two recordings": (World((A, B)), 8000),
    "the same call at two paths": (World((A, COPY)), 1500),
    "the same audio for two calls": (World((A, File("b", "A", about="another"))), 5000),
    "other audio at the path, and the old one back": (
        World((A,), edits=((File("a", "B", 1),), (File("a", "A", 2),))),
        2000,
    ),
    "moved": (World((A,), edits=((COPY,),)), 400),
    "copied, and the first one gone": (World((A,), edits=((A, COPY), (COPY,))), 3000),
    "two change places": (World((A, B), edits=((File("a", "B", 1), File("b", "A", 1)),)), 32_000),
    "a new sidecar": (World((A,), edits=((File("a", "A", 0, "new", 1),),)), 400),
    "a touched sidecar": (World((A,), edits=((File("a", "A", 0, "", 1),),)), 400),
}
"""Each with how many worlds it leads to at least: a walk that ends early proves nothing."""


@pytest.mark.parametrize("situation", SITUATIONS)
def test_nothing_that_can_happen_sends_twice_or_loses(situation):
    """Faults 1, 9, 14 to 17, 21, 42, 43: the protocol, whatever happens when."""
    first, at_least = SITUATIONS[situation]
    worlds, fault = explore(Model(), first)
    assert fault is None, fault
    assert worlds >= at_least


@pytest.mark.parametrize("situation", ["two recordings", "the same call at two paths", "moved"])
def test_runs_side_by_side_send_nothing_twice_where_claims_have_owners(situation):
    """One file has one lock; but what the ledger answers would do for several writers."""
    first, _ = SITUATIONS[situation]
    worlds, fault = explore(Model(runs=2, attempts=2, lock=False, owners=True, strict=False), first)
    assert fault is None, fault
    alone, _ = explore(Model(runs=2, attempts=2), first)
    assert worlds > alone


def _repeats_doubt(error):
    return may_repeat(error) or isinstance(error, InDoubt)


MUTANTS = {
    "a claim that is not durable": Model(durable=False, strict=False),
    "no lock": Model(lock=False, strict=False),
    "no hold": Model(hold=False, strict=False),
    "Search at once": Model(patient=False, strict=False),
    "a search without a hold": Model(wait=SearchPatience(0.0), strict=False),
    "doubt is sent again blindly": Model(looks=False, strict=False),
    "doubt is retried": Model(may_repeat=_repeats_doubt, strict=False),
}


@pytest.mark.parametrize("mutant", MUTANTS)
def test_a_protocol_that_lacks_a_part_is_caught(mutant):
    """Without these the walk would prove nothing."""
    _, fault = explore(MUTANTS[mutant], World((A, B)))
    assert fault is not None
    assert "two talks" in fault


def _forgets(store, now, living, *, ours=False):
    claims = store.claimed()
    for record in claims:
        store.drop(record.path)
    return len(claims)


def _takes_for_failed(store, now, living, *, ours=False):
    claims = store.claimed()
    for record in claims:
        store.put(replace(record, status=Status.FAILED, settled_at_ns=now.wall_ns))
    return len(claims)


_HOLDERS = ("memory.states.MAYBE_STORED", "memory.states.COMPARED")
RULES = {
    "claims of a dead run are forgotten": (("rules.recover",), _forgets),
    "claims of a dead run are sent again": (("rules.recover",), _takes_for_failed),
    "a copy of what is in doubt is sent": (
        _HOLDERS,
        MAYBE_STORED - {Status.IN_DOUBT},
    ),
    "a copy of what is up is sent": (
        _HOLDERS,
        MAYBE_STORED - {Status.UPLOADED},
    ),
    "a copy of what is on its way is sent": (
        _HOLDERS,
        MAYBE_STORED - {Status.CLAIMED},
    ),
}


def test_a_single_miss_that_is_believed_is_caught(monkeypatch, changed_code):
    """Search may overlook it once."""
    missed = policy._missed

    def believed(doubt, answer, now, wait):
        verdict = missed(doubt, answer, now, wait)
        held = isinstance(verdict, policy.Stays) and verdict.doubt.first_miss is None
        return verdict if held else policy.Absent()

    monkeypatch.setattr(policy, "_missed", believed)
    _, fault = explore(Model(strict=False), World((A, B)))
    assert fault is not None
    assert "two talks" in fault


def _out_of_order(answer, doubt):
    return _SINCE(answer, replace(doubt, doubt_seq=0))


def _as_old_as_its_claim(store, now, living, *, ours=False):
    claims = store.claimed()
    count = _RECOVER(store, now, living)
    for record in claims:
        doubt = store.current(record.path)
        store.put(replace(doubt, doubt_seq=record.claimed_seq))
    return count


def _goes_up_when_it_is_found(store, change, now, owner):
    path = change.outcome.path
    before = store.current(path)
    answer = _SETTLE(store, change, now, owner)
    after = store.current(path)
    if before.status is Status.IN_DOUBT and after.status is Status.UPLOADED:
        store.put(replace(after, claimed_seq=store.tick(), answered_seq=store.tick()))
    return answer


_SINCE, _RECOVER, _SETTLE = policy.SearchResult.since, rules.recover, rules.settle
CANARIES = {
    "none is asked for": (policy.SearchResult, "since", lambda _answer, _doubt: [True]),
    "one that was claimed before the doubt counts": (policy.SearchResult, "since", _out_of_order),
    "one that a killed run claimed later counts": (rules, "recover", _as_old_as_its_claim),
    "one that a search found counts": (rules, "settle", _goes_up_when_it_is_found),
}


@pytest.mark.parametrize("mutant", CANARIES)
def test_canaries_that_prove_nothing_are_caught(mutant, monkeypatch, changed_code):
    """Fault 82: Search stands still behind them."""
    monkeypatch.setattr(*CANARIES[mutant])
    _, fault = explore(Model(strict=False), World((A, B)))
    assert fault is not None
    assert "two talks" in fault


def test_what_went_up_since_proves_a_doubt_absent():
    """Fault 82: else nothing would ever be sent again, and the walk would prove nothing."""
    world = World((A, B))
    seen, absent = {world}, 0
    front = [world]
    while front:
        steps = [step for each in front for step in Model(runs=1).steps(each)]
        absent += sum("absent and sent again" in name for name, _ in steps)
        front = list({after for _, after in steps} - seen)
        seen |= set(front)
    assert absent


@pytest.mark.parametrize("mutant", RULES)
def test_rules_that_are_changed_are_caught(mutant, monkeypatch, changed_code):
    """It is the ledger's own rules that are explored."""
    names, other = RULES[mutant]
    for name in names:
        monkeypatch.setattr(f"batch_uploader.ledgers.{name}", other)
    _, fault = explore(Model(strict=False), World((A, COPY)))
    assert fault is not None
    assert "two talks" in fault


def test_a_duplicate_that_nobody_forgets_is_lost(monkeypatch, changed_code):
    """The other way to be wrong: nothing twice, and one that never goes up."""
    monkeypatch.setattr(_MemoryStore, "drop_duplicates", lambda _store, _record: None)
    _, fault = explore(Model(), World((A,), edits=((A, COPY), (COPY,))))
    assert fault is not None
    assert "has the talks []" in fault
