"""The root of a directory of recordings: held, so that all of a run is of one and the same."""

import os
import sys
import threading
import weakref
from collections.abc import Callable

from batch_uploader.core.errors import SourceError
from batch_uploader.host import beneath

Explain = Callable[[OSError], tuple[str, str]]


class HeldRoot:
    """A directory that is opened once, when it is first asked for.

    A path may come to lead elsewhere in the middle of a run: a link is turned, a directory is moved
    away and another one made in its place, a share is unmounted. ``path`` is its name,
    ``leads_to`` where that led when the rest of the run's files were found. ``explain`` tells of an
    OSError what is wrong, and the cure.
    """

    def __init__(self, path: str, leads_to: str, explain: Explain) -> None:
        self._path = path
        self._leads_to = leads_to
        self._explain = explain
        self._opening = threading.Lock()
        self._held: beneath.Root | None = None
        self._identity = (0, 0)
        self.real = leads_to
        """Its path without links, when it was opened."""
        self._let_go: weakref.finalize[[int], HeldRoot] | None = None

    @property
    def where(self) -> str:
        """Its name, for a human."""
        return os.fsencode(self._path).decode(errors="backslashreplace")

    @property
    def held(self) -> beneath.Root:
        """What to open everything from. Blocking at first. Raises SourceError."""
        held = self._held
        if held is None:
            with self._opening:
                held = self._open() if self._held is None else self._held
        elif sys.platform == "win32":
            self.require_same()
        return held

    @property
    def device(self) -> int:
        """The device that it is on; it is held."""
        return self._identity[0]

    def is_same(self) -> bool:
        """Whether its path still leads to it; it is held. Blocking. Raises SourceError."""
        try:
            return beneath.identity(self._path) == self._identity
        except OSError as error:
            raise self.error(error) from error

    def require_same(self) -> None:
        """Raise SourceError unless its path leads to what is held, if anything is. Blocking."""
        if self._held is not None and not self.is_same():
            raise SourceError(
                f"{self.where} became another directory during the run, which went on with the"
                " first one",
                hint="check what was moved or mounted there, then run again over both",
            )

    def close(self) -> None:
        """Let it go; it is opened again, by its path, when it is asked for again."""
        let_go, self._let_go, self._held = self._let_go, None, None
        if let_go is not None:
            let_go()

    def error(self, error: OSError) -> SourceError:
        """What is raised where it cannot be read."""
        if isinstance(error, FileNotFoundError):
            return SourceError(
                f"the directory {self.where} does not exist", hint="check its name and the mount"
            )
        if isinstance(error, NotADirectoryError):
            return SourceError(
                f"{self.where} is not a directory", hint="specify the one with the recordings"
            )
        message, cure = self._explain(error)
        return SourceError(f"the directory {self.where} {message}", hint=cure)

    def _open(self) -> beneath.Root:
        try:
            held = self._held = beneath.hold_directory(self._leads_to)
            self._identity = beneath.identity(held)
            self.real = os.path.realpath(self._leads_to)
        except OSError as error:
            raise self.error(error) from error
        if isinstance(held, int):
            self._let_go = weakref.finalize(self, os.close, held)
        return held
