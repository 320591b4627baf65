"""The rules by which a recording with its metadata is valid, and which call it is."""

import hashlib
from enum import StrEnum
from pathlib import Path
from typing import Protocol

from msgspec import Struct, field

from batch_uploader import __version__
from batch_uploader.core.checks import require_type
from batch_uploader.core.errors import ConfigError
from batch_uploader.core.model import AudioInfo, Defect, Metadata
from batch_uploader.prepare.audio import AudioRules
from batch_uploader.prepare.callid import CallIds
from batch_uploader.prepare.convert import codecs, resampling
from batch_uploader.prepare.filters import Digests, Filters, LeftOut
from batch_uploader.prepare.legs.rules import Channels, LegRules, columns_of
from batch_uploader.prepare.sidecar import Schema


class SidecarMode(StrEnum):
    """Whether every recording must have a sidecar."""

    REQUIRED = "required"
    """A recording without a sidecar is invalid."""
    OPTIONAL = "optional"
    """A recording without a sidecar has the defaults as metadata."""


class MetadataSources(Protocol):
    """Where metadata come from besides sidecars in our own form: ``MetadataRules``."""

    @property
    def sidecar_patterns(self) -> tuple[str, ...]:
        """Patterns of the names of other systems' sidecars."""

    @property
    def files(self) -> tuple[Path, ...]:
        """The files of its tables."""

    def digest(self) -> bytes:
        """The digest of all of it."""


class Rules(Struct, frozen=True):
    """The rules by which a recording with its sidecar is valid, and which call it is.

    What ``filters`` leave out is not sent, whether it is valid or not. ``about`` is where metadata
    come from besides sidecars in our own form. ``legs`` are files that are sides of a call,
    ``channels`` says where the agent is to be heard. With ``split_long`` what is longer than the
    service takes is sent in pieces. Raises ConfigError.
    """

    schema: Schema = field(default_factory=Schema)
    audio: AudioRules = field(default_factory=AudioRules)
    sidecar: SidecarMode = SidecarMode.REQUIRED
    call_ids: CallIds = field(default_factory=CallIds)
    filters: Filters = Filters()
    about: MetadataSources | None = None
    legs: LegRules | None = None
    channels: Channels = Channels()
    split_long: bool = False

    def __post_init__(self) -> None:
        require_type("schema", self.schema, Schema)
        require_type("audio", self.audio, AudioRules)
        require_type("sidecar", self.sidecar, SidecarMode)
        require_type("call_ids", self.call_ids, CallIds)
        require_type("filters", self.filters, Filters)
        require_type("legs", self.legs, LegRules, optional=True)
        require_type("channels", self.channels, Channels)
        require_type("split_long", self.split_long, bool)
        if self.channels.agent is not None and self.legs is not None and not self.legs.speaker:
            raise ConfigError(
                "it is not said who is heard on the first leg, so the agent cannot be put anywhere",
                hint='write first = "caller" (or called, agent, client) into [legs]',
            )
        # With tables and names, columns and groups tell calls apart as well.
        for name in sorted(self.call_ids.named) if self.about is None else ():
            if problem := self.schema.check_name(name):
                raise ConfigError(
                    f"the call ID's field {name!r}: {problem.message}", hint=problem.cure
                )

    @property
    def digests(self) -> Digests:
        """The digests of the rules and of the filters."""
        return self.filters.digests(self.digest())

    @property
    def columns(self) -> frozenset[str]:
        """The fields or columns that are asked for besides those that are sent."""
        of_legs = frozenset() if self.legs is None else self.legs.columns
        return self.call_ids.named | of_legs | {*columns_of(self.channels.left)}

    def leave_out(
        self, metadata: Metadata | tuple[Defect, ...], mtime_ns: int, info: AudioInfo | Defect
    ) -> LeftOut | None:
        """What a filter says; it comes before all defects that it does not depend on."""
        by_date = self.filters.by_date(metadata, mtime_ns)
        return by_date or self.filters.by_length(info, self.audio.max_duration)

    def digest(self) -> bytes:
        """The digest of the rules: under the same rules, invalid files stay so until they change.

        It includes the version of the program, and which extras for audio are installed, so that
        what was invalid for want of them is inspected again. ``digests`` adds the filters.
        """
        schema = self.schema
        form: tuple[object, ...] = (
            __version__,
            sorted(schema.defaults.items()),
            sorted(schema.required),
            sorted(schema.types.items()),
            None if schema.declared is None else sorted(schema.declared),
            schema.stamp_field,
            self.audio,
            codecs.AVAILABLE,
            resampling.AVAILABLE,
            self.sidecar,
            sorted(self.call_ids.named),
            self.call_ids.default,
        )
        if self.about is not None:
            form = (*form, self.about.digest())
        if self.legs is not None or self.channels != Channels():
            form = (*form, self.legs, self.channels)
        if self.split_long:
            form = (*form, "split")
        return hashlib.sha256(repr(form).encode()).digest()
