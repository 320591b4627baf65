"""Ready-made layouts: settings for the archives of known systems, one TOML file each.

A layout says what describes a recording of its system, and which ID is that of the recording. It is
read as a settings file beneath all others, and is a starting point to copy. Its first line names
the system.
"""

import difflib
import re
import tomllib
from functools import lru_cache
from importlib import resources
from typing import Any

from msgspec import Struct

from batch_uploader.core.errors import ConfigError

_SUFFIX = ".toml"


class Layout(Struct, frozen=True):
    """A layout: its name, the system that it is for, its text, and the settings in it."""

    name: str
    title: str
    text: str
    settings: dict[str, Any]


@lru_cache(maxsize=1)
def names() -> tuple[str, ...]:
    """The names of all layouts."""
    files = resources.files(__name__).iterdir()
    return tuple(sorted(f.name.removesuffix(_SUFFIX) for f in files if f.name.endswith(_SUFFIX)))


def load(name: str) -> Layout:
    """The layout of that name. Raises ConfigError."""
    if name not in names():
        known = f"the layouts are {', '.join(names())}"
        meant = ", ".join(f"{each} ({load(each).title})" for each in _alike(name))
        hint = f"did you mean {meant}? If not, {known}" if meant else known
        raise ConfigError(f"there is no layout {name!r}", hint=hint)
    text = resources.files(__name__).joinpath(name + _SUFFIX).read_text("utf-8")
    title = text.partition("\n")[0].removeprefix("#").strip()
    return Layout(name, title, text, tomllib.loads(text))


def _alike(name: str) -> list[str]:
    """The layouts of a system that is also called that, or whose names are almost that."""
    word = re.compile(rf"\b{re.escape(name)}\b", re.IGNORECASE)
    also = [each for each in names() if word.search(load(each).title)]
    return also or difflib.get_close_matches(name, names())
