"""The delivery of one recording: its attempts, and how it ended."""

import asyncio
import time
import uuid

from batch_uploader.core.errors import InDoubt, SinkError
from batch_uploader.core.events import AttemptEnded, BytesSent, Listener
from batch_uploader.core.model import Failure, Outcome, Receipt, Recording
from batch_uploader.core.ports import Attempt
from batch_uploader.core.records import Sight
from batch_uploader.core.states import Status

CUT_OFF = InDoubt(
    "the run was stopped while this recording was being sent, so it may have been stored",
    code="CANCELLED",
)


class Delivery:
    """The delivery of one recording: the current attempt and the number of attempts.

    ``earlier`` is the number of attempts in earlier runs. ``claimed`` is true while the ledger has
    a claim, ``open`` from the beginning of an attempt until its answer: if it is cut off then it is
    in doubt. ``settling`` is true while its end is being recorded, after which ``over`` is set.
    ``behind`` is the delivery of what may be the same call, for which it has to wait; ``sights``
    are what was seen of the files of other records, by path.
    """

    def __init__(self, recording: Recording, earlier: int, publish: Listener) -> None:
        self.recording = recording
        self._publish = publish
        self.claimed = False
        self.open = False
        self.settling = False
        self.over = asyncio.Event()
        self.behind: Delivery | None = None
        self.sights: dict[str, Sight] = {}
        self.started = 0.0
        self._earlier = earlier
        self._number = 0
        self._nbytes = 0
        self._client_request_id = ""

    def begin(self, number: int, timeout: float) -> Attempt:
        """The next attempt, with a request ID of its own; ``timeout`` is in seconds."""
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
        """The event for the end of the attempt."""
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
        """The outcome of an uploaded recording."""
        return self._ended(Status.UPLOADED, talk_id=receipt.talk_id)

    def outcome(self, error: SinkError) -> Outcome:
        """The outcome of a recording that was not stored, or is in doubt."""
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
