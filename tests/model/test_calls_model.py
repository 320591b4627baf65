"""One call, one talk, whatever becomes of its file between runs, walked to its end (fault 1).

As ``test_model``, and the files are tagged, converted, moved, exported again, replaced. What may be
the same call is held, and somebody who compares both files decides. No call has two talks then, and
each has one.
"""

from dataclasses import replace

import pytest
from model import decisions
from model.protocol import Model, explore
from model.world import File, World
from msgspec import structs

from batch_uploader.app.decisions import Resolution
from batch_uploader.core import calls
from batch_uploader.core.identity import Cause
from batch_uploader.core.records import ClaimAnswer, ClaimResult, Sight
from batch_uploader.core.states import MAYBE_STORED, Status
from batch_uploader.ledgers import claims, memory, rules
from batch_uploader.ledgers.memory import _MemoryStore


def wav(path="a.wav", audio="A", mtime=0, *, date="", call="one", **more):
    """A recording of a call, without IDs unless they are given."""
    return File(path, audio, mtime, touched=mtime, date=date, call=call, **more)


def becomes(*files, at=1):
    """Later files, with times of their own."""
    return tuple(replace(each, mtime=at, touched=at) for each in files)


WAV = wav()
TAGGED = wav(tag="tag")
MP3 = wav("a.mp3", "encoded")
SURE = {
    "tagged": World((WAV,), edits=(becomes(TAGGED),)),
    "converted": World((WAV,), edits=(becomes(MP3),)),
    "converted and tagged": World(
        (WAV,), edits=(becomes(MP3), becomes(wav("a.mp3", "encoded", tag="t"), at=2))
    ),
    "converted, and that is moved": World(
        (wav(date="monday"),),
        edits=(
            becomes(wav("a.mp3", "encoded", date="monday")),
            becomes(wav("d/a.mp3", "encoded", date="monday", about="exported"), at=2),
        ),
    ),
    "converted, and that is copied": World(
        (WAV,), edits=(becomes(MP3), becomes(wav("b.mp3", "encoded"), at=2))
    ),
    "moved and exported again": World(
        (wav(date="monday"),),
        edits=(becomes(wav("d/a.wav", date="monday", about="exported")),),
    ),
    "a name that is used again, with IDs": World(
        (wav(date="monday"),),
        edits=(becomes(wav(audio="B", date="sunday", call="two")),),
    ),
    "a name that is used again, with numbers": World(
        (wav(number="one"),),
        edits=(becomes(wav(audio="B", number="two", call="two")),),
    ),
    "converted and renamed, with a number": World(
        (wav(number="one"),),
        edits=(becomes(wav("d/b.mp3", "encoded", number="one")),),
    ),
    "a sidecar corrected": World(
        (wav(date="monday"),),
        edits=(becomes(wav(date="sunday", about="corrected")),),
    ),
}
"""What the rules decide: nothing is held."""
HELD = {
    "normalised": World((WAV,), edits=(becomes(wav(audio="louder")),)),
    "a name that is used again": World((WAV,), edits=(becomes(wav(audio="B", call="two")),)),
    "moved and exported again, without IDs": World(
        (WAV,), edits=(becomes(wav("d/a.wav", about="exported")),)
    ),
    "tagged and moved": World((WAV,), edits=(becomes(wav("d/a.wav", tag="tag")),)),
    "moved and converted": World(
        (wav(date="monday"),), edits=(becomes(wav("d/b.mp3", "encoded", date="monday")),)
    ),
    "a prompt, and the file of the other call gone": World(
        (WAV,), edits=(becomes(wav("b.wav", about="other", call="two")),)
    ),
    "converted, and the name is used again": World(
        (WAV,), edits=(becomes(MP3), becomes(wav("a.mp3", "B", call="two"), at=2))
    ),
    "one call in two formats": World((WAV, MP3)),
    "two calls of one name": World((WAV, wav("a.mp3", "B", call="two"))),
    "a call in two halves": World(
        (wav(date="monday"), wav("b.wav", "B", date="monday", call="two"))
    ),
    "a call in two halves, and a copy of one": World(
        (
            wav(date="monday"),
            wav("b.wav", "B", date="monday", call="two"),
            wav("c.wav", "B", date="monday", call="two"),
        )
    ),
    "two parts of a conversation": World(
        (wav(number="one"), wav("b.wav", "B", number="one", call="two"))
    ),
    "one file of two formats is removed": World((WAV, MP3), edits=((MP3,),)),
}
"""What a human may have to decide."""


