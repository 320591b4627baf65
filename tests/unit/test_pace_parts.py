"""The parts of the pace, each by itself (faults 22, 23 and 27)."""

import heapq
import math
import statistics

import pytest

from batch_uploader.core.errors import InDoubt, NotSent, Rejected, Throttled
from batch_uploader.pace.circuit_breaker import CircuitBreaker
from batch_uploader.pace.concurrency import START, ConcurrencyLimit
from batch_uploader.pace.governor import Caps, Governor
from batch_uploader.pace.rate import Rate
from batch_uploader.pace.token_bucket import Timetable, TokenBucket


def throttled(retry_after=None):
    return Throttled("slower", code="RESOURCE_EXHAUSTED", retry_after=retry_after)


class TestGovernor:
    def test_pushback_stops_everybody(self):
        """Fault 23: 5,000 ms."""
        governor = Governor(Caps(8), 0.0)
        governor.begin(0.0)
        governor.begin(0.0)
        assert governor.failed(0.1, 0.0, throttled(5.0)).pause == pytest.approx(5.0)
        assert governor.failed(0.2, 0.0, throttled(3.0)).pause == 0.0, "it is under way already"
        governor.ended(0.0)
        governor.ended(0.0)
        assert governor.wait(0.2) == pytest.approx(4.9)
        assert governor.wait(5.2) <= 0

    def test_negative_pushback_stops_nobody(self):
        """Fault 23: -1 is about the one recording."""
        governor = Governor(Caps(8), 0.0)
        governor.begin(0.0)
        assert governor.failed(0.1, 0.0, throttled(-0.001)).pause == 0.0
        governor.ended(0.0)
        assert governor.wait(0.1) <= 0

    def test_a_burst_of_refusals_cuts_once(self):
        governor = Governor(Caps(64), 0.0)
        now = 0.0
        while governor.window.limit < 64:
            started, running = now, governor.window.limit
            now += 1
            for _ in range(running):
                governor.begin(started)
            for _ in range(running):
                governor.succeeded(now, started, 1000)
                governor.ended(started)
        for _ in range(64):
            governor.begin(now)
        for _ in range(10):
            governor.failed(now + 0.5, now, throttled())
        assert governor.window.limit >= 32

    def test_what_the_service_says_of_a_recording_is_no_outage(self):
        governor = Governor(Caps(8), 0.0)
        for n in range(20):
            governor.begin(n)
            assert governor.failed(n + 0.1, n, Rejected("no", code="INVALID_ARGUMENT")).counts
            governor.ended(n)
        assert not governor.outage.down

    def test_an_outage_that_ends_with_a_refusal_ends_without_a_burst(self):
        """Fault 27."""
        governor = Governor(Caps(32), 0.0)
        governor.window.restart(0.0)
        usual = governor.window.limit
        for n in range(100):
            at_once = governor.window.limit
            for _ in range(at_once):
                governor.begin(n)
            for _ in range(at_once):
                governor.succeeded(n + 0.1, n, 1000)
                governor.ended(n)
        assert governor.window.limit > usual
        for n in range(100, 110):
            governor.begin(n)
            governor.failed(n + 0.1, n, NotSent("nobody is there", code="UNAVAILABLE"))
            governor.ended(n)
        assert governor.outage.down
        governor.begin(200.0)
        governor.failed(200.1, 200.0, Rejected("no", code="INVALID_ARGUMENT"))
        assert not governor.outage.down
        assert governor.window.limit == usual

    def test_silence_is_an_outage_too(self):
        """Fault 21: a recording that goes into silence is in doubt, so few of them may go."""
        governor = Governor(Caps(8), 0.0)
        for n in range(5):
            governor.begin(n)
            governor.failed(n + 0.5, n, InDoubt("silence", code="DEADLINE_EXCEEDED"))
            governor.ended(n)
        assert governor.outage.down
        governor.begin(10.0)
        assert math.isinf(governor.wait(10.1)), "one at a time"


