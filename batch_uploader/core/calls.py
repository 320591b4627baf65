"""One call, one talk: whether a recording is a call that is on record already. Pure.

``judge`` compares a recording with one on record; docs/concepts.md has the rules in words. The
numbers in comments are theirs.
"""

from collections.abc import Iterable, Sequence
from enum import IntEnum
from itertools import combinations
from typing import Final

from msgspec import Struct
from msgspec.structs import replace

from batch_uploader.core.identity import CONSTANT, DEFINITION_SIZE, Cause
from batch_uploader.core.model import Container, Failure
from batch_uploader.core.naming import base_name, stem, whole_path
from batch_uploader.core.parts import Part, from_json
from batch_uploader.core.records import Record, Sight

_CODECS: Final = {
    Container.WAV: "pcm",
    Container.RAW: "pcm",
    Container.MP3: "mp3",
    Container.OGG_OPUS: "opus",
}
_LEGS: Final = 2
_SECONDS: Final = 2.0
_SHARE: Final = 0.02
"""Encoders pad, and converters cut: this much of a length is no difference."""
_CLOCK_NS: Final = 2_000_000_000
"""File systems keep times to within two seconds."""


class Sameness(IntEnum):
    """How sure it is that two recordings are one call; the surest of several counts."""

    ANOTHER = 0
    """Two calls."""
    POSSIBLE = 1
    """A human must decide."""
    UNSEEN = 2
    """The file on record decides: look at it."""
    ONE = 3
    """One call."""


class Ruling(Struct, frozen=True):
    """The result of a comparison, and why."""

    sameness: Sameness
    cause: Cause | None = None


_ANOTHER: Final = Ruling(Sameness.ANOTHER)
_UNSEEN: Final = Ruling(Sameness.UNSEEN)
_SHARED: Final = Ruling(Sameness.POSSIBLE, Cause.PART)


class Evidence(Struct, frozen=True):
    """What counts as evidence in this source.

    Without ``default_ids`` equal ones prove nothing, since they do not name a call in this source.
    Without ``essence`` equal audio proves nothing, since it was seen in several calls.
    """

    default_ids: bool = True
    essence: bool = True


def judge(  # noqa: PLR0911 - a rule each
    new: Record, old: Record, sight: Sight | None, evidence: Evidence
) -> Ruling:
    """Compare a recording with one that is stored, or may be.

    ``sight`` is what a look at the file of the old one showed, None before that.
    """
    if new.path == old.path:
        # Its file is the new one now.
        sight = Sight(gone=True)
    old = learned(old, sight)
    same_place = stem(new.path) == stem(old.path)
    if same_place and sounds_like(new, old):  # 0
        return Ruling(Sameness.ONE, Cause.SAME_AUDIO)
    # A sidecar that was corrected counts as it was and as it is.
    versions = old, _corrected(old, sight)
    if not same_place and any(has_content_of(new, each) for each in versions):  # 2
        return Ruling(Sameness.ONE, Cause.SAME_CONTENT)
    if (new.parts or old.parts) and (ruling := _by_pieces(new, old)) is not None:
        return ruling
    if (new.parts or old.parts) and _share_a_part(new, old, evidence):
        return _SHARED
    proof = sounds_like(new, old) and _proves(new) and evidence.essence
    if is_comparable(new.named_id, old.named_id):
        return _by_named_id(new, old, sight, proof=proof)
    equal_ids = any(_are_equal(new.default_id, each.default_id) for each in versions)
    if same_place:
        return _at_same_place(new, old, sight, equal_ids=equal_ids)
    equal_ids &= evidence.default_ids
    if proof:
        return _elsewhere(new, old, sight, equal_ids=equal_ids)
    return _by_default_id(new, old, sight) if equal_ids else _ANOTHER


def _share_a_part(new: Record, old: Record, evidence: Evidence) -> bool:
    """Whether a file of one is a file of the other, where one of them has several.

    The same audio is, whatever the IDs say: a leg may have one of its own. Other audio at its place
    may be it, too, unless the IDs tell two calls. Where both have legs, one leg proves nothing (the
    same announcement is heard in many calls), but both do, with their sides swapped; and where both
    have the same place, the name may be used again, which rule 3 decides.
    """
    mine, theirs = files_of(new), files_of(old)
    common = _heard(mine) & _heard(theirs)
    if new.parts and old.parts:
        common = common if len(common) == _LEGS and not sounds_like(new, old) else set()
    if evidence.essence and common:
        return True
    if (new.parts and old.parts and stem(new.path) == stem(old.path)) or ids_differ(new, old):
        return False
    return not {stem(each.path) for each in mine}.isdisjoint(stem(each.path) for each in theirs)