MET = {
    "converted, and that is moved",
    "converted, and that is copied",
    "converted, and the name is used again",
}
"""Here nothing else tells what the last file is made of."""


def walk(situation, **model):
    world = SURE.get(situation) or HELD[situation]
    runs, attempts = {1: (3, 3), 2: (2, 2), 3: (1, 1)}[len(world.files)]
    human, met = situation in HELD, situation in MET
    walked = Model(runs=runs, attempts=attempts, human=human, met=met, **model)
    return explore(walked, world)


@pytest.mark.parametrize("situation", [*SURE, *HELD])
def test_each_call_has_one_talk_whatever_becomes_of_its_file(situation):
    """Faults 1, 42, 43."""
    worlds, fault = walk(situation)
    assert fault is None, fault
    assert worlds >= 100


def _only_bytes(one, other):
    return one.sha256 is not None and one.sha256 == other.sha256


def _without_what_is_being_sent(*asked):
    others = _OTHERS(*asked)
    return (each for each in others if each.record.status is not Status.CLAIMED)


def _free(store, asked, now):
    held = store.current(asked.path)
    store.put(structs.replace(held, status=Status.FAILED, cause=Cause.ANOTHER_CALL))
    return ClaimAnswer(ClaimResult.GRANTED)


def _never_free(store, asked, now):
    return ClaimAnswer(ClaimResult.POSSIBLE)


def _same_bytes_only(store, path):
    of = store.current(path)
    for record in tuple(store.records()):
        if record.duplicate_of == path and record.sha256 == of.sha256:
            store.drop(record.path)


def _forces(verdict, talk_id=""):
    """As if a human had said so of a copy."""
    real = Resolution(verdict, talk_id)

    class Forced:
        def outcome(self, before):
            after = real.outcome(before)
            another = after.cause is Cause.ANOTHER_CALL
            return structs.replace(after, cause=Cause.NO_DUPLICATE) if another else after

    return Forced()


_OTHERS = claims._others
_ALL_THERE = (decisions, "Sight", lambda _: Sight(gone=False))
_ALL_GONE = (decisions, "Sight", lambda _: Sight(gone=True))
MUTANTS = {
    "a decision counts for everything": (
        "a call in two halves, and a copy of one",
        (decisions, "Resolution", _forces),
    ),
    "no default ID": ("moved and converted", (calls, "_are_equal", lambda *_: False)),
    "no named ID": (
        "converted and renamed, with a number",
        (calls, "is_comparable", lambda *_: False),
    ),
    "an equal ID is the same call": (
        "a call in two halves",
        (calls, "_by_default_id", lambda *_: calls.Ruling(calls.Sameness.ONE, Cause.SAME_AUDIO)),
    ),
    "only bytes are compared": ("tagged and moved", (calls, "sounds_like", _only_bytes)),
    "the place is ignored": ("converted", (calls, "stem", lambda _: object())),
    "what is gone counts as there": ("moved and exported again, without IDs", _ALL_THERE),
    "what is there counts as gone": ("two calls of one name", _ALL_GONE),
    "nobody waits": (
        "one call in two formats",
        (claims, "_others", _without_what_is_being_sent),
    ),
    "what is held is sent when judged again": (
        "one call in two formats",
        (rules, "rejudge", _free),
    ),
    "what is held is never free": ("one call in two formats", (rules, "rejudge", _never_free)),
    "a duplicate is no relative": (
        "converted, and that is copied",
        (memory.states, "COMPARED", MAYBE_STORED),
    ),
    "only copies of what is absent are free": (
        "converted, and that is copied",
        (_MemoryStore, "drop_duplicates", _same_bytes_only),
    ),
}


WORDS = {
    "an equal ID is the same call": "has the talks []",
    "what is there counts as gone": "has the talks []",
    "what is held is never free": "possible_duplicate",
    "only copies of what is absent are free": "has the talks []",
}


@pytest.mark.parametrize("mutant", MUTANTS)
def test_rules_of_a_call_that_are_changed_are_caught(mutant, monkeypatch, changed_code):
    """Without these the walk would prove nothing."""
    situation, change = MUTANTS[mutant]
    monkeypatch.setattr(*change)
    _, fault = walk(situation, strict=False)
    assert fault is not None
    assert WORDS.get(mutant, "two talks") in fault
