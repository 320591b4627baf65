"""What the names of recordings consist of, if most of them are built alike.

A name is taken apart into a time, telephone numbers, a word for the direction, and others; those
with the same parts in the same order are alike.
"""

import re
from collections import Counter
from collections.abc import Iterable, Sequence
from typing import Final, NamedTuple

from msgspec import Struct

from batch_uploader.core.naming import base_name, stem

_TIME: Final = re.compile(
    r"(?<!\d)(?P<a>20\d\d|\d\d)(?P<s>[-_.]?)(?P<b>\d\d)(?P=s)(?P<c>20\d\d|\d\d)"
    r"(?P<m>[-_T. ]*)(?P<h>[01]\d|2[0-3])(?P<t>[-_.:h]?)(?P<n>[0-5]\d)(?P=t)(?P<z>[0-5]\d)(?!\d)"
)
_EPOCH: Final = re.compile(r"(?<!\d)1[4-9]\d{8}(?:\.\d+|\d{3})?(?!\d)")
_WAY: Final = re.compile(
    r"(?<![^\W_])(?:in|out|inbound|outbound|incoming|outgoing)(?![^\W_])", re.IGNORECASE
)
_NUMBER: Final = re.compile(r"(?<![^\W_])\+?(?:\d{2,6}|\d{10,15})(?![^\W_])")
_WAYS: Final = "(?i:in|out|inbound|outbound|incoming|outgoing)"
_NUMBERS: Final = r"\+?[0-9]{2,15}"
_EPOCHS: Final = r"1[0-9]{9}(?:\.[0-9]+|[0-9]{3})?"
_WORD: Final = re.compile(r"[^\W_]+")
_LEAST_SHARE: Final = 0.6
_LONG: Final = 7
"""The fewest digits of a number that is not an extension."""
_NAMES: Final = ("first", "second")
_GROUPS: Final = {"time": "start", "way": "way"}


class Parts(Struct, frozen=True):
    """How most names are built: a pattern of them, and the share of names that fit it.

    ``clock`` is the function that reads the group ``start``, None without one; ``numbers`` is how
    many telephone numbers there are, in the groups ``first`` and ``second``. ``one_is_short``:
    mostly, one of two is an extension.
    """

    pattern: str
    share: float
    clock: str | None
    numbers: int
    has_way: bool
    one_is_short: bool = False

    @property
    def groups(self) -> tuple[str, ...]:
        """The names of its groups."""
        return tuple(re.findall(r"\(\?P<(\w+)>", self.pattern))


class _Part(NamedTuple):
    """A part of a name: what it is, and the pattern that it fits."""

    kind: str
    pattern: str
    clock: str | None = None


def parts_of(recordings: Sequence[str]) -> Parts | None:
    """How most names are built, None if they are not alike, or say nothing."""
    built = Counter(_built(stem(base_name(path))) for path in recordings)
    if not built:
        return None
    parts, count = built.most_common(1)[0]
    kinds = Counter(part.kind for part in parts)
    share = count / len(recordings)
    if share < _LEAST_SHARE or not (kinds["time"] or kinds["number"]):
        return None
    times = sorted((part for part in parts if part.kind == "time"), key=_is_local)
    if kinds["number"] > len(_NAMES) or kinds["way"] > 1 or len(set(times)) < len(times):
        return None
    numbers = iter(_NAMES)
    pattern = ""
    for part in parts:
        group = next(numbers) if part.kind == "number" else _GROUPS.get(part.kind)
        if part.kind == "time" and part != times[0]:
            group = None
        pattern += f"(?P<{group}>{part.pattern})" if group else part.pattern
    clock = times[0].clock if times else None
    short = _is_one_short(re.compile(pattern), recordings)
    return Parts(pattern, share, clock, kinds["number"], bool(kinds["way"]), short)


def _is_local(part: _Part) -> bool:
    """Whether a time needs a zone; one that does not is preferred."""
    return part.clock != "epoch"


def _is_one_short(pattern: re.Pattern[str], recordings: Iterable[str]) -> bool:
    """Whether of most pairs of numbers one is an extension and the other is not."""
    if "second" not in pattern.groupindex:
        return False
    fitting = (pattern.fullmatch(stem(base_name(path))) for path in recordings)
    pairs = [(len(each["first"]), len(each["second"])) for each in fitting if each is not None]
    return sum((one < _LONG) != (other < _LONG) for one, other in pairs) > len(pairs) / 2


def _built(name: str) -> tuple[_Part, ...]:
    """The parts of a name, from its beginning to its end."""
    found: list[tuple[int, int, _Part]] = []
    free = name
    for kind, expression in (("time", _TIME), ("time", _EPOCH), ("way", _WAY), ("number", _NUMBER)):
        for match in expression.finditer(free):
            part = _part(kind, match)
            if part is not None:
                found.append((*match.span(), part))
        for start, end, _ in found:
            free = free[:start] + "\0" * (end - start) + free[end:]
    parts: list[_Part] = []
    at = 0
    for start, end, part in sorted(found, key=lambda each: each[0]):
        parts += _others(name[at:start])
        parts.append(part)
        at = end
    return (*parts, *_others(name[at:]))


def _part(kind: str, match: re.Match[str]) -> _Part | None:
    if kind == "number":
        return _Part(kind, _NUMBERS)
    if kind == "way":
        return _Part(kind, _WAYS)
    if match.re is _EPOCH:
        return _Part(kind, _EPOCHS, "epoch")
    return _moment(match)


def _moment(match: re.Match[str]) -> _Part | None:
    """A time with its format; two digits of a year are not told from a day."""
    year_first = len(match["a"]) > 2  # noqa: PLR2004 - 2026
    if year_first == (len(match["c"]) > 2):  # noqa: PLR2004
        return None
    month, day = (match["b"], match["c"]) if year_first else (match["b"], match["a"])
    if not (1 <= int(month) <= 12 and 1 <= int(day) <= 31):  # noqa: PLR2004 - a date
        return None
    sign, middle, between = match["s"], match["m"], match["t"]
    days = ("%Y", "%m", "%d") if year_first else ("%d", "%m", "%Y")
    form = sign.join(days) + middle + between.join(("%H", "%M", "%S"))
    pattern = re.sub(r"%Y", r"\\d{4}", re.sub(r"%[mdHMS]", r"\\d\\d", _escaped(form)))
    return _Part("time", pattern, f"time({form!r})")


def _others(text: str) -> Iterable[_Part]:
    """What says nothing: words may be others, signs may not."""
    at = 0
    for match in _WORD.finditer(text):
        if match.start() > at:
            yield _Part("sign", _escaped(text[at : match.start()]))
        yield _Part("word", r"[^\W_]+")
        at = match.end()
    if at < len(text):
        yield _Part("sign", _escaped(text[at:]))


def _escaped(text: str) -> str:
    return re.sub(r"([\\.^$*+?{}\[\]|()])", r"\\\1", text)