class TestOutage:
    def fail(self, outage, now, started=None):
        return outage.failed(now, now - 0.01 if started is None else started, 0.0, 60.0)

    def down(self):
        outage = CircuitBreaker()
        for n in range(5):
            self.fail(outage, float(n))
        assert outage.down
        return outage

    def test_what_fails_at_once_is_one_piece_of_news(self):
        outage = CircuitBreaker()
        for _ in range(100):
            assert not self.fail(outage, 1.0, started=0.5)
        assert not outage.down

    def test_it_has_been_there_since_its_first_failure(self):
        assert self.down().since == 0.0

    def test_probes_grow_to_a_minute(self):
        outage = self.down()
        pauses = []
        now = 10.0
        for _ in range(15):
            outage.probing = True
            assert self.fail(outage, now)
            pauses.append(outage.next_probe - now)
            now = outage.next_probe + 0.5
        assert pauses == sorted(pauses)
        assert pauses[0] < 1
        assert pauses[-1] == pytest.approx(60)

    def test_what_was_under_way_before_is_no_probe(self):
        outage = self.down()
        outage.probing = True
        assert not self.fail(outage, 5.0, started=3.0)
        assert outage.probing

    def test_a_probe_that_ends_without_news_makes_way(self):
        outage = self.down()
        outage.probing = True
        outage.given_up(started=3.0)
        assert outage.probing
        outage.given_up(started=6.0)
        assert not outage.probing

    def test_success_ends_it(self):
        outage = self.down()
        assert outage.succeeded()
        assert not outage.down
        assert not outage.succeeded()


class TestWindow:
    def grow(self, window, now, seconds, rounds=30, nbytes=1000):
        for _ in range(rounds):
            now += seconds
            running = window.limit
            for _ in range(running):
                window.succeeded(now, seconds, nbytes, running)
        return now

    def test_it_grows_to_its_ceiling(self):
        window = ConcurrencyLimit(20)
        assert window.limit == START
        self.grow(window, 0.0, 1.0, rounds=6)
        assert window.limit == 20

    def test_it_falls_when_more_at_once_are_slower(self):
        """Fault 22: latency that grows is a sign, too."""
        window = ConcurrencyLimit(64)
        now = self.grow(window, 0.0, 0.2)
        assert window.limit == 64
        for _ in range(20):
            now = self.grow(window, now, max(0.2, window.limit / 32), rounds=1)
        assert window.limit < 32

    def test_it_stays_when_fewer_at_once_are_as_slow(self):
        """As where packets get lost, once the first recordings were lucky."""
        window = ConcurrencyLimit(64)
        now = self.grow(window, 0.0, 0.2)
        lowest = 64
        for _ in range(100):
            now = self.grow(window, now, 2.0, rounds=1)
            lowest = min(lowest, window.limit)
        assert window.limit == 64
        assert 32 < lowest < 64, "it has tried"

    def test_it_comes_down_where_attempts_take_longer_than_all_has_to_be_calm(self):
        """Fault 22: as many as there are slow each other down for half a minute."""
        window, now, running, taken = ConcurrencyLimit(32), 0.0, [], []
        while now < 400:
            while len(running) < window.limit:
                seconds = 0.5 * max(1.0, (len(running) / 4) ** 2)
                heapq.heappush(running, (now + seconds, seconds))
            now, seconds = heapq.heappop(running)
            window.succeeded(now, seconds, 1000, len(running) + 1)
            taken.append((now, seconds))
        assert max(seconds for _, seconds in taken) > 25
        late = [seconds for at, seconds in taken if at > 200]
        assert statistics.median(late) < 10

    def test_what_began_before_a_cut_is_no_proof_that_it_was_in_vain(self):
        window = ConcurrencyLimit(16)
        now = self.grow(window, 0.0, 0.2)
        now = self.grow(window, now, 4.0, rounds=1)
        cut = window.limit
        for _ in range(2 * cut):
            window.succeeded(now + 1, 4.0, 1000, cut)
        assert window.limit <= cut + 2

    def test_a_cut_stands_as_it_is_until_it_is_judged(self):
        """As it grew meanwhile, nobody could tell what came of it."""
        window = ConcurrencyLimit(16)
        now = self.grow(window, 0.0, 0.2)
        now = self.grow(window, now, 4.0, rounds=1)
        cut = window.limit
        assert cut < 16
        for _ in range(cut - 1):
            window.succeeded(now + 100, 4.0, 1000, cut)
        assert window.limit == cut

    def test_on_another_way_all_begins_anew(self):
        window = ConcurrencyLimit(16)
        now = self.grow(window, 0.0, 0.2)
        now = self.grow(window, now, 4.0, rounds=1)
        assert window.limit < 16
        window.moved()
        assert window.limit == 16, "nobody knows what came of the cut"
        self.grow(window, now, 4.0)
        assert window.limit == 16, "it is the usual here"

    def test_on_another_way_a_refusal_is_not_forgotten(self):
        window = ConcurrencyLimit(64)
        now = self.grow(window, 0.0, 0.2)
        window.throttled(now, 1.0)
        assert window.limit == 32
        window.moved()
        self.grow(window, now, 0.2, rounds=3)
        assert window.limit <= 35

    def test_one_that_goes_alone_is_not_slow_because_of_others(self):
        """After a minute in which all was slow, half as slow looks as if fewer had made it so."""
        window = ConcurrencyLimit(32)
        now = self.grow(window, 0.0, 1.0)
        now = self.grow(window, now, 16.0, rounds=2)
        limits = []
        while now < 900:
            now = self.grow(window, now, 2.7, rounds=1)
            limits.append((now, window.limit))
        alone = sum(limit <= 8 for _, limit in limits) * 2.7
        assert alone < 120

    def test_the_governor_sees_another_way(self):
        governor = Governor(Caps(64), 0.0)
        now = 0.0
        limits = []
        for rounds, seconds, expanded in ((15, 0.2, False), (1, 4.0, False), (9, 4.0, True)):
            for _ in range(rounds):
                running, started = governor.window.limit, now
                now += seconds
                for _ in range(running):
                    governor.begin(started)
                for _ in range(running):
                    governor.succeeded(now, started, 1000, expanded=expanded)
                for _ in range(running):
                    governor.ended(started)
            limits.append(governor.window.limit)
        assert limits[1] < limits[0] == limits[2] == 64

    def test_large_recordings_take_longer_and_mean_nothing(self):
        window = ConcurrencyLimit(32)
        now = self.grow(window, 0.0, 0.2)
        self.grow(window, now, 20.0, nbytes=50_000_000)
        assert window.limit == 32

    def test_it_is_not_raised_unused(self):
        window = ConcurrencyLimit(32)
        for now in range(100):
            window.succeeded(float(now), 0.1, 1000, 1)
        assert window.limit == START

    def test_it_never_falls_below_one(self):
        window = ConcurrencyLimit(2)
        for now in range(20):
            window.throttled(float(now), 0.0)
        assert window.limit == 1


