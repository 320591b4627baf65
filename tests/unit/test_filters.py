"""Filters: what they leave out is on record, counted, and not opened again each night."""

import os
from collections import Counter
from datetime import datetime
from pathlib import Path
from tempfile import TemporaryDirectory

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from msgspec.structs import replace
from support import audio_makers as make
from support.engine_harness import (
    OPTIONS,
    CountsOpening,
    Harness,
    of_call,
    recordings,
    sidecar,
    wav,
)
from support.ledger_changes import settle

from batch_uploader.app.check import check_directory
from batch_uploader.app.status import directory_status
from batch_uploader.app.uploader import Uploader
from batch_uploader.core.errors import BadValue, ConfigError, InDoubt, NotSent, Rejected
from batch_uploader.core.events import Decided, FolderPlanned
from batch_uploader.core.model import RESEND, Failure, Outcome, Version
from batch_uploader.core.states import FILTERED, FORGETTABLE, Status
from batch_uploader.ledgers.sqlite import SqliteLedger
from batch_uploader.prepare.audio import AudioRules, Convert
from batch_uploader.prepare.filters import (
    Filter,
    Filters,
    Sample,
    moment_of,
    parse_since,
    parse_until,
    path_hash,
)
from batch_uploader.prepare.rules import Rules
from batch_uploader.sinks.memory import MemorySink
from batch_uploader.sources.directory import DirectorySource

SECOND = 1_000_000_000


def by(**filters):
    return Rules(filters=Filters(**filters))


# The values.


@pytest.mark.parametrize(
    ("text", "sample"),
    [("3", Sample(count=3)), (" 5% ", Sample(percent=5)), ("0.25 %", Sample(percent=0.25))],
)
def test_a_sample_is_a_number_or_a_percentage(text, sample):
    assert Sample.parse(text) == sample
    assert Sample.parse(str(sample)) == sample


@pytest.mark.parametrize("text", ["", "0", "0%", "101%", "-3", "3.5", "1e3", "%", "٣", "2000000"])
def test_what_is_no_sample_is_refused(text):
    with pytest.raises(BadValue):
        Sample.parse(text)
    with pytest.raises(ConfigError):
        Sample()


@given(st.sets(st.text(max_size=9)), *[st.floats(0.001, 100)] * 2)
def test_a_larger_percentage_includes_a_smaller_one(paths, one, other):
    low, high = sorted([one, other])
    small = {path for path in paths if Sample(percent=low).takes(path, None)}
    assert small <= {path for path in paths if Sample(percent=high).takes(path, None)}
    assert all(Sample(percent=100).takes(path, None) for path in paths)


def test_a_percentage_is_about_so_many():
    taken = sum(Sample(percent=5).takes(f"2025/01/call-{n}.wav", None) for n in range(20_000))
    assert 900 < taken < 1100


def test_a_date_includes_its_day_and_a_moment_is_one(monkeypatch):
    """Without an offset both are in this machine's time zone."""
    day = parse_since("2025-04-24")
    assert parse_until("2025-04-24") == parse_since("2025-04-25")
    midnight = datetime(2025, 4, 24).astimezone()
    assert day == int(midnight.timestamp()) * SECOND
    moment = "2025-04-24T14:34:19.5+03:00"
    assert parse_since(moment) == parse_until(moment) == moment_of("2025-04-24 11:34:19.5Z")
    assert parse_since(moment) % SECOND == SECOND // 2
    assert parse_since("2025-04-24", "Asia/Tokyo") == parse_since("2025-04-23T15:00Z")
    assert parse_until("2025-04-24", "Asia/Tokyo") == parse_since("2025-04-24T15:00Z")
    assert parse_since(moment, "Asia/Tokyo") == parse_since(moment)
    for wrong in ("", "yesterday", "24.04.2025", "2025-13-01"):
        with pytest.raises(BadValue):
            parse_since(wrong)


