"""Reads the sidecars of other systems that describe a recording."""

from collections import OrderedDict
from collections.abc import Callable, Iterable
from threading import Lock
from typing import Final, NamedTuple

from batch_uploader.core.model import Defect, Entry
from batch_uploader.core.naming import base_name
from batch_uploader.prepare.about.foreign.declared import DeclaredSidecar
from batch_uploader.prepare.about.foreign.records import Records
from batch_uploader.prepare.about.foreign.tree import limit_of, read_tree
from batch_uploader.prepare.about.values import Values
from batch_uploader.prepare.sidecar.tree import MalformedSidecar, Problem

SOURCE: Final = "sidecar"
"""The name in expressions of what sidecars say."""

_MOST_FOLDERS = 2


class Sidecar(NamedTuple):
    """A file that describes a recording, and how it is read."""

    declared: DeclaredSidecar
    entry: Entry


class SidecarReader:
    """Reads sidecars with ``read``, which returns the first bytes of a file up to a limit.

    Files that describe a folder are kept, since the next recording is probably of the same one.
    For use from several threads.
    """

    def __init__(
        self, read: Callable[[Entry, int], bytes], user_path: Callable[[str], str] = str
    ) -> None:
        self._read = read
        self._user_path = user_path
        self._folders: OrderedDict[Sidecar, Records | Problem] = OrderedDict()
        self._lock = Lock()

    def values(
        self, recording: str, sidecars: Iterable[Sidecar]
    ) -> list[Values] | tuple[Defect, ...]:
        """What its sidecars say about the recording at this path, or all that is wrong with them.

        Blocking. Raises what ``read`` raises.
        """
        said: list[Values] = []
        wrong: list[Defect] = []
        for sidecar in sidecars:
            path = sidecar.entry.path
            records = self._records(sidecar)
            found = records if isinstance(records, Problem) else records.of(recording)
            if isinstance(found, Problem):
                wrong.append(Defect(path, *found))
            elif found is not None:
                name = base_name(path)
                origin = f"{name}, {found.where}" if found.where else name
                said.append(Values(SOURCE, found.fields, origin))
        return tuple(wrong) or said

    def _records(self, sidecar: Sidecar) -> Records | Problem:
        if not sidecar.declared.of_folder:
            return self._parsed(sidecar)
        with self._lock:
            records = self._folders.pop(sidecar, None) or self._parsed(sidecar)
            self._folders[sidecar] = records
            if len(self._folders) > _MOST_FOLDERS:
                self._folders.popitem(last=False)
        return records

    def _parsed(self, sidecar: Sidecar) -> Records | Problem:
        declared, entry = sidecar
        data = self._read(entry, limit_of(declared) + 1)
        try:
            tree = read_tree(data, declared, lambda: self._user_path(entry.path))
            return Records(tree, declared)
        except MalformedSidecar as error:
            return error.problem
