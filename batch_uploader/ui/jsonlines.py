"""``--progress json``: one JSON object a line on stdout, for programs.

Each has ``event`` and ``time`` (UTC); the events and their fields are in docs/events.md, which a
test compares with this code. The text is ASCII, an object is one line, and fields are never left
out: unknown values are ``null``.
"""

import json
from collections.abc import Mapping, Sequence
from datetime import datetime
from typing import Any

from batch_uploader.core import events
from batch_uploader.core.events import Event
from batch_uploader.ui.fields import NAMES, Now, event_fields, moment, progress_fields, utc_now
from batch_uploader.ui.stream import SafeStream
from batch_uploader.ui.tally import Stage, Tally

_PROGRESS_SECONDS = 1.0
_ENCODER = json.JSONEncoder(separators=(",", ":"))


class JsonView:
    """Writes every event as it comes, and once a second the Tally as ``progress``."""

    def __init__(
        self, out: SafeStream, *, unwanted: frozenset[type[Event]] = frozenset(), now: Now = utc_now
    ) -> None:
        self.out = out
        self._unwanted = unwanted | {events.BytesSent}
        self._now = now
        self._told_at = 0.0
        self._progress = ""

    def describe(self, event: Event) -> str | None:
        """The event as JSON, None if it is not written."""
        if type(event) in self._unwanted:
            return None
        return _line(NAMES[type(event)], self._now(), event_fields(event))

    def prepare(self, tally: Tally) -> None:
        """Take the numbers once a second while the run goes on."""
        self._progress = ""
        if not tally.run_id or tally.stage is Stage.FINISHED:
            return
        if tally.elapsed - self._told_at >= _PROGRESS_SECONDS:
            self._told_at = tally.elapsed
            self._progress = _line("progress", self._now(), progress_fields(tally)) + "\n"

    def draw(self, lines: Sequence[str], left_out: int) -> None:
        """Write all lines since the last time."""
        text = "".join(f"{line}\n" for line in lines)
        if left_out:
            text += _line("lines_dropped", self._now(), {"lines": left_out}) + "\n"
        text += self._progress
        if text:
            self.out.write(text)

    def finish(self) -> None:
        """Nothing: ``run_finished`` was the last line."""


def _line(name: str, now: datetime, fields: Mapping[str, Any]) -> str:
    return _ENCODER.encode({"event": name, "time": moment(now), **fields})
