"""Commands for the same directory, ledger and settings, to paste into a shell."""

import os
from collections.abc import Iterable, Iterator

from batch_uploader.app.duplicates import DuplicateGroup
from batch_uploader.cli.flags import PLACE, READING, UPLOAD
from batch_uploader.core.text import quote
from batch_uploader.settings import Settings
from batch_uploader.ui.duplicates import ShownGroup

_KNOWN = {
    "check": READING,
    "manifest": PLACE,
    "resolve": PLACE,
    "status": PLACE,
    "upload": UPLOAD,
}


def again(settings: Settings, command: str, *more: str) -> str:
    """The command with the directory as it was typed, and the given flags that it has.

    ``more`` are words for its end, each quoted if needed.
    """
    directory = os.fspath(settings.directory)
    # A name with a leading dash must not be read as a flag.
    word = quote(f"./{directory}" if directory.startswith("-") else directory)
    return " ".join(["batch-uploader", command, word, *_flags(settings, command), *more])


def flags_again(settings: Settings, command: str) -> str:
    """Only the flags, each after a space."""
    return "".join(f" {word}" for word in _flags(settings, command))


def held_groups(
    groups: Iterable[DuplicateGroup], settings: Settings, *, several: bool
) -> list[ShownGroup]:
    """Possible duplicates with the command for each group, of ``several`` connections or one."""
    held = []
    for group in groups:
        more = ["--cause", group.cause.value]
        if several and "connection-id" not in settings.flags:
            more += ["--connection-id", quote(group.connection_id)]
        held.append(ShownGroup(group, again(settings, "resolve", *more)))
    return held


def _flags(settings: Settings, command: str) -> Iterator[str]:
    known = {name.removeprefix("--") for flag in _KNOWN[command] for name in flag.opts}
    for name, value in settings.flags.items():
        if name in known:
            for each in value if isinstance(value, list) else [value]:
                yield f"--{name}"
                if each is not True:
                    yield quote(str(each))
