"""Which of several rows is the recording's: the declared rule."""

import re
from collections.abc import Callable, Mapping, Sequence
from typing import Final

from msgspec import Struct

from batch_uploader.core.errors import ConfigError
from batch_uploader.prepare.about.tables.index import FoundRow

_ORDER: Final = re.compile(r"(longest|shortest|first|last)\s+(.+)")
Condition = Callable[[Mapping[str, object]], object]
"""Whether a row is meant: an expression."""


class Rule(Struct, frozen=True):
    """One step: keep the rows that meet a condition, or those with the extreme of a column.

    ``word`` is ``longest`` or ``last`` for the greatest value, ``shortest`` or ``first`` for the
    least; these compare numbers as numbers, and texts, such as times, as texts.
    """

    word: str = ""
    column: str = ""
    condition: Condition | None = None


def rules(texts: Sequence[str], compiled: Callable[[str], Condition]) -> tuple[Rule, ...]:
    """The rules of ``choose``: ``longest billsec``, or an expression. Raises ConfigError."""
    found = []
    for text in texts:
        if order := _ORDER.fullmatch(text.strip()):
            found.append(Rule(order[1], order[2].strip()))
        else:
            found.append(Rule(condition=compiled(text)))
    return tuple(found)


def choose(rows: Sequence[FoundRow], by: Sequence[Rule]) -> Sequence[FoundRow]:
    """The rows that are left by the rules, in turn; one that no row meets is passed over."""
    for rule in by:
        if len(rows) <= 1:
            return rows
        if rule.condition is not None:
            rows = [row for row in rows if rule.condition(row.fields)] or rows
        else:
            rows = _extreme(rows, rule)
    return rows


def _extreme(rows: Sequence[FoundRow], rule: Rule) -> Sequence[FoundRow]:
    # Rows of JSON may lack what others have.
    if all(rule.column not in row.fields for row in rows):
        there = ", ".join(rows[0].fields)
        raise ConfigError(
            f"choose: there is no column {rule.column}", hint=f"its columns are {there}"
        )
    values = [_comparable(row.fields.get(rule.column)) for row in rows]
    pick = max if rule.word in {"longest", "last"} else min
    best = pick(values)
    return [row for row, value in zip(rows, values, strict=True) if value == best]


def _comparable(value: object) -> tuple[bool, float, str]:
    text = "" if value is None else str(value).strip()
    try:
        return True, float(text.replace(",", ".")), ""
    except ValueError:
        return False, 0.0, text
