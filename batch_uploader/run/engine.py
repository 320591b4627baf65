"""The run: one feed, many workers, and an orderly end.

A worker takes a job through its whole way: look, attempts, settle. Each attempt waits for its turn,
claims, and sends: nothing is sent without a durable claim, nothing that waits has one, and what the
service answered is recorded whatever happens.
"""

from contextlib import closing

import anyio
from anyio import CancelScope, to_thread
from anyio.streams.memory import MemoryObjectReceiveStream, MemoryObjectSendStream
from msgspec.structs import replace

from batch_uploader.core.changes import Claim, Release, Settle
from batch_uploader.core.errors import (
    InDoubt,
    NotSent,
    SinkError,
    SourceChanged,
    SourceError,
    UploaderError,
)
from batch_uploader.core.events import (
    AlreadyThere,
    Draining,
    Listener,
    Paused,
    ReturnedUnsent,
    Settled,
    UploadStarted,
    Waiting,
)
from batch_uploader.core.model import LEDGER_LOST, Ending, Failure, Outcome, Receipt
from batch_uploader.core.ports import Ledger, Sink, apply_one
from batch_uploader.core.records import ClaimAnswer, ClaimResult
from batch_uploader.core.states import BY_RULES, MAYBE_STORED, Action, Status
from batch_uploader.core.units import format_duration
from batch_uploader.doubts import Reconciler
from batch_uploader.pace import ByteBudget, Caps, Consequence, Notifier, Pacer, RunLimits
from batch_uploader.pace.retry import may_repeat
from batch_uploader.plan.folders import FolderPlanner, Job, invalid
from batch_uploader.prepare.payload import Payload
from batch_uploader.prepare.prepare import Preparer, stat_of
from batch_uploader.run.delivery import CUT_OFF, Delivery, outcome_of
from batch_uploader.run.feed import Feed
from batch_uploader.run.looks import Looks
from batch_uploader.run.options import RunOptions

_MIB = 1024 * 1024
_COPIES = 2.1
"""A recording sent whole exists as a message and in gRPC's buffers; little of it is enciphered."""
_STREAM_COST = 3 * _MIB
"""What gRPC buffers of a stream before it pushes back; about 2 MiB were measured."""


class _Drained(Exception):  # noqa: N818 - a way out, not a mistake
    """The run is ending and this recording has not been sent."""


class _NotGranted(Exception):  # noqa: N818 - as above
    """The ledger has a reason not to send this recording."""

    def __init__(self, answer: ClaimAnswer) -> None:
        super().__init__(answer)
        self.answer = answer


class _NoFault(Exception):  # noqa: N818 - as above
    """An attempt ended in an outage: it says nothing of its recording, and does not count."""

    def __init__(self, error: SinkError, pause: float) -> None:
        super().__init__(error)
        self.error = error
        self.pause = pause


