"""Whether recordings that one row is about can all be one call: copies and conversions can."""

from collections.abc import Iterable
from contextlib import suppress
from typing import Final

from batch_uploader.core.errors import SourceError
from batch_uploader.core.model import Entry
from batch_uploader.core.naming import stem
from batch_uploader.core.ports import Source
from batch_uploader.prepare.about.tables import names

_EDGE: Final = 64 * 1024


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
        """Whether two files of one size begin and end alike."""
        return one.path == other.path or self._edges(one.path) == self._edges(other.path)

    def _edges(self, file: str) -> bytes | None:
        with suppress(SourceError, OSError), self._source.open(file) as handle:
            begin = handle.read(_EDGE)
            handle.seek(max(len(begin), handle.seek(0, 2) - _EDGE))
            return begin + handle.read(_EDGE)
        return None
