"""What waits, and for how long: at any time of day, whatever the recorder does."""

import anyio
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from support import audio_makers as make
from support.doubt_harness import Time

from batch_uploader.app.uploader import Uploader
from batch_uploader.core.model import Entry, Outcome, Timestamp, Version
from batch_uploader.core.records import Record
from batch_uploader.core.states import MAY_WAIT, Status
from batch_uploader.core.waiting import Wait
from batch_uploader.ledgers.memory import MemoryLedger
from batch_uploader.plan.patience import Ages, Patience, postponed
from batch_uploader.prepare.audio import AudioRules, EndMark, RawFormat
from batch_uploader.prepare.rules import Rules
from batch_uploader.run.options import RunOptions
from batch_uploader.sinks.memory import MemorySink
from batch_uploader.sources.memory import MemorySource, _File
from batch_uploader.sources.selection import Selection

SECOND = 10**9
NOW = 1_700_000_000 * SECOND
AGES = Ages(2, 300, 600)
HOUR = 3600


def entry(age, ctime_age=None):
    ctime = None if ctime_age is None else NOW - ctime_age * SECOND
    return Entry("a.wav", 100, NOW - age * SECOND, ctime)


def seen(audio, status=Status.WAITING, ago=0, since=None, wait=Wait.END):
    """A record of it from so many seconds ago."""
    at = NOW - ago * SECOND
    first = at if since is None else NOW - since * SECOND
    made = postponed("a.wav", Version(audio.size, audio.mtime_ns), wait, None, at).outcome
    return Record(
        "c",
        "a.wav",
        status,
        made.stat,
        failure=made.failure,
        since=Timestamp(first) if status in MAY_WAIT else None,
        settled_at_ns=at,
    )


def patience(audio, before=None):
    return Patience(AGES, NOW, Version(audio.size, audio.mtime_ns), before)


def test_a_file_is_left_alone_until_it_has_been_still():
    for age, waits in ((0, True), (1, True), (2, False), (HOUR, False)):
        assert (patience(entry(age)).still(entry(age)) is Wait.STILLNESS) is waits
    for age, waits in ((3, True), (299, True), (300, False)):
        assert (patience(entry(age)).due(entry(age)).end is Wait.END) is waits


def test_a_chown_is_no_writing():
    assert patience(entry(HOUR, 1)).due(entry(HOUR, 1)).end is None


def test_a_time_ahead_is_as_old_as_it_has_been_on_record():
    for ahead in (5, HOUR, 30 * HOUR):
        audio = entry(-ahead)
        far = ahead > 24 * HOUR
        for before, is_still, ended in (
            (None, far, False),
            (seen(audio, ago=1), far, False),
            (seen(audio, ago=60), True, False),
            (seen(audio, ago=301), True, True),
            (seen(audio._replace(size=99), ago=301), far, False),
            (seen(audio, ago=-60), far, False),
        ):
            told = patience(audio, before)
            assert told.still(audio) is (None if is_still else Wait.CLOCK)
            assert told.due(audio).end is (None if ended else Wait.CLOCK)


def test_a_sidecar_is_waited_for_from_the_latest_time():
    def waits(audio, before=None):
        return patience(audio, before).due(audio).sidecar is Wait.SIDECAR

    assert waits(entry(HOUR))  # never seen
    assert not waits(entry(HOUR), seen(entry(HOUR), ago=601))
    assert waits(entry(HOUR), seen(entry(HOUR), ago=599))
    assert waits(entry(599), seen(entry(599), ago=HOUR))
    assert waits(entry(HOUR, 599), seen(entry(HOUR), ago=HOUR))
    assert not waits(entry(HOUR, 601), seen(entry(HOUR), ago=HOUR))
    # A time in the future is none, or it would wait for ever.
    assert not waits(entry(-HOUR, -HOUR), seen(entry(HOUR), ago=HOUR))
    # What is on record as a defect and was only touched stays one.
    assert not waits(entry(HOUR, 1), seen(entry(HOUR), Status.INVALID, ago=HOUR))


