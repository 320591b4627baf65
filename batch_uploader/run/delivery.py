"""One recording on its way: its attempts, and how it ended."""

import asyncio
import time
import uuid

from batch_uploader.core.errors import InDoubt, SinkError
from batch_uploader.core.events import AttemptEnded, BytesSent, Listener
from batch_uploader.core.model import Failure, Outcome, Receipt, Recording
from batch_uploader.core.ports import Attempt
from batch_uploader.core.states import Status

CUT_OFF = InDoubt(
    "the run was stopped while this recording was being sent, so it may have been stored",
    code="CANCELLED",
)


class Delivery:
    """One recording on its way: the attempt under way and the count of all of them.

    ``earlier`` are the attempts of earlier runs. ``claimed`` is true while the ledger has a claim,
    ``open`` from the moment an attempt begins until its answer is known: what is cut off then is in
    doubt. It is ``settling`` while its end is being recorded; ``over`` tells when that is done.
    ``behind`` is the one with the same content that it has to wait for.
    """

    def __init__(self, recording: Recording, earlier: int, publish: Listener) -> None:
        self.recording = recording
        self._publish = publish
        self.claimed = False
        self.open = False
        self.settling = False
        self.over = asyncio.Event()
        self.behind: Delivery | None = None
        self.started = 0.0
        self._earlier = earlier
        self._number = 0
        self._nbytes = 0
        self._client_request_id = ""

    def begin(self, number: int, timeout: float) -> Attempt:
        """The next attempt, with a request id of its own; ``timeout`` in seconds."""
        self.open = True
        self.started = time.monotonic()
        self._number = number
        self._nbytes = 0
        self._client_request_id = str(uuid.uuid4())

        def sent(nbytes: int) -> None:
            self._nbytes += nbytes
            self._publish(BytesSent(self.recording.path, nbytes))

        return Attempt(number, self._client_request_id, timeout, sent, self._on_not_started)

    def _on_not_started(self) -> None:
        self.open = False

    def ended(self, result: Receipt | SinkError, retry_in: float | None) -> AttemptEnded:
        """What the listeners hear of the attempt."""
        return AttemptEnded(
            path=self.recording.path,
            attempt=self._number,
            client_request_id=self._client_request_id,
            request_id=result.request_id,
            code=result.code if isinstance(result, SinkError) else "OK",
            message=str(result) if isinstance(result, SinkError) else "",
            wire_bytes=self._nbytes,
            elapsed=time.monotonic() - self.started,
            retry_in=retry_in,
            talk_id=result.talk_id if isinstance(result, Receipt) else None,
        )

    def uploaded(self, receipt: Receipt) -> Outcome:
        """The recording is up."""
        return self._ended(Status.UPLOADED, talk_id=receipt.talk_id)

    def outcome(self, error: SinkError) -> Outcome:
        """The recording is not up, or nobody knows."""
        failure = Failure(error.code, str(error), error.request_id)
        status = Status(error.leaves)
        return self._ended(status, failure=failure)

    def _ended(
        self, status: Status, *, talk_id: str | None = None, failure: Failure | None = None
    ) -> Outcome:
        recording = self.recording
        return Outcome(
            recording.path,
            status,
            recording.stat,
            attempts=self._earlier + self._number,
            talk_id=talk_id,
            failure=failure,
            duration=recording.audio.duration,
            container=recording.audio.container,
        )