class Engine:
    """Runs once. Publishes events from ``FolderPlanned`` to the last ``Settled``."""

    def __init__(
        self,
        planner: FolderPlanner,
        preparer: Preparer,
        sink: Sink,
        ledger: Ledger,
        reconciler: Reconciler,
        *,
        options: RunOptions,
        publish: Listener,
    ) -> None:
        self.ending = Ending.COMPLETED
        self.reason: str | None = None
        self._policy = planner.policy
        self._preparer = preparer
        self._sink = sink
        self._ledger = ledger
        self._looks = Looks(preparer, ledger, publish)
        self._feed = Feed(planner, ledger, reconciler, publish=publish, fail=self.fail)
        self._options = options
        self._publish = publish
        self._over = False
        self._draining = anyio.Event()
        self._hurried = anyio.Event()
        self._cancelled = anyio.Event()
        self._failure: Exception | None = None
        self._budget = ByteBudget(options.memory, options.expanded_memory, lambda: sink.expanded)
        caps = Caps(options.concurrency, options.rate, options.bandwidth)
        self._pacer = Pacer(caps, check=self._stop_if_draining, held_back=self._held_back)
        self._allowance = RunLimits(options.max_recordings, options.max_audio)
        self._in_flight: dict[str, Notifier] = {}

    async def run(self) -> None:
        """Send everything that is due, or drain.

        Raises the first run-level failure (SourceError, LedgerError) after draining.
        """
        send, receive = anyio.create_memory_object_stream[Job](self._options.concurrency)
        async with receive, anyio.create_task_group() as group:
            group.start_soon(self._plan, send)
            with CancelScope() as in_flight:
                group.start_soon(self._watch, in_flight)
                async with anyio.create_task_group() as workers:
                    for _ in range(self._options.concurrency):
                        workers.start_soon(self._work, receive.clone())
            group.cancel_scope.cancel()
        self._over = True
        if self._failure is not None:
            raise self._failure

    def limit(self, reason: str) -> None:
        """The time that a run may take is over: drain, or leave mere looks to the next one."""
        self._feed.looks_enough = True
        if not self._feed.looking or self._in_flight:
            self.drain(Ending.LIMIT, reason)

    def drain(self, ending: Ending, reason: str) -> None:
        """Begin nothing new; what is in flight finishes, if this interrupts within the grace."""
        interrupted = ending is Ending.INTERRUPTED
        if self._over or self._hurried.is_set() or (self._draining.is_set() and not interrupted):
            return
        self.ending, self.reason = ending, reason
        self._draining.set()
        if interrupted:
            self._hurried.set()
        self._pacer.wake()
        self._publish(Draining(reason))

    def cancel(self) -> None:
        """Stop at once; what is in flight is left in doubt."""
        self._cancelled.set()
        self.drain(Ending.INTERRUPTED, "stopped at once")

    def fail(self, error: Exception) -> None:
        """Drain, and raise this when all is finished; what fails later is noted on it."""
        if self._failure is None:
            self._failure = error
        elif str(error) not in {str(self._failure), *getattr(self._failure, "__notes__", ())}:
            self._failure.add_note(str(error))
        self.drain(Ending.INTERRUPTED, "the run cannot go on")

    async def _watch(self, in_flight: CancelScope) -> None:
        # Whoever sets a limit in time means what begins; what is on its way has deadlines.
        await self._hurried.wait()
        with anyio.move_on_after(self._options.grace):
            await self._cancelled.wait()
        in_flight.cancel()

    async def _plan(self, jobs: MemoryObjectSendStream[Job]) -> None:
        async with jobs, anyio.create_task_group() as group:
            group.start_soon(self._cancel_on_drain, group.cancel_scope)
            await self._feed.run(jobs)
            group.cancel_scope.cancel()

    async def _cancel_on_drain(self, scope: CancelScope) -> None:
        await self._draining.wait()
        scope.cancel()

    # The workers

    async def _work(self, jobs: MemoryObjectReceiveStream[Job]) -> None:
        with jobs:
            async for job in jobs:
                if self._draining.is_set():
                    return
                try:
                    await self._process(job)
                except _Drained:
                    self._publish(ReturnedUnsent(job.path, job.size))
                except Exception as error:  # noqa: BLE001 - the others finish, then it is raised
                    self.fail(error)
                finally:
                    self._feed.finished()

    async def _process(self, job: Job) -> None:
        if job.action is Action.COMPARE and (
            self._feed.looks_enough or not await self._looks.is_other(job)
        ):
            return
        whole_limit = self._sink.whole_limit
        cost = int(job.size * _COPIES) if job.size <= whole_limit else _STREAM_COST
        async with self._budget.hold(cost):
            try:
                if job.action is Action.COMPARE_METADATA and await self._only_touched(job):
                    return
                prepared = self._preparer.prepare_cached(job.pair, whole_limit)
                if prepared is None:
                    prepared = await to_thread.run_sync(
                        self._preparer.prepare, job.pair, whole_limit, self._sink.envelope
                    )
            except SourceChanged:
                self._publish(Waiting(job.path, job.size))
            except SourceError as error:
                failure = Failure("UNREADABLE", str(error))
                await self._settle_unsound(
                    job, Outcome(job.path, Status.FAILED, stat_of(job.pair), failure=failure)
                )
            else:
                if isinstance(prepared, Payload):
                    with closing(prepared):
                        if not await self._looks.still_rejected(job, prepared.recording):
                            await self._send_if_allowed(job, prepared)
                else:
                    await self._settle_unsound(job, invalid(job.path, stat_of(job.pair), prepared))

    async def _settle_unsound(self, job: Job, outcome: Outcome) -> None:
        """Record what could not be looked into, unless a lost ledger may know more of it."""
        if job.known is None or not job.known.unproved:
            await self._settle(outcome)
            return
        before = job.known.outcome
        if before.status is Status.IN_DOUBT and outcome.failure is not None:
            reason = (
                f"{LEDGER_LOST.message}; before it can be searched for: {outcome.failure.message}"
            )
            self._publish(Settled(replace(before, failure=replace(LEDGER_LOST, message=reason))))
        else:
            self._publish(AlreadyThere(job.path, job.size, outdated=True))

    async def _only_touched(self, job: Job) -> bool:
        """Compare a touched sidecar with what the talk holds, without a look at the audio."""
        if job.known is None:
            return False
        metadata = await to_thread.run_sync(self._preparer.metadata, job.pair)
        outdated = isinstance(metadata, tuple) or metadata.digest() != job.known.metadata
        if not outdated:
            before, now = job.known.stat, stat_of(job.pair)
            if before.ctime_ns is not None:
                # Of the audio that nobody has looked at the record stays as it was.
                now = replace(now, ctime_ns=before.ctime_ns, inode=before.inode)
            touched = replace(job.known.outcome, stat=now)
            with CancelScope(shield=True):
                await apply_one(self._ledger, Settle(touched))
        self._publish(AlreadyThere(job.path, job.size, outdated))
        return True

    async def _send_if_allowed(self, job: Job, payload: Payload) -> None:
        recording = payload.recording
        duration = recording.audio.duration
        async with self._allowance.share(duration) as share:
            if share is None:
                self._leave_out(recording.path, duration)
                raise _Drained
            share.used = await self._send_or_leave(job, payload)

    def _leave_out(self, path: str, duration: float) -> None:
        reason = self._allowance.reason(duration)
        if not self._allowance.excludes(duration):
            self.drain(Ending.LIMIT, reason)
        elif self.ending is Ending.COMPLETED:
            # No run would ever get past it.
            self.ending, self.reason = Ending.LIMIT, f"{path} is too long for any run: {reason}"

    async def _send_or_leave(self, job: Job, payload: Payload) -> bool:
        """Send it if that is due; whether the service may hold it now."""
        recording = payload.recording
        settled = self._in_flight[recording.path] = Notifier()
        try:
            return await self._send(job, payload) in MAYBE_STORED
        except _NotGranted as refusal:
            match refusal.answer:
                case ClaimAnswer(ClaimResult.DUPLICATE, other):
                    await self._settle(outcome_of(recording, Status.DUPLICATE, duplicate_of=other))
                case ClaimAnswer(ClaimResult.DOUBTED):
                    await self._settle(outcome_of(recording, Status.IN_DOUBT, failure=LEDGER_LOST))
                case ClaimAnswer(ClaimResult.KNOWN | ClaimResult.OUTDATED as claim):
                    outdated = claim is ClaimResult.OUTDATED
                    self._publish(AlreadyThere(job.path, job.size, outdated))
                case _:
                    self._publish(Waiting(job.path, job.size))
        finally:
            del self._in_flight[recording.path]
            settled.notify_all()
        return False

    async def _send(self, job: Job, payload: Payload) -> Status:
        recording = payload.recording
        known = job.known
        same = known is not None and known.sha256 == recording.fingerprint.sha256
        earlier = known.attempts if known is not None and same else 0
        sending = Delivery(recording, earlier, self._publish)
        try:
            receipt = await self._options.retry.run(
                lambda number: self._attempt(number, sending, payload),
                longest=self._options.max_outage,
                sleep=lambda seconds: self._pause(seconds, sending),
                on_retry=lambda error, pause: self._publish(sending.ended(error, pause)),
            )
        except _Drained:
            await self._release(sending)
            raise
        except anyio.get_cancelled_exc_class():
            if sending.open:
                await self._settle(sending.outcome(CUT_OFF), claimed=sending.claimed)
            else:
                await self._release(sending)
            raise
        except SinkError as error:
            self._publish(sending.ended(error, None))
            return await self._settle(sending.outcome(error), claimed=sending.claimed)
        except SourceError as error:
            changed = NotSent(str(error), code="CHANGED")
            self._publish(sending.ended(changed, None))
            return await self._settle(sending.outcome(changed), claimed=sending.claimed)
        except UploaderError as error:
            # The settings turned out to be unusable, or the ledger; nothing was sent.
            await self._release(sending)
            self.fail(error)
            raise _Drained from error
        except Exception:
            if not sending.open:
                await self._release(sending)
            raise
        else:
            # Told first: should the ledger fail now, the log has the talk ID.
            self._publish(sending.ended(receipt, None))
            return self._named(
                await self._settle(sending.uploaded(receipt), claimed=sending.claimed)
            )

    def _named(self, status: Status) -> Status:
        """Heed what became of a recording that the service named a talk for."""
        if stop := self._pacer.named(again=status is Status.CONFLICT):
            self.drain(stop.ending, stop.reason)
        return status

    async def _attempt(self, number: int, sending: Delivery, payload: Payload) -> Receipt:
        """Try until an attempt succeeds or counts; in an outage none does."""
        while True:
            try:
                return await self._try(number, sending, payload)
            except _NoFault as excuse:
                self._publish(sending.ended(excuse.error, excuse.pause))
                await self._release(sending)
            except _NotGranted as refusal:
                other = self._in_flight.get(refusal.answer.other or "")
                if refusal.answer.claim is not ClaimResult.BUSY or other is None:
                    raise
                # The same audio and metadata is on its way under another path: its end decides.
                await other.wait()

    async def _try(self, number: int, sending: Delivery, payload: Payload) -> Receipt:
        size = payload.size
        whole = size <= self._sink.whole_limit
        async with self._pacer.turn(size, whole=whole, again=number > 1) as turn:
            await self._claim(sending)
            self._stop_if_draining()
            timeout = self._options.retry.timeout(size)
            if not whole:
                timeout += size / self._pacer.slowest_share()
            if not sending.started:
                self._publish(UploadStarted(sending.recording.path, size))
            attempt = sending.begin(number, timeout)
            turn.begin()
            try:
                receipt = await self._sink.upload(
                    sending.recording, self._pacer.paced(payload), attempt
                )
            except SinkError as error:
                sending.open = False
                verdict = turn.failed(error)
                self._heed(verdict, error)
                if verdict.stop is not None and not isinstance(error, InDoubt):
                    # Not about this recording, so it is as if it had not been sent.
                    self._publish(sending.ended(error, None))
                    raise _Drained from error
                if verdict.counts or not may_repeat(error, self._options.max_outage):
                    raise
                raise _NoFault(error, verdict.pause) from error
            except UploaderError:
                sending.open = False
                raise
            sending.open = False
            turn.succeeded(expanded=self._sink.expanded)
            return receipt

    def _heed(self, verdict: Consequence, error: SinkError) -> None:
        """What the end of an attempt means for the run."""
        longest = self._options.max_outage
        if verdict.pause > 0:
            self._publish(Paused(verdict.pause, str(error)))
        if verdict.stop is not None:
            self.drain(verdict.stop.ending, verdict.stop.reason)
        elif max(self._pacer.down_for, verdict.pause) > longest:
            length = format_duration(longest)
            why = f"nothing got through, and --max-outage is {length}: {error}"
            self.drain(Ending.UNREACHABLE, why)

    def _held_back(self, seconds: float) -> None:
        self._publish(Paused(seconds, "the bandwidth that is allowed is used up"))

    async def _claim(self, sending: Delivery) -> None:
        with CancelScope(shield=True):
            claim = Claim(sending.recording, self._sink.stamp_field)
            answer = await apply_one(self._ledger, claim)
            if answer.claim is not ClaimResult.GRANTED:
                raise _NotGranted(answer)
            sending.claimed = True

    async def _pause(self, seconds: float, sending: Delivery) -> None:
        await self._release(sending)
        with anyio.move_on_after(seconds):
            await self._draining.wait()
        self._stop_if_draining()

    def _stop_if_draining(self) -> None:
        if self._draining.is_set():
            raise _Drained

    async def _settle(self, outcome: Outcome, *, claimed: bool = False) -> Status:
        policy = self._policy if outcome.status in BY_RULES else None
        with CancelScope(shield=True):
            outcome = await apply_one(self._ledger, Settle(outcome, policy, claimed))
        self._publish(Settled(outcome))
        return outcome.status

    async def _release(self, sending: Delivery) -> None:
        """Take back the claim, if there is one: a kill puts nothing in doubt that only waits."""
        if sending.claimed:
            sending.claimed = False
            with CancelScope(shield=True):
                await apply_one(self._ledger, Release(sending.recording.path))
