"""How a run ends: what is in flight finishes, and nothing new begins."""

from collections.abc import Callable

import anyio

from batch_uploader.core.events import Draining, Listener
from batch_uploader.core.model import Ending


class Drained(Exception):  # noqa: N818 - control flow, not a mistake
    """The run is ending and this recording was not sent."""


class Drain:
    """Whether and why the run is draining, and the error that ended it."""

    def __init__(self, publish: Listener) -> None:
        self.ending = Ending.COMPLETED
        self.reason: str | None = None
        self.hints: tuple[str, ...] = ()
        self.failure: Exception | None = None
        self.over = False
        """True when nothing is left to drain."""
        self._publish = publish
        self._begun = anyio.Event()
        self._hurried = anyio.Event()
        self._cancelled = anyio.Event()
        self._wakes: list[Callable[[], None]] = []

    @property
    def begun(self) -> bool:
        """Whether the run is draining."""
        return self._begun.is_set()

    def check(self) -> None:
        """Raise Drained if the run is draining."""
        if self._begun.is_set():
            raise Drained

    def on_begin(self, wake: Callable[[], None]) -> None:
        """Call ``wake`` when the drain begins, or becomes urgent."""
        self._wakes.append(wake)

    def begin(self, ending: Ending, reason: str, hints: tuple[str, ...] = ()) -> None:
        """Start draining; what is in flight finishes, within the grace if this interrupts.

        ``hints`` say what to do about the reason.
        """
        interrupted = ending is Ending.INTERRUPTED
        if self.over or self._hurried.is_set() or (self.begun and not interrupted):
            return
        self.ending, self.reason, self.hints = ending, reason, hints
        self._begun.set()
        if interrupted:
            self._hurried.set()
        for wake in self._wakes:
            wake()
        self._publish(Draining("; ".join((reason, *hints))))

    def note(self, ending: Ending, reason: str) -> None:
        """Set the ending of a run that completes."""
        if self.ending is Ending.COMPLETED:
            self.ending, self.reason = ending, reason

    def cancel(self) -> None:
        """Stop at once; what is in flight is in doubt."""
        self._cancelled.set()
        self.begin(Ending.INTERRUPTED, "stopped at once")

    def fail(self, error: Exception) -> None:
        """Start draining, and raise this at the end; later errors are added to it as notes."""
        if self.failure is None:
            self.failure = error
        elif error is not self.failure:
            said = {str(self.failure), *_notes(self.failure)}
            for note in (str(error), *_notes(error)):
                if note not in said:
                    self.failure.add_note(note)
        self.begin(Ending.INTERRUPTED, "the run cannot continue")

    async def wait(self) -> None:
        """Return when the drain begins."""
        await self._begun.wait()

    async def wait_for_grace(self, seconds: float) -> None:
        """Return ``seconds`` after an interruption, when what is in flight is to be cancelled."""
        # A limit in time concerns new work; what is in flight has deadlines.
        await self._hurried.wait()
        with anyio.move_on_after(seconds):
            await self._cancelled.wait()


def _notes(error: Exception) -> list[str]:
    return getattr(error, "__notes__", [])
