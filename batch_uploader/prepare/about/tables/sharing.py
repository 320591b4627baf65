"""Whether recordings that one row is about can all be one call: copies and conversions can."""

from collections.abc import Iterable
from contextlib import suppress
from typing import Final

from batch_uploader.core.errors import SourceError
from batch_uploader.core.model import Entry
from batch_uploader.core.naming import stem
from batch_uploader.core.ports import Source
from batch_uploader.prepare.about.tables import names

_SPOTS: Final = 16
_SPOT: Final = 16 * 1024
"""So many spots of so many bytes are compared; their edges alone may be silent in each call."""


class Rivals:
    """Looks at recordings that may want one row. Blocking."""

    def __init__(self, source: Source) -> None:
        self._source = source

    def at(self, *files: str) -> Entry | None:
        """The first of these that is there and not excluded."""
        for each in filter(self._source.is_audio, files):
            with suppress(SourceError):
                return self._source.stat(each)
        return None

    def are_several_calls(self, files: Iterable[Entry]) -> bool:
        """Whether these, each of a recording, cannot all be of one call.

        What has one name may be copies, or conversions, if their extensions differ: which of these
        are one call is decided when they are read.
        """
        first: dict[str, Entry] = {}
        base = None
        for file in files:
            name = names.base(file.path)
            base = name if base is None else base
            before = first.setdefault(file.path[len(stem(file.path)) :], file)
            if name != base or file.size != before.size or not self._is_alike(before, file):
                return True
        return False

    def _is_alike(self, one: Entry, other: Entry) -> bool:
        """Whether two files of one size are alike, as far as they are looked into."""
        return one.path == other.path or self._spots(one) == self._spots(other)

    def _spots(self, file: Entry) -> bytes | None:
        found = b""
        with suppress(SourceError, OSError), self._source.open(file.path) as handle:
            for number in range(_SPOTS):
                handle.seek(max(file.size - _SPOT, 0) * number // (_SPOTS - 1))
                found += handle.read(_SPOT)
            return found
        return None
