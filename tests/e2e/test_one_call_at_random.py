"""One call, one talk, whatever happens to an archive, in whatever order: drawn at random.

The library, over gRPC, against the emulator; the archive's own book knows which file is which call.
ONE_CALL says how many archives are drawn.
"""

import asyncio
import itertools
import os
from collections import Counter
from pathlib import Path

import pytest
from hypothesis import HealthCheck, note, settings
from hypothesis import strategies as st
from hypothesis.stateful import (
    RuleBasedStateMachine,
    initialize,
    precondition,
    rule,
    run_state_machine_as_test,
)
from support import sound_makers as sound
from support.changing_archive import Archive, fields_of, in_utc
from support.older_ledgers import RELEASED, bring_back_to

from batch_uploader import (
    ApiKey,
    AudioRules,
    CallIds,
    Endpoint,
    RawFormat,
    Rules,
    RunOptions,
    Security,
    Status,
    check_directory,
    upload_directory,
)
from batch_uploader.emulator import API_KEY, Emulator, EmulatorOptions

ARCHIVES = int(os.environ.get("ONE_CALL", "25"))
STEPS = 14
LOSSLESS = ("wav", "raw")
LOSSY = ("mp3", "opus")
AUDIO = AudioRules(raw=RawFormat(sound.RATE, 1))


def audio(call, kind):
    """The call in a format, always the same; lengths differ from call to call."""
    seconds = 2 + call % 4 * 2.5
    if kind == "raw":
        return sound.samples(call, seconds)
    whole = sound.call_wav(call, seconds)
    return whole if kind == "wav" else sound.converted(whole, "wav", kind)


def wrapped_again(content, kind, way):
    """The same samples, frames or packets in another file."""
    if kind == "raw":
        return sound.wav(content)
    if kind == "wav" and way != "remux":
        return sound.wav(sound.data_of(content), **{way: [sound.list_chunk(b"some tag")]})
    if kind == "mp3" and way != "remux":
        return sound.id3v2("again") + content if way == "before" else content + sound.id3v1()
    return sound.remuxed(content, kind)


class Place:
    """A call's files: where they are, what they hold, and what happened since the last run."""

    def __init__(self, call, stem, kind, fields):
        self.call, self.stem, self.kind, self.fields = call, stem, kind, fields
        self.seen = self.is_moved = self.is_corrected = False

    @property
    def has_ids(self):
        return "client_id" in self.fields

    @property
    def name(self):
        return f"{self.stem}.{self.kind}"


