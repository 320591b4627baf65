"""Reads files that must not change meanwhile: as they were listed, or not at all."""

import hashlib
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from functools import partial
from typing import BinaryIO

from batch_uploader.core.errors import SourceError
from batch_uploader.core.model import AudioInfo, Defect, Entry
from batch_uploader.core.ports import Local, Source
from batch_uploader.core.records import Likeness
from batch_uploader.prepare import audio
from batch_uploader.prepare.audio import AudioRules
from batch_uploader.prepare.audio.essence import Block, Essence
from batch_uploader.prepare.payload import changed

_HASH_STEP = 1024 * 1024


class ContentDigests:
    """The SHA-256 and the essence of a file, in one pass over its blocks."""

    def __init__(self, heard: Essence) -> None:
        self._sha256, self._heard = hashlib.sha256(), heard

    def update(self, block: Block) -> None:
        """Take the next block."""
        self._sha256.update(block)
        self._heard.update(block)

    def digest(self) -> tuple[bytes, bytes]:
        """Both, of all blocks."""
        return self._sha256.digest(), self._heard.digest()


@contextmanager
def explaining(path: str) -> Iterator[None]:
    """Raise an OSError of this file as a SourceError."""
    try:
        yield
    except OSError as error:
        raise SourceError(
            f"{path} cannot be read ({error.strerror})",
            hint="check the disk; the next run tries again",
        ) from error


def user_path(source: Source, path: str) -> str:
    """The path of a listed file, for commands in hints."""
    return source.user_path(path) if isinstance(source, Local) else path


def probe(source: Source, handle: BinaryIO, entry: Entry, rules: AudioRules) -> AudioInfo | Defect:
    """What is in the audio of an open file. Raises SourceChanged if it is not as it was listed."""
    info = audio.probe(handle, entry.path, entry.size, rules, user_path=partial(user_path, source))
    # What looks truncated may still be being written.
    require_rest(source, handle, entry)
    return info


def require_rest(
    source: Source, handle: BinaryIO, listed: Entry, opened: tuple[object, ...] | None = None
) -> tuple[object, ...]:
    """Raise SourceChanged if it is not as listed, or was touched since ``opened``.

    Returns its current entry. A writer can set the modification time back, but not the change time.
    """
    now = source.handle_stat(handle, listed.path)
    seen = now[: Likeness.CTIME]
    if opened not in {None, seen}:
        raise changed(listed.path)
    if not now.is_like(listed) and not _is_like_by_name(source, now, listed):
        raise changed(listed.path)
    return seen


def _is_like_by_name(source: Source, now: Entry, listed: Entry) -> bool:
    """Whether a file of the same size is as listed if it is asked for by its name, too.

    Some file systems tell other times of an open file than of a name: GlusterFS, SMB, FAT.
    """
    return now.size == listed.size and source.stat(listed.path).is_like(listed)


def rest_of(source: Source, listed: Sequence[Entry]) -> tuple[object, ...]:
    """Values that show, without an inode, whether files are replaced meanwhile.

    If another call's sidecar is put in the place of one, the audio must not be sent. Raises
    SourceChanged if one is not as it was listed.
    """
    return tuple([_rest_of(source, each) for each in listed])


def _rest_of(source: Source, listed: Entry) -> tuple[object, ...]:
    now = source.stat(listed.path)
    if not now.is_like(listed):
        raise changed(listed.path)
    return now[: Likeness.CTIME]


def read(handle: BinaryIO, listed: Entry, update: Callable[[bytes], None]) -> None:
    """Tell ``update`` the content of an open file. Raises SourceChanged if it is shorter."""
    handle.seek(0)
    left = listed.size
    while left > 0:
        piece = handle.read(min(_HASH_STEP, left))
        if not piece:
            raise changed(listed.path)
        update(piece)
        left -= len(piece)


def read_small(source: Source, entry: Entry, limit: int) -> bytes:
    """A whole file, or a little more than ``limit`` bytes of it. Raises SourceError."""
    with explaining(entry.path), source.open(entry.path) as handle:
        # Reading up to the limit would allocate as much memory.
        text = handle.read(min(entry.size, limit) + 1)
        if len(text) > entry.size:
            text += handle.read(limit + 1 - len(text))
        return text