class TestRate:
    def test_the_users_rate_holds_from_the_first_request(self):
        rate = Rate(0.0, most=10.0)
        times, now = [], 0.0
        for _ in range(31):
            while (wait := rate.wait(now)) > 1e-9:
                now += wait
            rate.begun(now)
            times.append(now)
        assert times[-1] == pytest.approx(3.0, abs=0.03)
        assert times[1] == pytest.approx(0.1, abs=0.03)

    def test_without_one_there_is_nothing_to_wait_for(self):
        rate = Rate(0.0)
        for _ in range(100):
            assert rate.wait(0.0) <= 0
            rate.begun(0.0)


class TestBandwidth:
    def test_a_timetable(self):
        timetable = Timetable.parse("08:00 2M 20:00 off 22:30 8M")
        at = {clock: timetable.at(clock * 60) for clock in (0, 7, 8, 19, 20, 22, 23)}
        fast, slow = 8 * 1024**2, 2 * 1024**2
        assert at == {0: fast, 7: fast, 8: slow, 19: slow, 20: None, 22: None, 23: fast}
        assert timetable.at(22 * 60 + 30) == fast
        assert timetable.least == slow

    @pytest.mark.parametrize(
        ("text", "said"),
        [
            ("", "is not a bandwidth"),
            ("08:00 2M 20:00", "is not a bandwidth"),
            ("24:00 2M", "'24:00' is not a time of day"),
            ("8 2M", "'8' is not a time of day"),
            ("08:00 2M 8:00 3M", "8:00 stands there twice"),
            ("0", "a bandwidth of 0 sends nothing"),
            ("fast", "'fast' is not a size"),
        ],
    )
    def test_what_makes_no_sense(self, text, said):
        with pytest.raises(ValueError, match=said):
            Timetable.parse(text)

    def test_it_lets_through_so_many_bytes_a_second(self):
        pipe = TokenBucket(Timetable.parse("1000"), 0.0, minute=lambda: 0)
        now = 0.0
        for _ in range(100):
            while (wait := pipe.wait(now)) > 1e-9:
                now += wait
            pipe.take(now, 500)
        assert now == pytest.approx(49.5)

    def test_the_hour_strikes_while_somebody_waits(self):
        minute = 0
        pipe = TokenBucket(Timetable.parse("00:00 10 00:01 off"), 0.0, minute=lambda: minute)
        pipe.take(0.0, 1_000_000)
        assert pipe.wait(0.0) == pytest.approx(30.0), "not a day"
        minute = 1
        assert pipe.wait(30.0) == 0.0


def test_not_sent_and_throttled_count_as_long_as_something_gets_through():
    governor = Governor(Caps(4), 0.0)
    for n in range(50):
        governor.begin(n)
        assert governor.failed(n + 0.1, n, NotSent("busy", code="UNAVAILABLE")).counts
        governor.ended(n)
        governor.begin(n + 0.2)
        governor.succeeded(n + 0.3, n + 0.2, 10)
        governor.ended(n + 0.2)