class Archives(RuleBasedStateMachine):
    """An archive, and what can happen to it between two runs.

    Where a named ID tells the calls apart, all of that can happen at once. Without one a call that
    is moved or corrected, and converted before the next run, could be any call. After ``upgrade``
    the ledger was one of the first release, which knew neither IDs nor what is heard.
    """

    root = None
    numbers = itertools.count()

    @initialize(named=st.booleans())
    def begin(self, named):
        ids = CallIds(named=frozenset({"ref"})) if named else CallIds()
        self.upgraded = False
        self.rules, self.named = Rules(audio=AUDIO, call_ids=ids), named
        self.runner = asyncio.Runner()
        self.here = self.root / str(next(self.numbers))
        self.archive = Archive(self.here / "calls")
        self.calls = itertools.count()
        self.places = []
        self.emulator = Emulator(EmulatorOptions(store=self.here / "talks.db"))
        self.runner.run(self.emulator.__aenter__())

    def teardown(self):
        if hasattr(self, "runner"):
            try:
                if self.places:
                    self.night()
                    self.another_night_sends_nothing()
            finally:
                self.runner.run(self.emulator.__aexit__(None, None, None))
                self.runner.close()

    # What happens.

    @rule(kind=st.sampled_from(LOSSLESS + LOSSY), has_ids=st.sampled_from([True, True, False]))
    def arrives(self, kind, has_ids):
        self._put_new(f"day/call-{next(self.calls)}", kind, has_ids=has_ids)

    @precondition(lambda self: self.places)
    @rule(data=st.data())
    def name_is_used_again(self, data):
        """By a recorder that writes metadata, of another call of the same format."""
        old = self._draw(data, lambda place: place.seen and place.has_ids)
        if old is not None:
            self._remove(old)
            next(self.calls)
            self._put_new(old.stem, old.kind, has_ids=True)

    @precondition(lambda self: self.places)
    @rule(data=st.data(), way=st.sampled_from(["before", "after", "remux"]))
    def is_wrapped_again(self, data, way):
        place = self._draw(data, lambda place: place.seen or not self.upgraded)
        if place is not None:
            content = wrapped_again(self.archive.read(place.name), place.kind, way)
            self.archive.remove(place.name)
            place.kind = "wav" if place.kind == "raw" else place.kind
            place.seen &= not self.upgraded
            self.archive.put(place.name, content, call=place.call)
            note(f"{place.name}: wrapped again, {way}")

    @precondition(lambda self: self.places)
    @rule(data=st.data(), kind=st.sampled_from(LOSSY))
    def is_converted(self, data, kind):
        place = self._draw(data, self._may_be_converted)
        if place is None or place.kind == kind:
            return
        self.archive.remove(place.name)
        before, place.kind, place.seen = place.name, kind, False
        self.archive.put(place.name, audio(place.call, kind), call=place.call)
        note(f"{before} -> {place.name}: converted")

    @precondition(lambda self: self.places)
    @rule(data=st.data(), folder=st.sampled_from(["archive", "2025/04", "a/b"]))
    def is_moved(self, data, folder):
        place = self._draw(data, lambda place: place.seen or (self.named and not self.upgraded))
        stem = f"{folder}/{Path(place.stem).name}" if place else None
        if place is None or any(other.stem == stem for other in self.places):
            return
        note(f"{place.name} -> {stem}: moved")
        self.archive.move(place.name, f"{stem}.{place.kind}")
        self.archive.move(f"{place.stem}.json", f"{stem}.json")
        place.stem, place.is_moved, place.seen = stem, True, False

    @precondition(lambda self: self.places)
    @rule(data=st.data(), path=st.text("abc/", max_size=6))
    def is_exported_again(self, data, path):
        """The same call, told in other words."""
        place = self._draw(data)
        place.fields |= {"record_path": path, "date": in_utc(place.fields["date"])}
        self._describe(place)

    @precondition(lambda self: self.places)
    @rule(data=st.data(), client=st.integers(1, 10**6))
    def is_corrected(self, data, client):
        """The audio stays until the next run."""
        place = self._draw(data, lambda place: place.seen and place.has_ids)
        if place is not None:
            place.fields["client_id"] = f"corrected-{client}-{place.call}"
            place.is_corrected = True
            self._describe(place)

    @precondition(lambda self: self.places)
    @rule()
    def gets_another_owner(self):
        for path in self.archive.folder.rglob("*.*"):
            path.chmod(0o640)

    @precondition(lambda self: not self.upgraded and self.places)
    @rule()
    def upgrade(self):
        if all(place.seen and not place.is_corrected for place in self.places):
            bring_back_to(RELEASED, self.archive.folder / ".batch-uploader" / "ledger.db")
            self.upgraded = True
            note("the ledger is one of the first release")

    @precondition(lambda self: self.places)
    @rule()
    def night(self):
        """A run: what is new goes up or is held, and each call stays one talk."""
        self.archive.pass_time()
        foretold = self.runner.run(self._check())
        summary = self.runner.run(self._upload())
        self.all_was_foretold(foretold, summary)
        note(f"a run: {summary.counts}, {summary.already_there} there already")
        for place in self.places:
            place.seen, place.is_moved, place.is_corrected = True, False, False
        self.no_call_is_twice_or_lost()

    # What must be so.

    def all_was_foretold(self, foretold, summary):
        held = sum(group.recordings for group in foretold.possible)
        assert (foretold.to_send, foretold.duplicates, foretold.converted, held) == (
            summary.counts.get(Status.UPLOADED, 0),
            summary.counts.get(Status.DUPLICATE, 0),
            summary.converted,
            summary.counts.get(Status.POSSIBLE_DUPLICATE, 0),
        )
        assert (foretold.already_there, foretold.waiting) == (
            summary.already_there,
            summary.waiting,
        )
        groups = Counter({group.cause: group.recordings for group in foretold.possible})
        codes = [line["error"]["code"] for line in self.archive.manifest() if _is_held(line)]
        assert groups == Counter(code.lower().replace("_", "-") for code in codes)

    def no_call_is_twice_or_lost(self):
        counts = self.archive.counts(self.emulator.control.talks())
        assert not [call for call, count in counts.items() if count > 1], counts
        lines = {line["path"]: line for line in self.archive.manifest()}
        for place in self.places:
            line = lines[place.name]
            assert counts[place.call] or _is_held(line), line
            assert not (_is_held(line) and self.named) or self.upgraded, line

    def another_night_sends_nothing(self):
        requests = self.emulator.control.requests.total()
        before = self.archive.manifest()
        self.runner.run(self._upload())
        assert self.emulator.control.requests.total() == requests
        assert self.archive.manifest() == before

    # How it is done.

    def _may_be_converted(self, place):
        if self.named and not self.upgraded:
            return True
        traced = place.has_ids or not place.is_moved
        return place.seen and traced and not place.is_corrected

    async def _upload(self):
        return await upload_directory(
            self.archive.folder,
            connection_id="demo",
            credentials=ApiKey(API_KEY),
            endpoint=Endpoint.parse(self.emulator.address, security=Security.PLAINTEXT),
            include=["*.raw"],
            rules=self.rules,
            options=RunOptions(min_age=0, min_age_open=0, sidecar_wait=0),
        )

    async def _check(self):
        return await check_directory(
            self.archive.folder,
            connection_id="demo",
            include=["*.raw"],
            rules=self.rules,
            options=RunOptions(min_age=0, min_age_open=0, sidecar_wait=0),
        )

    def _draw(self, data, fits=lambda _: True):
        fitting = [place for place in self.places if fits(place)]
        return data.draw(st.sampled_from(fitting), label="of") if fitting else None

    def _put_new(self, stem, kind, *, has_ids):
        call = len(self.archive.book)
        fields = fields_of(call, **({} if has_ids else {"client_id": None}), ref=f"ref-{call}")
        place = Place(call, stem, kind, fields)
        self.archive.put(place.name, audio(call, kind), call=call)
        self._describe(place)
        self.places.append(place)
        note(f"{place.name}: call {call} arrives")

    def _describe(self, place):
        self.archive.describe(f"{place.stem}.json", place.fields)

    def _remove(self, place):
        self.archive.remove(place.name, f"{place.stem}.json")
        self.places.remove(place)


def _is_held(line):
    return line["status"] == "possible_duplicate"


@pytest.mark.timeout(400 + 10 * ARCHIVES)
def test_whatever_happens_each_call_is_one_talk(tmp_path):
    """Fault 109."""
    Archives.root = tmp_path
    run_state_machine_as_test(
        Archives,
        settings=settings(
            max_examples=ARCHIVES,
            stateful_step_count=STEPS,
            deadline=None,
            suppress_health_check=list(HealthCheck),
        ),
    )
