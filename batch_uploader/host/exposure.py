"""Who else may use a file that holds a secret."""

import os
import stat
import sys
from pathlib import Path
from typing import Final

_WRITABLE: Final = stat.S_IWGRP | stat.S_IWOTH
_READABLE: Final = stat.S_IRGRP | stat.S_IROTH
_HANDED_OVER: Final = ("/run/secrets", "/var/run/secrets")
"""Where containers get their secrets, readable by all: a container is of one user."""


def others_may_write(path: Path) -> bool:
    """Whether other users may change the file, as far as its mode tells. Raises OSError."""
    return sys.platform != "win32" and bool(path.stat().st_mode & _WRITABLE) and not _fixed(path)


def others_may_read(path: Path) -> bool:
    """Whether other users may read the file, and no service manager hands it over so.

    Kubernetes mounts secrets read-only, Docker at a place of its own; systemd lets the service read
    by an ACL, which the mode shows as the group's right. Raises OSError.
    """
    if sys.platform == "win32" or not path.stat().st_mode & _READABLE:
        return False
    return not (_fixed(path) or _handed_over(path))


def _fixed(path: Path) -> bool:
    """Whether the file is on a read-only mount."""
    return bool(os.statvfs(path).f_flag & os.ST_RDONLY)


def _handed_over(path: Path) -> bool:
    places = [*_HANDED_OVER, os.environ.get("CREDENTIALS_DIRECTORY", "")]
    real = Path(os.path.realpath(path))
    return any(real.is_relative_to(os.path.realpath(place)) for place in places if place)
