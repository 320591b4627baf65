"""The files of a recording that is not one file: legs with their mix, or the file of a piece."""

import hashlib
from collections.abc import Iterable, Sequence

import msgspec
from msgspec import Struct


class Part(Struct, frozen=True, omit_defaults=True):
    """A file of a recording, as the ledger keeps it.

    ``essence`` is what is heard in it, None if that is unknown: nothing opens the mix, which is not
    sent, since it has the same call as the legs. ``cut`` is what is sent of it if that is a
    piece: from one sample to another.
    """

    path: str
    essence: bytes | None = None
    mix: bool = False
    cut: tuple[int, int] | None = None


def as_json(parts: Iterable[Part]) -> str | None:
    """The parts for the ledger; None without any."""
    kept = tuple(parts)
    return msgspec.json.encode(kept).decode() if kept else None


def from_json(text: str | None) -> tuple[Part, ...]:
    """The parts that the ledger has."""
    return () if text is None else msgspec.json.decode(text, type=tuple[Part, ...])


def paths(text: str | None) -> tuple[str, ...]:
    """The paths of the files that were sent."""
    return tuple(each.path for each in from_json(text) if not each.mix)


def sha256_of(digests: Sequence[bytes]) -> bytes:
    """The SHA-256 of a recording by those of its files: of a single one, its own."""
    if len(digests) == 1:
        return digests[0]
    return hashlib.sha256(b"".join(digests)).digest()
