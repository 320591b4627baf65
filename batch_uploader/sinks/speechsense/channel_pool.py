"""The channels to one endpoint: as many as are worth it, each replaced when it fails to connect."""

import time
from collections.abc import Callable
from contextlib import suppress
from typing import Final, Self

import anyio
import grpc

from batch_uploader.core.errors import ConfigError
from batch_uploader.sinks.speechsense.channel import Endpoint, channel_credentials, open_channel
from batch_uploader.sinks.speechsense.pool_sizer import Measurement, PoolSizer

_STALE_AFTER: Final = 180.0
_BUSY: Final = 256 * 1024
"""Bytes on a channel from which on a call gets another channel if allowed: less than this is sent
sooner than a connection is made."""
_REST: Final = 10.0  # seconds without a new channel after one could not connect


class ChannelPool:
    """Gives each call the least busy channel; a channel connects with its first call.

    A channel that could not connect for minutes is replaced: gRPC resolves a name again only after
    a disconnect, a new channel always does. One that cannot connect while others can is dropped,
    since being idle it would attract all calls. Raises ConfigError as ``open_channel`` does.
    """

    def __init__(self, endpoint: Endpoint, *, clock: Callable[[], float] = time.monotonic) -> None:
        self._endpoint = endpoint
        self._clock = clock
        self._credentials = channel_credentials(endpoint)
        self._sizer = PoolSizer()
        self._channels = [self._open()]
        self._retired: list[_Pooled] = []
        self._rests_until = clock()

    @property
    def expanded(self) -> bool:
        """Whether many channels have proved faster than few."""
        return self._sizer.proved

    def call(self, nbytes: int = 0) -> "Call":
        """A channel for one call with ``nbytes`` bytes, kept open until the call ends."""
        return Call(self, nbytes)

    async def close(self) -> None:
        """Close the channels, and the calls on them."""
        for pooled in (*self._channels, *self._retired):
            for call in pooled.calls:
                call.cancel()
            await pooled.channel.close()

    def unreached(self, pooled: "_Pooled") -> None:
        """A call on this channel could not connect."""
        now = self._clock()
        if pooled not in self._channels:
            return
        if len(self._channels) > 1:
            self._retire(pooled)
            self._sizer.failed(now)
            self._rests_until = now + _REST
        elif pooled.unreached_since is None:
            pooled.unreached_since = now
        elif now - pooled.unreached_since >= _STALE_AFTER:
            pooled.unreached_since = now
            # If the CA file is gone meanwhile, keep the certificates that were read.
            with suppress(ConfigError):
                self._credentials = channel_credentials(self._endpoint)
            self._channels.append(self._open(now))
            self._retire(pooled)

    def begin(self, call: "Call") -> None:
        """Assign a channel to a call."""
        began = self._clock()
        call.pooled = pooled = self._choose(began)
        pooled.calls.add(call)
        pooled.nbytes += call.nbytes
        if call.nbytes:
            call.sample = self._sizer.began()
            call.began = began

    async def end(self, call: "Call") -> None:
        """A call ended."""
        pooled = call.pooled
        if call.sample is not None:
            self._measured(call.sample, call.began, call.nbytes if call.delivered else 0)
        pooled.calls.remove(call)
        pooled.nbytes -= call.nbytes
        if self._retired:
            await self._close_idle()

    def _choose(self, now: float) -> "_Pooled":
        pooled = min(self._channels, key=_load)
        if pooled.nbytes < _BUSY:
            return pooled
        if len(self._channels) >= self._sizer.channels:
            self._sizer.crowded()
        elif now >= self._rests_until:
            pooled = self._open()
            self._channels.append(pooled)
        return pooled

    def _measured(self, sample: Measurement, began: float, delivered: int) -> None:
        now = self._clock()
        running = sum(len(each.calls) for each in (*self._channels, *self._retired))
        self._sizer.ended(now, sample, now - began, delivered, running)
        while len(self._channels) > self._sizer.channels:
            self._retire(min(self._channels, key=_load))

    def _open(self, unreached_since: float | None = None) -> "_Pooled":
        return _Pooled(open_channel(self._endpoint, self._credentials), unreached_since)

    def _retire(self, pooled: "_Pooled") -> None:
        self._channels.remove(pooled)
        self._retired.append(pooled)

    async def _close_idle(self) -> None:
        idle = [pooled for pooled in self._retired if not pooled.calls]
        for pooled in idle:
            self._retired.remove(pooled)
            with anyio.CancelScope(shield=True):
                await pooled.channel.close()


class _Pooled:
    """A channel and its load."""

    def __init__(self, channel: grpc.aio.Channel, unreached_since: float | None) -> None:
        self.channel = channel
        self.unreached_since = unreached_since
        self.calls: set[Call] = set()
        self.nbytes = 0


class Call:
    """A call's use of a channel, as an async context manager; report its result to it."""

    pooled: _Pooled

    def __init__(self, pool: ChannelPool, nbytes: int) -> None:
        self.nbytes = nbytes
        self.began = 0.0
        self.sample: Measurement | None = None
        self.delivered = False
        self.cancel: Callable[[], None] = _nothing
        """Ends the call; a gRPC channel ends only the calls made by its own methods."""
        self._pool = pool

    async def __aenter__(self) -> Self:
        self._pool.begin(self)
        return self

    async def __aexit__(self, *exc: object) -> None:
        self.cancel = _nothing  # a reference cycle would keep the call in memory for a while
        await self._pool.end(self)

    @property
    def channel(self) -> grpc.aio.Channel:
        """The channel of the call."""
        return self.pooled.channel

    @property
    def connected(self) -> bool:
        """Whether the channel is not failing to connect."""
        try:
            state = self.channel.get_state()
        except grpc.aio.UsageError:
            return True
        return state is not grpc.ChannelConnectivity.TRANSIENT_FAILURE

    def reached(self, *, delivered: bool = True) -> None:
        """The service answered, perhaps with a refusal; with ``delivered`` it took the bytes."""
        self.pooled.unreached_since = None
        self.delivered = delivered

    def unreached(self) -> None:
        """The call could not connect."""
        self._pool.unreached(self.pooled)


def _nothing() -> None:
    pass


def _load(pooled: _Pooled) -> tuple[int, int]:
    return pooled.nbytes, len(pooled.calls)
