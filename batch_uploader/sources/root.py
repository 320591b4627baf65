"""The held root of a directory of recordings, so that all of a run uses the same directory."""

import os
import sys
import threading
import weakref
from collections.abc import Callable

from batch_uploader.core.errors import SourceError
from batch_uploader.host import beneath

Explain = Callable[[OSError], tuple[str, str]]


class HeldRoot:
    """A directory that is opened once, when it is first used.

    Its path may lead elsewhere in the middle of a run: a link is changed, a directory is replaced,
    a share is unmounted. ``path`` is its name, ``leads_to`` the real path when the run's other
    files were found. ``explain`` turns an OSError into problem and hint.
    """

    def __init__(self, path: str, leads_to: str, explain: Explain) -> None:
        self._path = path
        self._leads_to = leads_to
        self._explain = explain
        self._opening = threading.Lock()
        self._held: beneath.Root | None = None
        self._identity = (0, 0)
        self.real = leads_to
        """Its real path when it was opened."""
        self._let_go: weakref.finalize[[int], HeldRoot] | None = None

    @property
    def where(self) -> str:
        """Its name, for messages."""
        return os.fsencode(self._path).decode(errors="backslashreplace")

    @property
    def held(self) -> beneath.Root:
        """The directory to open files relative to. Blocking at first. Raises SourceError."""
        held = self._held
        if held is None:
            with self._opening:
                held = self._open() if self._held is None else self._held
        elif sys.platform == "win32":
            self.require_same()
        return held

    @property
    def device(self) -> int:
        """The device of the held directory."""
        return self._identity[0]

    def is_same(self) -> bool:
        """Whether its path still leads to the held directory. Blocking. Raises SourceError."""
        try:
            return beneath.identity(self._path) == self._identity
        except OSError as error:
            raise self.error(error) from error

    def require_same(self) -> None:
        """Raise SourceError unless its path leads to the held directory, if one is. Blocking."""
        if self._held is not None and not self.is_same():
            raise SourceError(
                f"{self.where} became another directory during the run, which went on with the"
                " first one",
                hint="check what was moved or mounted there, then run again over both",
            )

    def close(self) -> None:
        """Release it; it is opened again, by its path, when it is used again."""
        let_go, self._let_go, self._held = self._let_go, None, None
        if let_go is not None:
            let_go()

    def error(self, error: OSError) -> SourceError:
        """The error to raise if it cannot be read."""
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
