"""``resolve --search``: the service is asked which of the recordings in doubt it holds."""

import math
import os
import signal
import sys
import time
from collections import Counter
from collections.abc import Mapping
from contextlib import AsyncExitStack
from pathlib import Path

import anyio
from anyio import CancelScope

from batch_uploader.app.agreement import Agreement
from batch_uploader.app.belonging import Belonging
from batch_uploader.app.places import known_connection, require_ledger, require_replaceable
from batch_uploader.cli import output
from batch_uploader.cli.output import ExitCode
from batch_uploader.cli.signals import Stop, listening
from batch_uploader.core.events import DoubtsWaiting, Event, Reconciled
from batch_uploader.core.records import Doubt
from batch_uploader.core.states import Status
from batch_uploader.core.text import plural, printable, quote, sentence
from batch_uploader.core.units import format_duration
from batch_uploader.doubts import Patience, Reconciler
from batch_uploader.ledgers.manifest import mark_behind
from batch_uploader.ledgers.sqlite import SqliteLedger
from batch_uploader.settings import Settings, refusal
from batch_uploader.settings.files import require_places
from batch_uploader.sinks.speechsense.sink import SpeechSenseSink
from batch_uploader.ui.printing import show
from batch_uploader.ui.stream import Span, warning

_SHOWN = 20
_APART = 60.0
"""So many seconds lie between two lines about waiting."""
_WORDS = {
    Status.UPLOADED: "up",
    Status.FAILED: "absent, to be sent by the next run",
    Status.CONFLICT: "in conflict",
}


def search(directory: Path, flags: Mapping[str, object]) -> int:
    """Look for all that are in doubt; the exit code."""
    return anyio.run(_search, Settings(directory, flags))


async def _search(settings: Settings) -> int:
    places = require_places(settings)
    require_ledger(places)
    require_replaceable(places.manifest, "--manifest")
    sending = settings.sending()
    if sending.stamp_field is None:
        raise refusal(
            "--search: without a stamp field nothing can be searched for",
            "add the --stamp-field NAME that the recordings were uploaded with",
        )
    connection_id = await known_connection(places)
    sink = SpeechSenseSink(sending.endpoint, sending.credentials, stamp_field=sending.stamp_field)
    settled: Counter[Status] = Counter()
    told_at = -_APART

    def hear(event: Event) -> None:
        nonlocal told_at
        match event:
            case Reconciled(outcome):
                settled[outcome.status] += outcome.status is not Status.IN_DOUBT
            case DoubtsWaiting(seconds, recordings) if time.monotonic() - told_at >= _APART:
                told_at = time.monotonic()
                them = plural(recordings, "recording")
                show(
                    [[Span(f"searching for {them} again in {format_duration(seconds)}")]],
                    sys.stderr,
                )
            case _:
                pass

    looking = CancelScope()
    stop = Stop(lambda _reason: looking.cancel(), looking.cancel)
    async with AsyncExitStack() as stack:
        stack.enter_context(listening(stop))
        ledger = await stack.enter_async_context(SqliteLedger(places.ledger, connection_id))
        await stack.enter_async_context(sink)
        agreement = Agreement(ledger, places.manifest, Belonging(places.ledger, places.root))
        await agreement.begin()
        mark_behind(places.manifest)
        await ledger.recover()
        patience = Patience(settings.options().hold, last_look=math.inf)
        reconciler = Reconciler(sink, ledger, hear, patience=patience)
        with looking:
            while await reconciler.after():
                pass
        left = await ledger.doubts()
        await agreement.write()
    _tell(settled, left, sending.stamp_field, quote(os.fspath(places.directory)))
    if stop.signal is not None:
        name = signal.Signals(stop.signal).name
        show([warning(f"stopped by {name}: what was found by then is recorded")], sys.stderr)
        return 128 + stop.signal
    return ExitCode.ATTENTION if left or settled[Status.CONFLICT] else ExitCode.FINE


def _tell(settled: Counter[Status], left: list[Doubt], stamp_field: str, directory: str) -> None:
    counts = [(word, settled[status]) for status, word in _WORDS.items()]
    words = [f"{plural(number, 'recording')} {word}" for word, number in counts if number]
    words += [f"{plural(len(left), 'recording')} still in doubt"] if left else []
    show([[Span("; ".join(words) or "nothing is in doubt")]], sys.stderr)
    for doubt in left[:_SHOWN]:
        reason = doubt.outcome.failure.message if doubt.outcome.failure else ""
        if doubt.stamp_field != stamp_field:
            reason = f"it was sent without {stamp_field}, so it cannot be searched for"
            if doubt.stamp_field is not None:
                reason = f"it was sent with another stamp: add --stamp-field {doubt.stamp_field}"
        show([[Span(f"  {printable(doubt.path)}: {sentence(reason)}")]], sys.stderr)
    if left or settled[Status.CONFLICT]:
        output.hint(f"batch-uploader status {directory} tells how to decide")