def test_filters_that_leave_nothing_are_refused():
    for filters in ({"min_length": 2.0, "max_length": 1.0}, {"since": 2, "until": 1}):
        with pytest.raises(ConfigError, match="nothing is between"):
            Filters(**filters)
    for filters in ({"timezone": "Moscow"}, {"since": 1 << 80}, {"sample": 3}):
        with pytest.raises(ConfigError):
            Filters(**filters)


def test_the_digest_is_that_of_the_rules_only_without_filters():
    none = Filters().digests(b"rules")
    assert (none.rules, none.filtered, none.leaving_out) == (b"rules", b"rules", ())
    some = [Filters(skip_empty=True), Filters(min_length=1.0), Filters(since=1), Filters(until=1)]
    digests = {each.digests(rules).filtered for each in some for rules in (b"rules", b"other")}
    assert len(digests | {b"rules"}) == 9


MOMENTS = st.integers(-3, 3) | st.integers(-(10**20), 10**20)


@given(MOMENTS, MOMENTS, st.booleans(), st.booleans())
def test_what_a_date_left_out_stays_so_while_the_date_moves_on(then, now, since, same):
    name = "since" if since else "until"
    left = Outcome("a.wav", Status.LEFT_OUT, Version(1, 1), failure=Failure(name, "why"))
    before, after = ({name: moment, "skip_empty": True} for moment in (then, now))
    if not same:
        after["skip_empty"] = False
    recorded = Filters(**before).digests(b"rules").of(left)
    assert Filters(**before).digests(b"rules").leave_out(recorded)
    assert not Filters(**before).digests(b"other").leave_out(recorded)
    further = now >= then if since else now <= then
    assert Filters(**after).digests(b"rules").leave_out(recorded) is (further and same)


# Runs.


def archive():
    """Four recordings of 0.1 s, two of 1 s, two without audio, and one with a broken sidecar."""
    files = recordings(4)
    for n in (1, 2):
        files[f"long/{n}.wav"] = wav(100 + n, 8000)
        files[f"long/{n}.json"] = sidecar(date=f"2025-04-2{n}T10:00:0{n}Z", operator_id="1")
        files[f"empty/{n}.wav"] = wav(0, 0)
        files[f"empty/{n}.json"] = sidecar(n=str(n))
    files["broken.wav"] = wav(999)
    files["broken.json"] = b'{"x": null}'
    return files


def of(summary):
    return {each.value: n for each, n in summary.counts.items() if n}


async def test_what_is_left_out_is_counted_by_filter_and_not_opened_again():
    harness = Harness(archive())
    first = await harness.run(rules=by(skip_empty=True, min_length=0.5))
    assert of(first) == {"uploaded": 2, "left_out": 7}
    assert first.left_out_by == {"skip-empty": 2, "min-length": 5}
    assert first.needs_attention == 0
    again = await harness.run(rules=by(skip_empty=True, min_length=0.5))
    assert again.left_out_by == first.left_out_by
    assert (of(again), again.already_there) == ({"left_out": 7}, 2)
    assert not harness.source.opened
    assert not sum(event.to_send for event in harness.events(FolderPlanned))
    wider = await harness.run(rules=by(skip_empty=True))
    assert of(wider) == {"uploaded": 4, "invalid": 1, "left_out": 2}
    last = await harness.run()
    assert of(last) == {"invalid": 3}
    assert len(harness.sink.talks) == 6


@pytest.mark.parametrize("convert", Convert)
async def test_what_is_converted_is_left_out_by_its_length_and_emptiness_too(convert):
    gsm = make.encoded("WAV", "GSM610")
    empty = make.riff(make.chunk(b"fmt ", make.fmt(tag=0x31)), make.chunk(b"data", b""))
    files = {"gsm.wav": gsm, "gsm.json": sidecar(n="1"), "no.wav": empty, "no.json": sidecar(n="2")}
    audio = AudioRules(convert=convert)

    async def left_out_by(**filters):
        rules = Rules(audio=audio, filters=Filters(**filters))
        return (await Harness(files).run(rules=rules)).left_out_by

    assert await left_out_by(skip_empty=True) == {"skip-empty": 1}
    converts = convert is not Convert.OFF
    assert await left_out_by(min_length=100.0) == {"min-length": 1 + converts}
    longer = {"max-length": 1} if converts else {}
    assert await left_out_by(max_length=0.01) == longer


