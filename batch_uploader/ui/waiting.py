"""What waits for the next run, in words."""

from collections.abc import Iterator, Mapping
from typing import Final

from batch_uploader.core.text import format_count, plural
from batch_uploader.core.waiting import Wait

_WORDS: Final = {
    Wait.STILLNESS: "changed a moment ago",
    Wait.END: "may still be being written",
    Wait.SIDECAR: "without a sidecar yet",
    Wait.ROW: "without a row in the table yet",
    Wait.LEG: "without the other leg of the call yet",
    Wait.RECORDING: "with only a sidecar yet",
    Wait.CLOCK: "with a time in the future: check the clocks",
    Wait.READING: "changed while being read",
}


def waiting_line(waiting: int, waiting_for: Mapping[str, int]) -> str:
    """What waits for what, and the flags that shorten it, in one line."""
    parts = "; ".join(f"{format_count(number)} {words}" for number, words in _each(waiting_for))
    return f"{plural(waiting, 'file')} left to the next run: {parts}" if parts else ""


def _each(waiting_for: Mapping[str, int]) -> Iterator[tuple[int, str]]:
    for wait, words in _WORDS.items():
        if number := waiting_for.get(wait.value, 0):
            yield number, f"{words} ({wait.flag})" if wait.flag else words