def test_only_what_is_news_is_recorded():
    audio = entry(30)
    version = Version(audio.size, audio.mtime_ns)

    def told(before, wait=Wait.END, now=NOW):
        return postponed("a.wav", version, wait, before, now)

    assert told(None).new
    assert not told(seen(audio, ago=HOUR)).new
    assert told(seen(audio, ago=HOUR), Wait.SIDECAR).new
    assert told(seen(entry(40), ago=HOUR)).new
    assert told(seen(audio, Status.INVALID, ago=HOUR)).new
    assert told(seen(audio, ago=-HOUR)).new  # that clock was ahead
    for status in {*Status} - MAY_WAIT:
        assert not told(seen(audio, status, ago=HOUR)).new
        assert told(seen(audio, status, ago=HOUR)).outcome.status is Status.WAITING


def test_what_was_seen_waiting_20_hours_ago_waits_too_long():
    audio = entry(30)
    for hours, status in ((19, Status.WAITING), (20, Status.STUCK), (100, Status.STUCK)):
        before = seen(entry(40), ago=60, since=hours * HOUR)
        told = postponed("a.wav", Version(100, audio.mtime_ns), Wait.END, before, NOW)
        assert told.outcome.status is status
    assert not postponed("a.wav", told.outcome.stat, Wait.END, as_recorded(told.outcome), NOW).new


def as_recorded(outcome: Outcome):
    since = Timestamp(NOW - 100 * HOUR * SECOND)
    return Record(
        "c",
        outcome.path,
        outcome.status,
        outcome.stat,
        failure=outcome.failure,
        since=since,
        settled_at_ns=NOW,
    )


class Recorder(MemorySource):
    """A source in which a recorder writes now."""

    def __init__(self, time):
        self.time = time
        super().__init__({})

    def put(self, path, content):
        self._files[path] = _File(content, self.time.now().wall_ns)


WHOLE = {
    "mp3": make.mp3(4.0),
    "ogg": make.opus_pages(24_000, 48_000, 72_000),
    "wav": make.wav(4.0),
    "pcm": make.pcm(4.0),
}
RULES = Rules(audio=AudioRules(raw=RawFormat(8000, 1), ogg_end=EndMark.OPTIONAL))


def so_far(kind, share):
    content = WHOLE[kind][: round(len(WHOLE[kind]) * share)]
    if kind == "wav" and share < 1:
        # The sizes in the header are written at the end.
        return make.wav(4.0, data_size=0, riff_size=0)[: len(content)]
    return content


async def nights(kind, steps, sidecar_at):
    """A recorder that pauses, with runs at any time: what each run made of it."""
    time = Time()
    source, sink = Recorder(time), MemorySink()
    source._selection = Selection(["*.pcm"], [])
    clock = {"clock": lambda: time.now().wall_ns, "boot": lambda: ("boot", time.now().boot_ns)}
    ledger = MemoryLedger("c", **clock)

    async def run():
        async with Uploader(
            source=source,
            sink=sink,
            ledger=ledger,
            rules=RULES,
            options=RunOptions(concurrency=1),
            clock=time.clock,
        ) as uploader:
            return await uploader.run()

    path = f"live.{kind}"
    shares = [0.0, *sorted(share for share, _ in steps), 1.0]
    pauses = [pause for _, pause in steps] + [0]
    for number, share in enumerate(shares):
        source.put(path, so_far(kind, share))
        if number == sidecar_at:
            source.put("live.json", b"{}")
        if number < len(pauses):
            time.seconds += pauses[number]
            summary = await run()
            assert (summary.needs_attention, summary.counts, sink.talks) == (0, {}, [])
    if sidecar_at >= len(shares):
        source.put("live.json", b"{}")
    time.seconds += 301
    summary = await run()
    assert (summary.waiting, summary.needs_attention) == (0, 0)
    return sink, WHOLE[kind]


@settings(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(
    kind=st.sampled_from(sorted(WHOLE)),
    steps=st.lists(st.tuples(st.floats(0.01, 0.99), st.floats(0.0, 299.0)), max_size=6),
    sidecar_at=st.integers(0, 9),
)
def test_a_call_that_grows_between_runs_is_one_talk_of_the_whole_call(kind, steps, sidecar_at):
    """Faults 112, 113: and nothing is called a defect meanwhile."""
    sink, whole = anyio.run(nights, kind, steps, sidecar_at)
    (talk,) = sink.talks
    assert talk.size == len(whole)
