"""Which files are sidecars by their names, and of which recordings."""

_EXTENSION = ".json"


def is_sidecar(path: str) -> bool:
    """Whether a file is a sidecar by its name; such a file is never taken for audio."""
    return path[-len(_EXTENSION) :].lower() == _EXTENSION


def described(sidecar: str) -> str:
    """The recording's path that a sidecar's path names, with or without the audio's extension."""
    return sidecar[: -len(_EXTENSION)]


def stem(path: str) -> str:
    """A path without its extension, if it has one."""
    dot = path.rfind(".")
    return path[:dot] if dot > path.rfind("/") + 1 else path
