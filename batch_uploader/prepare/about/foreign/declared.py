"""Which files are sidecars of other systems: their names and form, as the settings declare them."""

import codecs
import re
from enum import StrEnum
from functools import lru_cache
from typing import Final, NamedTuple

from msgspec import Struct

from batch_uploader.core.checks import require_type
from batch_uploader.core.errors import ConfigError
from batch_uploader.core.naming import stem

_SLOT: Final = re.compile(r"\{(name|stem)\}")


class SidecarFormat(StrEnum):
    """How a sidecar is written."""

    JSON = "json"
    XML = "xml"


class DeclaredSidecar(Struct, frozen=True, forbid_unknown_fields=True):
    """A kind of sidecar, as ``[[metadata.sidecar]]`` declares it. Raises ConfigError.

    ``name`` has ``{name}`` for the full name of the recording, or ``{stem}`` for it without its
    extension: ``{stem}.xml``, ``{name}_metadata.json``. A name without either is one file for all
    recordings of its folder. ``records`` is where in it their list is (or an object by their
    names), ``match`` the field of a record that names its file. ``encoding`` is for files that do
    not say theirs; None stands for UTF-8, and in XML for what it declares.
    """

    name: str
    format: SidecarFormat | None = None
    records: str | None = None
    match: str | None = None
    encoding: str | None = None

    def __post_init__(self) -> None:
        require_type("a sidecar's name", self.name, str)
        require_type("a sidecar's format", self.format, SidecarFormat, optional=True)
        for name in ("records", "match", "encoding"):
            require_type(f"a sidecar's {name}", getattr(self, name), str, optional=True)
        rest = _SLOT.sub("", self.name)
        if len(_SLOT.findall(self.name)) > 1 or not rest or "{" in rest or "}" in rest:
            raise ConfigError(
                f"a sidecar's name is {self.name!r}",
                hint="write it like {stem}.xml, {name}_metadata.json or metadata.json",
            )
        if "/" in rest or "\\" in rest:
            raise ConfigError(
                f"a sidecar's name is {self.name!r}",
                hint="give a name without folders: a sidecar is beside what it describes",
            )
        if self.format is None and _format_of(self.name) is None:
            raise ConfigError(
                f"the format of the sidecar {self.name!r} is unknown",
                hint='specify format = "json" or "xml"',
            )
        if self.encoding is not None and not _is_text_encoding(self.encoding):
            raise ConfigError(
                f"the encoding {self.encoding!r} of the sidecar {self.name!r} is unknown",
                hint='write it like "utf-16" or "windows-1251"',
            )

    @property
    def of_folder(self) -> bool:
        """Whether one file describes all recordings of its folder."""
        return not _parts(self.name).slot

    @property
    def written_as(self) -> SidecarFormat:
        """The format that is declared, else that of the extension."""
        return self.format or _format_of(self.name) or SidecarFormat.JSON

    @property
    def pattern(self) -> str:
        """The names of such sidecars, as a source's patterns are written."""
        prefix, slot, suffix = (re.sub(r"([*?[])", r"[\1]", part) for part in _parts(self.name))
        return f"{prefix}{'*' if slot else ''}{suffix}"

    def described(self, file: str) -> str | None:
        """What a file of this name describes, None if it is not such a sidecar.

        The result is comparable with ``key``; only the end of the name ignores case.
        """
        prefix, slot, suffix = _parts(self.name)
        end = len(file) - len(suffix)
        if file[end:].lower() != suffix or end < len(prefix):
            return None
        if not slot:
            return "" if not end else None
        return file[len(prefix) : end] or None if file.startswith(prefix) else None

    def beside(self, recording: str) -> str:
        """The name of the sidecar of a recording with this name."""
        return _SLOT.sub(lambda _: self.key(recording), self.name)

    def key(self, recording: str) -> str:
        """What the sidecar of a recording with this name describes, by its own name."""
        slot = _parts(self.name).slot
        return recording if slot == "name" else stem(recording) if slot else ""


class _Parts(NamedTuple):
    """A sidecar's name: what is before the slot, which slot, and what comes after it."""

    prefix: str
    slot: str
    suffix: str


@lru_cache(maxsize=100)
def _parts(name: str) -> _Parts:
    slot = _SLOT.search(name)
    if slot is None:
        return _Parts("", "", name.lower())
    return _Parts(name[: slot.start()], slot[1], name[slot.end() :].lower())


def _format_of(name: str) -> SidecarFormat | None:
    extension = name.rpartition(".")[2].lower()
    return SidecarFormat(extension) if extension in list(SidecarFormat) else None


def _is_text_encoding(name: str) -> bool:
    try:
        return codecs.lookup(name)._is_text_encoding  # noqa: SLF001 - as str.encode looks it up
    except (LookupError, ValueError):
        return False
