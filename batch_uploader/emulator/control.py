"""Inspects and controls an emulator that runs in the same process."""

import os
import time
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

from batch_uploader.emulator.faults import Fault, Faults
from batch_uploader.emulator.store import Talk, stored_talks
from batch_uploader.emulator.tokens import Authenticator, LackedRight

_KILLED = 137


class Control:
    """The control of a running emulator; every attribute may be read at any time.

    ``requests`` counts the received RPCs by the method's own name (``Upload``), ``received`` the
    uploads whose last byte arrived, ``most_exchanges`` is the most tokens that were requested at
    the same time.
    """

    def __init__(self, store: Path, authenticator: Authenticator, faults: Faults) -> None:
        self.requests: Counter[str] = Counter()
        self.received = 0
        self.most_exchanges = 0
        self._exchanges = 0
        self.on_change: Callable[[Faults], None] | None = None
        self._store = store
        self._authenticator = authenticator
        self._faults = faults
        self._attempts: Counter[bytes] = Counter()
        self._queries = 0
        self._uplink_free_at = 0.0
        self._quota = 0.0
        self._quota_at = 0.0

    @property
    def faults(self) -> Faults:
        """The faults from now on; assign another Faults at any time.

        An outage is counted from the assignment, everything else from the start of the server.
        """
        return self._faults

    @faults.setter
    def faults(self, faults: Faults) -> None:
        if self.on_change is not None:
            self.on_change(faults)
        self._faults = faults

    def talks(self) -> list[Talk]:
        """All stored talks, the oldest first. Blocks briefly."""
        return stored_talks(self._store)

    def revoke(self) -> None:
        """Refuse every credential from now on."""
        self._authenticator.revoked = True

    def reinstate(self) -> None:
        """Undo ``revoke``."""
        self._authenticator.revoked = False

    def forget_tokens(self) -> None:
        """Refuse the tokens that were issued so far; others are issued."""
        self._authenticator.forget()

    def lack(self, *missing: LackedRight) -> None:
        """From now on all accounts or keys lack this, and nothing else."""
        self._authenticator.missing = frozenset(missing)

    def count(self, method: str) -> None:
        """Count an RPC of that name."""
        limit, total = self._faults.revoke_after, self.requests.total()
        if limit is not None and total >= limit:
            self.revoke()
        if total == self._faults.forget_tokens_after:
            self.forget_tokens()
        self.requests[method] += 1

    @contextmanager
    def exchange(self) -> Iterator[None]:
        """While a token is being requested."""
        self._exchanges += 1
        self.most_exchanges = max(self.most_exchanges, self._exchanges)
        try:
            yield
        finally:
            self._exchanges -= 1

    def fault(self, identity: bytes) -> Fault | None:
        """The fault for this attempt at an upload, if any."""
        fault = self._faults.fault(identity, self._attempts[identity])
        if fault is None:
            # A recording is remembered only until it succeeds, so that memory does not grow.
            del self._attempts[identity]
        else:
            self._attempts[identity] += 1
        return fault

    def query_fails(self) -> bool:
        """Whether this Search or Get fails."""
        self._queries += 1
        return self._faults.search_fails(self._queries)

    def upload_received(self) -> int:
        """Count a completely received upload. Returns its number, from 1. May end the process."""
        self.received += 1
        if self.received == self._faults.die_before_storing:
            die()
        return self.received

    def upload_stored(self, number: int) -> None:
        """The upload of that number is in the store. May end the process."""
        if number == self._faults.die_after_storing:
            die()

    def over_rate(self) -> bool:
        """Whether this upload exceeds the rate; counts it if not."""
        rate = self._faults.max_rate
        if rate is None:
            return False
        now = time.monotonic()
        # A second's worth may come at once, at least one.
        most = max(1.0, rate)
        self._quota = min(most, self._quota + (now - self._quota_at) * rate)
        self._quota_at = now
        if self._quota < 1:
            return True
        self._quota -= 1
        return False

    def transfer_time(self, nbytes: int) -> float:
        """Seconds to wait for ``nbytes`` more bytes at the bandwidth."""
        if self._faults.bandwidth is None:
            return 0.0
        now = time.monotonic()
        self._uplink_free_at = max(self._uplink_free_at, now) + nbytes / self._faults.bandwidth
        return self._uplink_free_at - now


def die() -> None:
    """End the process as kill -9 does: nothing is flushed, closed or printed."""
    os._exit(_KILLED)
