"""What describes pieces: what describes their file, with the time at which each began."""

import re
from collections.abc import Callable, Iterator, Mapping, Sequence
from datetime import datetime, timedelta
from typing import Final

from msgspec.structs import replace

from batch_uploader.core.model import Cut, Defect, Entry, Listing, Metadata
from batch_uploader.prepare.bundle import Bundle
from batch_uploader.prepare.callid import WHOLE
from batch_uploader.prepare.describer import NOTHING, Describer, Refreshed, UnusableRows
from batch_uploader.prepare.pairing import Orphan
from batch_uploader.prepare.pieces.source import Cutter

_BEGAN: Final = "date"
_MOMENT: Final = re.compile(
    r"([0-9]{4}-[0-9]{2}-[0-9]{2})([Tt ])([0-9:]{5,8})(?:([.,])([0-9]{1,6})[0-9]*)?(.*)"
)
_DIGITS: Final = 6


class Pieces:
    """Describes the pieces of files as ``whole`` describes these."""

    def __init__(self, whole: Describer, cutter: Cutter) -> None:
        self.whole = whole
        self.cutter = cutter

    def gather(
        self,
        listing: Listing,
        is_audio: Callable[[str], bool],
        at_rest: Mapping[str, bytes | None] = NOTHING,
    ) -> tuple[list[Bundle], list[Orphan]]:
        """The recordings of a folder, each piece with all that describes its file."""
        pieces: dict[str, list[Entry]] = {}
        kept = dict(at_rest)
        for each in listing.entries:
            if each.cut is not None:
                pieces.setdefault(each.parts[0].path, []).append(each)
                if each.path in at_rest:
                    kept[each.parts[0].path] = at_rest[each.path]
        bundles, orphans = self.whole.gather(_with_wholes(listing), is_audio, kept)
        return list(_exploded(bundles, pieces)), orphans

    def find(self, audio: Entry, sidecar: str | None) -> Bundle:
        """As of its file. Blocking. Raises SourceError."""
        return replace(self.whole.find(_file_of(audio), sidecar), audio=audio)

    def settled(self, listing: Listing) -> bool:
        """As of the files."""
        return self.whole.settled(_with_wholes(listing))

    def describe(self, bundle: Bundle) -> Metadata | tuple[Defect, ...]:
        """As of its file, with the time at which the piece began. Blocking. Raises SourceError."""
        found = self.whole.describe(replace(bundle, audio=_file_of(bundle.audio)))
        return _of_piece(found, bundle.audio.cut)

    def describe_cached(self, bundle: Bundle) -> Metadata | tuple[Defect, ...] | None:
        """The same without waiting for a disk."""
        found = self.whole.describe_cached(replace(bundle, audio=_file_of(bundle.audio)))
        return None if found is None else _of_piece(found, bundle.audio.cut)


class RefreshedPieces(Pieces):
    """The same where ``whole`` reads tables."""

    whole: Refreshed  # type: ignore[assignment]

    def refresh(self, seen: str) -> None:
        """As ``Refreshed``."""
        self.whole.refresh(seen)

    @property
    def knows_all(self) -> bool:
        """As ``Refreshed``."""
        return self.whole.knows_all

    def announce(self, listings: Sequence[Listing], *, last: bool) -> None:
        """As ``Refreshed``."""
        self.whole.announce([_with_wholes(each) for each in listings], last=last)

    @property
    def state(self) -> str:
        """As ``Refreshed``."""
        return self.whole.state

    def faults(self) -> UnusableRows:
        """As ``Refreshed``."""
        return self.whole.faults()

    def close(self) -> None:
        """As ``Refreshed``."""
        self.whole.close()


def _file_of(audio: Entry) -> Entry:
    return audio if audio.cut is None else audio.parts[0]


def _with_wholes(listing: Listing) -> Listing:
    if all(each.cut is None for each in listing.entries):
        return listing
    entries = tuple(dict.fromkeys(map(_file_of, listing.entries)))
    return replace(listing, entries=entries)


def _exploded(bundles: list[Bundle], pieces: Mapping[str, list[Entry]]) -> Iterator[Bundle]:
    for bundle in bundles:
        if bundle.path in pieces:
            yield from (replace(bundle, audio=piece) for piece in pieces[bundle.path])
        else:
            yield bundle


def _of_piece(
    found: Metadata | tuple[Defect, ...], cut: Cut | None
) -> Metadata | tuple[Defect, ...]:
    if cut is None or isinstance(found, tuple):
        return found
    began = found.fields.get(_BEGAN)
    if began is None or _BEGAN in found.defaulted:
        return found
    later = moved(began, cut.begin / cut.sample_rate)
    # Cut elsewhere, such as after a conversion, it is still a piece of the same call.
    ids = {**found.ids, WHOLE + _BEGAN: began}
    return replace(found, fields={**found.fields, _BEGAN: later}, ids=ids)


def moved(text: str, seconds: float) -> str:
    """A date and time as it is written, later by so much; any other text as it is."""
    match = _MOMENT.fullmatch(text)
    if match is None:
        return text
    day, between, clock, point, fraction, offset = match.groups()
    try:
        moment = datetime.fromisoformat(f"{day}T{clock}")
    except ValueError:
        return text
    digits = len(fraction or "")
    micros = int((fraction or "0").ljust(_DIGITS, "0")) + round(seconds * 10**_DIGITS)
    unit = 10 ** (_DIGITS - digits)
    moment += timedelta(microseconds=(micros + unit // 2) // unit * unit)
    parts = f"{moment.microsecond:06}"[:digits]
    return f"{moment:%Y-%m-%d}{between}{moment:%H:%M:%S}{point or ''}{parts}{offset}"
