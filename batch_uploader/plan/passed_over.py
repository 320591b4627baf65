"""Which files look like audio and are not taken: counted by kind, so that none is left out unsaid.

The extension decides, or the first bytes of a few files of each kind: a million files of another
kind must not cost a million opens in each run.
"""

import re
from collections.abc import Callable, Mapping, Sequence
from itertools import chain
from typing import Final, TypeVar, TypeVarTuple

from anyio import to_thread
from msgspec import Struct
from msgspec.structs import replace

from batch_uploader.core.errors import SourceError
from batch_uploader.core.model import Listing, PassedOver
from batch_uploader.core.naming import stem, without_sidecars_of
from batch_uploader.core.ports import Source
from batch_uploader.prepare.audio.sniff import Form, named, sniff
from batch_uploader.prepare.convert.codecs import AVAILABLE

_T = TypeVar("_T")
_Args = TypeVarTuple("_Args")

_IN_A_FOLDER, _OF_A_KIND, _IN_A_RUN = 2, 32, 256
"""The most files that are opened; after them two of each new kind."""
_MOST_KINDS = 500
_MOST_ON_THE_LOOP = 1_000
_EXTENSION = re.compile(r"\.[a-z][a-z0-9_]{0,9}")

_WORDS = (
    "txt csv tsv xml html htm log md pdf doc docx xls xlsx rtf json jsonl ndjson yaml yml toml ini"
    " conf cfg env jpg jpeg png gif bmp tif tiff heic webp svg ico zip gz tgz bz2 xz zst 7z rar tar"
    " db sqlite sqlite3 sql py sh bat cmd ps1 exe dll so md5 sha1 sha256 lock pid srt vtt url lnk"
)
_NO_AUDIO: Final = frozenset(f".{word}" for word in _WORDS.split())
"""Files with these extensions are not opened."""
_ASIDE = "orig bak old new tmp temp part partial filepart crdownload swp"
_SET_ASIDE: Final = frozenset(f".{word}" for word in _ASIDE.split())
"""Names of copies and of files that are not complete: to take all of them would be wrong."""


class _Kind(Struct):
    files: int = 0
    beside: int = 0
    first: str = ""
    first_is_beside: bool = True
    looks: int = 0
    hits: int = 0
    form: Form | None = None


