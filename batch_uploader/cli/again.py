"""Commands for the same directory, ledger and settings, to paste into a shell."""

import os
from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path

from batch_uploader.app.duplicates import DuplicateGroup
from batch_uploader.cli.flags import DOCTOR, PLACE, READING, UPLOAD
from batch_uploader.core.errors import CommandHint, ConfigError, OtherRoots, UploaderError
from batch_uploader.core.text import quote
from batch_uploader.settings import Settings
from batch_uploader.ui.duplicates import ShownGroup

_KNOWN = {
    "check": READING,
    "doctor": DOCTOR,
    "manifest": PLACE,
    "resolve": PLACE,
    "runs": PLACE,
    "status": PLACE,
    "upload": UPLOAD,
}
_PLACES = ("ledger", "manifest")
_SHOWN = 3


_given: list[Settings] = []
"""The settings of the command that this process runs, for hints that are made deep within."""


def settings_of(directory: Path, flags: Mapping[str, object]) -> Settings:
    """The settings of the command that runs."""
    _given[:] = [Settings(directory, flags)]
    return _given[0]


def spelled(hint: str) -> str:
    """A hint with the whole command, if it ends with one and its directory is known."""
    if not (isinstance(hint, CommandHint) and _given):
        return hint
    return f"{hint.why}: {again(_given[0], hint.command, *hint.more)}"


def located(error: UploaderError) -> str:
    """The problem of an error, with where the value was given that causes it."""
    if not (isinstance(error, ConfigError) and error.setting and _given):
        return error.problem
    origin = _given[0].origin(error.setting)
    if origin is None:
        return error.problem
    return f"{origin}: {error.problem.removeprefix(f'{error.flag}: ')}"


def again(settings: Settings, command: str, *more: str) -> str:
    """The command with the directory as it was typed, and the given flags that it has.

    ``more`` are words for its end, each quoted if needed.
    """
    return command_line(command, os.fspath(settings.directory), *_flags(settings, command), *more)


@contextmanager
def naming_other_roots(settings: Settings) -> Iterator[None]:
    """Give an error about other directories the commands to use, with the given flags."""
    try:
        yield
    except OtherRoots as error:
        many = len(error.others) > 1
        error.hints = (
            *(
                f"upload {'each' if many else 'that one'} by itself: "
                + command_line(
                    "upload", root, *_flags(settings, "upload", _PLACES), *_ledger(ledger)
                )
                for root, ledger in error.others[:_SHOWN]
            ),
            "or adopt what is on record there, which is then used no more: "
            + again(settings, "upload", "--adopt"),
        )
        raise


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


def command_line(command: str, directory: str, *words: str) -> str:
    """A command on a directory; ``words`` are quoted already."""
    # A name with a leading dash must not be read as a flag.
    word = quote(f"./{directory}" if directory.startswith("-") else directory)
    return " ".join(["batch-uploader", command, word, *words])


def _ledger(ledger: str | None) -> Sequence[str]:
    return () if ledger is None else ("--ledger", quote(ledger))


def _flags(settings: Settings, command: str, without: Collection[str] = ()) -> Iterator[str]:
    known = {name.removeprefix("--") for flag in _KNOWN[command] for name in flag.opts}
    for name, value in settings.flags.items():
        if name in known and name not in without:
            for each in value if isinstance(value, list) else [value]:
                yield f"--{name}"
                if each is not True:
                    yield quote(str(each))
