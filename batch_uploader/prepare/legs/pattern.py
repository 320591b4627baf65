"""Which files are the legs of a call by their names, and what lies beside them: pure."""

import re
from collections.abc import Callable, Mapping
from functools import lru_cache
from typing import Final, NamedTuple, Self

from msgspec import Struct

from batch_uploader.core.errors import BadValue
from batch_uploader.core.naming import base_name, stem

_CALL: Final = "{call}"
_EXTENSION: Final = re.compile(r"\.[A-Za-z][A-Za-z0-9]{1,9}$")
_CURE: Final = (
    "write what is added to the call's name, like -in/-out or recv_/trans_, or both names, like"
    " '{call}-a.wav {call}-b.wav' or 'in/{call} out/{call}'"
)
_MIXED: Final = ("{}", "{}-mixed", "{}_mixed", "{}-mix", "{}_mix", "stereo_{}", "mix_{}")


class LegPlace(NamedTuple):
    """What the name of a leg says: which one it is, of which call, and the other leg's path.

    ``call`` is where the joined recording is, or the mix would be: in the first leg's folder.
    """

    side: int
    call: str
    other: str


class LegPattern(Struct, frozen=True):
    """The names of both legs, each with ``{call}`` for what they have in common.

    A name without an extension is for all of them. With a ``/`` it is for folders, too. Case does
    not count.
    """

    first: str
    second: str

    @classmethod
    def parse(cls, text: str) -> Self:
        """``-in/-out``, ``recv_/trans_``, or two names with ``{call}``. Raises BadValue."""
        if _CALL not in text:
            names = [_whole(each.strip()) for each in text.split("/")]
        else:
            names = text.split()
        if len(names) != 2 or not all(name and name.count(_CALL) == 1 for name in names):  # noqa: PLR2004 - legs
            raise BadValue(f"{text!r} does not name two legs", hint=_CURE)
        first, second = names
        if first.lower() == second.lower():
            raise BadValue(f"{text!r} names one leg twice", hint=_CURE)
        return cls(first, second)

    def place(self, path: str, is_audio: Callable[[str], bool]) -> LegPlace | None:
        """What a path says, None if it is not that of a leg."""
        for side, expression in enumerate(_expressions(self.first, self.second)):
            found = expression.fullmatch(path)
            if found is None:
                continue
            above, call, extension = found["above"] or "", found["call"], found["ext"]
            paths = [
                above + name.replace(_CALL, call) + extension
                for name in _bare(self.first, self.second)
            ]
            folder = paths[0][: len(paths[0]) - len(base_name(paths[0]))]
            common = folder + base_name(call)
            # NAME.wav-in.wav is a leg of NAME.wav.
            whole = common if is_audio(common) else common + extension
            return LegPlace(side, whole, paths[1 - side])
        return None


def mixes_of(call: str) -> tuple[str, ...]:
    """The paths, without extension, that the mix of both legs may have."""
    folder = call[: len(call) - len(base_name(call))]
    return tuple(folder + form.format(stem(base_name(call))) for form in _MIXED)


def _whole(affix: str) -> str:
    """What is added to a name at its end, or before it."""
    if not affix or affix.isalnum():
        return ""
    return f"{_CALL}{affix}" if not affix[0].isalnum() else f"{affix}{_CALL}"


def _extension(first: str, second: str) -> str:
    """The extension that both names have, "" for any."""
    found = _EXTENSION.search(first)
    return found[0] if found and second.lower().endswith(found[0].lower()) else ""


def _bare(first: str, second: str) -> tuple[str, str]:
    """The names without it."""
    size = len(_extension(first, second))
    return first[: len(first) - size], second[: len(second) - size]


@lru_cache(maxsize=64)
def _expressions(first: str, second: str) -> tuple[re.Pattern[str], re.Pattern[str]]:
    extension = _extension(first, second)
    ends = re.escape(extension) if extension else r"\.[^./]+"
    one, other = (_expression(name, ends) for name in _bare(first, second))
    return one, other


def _expression(name: str, ends: str) -> re.Pattern[str]:
    before, after = map(re.escape, name.split(_CALL))
    # Folders may be a part of what is in common, if there are folders in the pattern.
    call = "(?P<call>.+)" if "/" in name else "(?P<call>[^/]+)"
    above = "(?P<above>(?:.*?/)?)" if "/" in name else "(?P<above>(?:.*/)?)"
    return re.compile(f"{above}{before}{call}{after}(?P<ext>{ends})", re.IGNORECASE | re.DOTALL)


_NAMES: Final = ("-in/-out", "-rx/-tx", "_in/_out", "recv_/trans_")
KNOWN: Final[Mapping[str, LegPattern]] = {name: LegPattern.parse(name) for name in _NAMES}
"""What PBXs add: the first leg is what came from the channel, the second what was sent to it."""