async def test_what_was_a_defect_is_left_out_once_a_filter_says_so():
    """Unanswered calls: the flag ends what they alarmed."""
    harness = Harness(archive())
    assert of(await harness.run())["invalid"] == 3
    summary = await harness.run(rules=by(skip_empty=True))
    assert of(summary) == {"invalid": 1, "left_out": 2}
    assert of(await harness.run(rules=by(min_length=0.01))) == {"invalid": 1, "left_out": 2}


async def test_what_is_uploaded_stays_so_whatever_the_filters_and_its_times():
    files = recordings(4)
    harness = Harness(files)
    await harness.run()
    for rules in (by(min_length=9.0), by(sample=Sample(percent=1e-9)), by(since=1 << 62)):
        summary = await harness.run(rules=rules)
        assert (of(summary), summary.already_there) == ({}, 4)
        for path in files:
            harness.source.touch(path)
        summary = await harness.run(rules=rules)
        assert (of(summary), summary.already_there) == ({}, 4)
    assert set((await harness.statuses()).values()) == {Status.UPLOADED}


async def brought_to(status):
    """A recording in this state, in a source of its own."""
    harness = Harness(recordings(1))
    path = "0/call-0.wav"
    if status in {Status.IN_DOUBT, Status.CONFLICT, Status.GIVEN_UP}:
        harness.sink.lose_next(InDoubt("no answer", code="DEADLINE_EXCEEDED"))
    if status in {Status.REJECTED, Status.ACKNOWLEDGED}:
        harness.sink.fail_next(Rejected("bad", code="INVALID_ARGUMENT"))
    if status is Status.FAILED:
        harness.sink.fail_next(*[NotSent("busy", code="UNAVAILABLE")] * 3)
    await harness.run()
    if status is Status.DUPLICATE:
        path = "1/copy.wav"
        harness.source.put(path, recordings(1)["0/call-0.wav"])
        harness.source.put("1/copy.json", of_call(0))
        await harness.run()
    if status is Status.POSSIBLE_DUPLICATE:
        harness.source.put(path, wav(77))
        await harness.run()
    async with harness.ledger as ledger:
        known = (await ledger.get([path]))[path]
        if known.status is not status:
            await settle(ledger, replace(known.outcome, status=status), policy=Rules().digest())
    assert (await harness.statuses())[path] is status
    return harness, path


OF_TALKS_AND_PEOPLE = [each for each in Status if each not in FILTERED | {Status.CLAIMED}]


@pytest.mark.parametrize("status", OF_TALKS_AND_PEOPLE)
@pytest.mark.parametrize("filters", [{"min_length": 9.0}, {"sample": Sample(percent=1e-9)}])
async def test_no_filter_changes_what_is_stored_held_or_decided(status, filters):
    harness, path = await brought_to(status)
    for _ in range(2):
        summary = await harness.run(rules=by(**filters))
        assert (await harness.statuses())[path] is status
        assert not summary.counts.get(Status.LEFT_OUT)
    harness.source.touch(path)
    await harness.run(rules=by(**filters))
    now = (await harness.statuses())[path]
    # What is touched is a new file of what is not stored, and is left out as any other.
    assert now is status or (status in FORGETTABLE and now is Status.LEFT_OUT)
    assert len(harness.sink.talks) == (status not in {Status.REJECTED, Status.ACKNOWLEDGED})


@pytest.mark.parametrize("filters", [{"min_length": 9.0}, {"sample": Sample(percent=1e-9)}])
async def test_what_was_waiting_is_left_out_as_anything_new(filters):
    harness = Harness(recordings(3))
    waits = await harness.run(options=replace(OPTIONS, min_age=1e12))
    assert (waits.waiting, {*(await harness.statuses()).values()}) == (3, {Status.WAITING})
    for _ in range(2):
        assert of(await harness.run(rules=by(**filters))) == {"left_out": 3}
    assert not harness.sink.talks


