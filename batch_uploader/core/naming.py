"""Which files are sidecars by their names, and of which recordings; which names are alike."""

import unicodedata
from collections.abc import Callable, Iterable
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from batch_uploader.core.model import Entry

_EXTENSION = ".json"


def is_sidecar(path: str) -> bool:
    """Whether a file is a sidecar by its name; such a file is never taken for audio."""
    return path[-len(_EXTENSION) :].lower() == _EXTENSION


def described(sidecar: str) -> str:
    """The recording's path that a sidecar's path names, with or without the audio's extension."""
    return sidecar[: -len(_EXTENSION)]


def stem(path: str) -> str:
    """A path without its extension, if it has one."""
    dot = path.rfind(".")
    return path[:dot] if dot > path.rfind("/") + 1 else path


def base_name(path: str) -> str:
    """A path without its folders."""
    return path.rpartition("/")[2]


def piece_path(path: str, number: int) -> str:
    """The path of a piece of a file. Of the same kind of audio by its name."""
    short = stem(path)
    return f"{short}#{number}{path[len(short) :]}"


def whole_path(path: str) -> str | None:
    """The path of the file that a piece with this path is of; None if it cannot be one."""
    short = stem(path)
    whole, mark, number = short.rpartition("#")
    is_piece = mark and number.isascii() and number.isdigit()
    return whole + path[len(short) :] if is_piece else None


def without_sidecars_of(
    left_out: Iterable[str], entries: "list[Entry]", is_audio: Callable[[str], bool]
) -> "list[Entry]":
    """Drop the sidecars of one folder that belong only to recordings that are left out."""
    kept = _described_by(entry.path for entry in entries if is_audio(entry.path))
    dropped = _described_by(left_out) - kept
    if not dropped:
        return entries
    alike = set(map(fold, dropped)) - set(map(fold, kept))
    return [
        entry
        for entry in entries
        if not is_sidecar(entry.path)
        or (described(entry.path) not in dropped and fold(described(entry.path)) not in alike)
    ]


def _described_by(recordings: Iterable[str]) -> set[str]:
    return {key for path in recordings for key in (path, stem(path))}


def composed(path: str) -> str:
    """What is equal for names that differ only in the composition of their letters."""
    return path if path.isascii() else unicodedata.normalize("NFC", path)


def fold(path: str) -> str:
    """What is equal for names that differ only in case, or in the composition of their letters.

    An escaped name is compared exactly: its escapes are bytes, not letters.
    """
    if "\\" in path:
        return path
    return composed(composed(path).lower())


def difference(one: str, other: str) -> str:
    """In what two names differ for which ``fold`` is equal; the end of "they differ only in"."""
    letters = "the composition of their letters (NFC and NFD)"
    if composed(one) == composed(other):
        return letters
    for form in ("NFC", "NFD"):
        if all(unicodedata.is_normalized(form, each) for each in (one, other)):
            return "case"
    return f"case and in {letters}"
