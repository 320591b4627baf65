"""What a check of ``doctor`` finds."""

from enum import StrEnum

from msgspec import Struct


class Health(StrEnum):
    """How a check ends."""

    OK = "ok"
    WARN = "warn"
    """An upload works, but not as it should, or not for long."""
    FAIL = "fail"
    """An upload cannot work."""
    NOT_CHECKED = "not_checked"
    """What it needs failed, or the time was over."""


class Sign(Struct, frozen=True):
    """What a check found: in words, with hints; ``code`` is a word for programs."""

    health: Health
    text: str
    code: str | None = None
    hints: tuple[str, ...] = ()


class Diagnosis(Struct, frozen=True):
    """The result of one check: what was found, in words and with hints.

    ``code`` is a word for programs, of those in docs/operations.md; None if all is well, or
    nothing was checked. ``elapsed`` is in seconds.
    """

    check: str
    health: Health
    message: str
    code: str | None
    hints: tuple[str, ...]
    elapsed: float


def well(text: str) -> Sign:
    """All is well."""
    return Sign(Health.OK, text)


def warn(code: str, text: str, *hints: str) -> Sign:
    """An upload works, but not as it should."""
    return Sign(Health.WARN, text, code, hints)


def fail(code: str, text: str, *hints: str) -> Sign:
    """An upload cannot work."""
    return Sign(Health.FAIL, text, code, hints)


def not_checked(text: str) -> Sign:
    """It cannot be told, since something else failed."""
    return Sign(Health.NOT_CHECKED, text)