async def test_what_failed_is_left_out_unless_somebody_said_that_it_is_to_be_sent():
    harness, path = await brought_to(Status.FAILED)
    assert of(await harness.run(rules=by(min_length=9.0))) == {"left_out": 1}
    harness, path = await brought_to(Status.IN_DOUBT)
    harness.sink.talks.clear()
    async with harness.ledger as ledger:
        known = (await ledger.get([path]))[path]
        resent = replace(known.outcome, status=Status.FAILED, failure=RESEND)
        await settle(ledger, resent)
    for rules in (by(min_length=9.0, sample=Sample(percent=1e-9)), by(since=1 << 62)):
        await harness.run(rules=rules)
        assert await harness.statuses() == {path: Status.UPLOADED}
    assert len(harness.sink.talks) == 1


async def test_other_audio_at_the_path_of_a_talk_may_be_left_out():
    """The talk stays on record; what was there before is still that talk when it comes back."""
    files = recordings(1)
    harness = Harness(files)
    await harness.run()
    harness.source.put("0/call-0.wav", wav(7, 80))
    harness.source.put("0/call-0.json", sidecar(n="7"))
    assert of(await harness.run(rules=by(min_length=0.05))) == {"left_out": 1}
    assert [row.status for row in await harness.rows()] == [Status.UPLOADED, Status.LEFT_OUT]
    for path, content in files.items():
        harness.source.put(path, content)
    await harness.run(rules=by(min_length=0.05))
    assert len(harness.sink.talks) == 1


async def test_a_date_is_that_of_the_metadata_or_else_of_the_file():
    """The files of this source are of 2023."""
    texts = {
        "before": sidecar(date="2025-04-21T23:59:59Z"),
        "after": sidecar(date="2025-04-22T03:00:01+03:00"),
        "none": sidecar(n="1"),
        "unread": sidecar(date="22.04.2025"),
        "broken": b"{",
    }
    files = {f"{name}.json": text for name, text in texts.items()}
    harness = Harness(files | {f"{name}.wav": wav(n) for n, name in enumerate(texts)})
    moment = parse_since("2025-04-22T00:00:00Z")
    summary = await harness.run(rules=by(since=moment))
    assert summary.left_out_by == {"since": 4}
    assert {path for path in harness.source.opened if path.endswith("wav")} == {"after.wav"}
    local = Harness({"a.wav": wav(1), "a.json": sidecar(date="2025-04-22T00:30:00")})
    for zone, left in (("Asia/Tokyo", {"since": 1}), ("Etc/UTC", {})):
        assert (await local.run(rules=by(since=moment, timezone=zone))).left_out_by == left
    assert {row.path for row in await harness.rows() if row.failure is None} == {"after.wav"}
    rest = await harness.run(rules=by(until=moment))
    assert of(rest) == {"uploaded": 3, "invalid": 1}, "what is uploaded is not looked at"
    for row in await harness.rows():
        assert "2025-04-21" not in str(row.failure), "the manifest has no metadata"


async def test_the_last_days_are_not_looked_at_again_as_they_pass():
    """What is older than a week today is so tomorrow."""
    files = {}
    for day in range(1, 20):
        files[f"{day}.wav"] = wav(day)
        files[f"{day}.json"] = sidecar(date=f"2025-04-{day:02}T10:00:00Z")
    harness = Harness(files)
    for day in range(8, 15):
        summary = await harness.run(rules=by(since=parse_since(f"2025-04-{day:02}T00:00:00Z")))
        assert summary.left_out_by == {"since": 7}
        assert day == 8 or not harness.source.opened
    earlier = await harness.run(rules=by(since=parse_since("2025-04-05T00:00:00Z")))
    assert (of(earlier), earlier.left_out_by) == ({"uploaded": 3, "left_out": 4}, {"since": 4})


