"""What is known of legs, and which of them, or which channel, is the agent's: pure."""

from collections.abc import Callable
from enum import StrEnum

from msgspec import Struct

from batch_uploader.core.checks import require_type
from batch_uploader.core.errors import ConfigError
from batch_uploader.prepare.legs.pattern import KNOWN, LegPattern, LegPlace


class Side(StrEnum):
    """A channel of what is sent."""

    LEFT = "left"
    """The first channel."""
    RIGHT = "right"
    """The second channel."""


class Speaker(StrEnum):
    """Who is heard on the first leg, or on the left channel."""

    AGENT = "agent"
    """The one who works there."""
    CLIENT = "client"
    """The other one."""
    CALLER = "caller"
    """Who called: the agent of outgoing calls, the client of incoming ones."""
    CALLED = "called"
    """Who was called: the client of outgoing calls, the agent of incoming ones."""


class SpeakerColumn(Struct, frozen=True):
    """A field or column that says it of each recording, by the values for each ``Speaker``."""

    column: str
    agent: tuple[str, ...] = ()
    client: tuple[str, ...] = ()
    caller: tuple[str, ...] = ()
    called: tuple[str, ...] = ()

    def __post_init__(self) -> None:
        values = [each.casefold() for some in self._by_speaker().values() for each in some]
        if not self.column or not values or len({*values}) < len(values):
            raise ConfigError(
                "a column that says who is heard needs a name, and different values for each",
                hint='write it like {column = "channel", agent = ["0"], client = ["1"]}',
            )

    def speaker(self, value: str) -> Speaker | None:
        """Who a value means, None if it is not among those."""
        by = self._by_speaker()
        found = (who for who in by if value.casefold() in {each.casefold() for each in by[who]})
        return next(found, None)

    def _by_speaker(self) -> dict[Speaker, tuple[str, ...]]:
        return {
            Speaker.AGENT: self.agent,
            Speaker.CLIENT: self.client,
            Speaker.CALLER: self.caller,
            Speaker.CALLED: self.called,
        }


def columns_of(speaker: Speaker | SpeakerColumn | None) -> tuple[str, ...]:
    """The field or column that says who is heard, if one does."""
    return (speaker.column,) if isinstance(speaker, SpeakerColumn) else ()


class LegRules(Struct, frozen=True):
    """Which files are legs: none without a pattern.

    ``first`` is who is heard on the first one, None where that is unknown. A leg whose other one is
    missing is a defect, or with ``alone`` sent by itself. ``offsets`` are the fields or columns
    that say when either leg began, in seconds from any moment; None if both began together.
    ``files`` are the two columns of a ``table`` of the metadata that name the legs, or the only
    one, which has a list of both.
    """

    patterns: tuple[LegPattern, ...]
    first: Speaker | SpeakerColumn | None = None
    alone: bool = False
    offsets: tuple[str, str] | None = None
    files: tuple[str, ...] = ()
    table: str | None = None

    def __post_init__(self) -> None:
        require_type("alone", self.alone, bool)
        if len(self.files) > 2:  # noqa: PLR2004 - legs
            raise ConfigError("a call has two legs", hint="name one column or two in files")

    def place(self, path: str, is_audio: Callable[[str], bool]) -> LegPlace | None:
        """Of which call a file is a leg, by the first pattern that fits."""
        found = (each.place(path, is_audio) for each in self.patterns)
        return next((each for each in found if each is not None), None)

    @property
    def columns(self) -> frozenset[str]:
        """The fields or columns that it asks for."""
        return frozenset({*columns_of(self.first), *(self.offsets or ())})

    @property
    def speaker(self) -> Speaker | SpeakerColumn | None:
        """Who is heard on the first leg: as told, or what is usual for the known patterns."""
        usual = not self.files and all(each in KNOWN.values() for each in self.patterns)
        return self.first or (Speaker.CALLER if usual else None)


class Channels(Struct, frozen=True):
    """Where the agent is to be: on ``agent``, None if it does not matter.

    ``left`` is who is heard on the left channel of recordings that are stereo already, None if
    these are sent as they are.
    """

    agent: Side | None = None
    left: Speaker | SpeakerColumn | None = None
