"""A world without real time: a service that says no to what is too much, and workers that send.

Discrete events, so ten minutes take a second and come out the same each time.
"""

import heapq
import itertools
import math
import random
from collections import deque

from batch_uploader.core.errors import NotSent, Rejected, Throttled
from batch_uploader.pace.budget import RetryBudget
from batch_uploader.pace.governor import Caps, Governor


class Service:
    """Takes ``rate`` requests a second (a second's worth at once), and answers after ``latency``.

    ``refused`` is the probability of a refusal that has nothing to do with the rate. A service that
    is ``down`` cannot be reached; one that ``rejects`` finds fault with every recording.
    """

    def __init__(self, latency=0.05, rate=None, burst=None, refused=0.0, most=None):
        self.latency = latency
        self.refused = refused
        self.down = False
        self.rejects = False
        self.most = most
        self.running = 0
        self._at = 0.0
        self.limit(rate, burst)

    def limit(self, rate, burst=None):
        self.rate = rate
        self.burst = max(1.0, rate if burst is None else burst) if rate else None
        self._quota = self.burst or 0.0

    def answer(self, now, chance):
        if self.down:
            return NotSent("it cannot be reached", code="UNAVAILABLE")
        if self.most is not None and self.running > self.most:
            return Throttled("too many at once", code="RESOURCE_EXHAUSTED")
        if self.rate is not None:
            self._quota = min(self.burst, self._quota + (now - self._at) * self.rate)
            self._at = now
            if self._quota < 1:
                return Throttled("too many", code="RESOURCE_EXHAUSTED")
            self._quota -= 1
        if chance < self.refused:
            return Throttled("no luck", code="RESOURCE_EXHAUSTED")
        return Rejected("not like this", code="INVALID_ARGUMENT") if self.rejects else None


class World:
    """Workers that never run out of recordings; what they do is counted by the second."""

    def __init__(self, service, workers=32, rate=None, seed=1):
        self.now = 0.0
        self.service = service
        self.governor = Governor(Caps(workers, rate), 0.0)
        self.budget = RetryBudget(0.0)
        self.sent = []
        self.taken = []
        self.refused = []
        self.retried = []
        self.burnt = 0
        self.most = 0
        self._random = random.Random(seed)
        self._events = []
        self._order = itertools.count()
        self._line = deque()
        self._broke = deque()
        self._poll_at = math.inf
        for _ in range(workers):
            self._fresh()

    def run(self, until):
        while self._events and self._events[0][0] <= until:
            self.now, _, do = heapq.heappop(self._events)
            do()
        self.now = until

    def during(self, moments, start, end):
        return sum(start <= moment < end for moment in moments)

    def _later(self, seconds, do):
        heapq.heappush(self._events, (self.now + seconds, next(self._order), do))

    def _fresh(self):
        self.budget.fresh_asked()
        self._line.append((1, True, None))
        self._later(0, self._serve)

    def _serve(self):
        while self._line:
            wait = self.governor.wait(self.now)
            if wait > 0:
                if math.isfinite(wait) and not self.now < self._poll_at <= self.now + wait:
                    self._poll_at = self.now + wait
                    self._later(wait, self._serve)
                break
            self._send(*self._line.popleft())
        self._spend()

    def _spend(self):
        while self._broke:
            wait = self.budget.wait(self.now)
            if wait > 0:
                self._later(wait, self._spend)
                return
            self._line.append((self._broke.popleft(), False, self.budget.take()))
            self._later(0, self._serve)

    def _send(self, number, fresh, paid):
        started = self.now
        self.governor.begin(started)
        self.most = max(self.most, self.governor.running)
        self.sent.append(started)
        if fresh:
            self.budget.fresh_began()
        else:
            self.retried.append(started)
        self.service.running += 1
        error = self.service.answer(started, self._random.random())
        if not _is_taken(error):
            self.service.running -= 1
        seconds = (self.service.latency if _is_taken(error) else 0.005) * self._random.uniform(
            0.8, 1.2
        )
        self._later(seconds, lambda: self._end(started, error, number, fresh, paid))

    def _end(self, started, error, number, fresh, paid):
        counts = True
        if _is_taken(error):
            self.service.running -= 1
            self.taken.append(self.now)
        if error is None:
            self.governor.succeeded(self.now, started, 1000)
        else:
            if isinstance(error, Throttled):
                self.refused.append(self.now)
            counts = self.governor.failed(self.now, started, error).counts
        self.governor.ended(started)
        if fresh:
            self.budget.fresh_ended(self.now)
        elif not paid:
            self.budget.give_back()
        if _is_taken(error):
            self._fresh()
        elif counts:
            self.burnt = max(self.burnt, number)
            pause = self._random.uniform(0, min(60, 0.5 * 2 ** (number - 1)))
            self._later(pause, lambda: self._again(number + 1))
        elif fresh:
            self._fresh()
        else:
            self._line.append((number, False, True))
        self._serve()

    def _again(self, number):
        self._broke.append(number)
        self._spend()


def _is_taken(error):
    return error is None or isinstance(error, Rejected)