async def test_a_sample_grows_and_never_sends_others():
    files = recordings(40)
    harness = Harness(files)
    paths = sorted((path for path in files if path.endswith(".wav")), key=path_hash)

    async def sent():
        return {row.path for row in await harness.rows() if row.status is Status.UPLOADED}

    first = await harness.run(rules=by(sample=Sample(count=3)))
    assert of(first) == {"uploaded": 3, "left_out": 37}
    assert first.left_out_by == {"sample": 37}
    assert len(harness.source.opened) <= 6, "what is outside is not opened"
    assert await sent() == {*paths[:3]}
    again = await harness.run(rules=by(sample=Sample(count=3)))
    assert (of(again), again.already_there) == ({"left_out": 37}, 3)
    assert not harness.source.opened
    for path, content in recordings(60).items():
        if path not in files:
            harness.source.put(path, content)
    grown = await harness.run(rules=by(sample=Sample(count=3)))
    assert of(grown) == {"left_out": 57}, "those on record count"
    await harness.run(rules=by(sample=Sample(count=10)))
    assert len(await sent()) == 10
    assert {*paths[:3]} < await sent()
    assert of(await harness.run()) == {"uploaded": 50}


async def test_the_sample_has_a_place_for_what_is_wrong():
    """So a second run does not send others instead."""
    files = {path: b"" if path.endswith(".wav") else text for path, text in recordings(20).items()}
    harness = Harness(files)
    rules = by(sample=Sample(count=5))
    for _ in range(2):
        assert of(await harness.run(rules=rules)) == {"invalid": 5, "left_out": 15}
    for path, content in recordings(20).items():
        harness.source.put(path, content)
    assert of(await harness.run(rules=rules)) == {"uploaded": 5, "left_out": 15}


@pytest.mark.parametrize("folder", ["", "{}/"], ids=["one folder", "folders"])
async def test_a_place_in_the_sample_is_taken_by_the_next_once_its_file_is_gone(folder):
    files = {}
    for n in range(6):
        files[f"{folder.format(n)}{n}.wav"] = wav(n)
        files[f"{folder.format(n)}{n}.json"] = sidecar(n=str(n))
    paths = sorted((path for path in files if path.endswith(".wav")), key=path_hash)
    harness = Harness(files | dict.fromkeys(paths[:2], b""))
    rules = by(sample=Sample(count=2))
    for _ in range(2):
        assert of(await harness.run(rules=rules)) == {"invalid": 2, "left_out": 4}
    for path in paths[:1]:
        harness.source.remove(path)
        harness.source.remove(path.replace(".wav", ".json"))
    assert of(await harness.run(rules=rules)) == {"uploaded": 1, "invalid": 1, "left_out": 3}
    assert (await harness.statuses())[paths[2]] is Status.UPLOADED


def drawn_archive(data):
    """Up to nine recordings of some lengths and dates, some without audio or with a defect."""
    files = {}
    for n in range(data.draw(st.integers(1, 9))):
        path = f"{n % 2}/call-{n}"
        frames = data.draw(st.sampled_from([0, 80, 800, 8000]))
        files[f"{path}.wav"] = wav(n + 1, frames)
        day = data.draw(st.sampled_from(["", "2025-04-21T10:00:00Z", "2025-04-22"]))
        told = {"date": day, "n": str(n)} if day else {"n": str(n)}
        broken = data.draw(st.integers(0, 5)) == 0
        files[f"{path}.json"] = b"{" if broken else sidecar(**told)
    return files


def drawn_filters(data):
    samples = [None, Sample(count=2), Sample(percent=50.0), Sample(count=99)]
    return Filters(
        min_length=data.draw(st.sampled_from([None, 0.05, 0.5])),
        max_length=data.draw(st.sampled_from([None, 0.5, 2.0])),
        skip_empty=data.draw(st.booleans()),
        since=data.draw(
            st.sampled_from([None, *map(parse_since, ["2025-04-21", "2025-04-21T12:00:00Z"])])
        ),
        until=data.draw(st.sampled_from([None, parse_until("2025-04-22")])),
        sample=data.draw(st.sampled_from(samples)),
    )