def _by_pieces(new: Record, old: Record) -> Ruling | None:
    """The rule for pieces of long files; None if the other rules decide.

    A file and a piece of it are never both sent.
    """
    mine, theirs = _piece(new), _piece(old)
    if mine is not None and theirs is not None:
        return _two_pieces(new, old, mine, theirs)
    if mine is None and theirs is None:
        return None
    some, others = files_of(new), files_of(old)
    places = {stem(each.path) for each in some} & {stem(each.path) for each in others}
    return _SHARED if places or _heard(some) & _heard(others) else None


def _two_pieces(new: Record, old: Record, mine: Part, theirs: Part) -> Ruling | None:
    """Two pieces of the same audio are two calls if nothing is in both.

    If the audio of the file is another one now, a human must decide: nothing tells what of it was
    in another piece.
    """
    of_one_file = stem(mine.path) == stem(theirs.path) and new.path != old.path
    if mine.essence is None or theirs.essence is None:
        # A manifest says no more than the size, and perhaps not the range.
        if not of_one_file or new.stat.size != old.stat.size:
            return _SHARED if of_one_file else None
        if mine.cut is None or theirs.cut is None:
            return _ANOTHER
    elif mine.essence != theirs.essence:
        return _SHARED if of_one_file else None
    if mine.cut is None or theirs.cut is None:
        return None
    if mine.cut == theirs.cut:
        return None
    apart = mine.cut[1] <= theirs.cut[0] or theirs.cut[1] <= mine.cut[0]
    return _ANOTHER if apart else _SHARED


def is_piece(record: Record) -> bool:
    """Whether a record is of a piece of a long file: the IDs of its call are those of others."""
    return _piece(record) is not None


def _piece(record: Record) -> Part | None:
    """The file that a record is a piece of."""
    files = from_json(record.parts)
    if len(files) != 1 or (files[0].cut is None and whole_path(record.path) != files[0].path):
        return None
    return files[0]


def files_of(record: Record) -> tuple[Part, ...]:
    """The files of a recording: its parts, or the one that it is."""
    return from_json(record.parts) or (Part(record.path, record.essence),)


def _heard(files: Iterable[Part]) -> set[bytes]:
    """What is heard in these files, as far as it proves anything."""
    return {each.essence for each in files if each.essence and each.essence[:1] != CONSTANT}


def ids_differ(new: Record, old: Record) -> bool:
    """Whether the IDs tell two calls."""
    if is_comparable(new.named_id, old.named_id):
        return new.named_id != old.named_id
    return _tell_two_calls(new, old)


def _by_named_id(new: Record, old: Record, sight: Sight | None, *, proof: bool) -> Ruling:
    """Rule 1: named IDs of the same definition."""
    if new.named_id != old.named_id:
        return _ANOTHER
    if proof:
        return Ruling(Sameness.ONE, Cause.SAME_AUDIO)
    if _may_be_converted(new, old):
        if _base_name(new.path) == _base_name(old.path):
            return Ruling(Sameness.ONE, Cause.CONVERTED)
        if sight is None:
            return _UNSEEN
        if sight.gone:
            return Ruling(Sameness.ONE, Cause.CONVERTED)
    return Ruling(Sameness.POSSIBLE, Cause.SAME_CALL_ID)


def _elsewhere(new: Record, old: Record, sight: Sight | None, *, equal_ids: bool) -> Ruling:
    """Rule 2: the same audio at another place."""
    if equal_ids:
        return Ruling(Sameness.ONE, Cause.SAME_AUDIO)
    if sight is None:
        return _UNSEEN
    if _tell_two_calls(new, old) and not _may_be_moved(new, old):
        return _ANOTHER
    return Ruling(Sameness.POSSIBLE, Cause.MOVED) if sight.gone else _ANOTHER


def _may_be_moved(new: Record, old: Record) -> bool:
    """Whether a file kept its name or its time: a prompt of another call has neither."""
    apart = abs(new.stat.mtime_ns - old.stat.mtime_ns)
    return _base_name(new.path) == _base_name(old.path) or apart <= _CLOCK_NS


def _at_same_place(new: Record, old: Record, sight: Sight | None, *, equal_ids: bool) -> Ruling:
    """Rule 3: other audio at the same place."""
    if sight is None:
        return _UNSEEN
    if _tell_two_calls(new, old) and not equal_ids:
        return _ANOTHER
    if not sight.gone:
        return Ruling(Sameness.POSSIBLE, Cause.TWO_FORMATS)
    if _may_be_converted(new, old):
        return Ruling(Sameness.ONE, Cause.CONVERTED)
    return Ruling(Sameness.POSSIBLE, Cause.CHANGED_AUDIO)


def _by_default_id(new: Record, old: Record, sight: Sight | None) -> Ruling:
    """Rule 4: other audio at another place, and the same default ID."""
    if sight is None:
        return _UNSEEN
    moved = sight.gone and _alike_in_length(new, old)
    return Ruling(Sameness.POSSIBLE, Cause.MOVED_AND_CONVERTED if moved else Cause.SAME_DEFAULT_ID)


