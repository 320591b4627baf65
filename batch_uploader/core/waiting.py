"""What a recording may be waiting for when a run leaves it to the next one."""

from enum import StrEnum
from typing import Self


class Wait(StrEnum):
    """What it waits for; the value is the code of its failure.

    ``message`` says so of one recording, ``flag`` is what shortens it, None if nothing does.
    """

    _value_: str
    message: str
    flag: str | None

    def __new__(cls, code: str, message: str, flag: str | None) -> Self:
        """A member that is its code."""
        member = str.__new__(cls, code)
        member._value_ = code
        member.message, member.flag = message, flag
        return member

    STILLNESS = (
        "JUST_CHANGED",
        "it was changed a moment ago, and may still be being written",
        "--min-age",
    )
    END = (
        "NO_END_YET",
        "it does not show its end, and its recorder may still be writing it",
        "--min-age-open",
    )
    SIDECAR = ("NO_SIDECAR_YET", "its sidecar is not there yet", "--sidecar-wait")
    ROW = ("NO_ROW_YET", "its row in the table is not there yet", "--sidecar-wait")
    LEG = ("NO_OTHER_LEG_YET", "the other leg of its call is not there yet", "--sidecar-wait")
    RECORDING = (
        "NO_RECORDING_YET",
        "the recording that it describes is not there yet",
        "--sidecar-wait",
    )
    CLOCK = (
        "IN_THE_FUTURE",
        "its time lies in the future: check the clock of this machine, and of its recorder",
        None,
    )
    READING = ("CHANGED_WHILE_READ", "it changed while it was read", None)
