"""How ``doctor`` shows what it found."""

import sys
from collections import Counter
from collections.abc import Callable, Iterator, Sequence

from batch_uploader.app.doctor.diagnosis import Diagnosis, Health
from batch_uploader.core.text import plural, sentence
from batch_uploader.ui.stream import Line, Span, can_draw, screen_size
from batch_uploader.ui.text import wrap

_WORDS = {
    Health.OK: ("ok", "green"),
    Health.WARN: ("warn", "bold yellow"),
    Health.FAIL: ("fail", "bold red"),
    Health.NOT_CHECKED: ("-", "dim"),
}
_HEALTH, _CHECK = 6, 13
_MOST_LINES = 12


def diagnosis_lines(diagnosis: Diagnosis, spelled: Callable[[str], str]) -> list[Line]:
    """The lines of one check; ``spelled`` completes hints."""
    word, style = _WORDS[diagnosis.health]
    text = diagnosis.message
    if diagnosis.health is Health.NOT_CHECKED:
        text = f"not checked: {text}"
    head = [Span(f"{word:{_HEALTH}}", style), Span(f"{diagnosis.check:{_CHECK}}")]
    lines: list[Line] = []
    for row in _rows(sentence(text)):
        lines.append([*head, Span(row, style if style == "dim" else "")])
        head = [Span(" " * (_HEALTH + _CHECK))]
    for each in diagnosis.hints:
        label = [Span(" " * _HEALTH), Span("hint:".ljust(_CHECK), "bold cyan")]
        for row in _rows(sentence(spelled(each))):
            lines.append([*label, Span(row)])
            label = [Span(" " * (_HEALTH + _CHECK))]
    return lines


def verdict_line(found: Sequence[Diagnosis]) -> list[Line]:
    """The last lines: how many failed, and that it cost nothing."""
    counts = Counter(each.health for each in found)
    failed, warned = counts[Health.FAIL], counts[Health.WARN]
    total = plural(len(found), "check")
    if failed:
        said = [Span(f"{failed} of {total} failed", "bold red")]
    elif warned:
        said = [Span(f"none of {total} failed, {plural(warned, 'warning')}", "bold yellow")]
    else:
        said = [Span(f"none of {total} failed", "bold green")]
    return [[], [*said, Span("; nothing was uploaded, and nothing is billed")]]


def diagnosis_fields(diagnosis: Diagnosis, spelled: Callable[[str], str]) -> dict[str, object]:
    """One check as JSON values."""
    return {
        "check": diagnosis.check,
        "health": diagnosis.health.value,
        "code": diagnosis.code,
        "message": sentence(diagnosis.message),
        "hints": [sentence(spelled(each)) for each in diagnosis.hints],
        "elapsed": round(diagnosis.elapsed, 3),
    }


def _rows(text: str) -> Iterator[str]:
    """The text in the column behind the check's name, wrapped on a terminal."""
    if not can_draw(sys.stdout):
        yield text
        return
    width = max(20, screen_size(sys.stdout).width - _HEALTH - _CHECK)
    yield from wrap(text, width, _MOST_LINES)