_REASONS: Final = {
    Cause.SAME_CALL_ID: "it has the call ID of {}, but other audio: if both are parts of one"
    " conversation, name a field that tells the parts apart with --call-id",
    Cause.MOVED: "it has the audio of {}, whose file is gone, but other metadata",
    Cause.MOVED_AND_CONVERTED: "it has the date, operator, client and length of {}, whose file is"
    " gone, but other audio",
    Cause.CHANGED_AUDIO: "it has the name of {}, but other audio, and nothing in the metadata tells"
    " whether it is another call",
    Cause.TWO_FORMATS: "it has the name of {} and other audio, and both files are there",
    Cause.SAME_DEFAULT_ID: "it has the date, operator and client of {}, but other audio",
    Cause.LEG: "its name is that of one side of the call in {}",
    Cause.PART: "it has a file in common with {}: one is a leg, the mix or a piece of the other,"
    " or both have the same legs or overlap",
}


def possible(cause: Cause, other: str) -> Failure:
    """Why a recording is held as a possible duplicate of the one at the path ``other``."""
    return Failure(cause.upper().replace("-", "_"), _REASONS[cause].format(other))


def strongest(rulings: Iterable[tuple[Ruling, Record]]) -> tuple[Ruling, Record | None]:
    """The surest ruling, with the record that it is about; the first of several."""
    best: tuple[Ruling, Record | None] = (_ANOTHER, None)
    for ruling, record in rulings:
        if ruling.sameness > best[0].sameness:
            best = ruling, record
    return best


def learned(old: Record, sight: Sight | None) -> Record:
    """The record with what a look showed, where it had nothing."""
    if sight is None or sight.identity is None:
        return old
    seen = sight.identity
    return replace(
        old,
        essence=seen.essence if old.essence is None else old.essence,
        default_id=seen.default_id if old.default_id is None else old.default_id,
        named_id=seen.named_id if old.named_id is None else old.named_id,
    )


def _corrected(old: Record, sight: Sight | None) -> Record:
    """The record with what its sidecar says now, as far as that was seen."""
    if sight is None or sight.corrected is None:
        return old
    now = sight.corrected
    return replace(old, metadata=now.metadata, default_id=now.default_id or old.default_id)


def sounds_like(one: Record, other: Record) -> bool:
    """Whether both have the same audio, as far as known."""
    if one.sha256 is not None and one.sha256 == other.sha256:
        return True
    return one.essence is not None and one.essence == other.essence


def has_content_of(new: Record, old: Record) -> bool:
    """Whether both have the same bytes and metadata; unknown metadata equal any."""
    same = new.sha256 is not None and new.sha256 == old.sha256
    return same and old.metadata in {None, new.metadata}


def _proves(new: Record) -> bool:
    return new.essence is None or not new.essence.startswith(CONSTANT)


def _are_equal(one: bytes | None, other: bytes | None) -> bool:
    return bool(one) and one == other


def _tell_two_calls(new: Record, old: Record) -> bool:
    """Whether the default IDs are of two calls, also where equal ones would prove nothing."""
    return bool(new.default_id and old.default_id) and new.default_id != old.default_id


def is_comparable(one: bytes | None, other: bytes | None) -> bool:
    """Whether both named IDs are there, and made by the same definition."""
    if not one or not other:
        return False
    return one[:DEFINITION_SIZE] == other[:DEFINITION_SIZE]


def may_be_versions_of_one(records: Sequence[Record]) -> bool:
    """Whether these may be one call, each in another format, or in another tree of one archive."""
    pairs = list(combinations(records, 2))
    if all(_may_be_converted(*pair) for pair in pairs):
        return True
    mirrored = len({_base_name(record.path) for record in records}) == 1
    return mirrored and all(_alike_in_length(*pair) for pair in pairs)


def _may_be_converted(new: Record, old: Record) -> bool:
    if is_piece(new) or is_piece(old):
        return False  # the other file may be cut elsewhere
    codecs = _codec(new), _codec(old)
    return None not in codecs and codecs[0] != codecs[1] and _alike_in_length(new, old)


def _codec(record: Record) -> str | None:
    return None if record.container is None else _CODECS[record.container]


def _alike_in_length(one: Record, other: Record) -> bool:
    if one.duration is None or other.duration is None:
        return False
    return are_alike_in_length(one.duration, other.duration)


def are_alike_in_length(one: float, other: float) -> bool:
    """Whether two lengths in seconds may be of one call."""
    return abs(one - other) <= _SECONDS + _SHARE * max(one, other)


def _base_name(path: str) -> str:
    return stem(base_name(path))
