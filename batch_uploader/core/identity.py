"""What tells whether two recordings are one call: digests of what is heard, and of IDs.

``calls`` has the rules that compare them.
"""

from enum import StrEnum
from typing import Final

from msgspec import Struct


class Identity(Struct, frozen=True):
    """The identity of a recording, besides its place and the bytes of its files.

    ``essence`` is a letter for what was hashed, and the XXH3-128 of it: ``p`` the samples of PCM,
    ``c`` samples that are all equal, ``m`` the frames of MP3, ``o`` the packets of Opus, ``v`` of
    Vorbis, ``j`` the essences of two legs, ``s`` that of a
    file and what of it is a piece, ``f`` a whole file. None if it was not computed.
    ``default_id`` is a digest of the date, the operator and the client, ``named_id`` a digest of
    the names of ``--call-id`` (8 bytes) and one of the values. Both are empty for a recording
    without such an ID.
    """

    essence: bytes | None = None
    default_id: bytes = b""
    named_id: bytes = b""


DEFINITION_SIZE = 8
"""Bytes of a named ID that tell by which fields it was made."""
CONSTANT = b"c"
"""The letter of an essence that proves nothing: silence is like any other silence."""


class Cause(StrEnum):
    """Why a recording is taken for a call that is on record, or for another one."""

    SAME_CONTENT = "same-content"
    """The same bytes and metadata at another path."""
    SAME_AUDIO = "same-audio"
    """The same audio, and the same place or the same ID."""
    CONVERTED = "converted"
    """Another codec, the same length, and the file that was sent is gone."""
    SAME_CALL_ID = "same-call-id"
    """The same named ID and other audio: perhaps a part of the same conversation."""
    MOVED = "moved"
    """The same audio at another path with other metadata, and the file that was sent is gone."""
    MOVED_AND_CONVERTED = "moved-and-converted"
    """The same default ID and length at another path, and the file that was sent is gone."""
    CHANGED_AUDIO = "changed-audio"
    """Other audio at the same place, and nothing tells whether it is another call."""
    TWO_FORMATS = "two-formats"
    """Other audio at the same place, and the file that was sent is still there."""
    SAME_DEFAULT_ID = "same-default-id"
    """The same default ID and other audio at another place."""
    LEG = "leg"
    """Its name looks like one side of the call that is mixed in the file beside it."""
    PART = "part"
    """One is a leg, the mix or a piece of the other, or both have the same legs or overlap."""
    ANOTHER_CALL = "another-call"
    """A human decided that it is another call than it may have been; copies of one are one call."""
    NO_DUPLICATE = "no-duplicate"
    """A human decided that a duplicate is another call: it is sent whatever it is like."""


BY_A_HUMAN: Final = frozenset({Cause.ANOTHER_CALL, Cause.NO_DUPLICATE})
"""Decisions, which are not made again while the content stays."""
