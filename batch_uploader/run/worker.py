"""The workers: prepare, permit, claim, send and settle one recording at a time.

Nothing is sent without a durable claim, recordings that wait have none, and the service's answer is
recorded whatever happens.
"""

import asyncio
from collections.abc import Callable
from contextlib import closing
from typing import NamedTuple

import anyio

from batch_uploader.core.changes import Claim, Release, Settle
from batch_uploader.core.errors import (
    ConfigError,
    InDoubt,
    LedgerError,
    NotSent,
    SinkError,
    SourceError,
    UploaderError,
)
from batch_uploader.core.events import (
    AlreadyThere,
    Listener,
    Paused,
    ReturnedUnsent,
    SetAside,
    Settled,
    UploadStarted,
    Waiting,
)
from batch_uploader.core.model import Ending, Outcome, Receipt
from batch_uploader.core.ports import Sink
from batch_uploader.core.records import ClaimAnswer, ClaimResult
from batch_uploader.core.states import MAYBE_STORED, Action, Status
from batch_uploader.core.units import format_duration
from batch_uploader.pace import ByteBudget, Consequence, Pacer, Permit, RunLimits
from batch_uploader.pace.retry import may_repeat
from batch_uploader.plan.batch import Job
from batch_uploader.prepare.comparing import Comparer
from batch_uploader.prepare.memory import NeedsMemory
from batch_uploader.prepare.payload import Payload
from batch_uploader.prepare.prepare import Prepared, Preparer
from batch_uploader.run.delivery import CUT_OFF, Delivery
from batch_uploader.run.drain import Drain, Drained
from batch_uploader.run.feed import Feed, JobQueue
from batch_uploader.run.learning import Learning
from batch_uploader.run.lookout import Lookout
from batch_uploader.run.looks import Looks
from batch_uploader.run.options import RunOptions
from batch_uploader.run.preparation import Preparation
from batch_uploader.run.recorder import Made, Recorder

_COPIES = 2.1
"""A recording sent whole is in memory as message and in gRPC's buffers, and partly encrypted."""
_STREAM_COST = 3 * 1024 * 1024
"""What gRPC buffers of a stream before it applies backpressure; about 2 MiB were measured."""