class OtherFiles:
    """Sorts out the files of each folder that are not taken, and counts those that look like audio.

    What was opened once is not opened again in the same walk.
    """

    def __init__(self) -> None:
        self.begin()

    def begin(self) -> None:
        """Begin another walk."""
        self._kinds: dict[str, _Kind] = {}
        self._seen: dict[tuple[str, str], bool] = {}
        self._opened = 0

    async def sort_out(self, source: Source, listing: Listing, *, counted: bool) -> Listing:
        """The listing without the sidecars of files that are not taken; ``counted`` once a walk."""
        if not listing.others:
            return listing
        large = len(listing.others) > _MOST_ON_THE_LOOP
        groups = self._few(await _run(_groups, listing, in_thread=large))
        due = [(kind, path) for kind in groups for path in self._due(listing, kind, groups[kind])]
        if due:
            await to_thread.run_sync(self._look, source, listing.folder, due)
        audio = {kind: groups[kind] for kind in groups if self._is_audio(listing, kind)}
        if audio and counted:
            await _run(self._count, listing, audio, source.is_audio, in_thread=large)
        return await _run(_without_sidecars, listing, audio, source.is_audio, in_thread=large)

    def found(self) -> tuple[PassedOver, ...]:
        """What was counted, the most first."""
        kinds = [_told(name, kind) for name, kind in self._kinds.items() if kind.files]
        return tuple(sorted(kinds, key=lambda each: (-each.files, each.kind)))

    def _few(self, groups: dict[str, list[str]]) -> dict[str, list[str]]:
        """The groups, with those of too many kinds as files without a known extension."""
        few: dict[str, list[str]] = {}
        for name, paths in groups.items():
            known = name in self._kinds or len(self._kinds) < _MOST_KINDS or named(name)
            few.setdefault(name if known else "", []).extend(paths)
            if known:
                self._kinds.setdefault(name, _Kind())
        return few

    def _due(self, listing: Listing, name: str, paths: Sequence[str]) -> Sequence[str]:
        """The files to be opened, to see what is in files of this kind."""
        kind = self._kinds.setdefault(name, _Kind())
        enough = self._opened >= _IN_A_RUN or named(name) is not None
        if (listing.folder, name) in self._seen:
            return ()
        if kind.looks >= (_IN_A_FOLDER if enough else _OF_A_KIND):
            return ()
        due = list(dict.fromkeys([paths[0], paths[-1]]))
        self._opened += len(due)
        return due

    def _look(self, source: Source, folder: str, due: Sequence[tuple[str, str]]) -> None:
        for name, path in due:
            kind = self._kinds[name]
            try:
                with source.open(path) as handle:
                    form = sniff(handle, name)
            except (OSError, SourceError):
                continue
            kind.looks += 1
            kind.hits += form is not None
            # What is taken says most: these need only be included.
            if form is not None and (kind.form is None or (form.taken and not kind.form.taken)):
                kind.form = form
            self._seen[folder, name] = self._seen.get((folder, name), False) or form is not None

    def _is_audio(self, listing: Listing, name: str) -> bool:
        if named(name) is not None:
            return True
        kind = self._kinds.get(name, _Kind())
        return self._seen.get((listing.folder, name), kind.hits * 2 > kind.looks)

    def _count(
        self,
        listing: Listing,
        groups: Mapping[str, list[str]],
        is_audio: Callable[[str], bool],
    ) -> None:
        taken = {stem(entry.path) for entry in listing.entries if is_audio(entry.path)}
        for name, paths in groups.items():
            kind = self._kinds.setdefault(name, _Kind())
            alone = [path for path in paths if stem(path) not in taken]
            kind.files += len(paths)
            kind.beside += len(paths) - len(alone)
            if not kind.first or (kind.first_is_beside and alone):
                kind.first = min(alone or paths)
                kind.first_is_beside = not alone


async def _run(function: Callable[[*_Args], _T], *args: *_Args, in_thread: bool) -> _T:
    """Call it, in a thread if it takes long."""
    return await to_thread.run_sync(function, *args) if in_thread else function(*args)


def _without_sidecars(
    listing: Listing, audio: Mapping[str, list[str]], is_audio: Callable[[str], bool]
) -> Listing:
    """The listing without the sidecars of these files."""
    if not audio:
        return listing
    paths = chain.from_iterable(audio.values())
    kept = without_sidecars_of(paths, list(listing.entries), is_audio)
    return replace(listing, entries=tuple(kept))


def _groups(listing: Listing) -> dict[str, list[str]]:
    """The files that may be audio, by kind."""
    groups: dict[str, list[str]] = {}
    taken = {entry.path for entry in listing.entries}
    for path in listing.others:
        dot = path.rfind(".")
        name = path[dot:].lower() if dot > path.rfind("/") + 1 else ""
        # The copy of a recording that a cure has set aside is not another call.
        if name in _NO_AUDIO or path[:dot] in taken:
            continue
        if named(name) is None and not _EXTENSION.fullmatch(name):
            name = ""
        groups.setdefault(name, []).append(path)
    return groups


def _told(name: str, kind: _Kind) -> PassedOver:
    form = kind.form or named(name) or Form("audio")
    taken = form.taken or (form.with_codecs and AVAILABLE)
    named_so = name and name not in _SET_ASIDE
    return PassedOver(
        name,
        kind.files,
        kind.beside,
        form.name,
        kind.first,
        f"*{name}" if taken and named_so else None,
        None if taken else form.decoder,
        with_codecs=bool(form.with_codecs and named_so and not AVAILABLE),
    )
