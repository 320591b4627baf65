"""What the names of files say of each other: which is a sidecar, and of what."""

_EXTENSION = ".json"


def is_sidecar(path: str) -> bool:
    """Whether a file is a sidecar by its name; no such file is ever taken for audio."""
    return path[-len(_EXTENSION) :].lower() == _EXTENSION


def described(sidecar: str) -> str:
    """What a sidecar's path says of its recording's: all of it, or all but its extension."""
    return sidecar[: -len(_EXTENSION)]


def stem(path: str) -> str:
    """A path without its extension, if it has one."""
    dot = path.rfind(".")
    return path[:dot] if dot > path.rfind("/") + 1 else path