class Workers:
    """Delivers jobs; each call of ``work`` takes one at a time.

    Publishes their events, from ``UploadStarted`` to ``Settled``; ``recorder`` must be finished
    before the last ``Settled`` is published.
    """

    def __init__(
        self,
        preparer: Preparer,
        sink: Sink,
        recorder: Recorder,
        feed: Feed,
        drain: Drain,
        *,
        pacer: Pacer,
        options: RunOptions,
        publish: Listener,
    ) -> None:
        self._digests = preparer.rules.digests
        self._sink = sink
        self._recorder = recorder
        self._looks = Looks(preparer, recorder, publish)
        self._preparation = Preparation(
            preparer,
            sink,
            recorder,
            self._looks,
            now=feed.now,
            explain=options.explain,
            publish=publish,
            heard=self._heard,
        )
        self._lookout = Lookout(Comparer(preparer))
        self._feed = feed
        self._drain = drain
        self._learning = Learning(preparer, recorder.ledger, publish, drain.check)
        self._options = options
        self._publish = publish
        self._budget = ByteBudget(options.memory, options.expanded_memory, lambda: sink.expanded)
        self._pacer = pacer
        pacer.serve(check=drain.check, held_back=self._held_back)
        drain.on_begin(pacer.wake)
        self._limits = RunLimits(options.max_recordings, options.max_audio)
        self._in_flight: dict[str, Delivery] = {}

    @property
    def busy(self) -> bool:
        """Whether any recording is in flight."""
        return bool(self._in_flight)

    async def work(self, jobs: JobQueue) -> None:
        """Take jobs until there are no more, or the run drains."""
        while (job := await jobs.take()) is not None and not self._drain.begun:
            while job is not None:
                await self._work(job)
                job = job.then

    async def _work(self, job: Job) -> None:
        try:
            self._drain.check()
            await self._process(job)
        except Drained:
            self._publish(ReturnedUnsent(job.path, job.size))
        except Exception as error:  # noqa: BLE001 - the others finish, then it is raised
            self._drain.fail(error)
        finally:
            self._feed.finished()

    async def _process(self, job: Job) -> None:
        if job.action is Action.COMPARE and (
            self._feed.looks_enough or not await self._looks.is_other(job)
        ):
            return
        whole: int | None = job.size if job.size <= self._sink.whole_limit else 0
        while whole is not None:
            whole = await self._prepare_and_send(job, whole)

    async def _prepare_and_send(self, job: Job, whole: int) -> int | None:
        """With memory for ``whole`` bytes in one message, or with 0 for a stream.

        Returns how many it needs, if that is more. It holds none while it waits for these, so that
        no two wait for each other.
        """
        async with self._budget.hold(int(whole * _COPIES) or _STREAM_COST):
            try:
                prepared = await self._preparation.prepare(job, whole)
            except NeedsMemory as more:
                return more.nbytes
            if prepared is None:
                return None
            with closing(prepared):
                if not await self._looks.still_rejected(job, prepared.recording):
                    await self._learning.before(prepared.recording.identity)
                    await self._send_within_limits(job, prepared)
        return None

    # Send

    async def _send_within_limits(self, job: Job, prepared: Prepared) -> None:
        recording = prepared.recording
        duration = recording.audio.duration
        async with self._limits.share(duration) as share:
            if share is None:
                self._over_limit(recording.path, duration)
                raise Drained
            share.used = await self._send(job, prepared) in MAYBE_STORED

    def _over_limit(self, path: str, duration: float) -> None:
        reason = self._limits.reason(duration)
        if not self._limits.excludes(duration):
            self._drain.begin(Ending.LIMIT, reason)
        else:
            # Every run would stop at it.
            self._drain.note(Ending.LIMIT, f"{path} is too long for any run: {reason}")

    async def _send(self, job: Job, prepared: Prepared) -> Status | None:
        """Send it if that is due. Returns its new status, None if unchanged."""
        recording, known = prepared.recording, job.known
        same = known is not None and known.sha256 == recording.fingerprint.sha256
        earlier = known.attempts if known is not None and same else 0
        delivery = Delivery(recording, earlier, self._publish)
        self._in_flight[recording.path] = delivery
        try:
            return await self._deliver(delivery, prepared.payload)
        finally:
            if not delivery.settling:
                self._over(delivery)

    def _over(self, delivery: Delivery) -> None:
        del self._in_flight[delivery.recording.path]
        delivery.over.set()

    async def _deliver(self, delivery: Delivery, payload: Payload) -> Status | None:
        """Make all attempts, and record their end."""
        try:
            result = await self._options.retry.run(
                lambda number: self._attempt(number, delivery, payload),
                longest=self._options.max_outage,
                sleep=lambda seconds: self._pause(seconds, delivery),
                on_retry=lambda error, pause: self._publish(delivery.ended(error, pause)),
            )
        except asyncio.CancelledError:
            if delivery.open:
                self._settle(delivery, delivery.outcome(CUT_OFF))
            else:
                self._release(delivery)
            raise
        except SinkError as error:
            self._publish(delivery.ended(error, None))
            return self._settle(delivery, delivery.outcome(error))
        except SourceError as error:
            changed = NotSent(str(error), code="CHANGED")
            self._publish(delivery.ended(changed, None))
            return self._settle(delivery, delivery.outcome(changed))
        except UploaderError as error:
            # The settings or the ledger are unusable; nothing was sent.
            self._release(delivery)
            self._drain.fail(error)
            raise Drained from error
        except Exception:
            if not delivery.open:
                self._release(delivery)
            raise
        if isinstance(result, ClaimAnswer):
            self._left(delivery, result)
            return None
        # Published first: if the ledger fails now, the log has the talk ID.
        self._publish(delivery.ended(result, None))
        return self._settle(delivery, delivery.uploaded(result), self._named)

    async def _attempt(
        self, number: int, delivery: Delivery, payload: Payload
    ) -> Receipt | ClaimAnswer:
        """Attempt until one succeeds or counts; during an outage failures do not count.

        Returns the ledger's answer if that does not grant the claim.
        """
        whole = payload.size <= self._sink.whole_limit
        while True:
            excused = None
            async with self._pacer.turn(payload.size, whole=whole, again=number > 1) as permit:
                answer = await self._claim(delivery)
                if answer.claim is ClaimResult.GRANTED:
                    self._drain.check()
                    result = await self._upload(permit, number, delivery, payload)
                    if isinstance(result, Receipt):
                        return result
                    excused = result
            if excused is not None:
                self._publish(delivery.ended(excused.error, excused.pause))
                self._release(delivery)
            elif answer.claim is ClaimResult.BUSY and delivery.behind is not None:
                # What may be the same call is in flight under another path, whose end decides.
                await delivery.behind.over.wait()
            elif answer.claim is ClaimResult.LOOK:
                delivery.sights |= await self._lookout.see(answer.look)
            else:
                return answer

    async def _upload(
        self, permit: Permit, number: int, delivery: Delivery, payload: Payload
    ) -> "Receipt | _Excused":
        sink, retry = self._sink, self._options.retry
        timeout = retry.timeout(payload.size)
        if payload.size > sink.whole_limit:
            timeout += payload.size / self._pacer.slowest_share()
        if not delivery.started:
            self._publish(UploadStarted(delivery.recording.path, delivery.recording.stat.size))
        attempt = delivery.begin(number, timeout)
        permit.begin()
        try:
            receipt = await sink.upload(delivery.recording, self._pacer.paced(payload), attempt)
        except SinkError as error:
            delivery.open = False
            verdict = permit.failed(error)
            self._heed(verdict, error)
            if verdict.stop is not None and not isinstance(error, InDoubt):
                # The error is not about this recording, which counts as not sent.
                self._publish(delivery.ended(error, None))
                raise Drained from error
            if verdict.counts or not may_repeat(error, self._options.max_outage):
                raise
            return _Excused(error, verdict.pause)
        except UploaderError:
            delivery.open = False
            raise
        delivery.open = False
        permit.succeeded(expanded=sink.expanded)
        return receipt

    def _heed(self, verdict: Consequence, error: SinkError) -> None:
        """Apply what the end of an attempt means for the run."""
        longest = self._options.max_outage
        if verdict.pause > 0:
            self._publish(Paused(verdict.pause, str(error)))
        if verdict.stop is not None and verdict.stop.usage:
            self._drain.fail(ConfigError(verdict.stop.reason, hint=verdict.stop.hints))
        elif verdict.stop is not None:
            self._drain.begin(verdict.stop.ending, verdict.stop.reason, verdict.stop.hints)
        elif max(self._pacer.down_for, verdict.pause) > longest:
            length = format_duration(longest)
            why = f"nothing got through, and --max-outage is {length}: {error.problem}"
            self._drain.begin(Ending.UNREACHABLE, why, error.hints)

    def _held_back(self, seconds: float) -> None:
        self._publish(Paused(seconds, "the bandwidth limit is reached"))

    async def _pause(self, seconds: float, delivery: Delivery) -> None:
        self._release(delivery)
        with anyio.move_on_after(seconds):
            await self._drain.wait()
        self._drain.check()

    # Record

    async def _claim(self, delivery: Delivery) -> ClaimAnswer:
        answered: asyncio.Future[ClaimAnswer] = asyncio.get_running_loop().create_future()

        def heard(answer: Made) -> None:
            granted = isinstance(answer, ClaimAnswer) and answer.claim is ClaimResult.GRANTED
            delivery.claimed = granted
            if answered.done():
                # The caller was cancelled.
                self._release(delivery)
                self._heard(answer.outcome if isinstance(answer, ClaimAnswer) else answer)
            elif isinstance(answer, ClaimAnswer):
                # Set now: the other one may have ended when the waiting task continues.
                delivery.behind = self._in_flight.get(answer.other) if answer.other else None
                answered.set_result(answer)
            elif isinstance(answer, LedgerError):
                answered.set_exception(answer)

        asked = Claim(
            delivery.recording, self._sink.stamp_field, self._digests.rules, delivery.sights
        )
        self._recorder.record(asked, heard)
        return await answered

    def _left(self, delivery: Delivery, answer: ClaimAnswer) -> None:
        """Publish why the ledger did not grant the claim, and what it recorded instead."""
        path, size = delivery.recording.path, delivery.recording.stat.size
        match answer:
            case ClaimAnswer(ClaimResult.POSSIBLE):
                self._publish(SetAside(path, size))
            case ClaimAnswer(outcome=Outcome() as recorded):
                self._heard(recorded)
            case ClaimAnswer(ClaimResult.KNOWN | ClaimResult.OUTDATED as claim):
                self._publish(AlreadyThere(path, size, claim is ClaimResult.OUTDATED))
            case _:
                self._publish(Waiting(path, size))

    def _settle(
        self,
        delivery: Delivery,
        outcome: Outcome,
        then: Callable[[Outcome], None] | None = None,
    ) -> Status:
        """Record the outcome while the worker goes on; the job finishes when it is durable."""
        policy = self._digests.of(outcome)
        delivery.settling = True
        self._feed.begun()

        def heard(answer: Made) -> None:
            self._over(delivery)
            self._heard(answer)
            if then is not None and isinstance(answer, Outcome):
                then(answer)
            self._feed.finished()

        self._recorder.record(Settle(outcome, policy, delivery.claimed), heard)
        return outcome.status

    def _release(self, delivery: Delivery) -> None:
        """Release the claim, if there is one, so that a kill leaves no doubt while it waits."""
        if delivery.claimed:
            delivery.claimed = False
            self._recorder.record(Release(delivery.recording.path), self._heard)

    def _heard(self, answer: Made) -> None:
        if isinstance(answer, LedgerError):
            self._drain.fail(answer)
        elif isinstance(answer, Outcome):
            self._publish(Settled(answer))

    def _named(self, outcome: Outcome) -> None:
        """Report to the pacer whether the talk that the service named is another recording's."""
        if stop := self._pacer.named(again=outcome.status is Status.CONFLICT):
            self._drain.begin(stop.ending, stop.reason, stop.hints)


class _Excused(NamedTuple):
    """An attempt failed in an outage, which says nothing about its recording: not counted."""

    error: SinkError
    pause: float
