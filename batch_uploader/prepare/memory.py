"""How much of what is sent may be in memory, and where in it."""

import hashlib
from collections.abc import Callable
from typing import Final

from msgspec import Struct
from msgspec.structs import replace

from batch_uploader.core.model import Container, Recording, Sent
from batch_uploader.prepare.convert.spool import Space

NO_DIGEST: Final = bytes(hashlib.sha256().digest_size)
"""In place of one that is not known yet."""
_PADDING = 64 * 1024
"""Bytes by which what is made may be longer than headers say, by the padding of encoders."""


class NeedsMemory(Exception):  # noqa: N818 - control flow, not a mistake
    """What is made of a recording fits into ``nbytes`` of memory, more than were granted."""

    def __init__(self, nbytes: int) -> None:
        super().__init__(nbytes)
        self.nbytes = nbytes


class OneMessage(Struct, frozen=True):
    """What is sent in one message: up to ``limit`` bytes, behind an ``envelope``.

    ``granted`` are the bytes of it for which there is memory.
    """

    limit: int
    envelope: Callable[[Recording], bytes]
    granted: int

    def space(self, recording: Recording, made_size: int) -> Space:
        """Where a WAV is kept that is made of a recording; 0 if its size is not known.

        Raises NeedsMemory.
        """
        if not 0 < made_size <= self.limit:
            return Space()
        if made_size > max(self.granted, Space().most):
            raise NeedsMemory(made_size)
        made = replace(
            recording,
            audio=replace(recording.audio, container=Container.WAV),
            sent=Sent(Container.WAV, made_size, NO_DIGEST, ""),
        )
        return Space(min(made_size + _PADDING, self.limit), len(self.envelope(made)))
