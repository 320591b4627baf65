"""The way to one endpoint: as many channels as pay, each replaced when it leads nowhere."""

import time
from collections.abc import Callable
from contextlib import suppress
from typing import Final, Self

import anyio
import grpc

from batch_uploader.core.errors import ConfigError
from batch_uploader.sinks.speechsense.channel import Endpoint, channel_credentials, open_channel
from batch_uploader.sinks.speechsense.pool_sizer import PoolSizer, Sample

_STALE_AFTER: Final = 180.0
_BUSY: Final = 256 * 1024
"""A channel with so many bytes to carry is shared no further while there may be another: what is
less is over sooner than another connection is made."""
_REST: Final = 10.0  # seconds without a new channel after one that was not to be had


class ChannelPool:
    """Gives each call the least busy channel; a channel connects with its first call.

    A channel that has led nowhere for minutes is replaced: gRPC looks a name up again only after a
    disconnect, a new channel always does. One that leads nowhere while others do is given up, since
    it would draw all calls, having so few. Raises ConfigError as ``open_channel`` does.
    """

    def __init__(self, endpoint: Endpoint, *, clock: Callable[[], float] = time.monotonic) -> None:
        self._endpoint = endpoint
        self._clock = clock
        self._credentials = channel_credentials(endpoint)
        self._width = PoolSizer()
        self._lanes = [self._open()]
        self._retired: list[_Pooled] = []
        self._rests_until = clock()

    @property
    def expanded(self) -> bool:
        """Whether many channels carry more than few."""
        return self._width.proved

    def call(self, nbytes: int = 0) -> "Call":
        """A channel for one call with so many bytes, kept open until that call is over."""
        return Call(self, nbytes)

    async def close(self) -> None:
        """End the channels, and the calls that are still on them."""
        for lane in (*self._lanes, *self._retired):
            for call in lane.calls:
                call.cancel()
            await lane.channel.close()

    def unreached(self, lane: "_Pooled") -> None:
        """A call on the lane found no connection."""
        now = self._clock()
        if lane not in self._lanes:
            return
        if len(self._lanes) > 1:
            self._retire(lane)
            self._width.failed(now)
            self._rests_until = now + _REST
        elif lane.unreached_since is None:
            lane.unreached_since = now
        elif now - lane.unreached_since >= _STALE_AFTER:
            lane.unreached_since = now
            # A CA file that has gone meanwhile is no reason to give up the one that was read.
            with suppress(ConfigError):
                self._credentials = channel_credentials(self._endpoint)
            self._lanes.append(self._open(now))
            self._retire(lane)

    def begin(self, call: "Call") -> None:
        """Give a call its channel."""
        began = self._clock()
        call.lane = lane = self._choose(began)
        lane.calls.add(call)
        lane.nbytes += call.nbytes
        if call.nbytes:
            call.sample = self._width.began()
            call.began = began

    async def end(self, call: "Call") -> None:
        """A call is over."""
        lane = call.lane
        if call.sample is not None:
            self._measured(call.sample, call.began, call.nbytes if call.delivered else 0)
        lane.calls.remove(call)
        lane.nbytes -= call.nbytes
        if self._retired:
            await self._close_idle()

    def _choose(self, now: float) -> "_Pooled":
        lane = min(self._lanes, key=_load)
        if lane.nbytes < _BUSY:
            return lane
        if len(self._lanes) >= self._width.channels:
            self._width.crowded()
        elif now >= self._rests_until:
            lane = self._open()
            self._lanes.append(lane)
        return lane

    def _measured(self, sample: Sample, began: float, delivered: int) -> None:
        now = self._clock()
        running = sum(len(each.calls) for each in (*self._lanes, *self._retired))
        self._width.ended(now, sample, now - began, delivered, running)
        while len(self._lanes) > self._width.channels:
            self._retire(min(self._lanes, key=_load))

    def _open(self, unreached_since: float | None = None) -> "_Pooled":
        return _Pooled(open_channel(self._endpoint, self._credentials), unreached_since)

    def _retire(self, lane: "_Pooled") -> None:
        self._lanes.remove(lane)
        self._retired.append(lane)

    async def _close_idle(self) -> None:
        idle = [lane for lane in self._retired if not lane.calls]
        for lane in idle:
            self._retired.remove(lane)
            with anyio.CancelScope(shield=True):
                await lane.channel.close()


class _Pooled:
    """One channel and what is on it."""

    def __init__(self, channel: grpc.aio.Channel, unreached_since: float | None) -> None:
        self.channel = channel
        self.unreached_since = unreached_since
        self.calls: set[Call] = set()
        self.nbytes = 0


class Call:
    """One call's hold on a channel, as an async context manager; it is to be told how it went."""

    lane: _Pooled

    def __init__(self, pool: ChannelPool, nbytes: int) -> None:
        self.nbytes = nbytes
        self.began = 0.0
        self.sample: Sample | None = None
        self.delivered = False
        self.cancel: Callable[[], None] = _nothing
        """Ends the call; gRPC's channels know those alone that were made by their own methods."""
        self._pool = pool

    async def __aenter__(self) -> Self:
        self._pool.begin(self)
        return self

    async def __aexit__(self, *exc: object) -> None:
        self.cancel = _nothing  # a circle would keep the call, and all that is of it, for a while
        await self._pool.end(self)

    @property
    def channel(self) -> grpc.aio.Channel:
        """The channel that it goes over."""
        return self.lane.channel

    @property
    def connected(self) -> bool:
        """Whether there is a connection, or there was one: a channel that cannot make any tells."""
        try:
            state = self.channel.get_state()
        except grpc.aio.UsageError:
            return True
        return state is not grpc.ChannelConnectivity.TRANSIENT_FAILURE

    def reached(self, *, delivered: bool = True) -> None:
        """It got through, if only to be refused; with ``delivered`` its bytes did."""
        self.lane.unreached_since = None
        self.delivered = delivered

    def unreached(self) -> None:
        """It found no connection."""
        self._pool.unreached(self.lane)


def _nothing() -> None:
    pass


def _load(lane: _Pooled) -> tuple[int, int]:
    return lane.nbytes, len(lane.calls)
