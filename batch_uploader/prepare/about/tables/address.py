"""The address of a database, which may have a password in it."""

import re
from pathlib import Path
from typing import Final

_PASSWORD: Final = re.compile(r"(?<=://)([^/@:]*):.*(?=@)")


class Address(str):
    """An address that shows no password: wherever it is printed for people, ``shown`` is used."""

    __slots__ = ()

    @property
    def shown(self) -> str:
        """The address as it can be shown."""
        return _PASSWORD.sub(r"\1:***", self)

    @property
    def file(self) -> Path | None:
        """The file of ``sqlite:cdr.db``; None for a server."""
        scheme, _, rest = self.partition(":")
        return Path(rest.removeprefix("//")) if scheme == "sqlite" else None

    def __repr__(self) -> str:
        return repr(self.shown)