@settings(max_examples=12, deadline=None)
@given(st.data())
async def test_sent_and_left_out_and_defects_are_all_and_a_wider_run_sends_the_rest(data):
    """Any archive, any filters."""
    files = drawn_archive(data)
    names = {path for path in files if path.endswith(".wav")}
    harness = Harness(files)
    rules = Rules(filters=drawn_filters(data))
    summary = await harness.run(rules=rules)
    statuses = await harness.statuses()
    assert {*statuses} == names
    assert {*statuses.values()} <= {Status.UPLOADED, Status.LEFT_OUT, Status.INVALID}
    assert Counter(statuses.values()) == +Counter(summary.counts)
    assert sum(summary.left_out_by.values()) == summary.counts.get(Status.LEFT_OUT, 0)
    again = await harness.run(rules=rules)
    assert not harness.source.opened, "nothing is opened again"
    assert again.left_out_by == summary.left_out_by
    assert await harness.statuses() == statuses
    sent = len(harness.sink.talks)
    rest = await harness.run()
    plain = Harness(files)
    await plain.run()
    assert await harness.statuses() == await plain.statuses()
    assert len(harness.sink.talks) == sent + rest.counts.get(Status.UPLOADED, 0)
    assert len(harness.sink.talks) == len(plain.sink.talks)


class Opened(CountsOpening, DirectorySource):
    """What is opened of a directory; what the page cache has is read without."""

    def read_if_cached(self, _listed):
        return None


@settings(max_examples=8, deadline=None)
@given(st.data())
async def test_a_check_foretells_what_filters_do_in_a_directory_night_after_night(data):
    """Filters that change from night to night, over one ledger."""
    files = drawn_archive(data)
    with TemporaryDirectory() as folder:
        root = Path(folder) / "calls"
        for path, content in files.items():
            (root / path).parent.mkdir(parents=True, exist_ok=True)
            (root / path).write_bytes(content)
            os.utime(root / path, (1_700_000_000, 1_700_000_000))
        sink, uploaded = MemorySink(), set()
        for _ in range(2):
            # Named, since what is not is made up by the ledger, which this Uploader does not ask.
            audio = AudioRules(convert=Convert.NEEDED)
            rules = Rules(audio=audio, filters=drawn_filters(data))
            for twice in (False, True):
                told = await check_directory(root, connection_id="c", rules=rules)
                quick = await check_directory(root, connection_id="c", rules=rules, fast=True)
                source = Opened(root)
                ledger = SqliteLedger(root / ".batch-uploader" / "ledger.db", "c")
                uploader = Uploader(source=source, sink=sink, ledger=ledger, rules=rules)
                async with uploader:
                    summary = await uploader.run()
                    rows = [row async for row in ledger.rows()]
                assert told.left_out_by == quick.left_out_by == summary.left_out_by
                assert told.to_send == quick.to_send == summary.counts.get(Status.UPLOADED, 0)
                assert told.defective == summary.counts.get(Status.INVALID, 0)
                assert told.already_there == summary.already_there
                seen = Counter(row.status for row in rows)
                assert summary.counts.get(Status.INVALID, 0) == seen[Status.INVALID]
                assert not (twice and source.opened), "nothing is opened again"
                now = {row.path for row in rows if row.status is Status.UPLOADED}
                assert now >= uploaded
                uploaded = now
                status = await directory_status(root)
                assert status.left_out_by == {k: n for k, n in summary.left_out_by.items() if n}
                assert len(rows) == len(files) // 2
        assert len(sink.talks) == len(uploaded)


@pytest.mark.parametrize("filters", [{"skip_empty": True}, {"sample": Sample(count=2)}])
async def test_with_explanations_each_is_told(filters):
    harness = Harness(archive())
    options = replace(OPTIONS, explain=True)
    for _ in range(2):
        summary = await harness.run(rules=by(**filters), options=options)
        assert {Filter(name).value.replace("-", "_") for name in summary.left_out_by} == {*filters}
        told = {event.path: event.reason for event in harness.events(Decided)}
        left = {row.path: row.failure for row in await harness.rows() if row.status == "left_out"}
        assert left
        assert {told[path] for path in left} == {each.message for each in left.values()}
