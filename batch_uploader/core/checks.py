"""Checks of the library's options, made where the options are created."""

import asyncio
import math
import os
from collections.abc import Iterable
from pathlib import Path

from batch_uploader.core.errors import ConfigError


def require_asyncio() -> None:
    """Raise ConfigError unless asyncio runs: gRPC and the ledger support no other event loop."""
    try:
        asyncio.get_running_loop()
    except RuntimeError as error:
        raise ConfigError(
            "batch-uploader runs under asyncio only",
            hint="call it with asyncio.run, or with anyio's asyncio backend",
        ) from error


def require_number(
    name: str,
    value: object,
    *,
    least: float = 0,
    above: float = -math.inf,
    most: float = math.inf,
    optional: bool = False,
) -> None:
    """Raise ConfigError unless ``value`` is a finite number within these bounds.

    ``least`` and ``most`` are inclusive, ``above`` is exclusive. None is allowed if ``optional``.
    """
    if value is None and optional:
        return
    if isinstance(value, bool) or not isinstance(value, int | float) or not math.isfinite(value):
        raise ConfigError(f"{name} is {value!r}", hint="give a number")
    if value <= above:
        raise ConfigError(f"{name} is {value!r}", hint=f"give more than {above:g}")
    if not least <= value <= most:
        bounds = f"at least {least:g}" if value < least else f"at most {most:g}"
        raise ConfigError(f"{name} is {value!r}", hint=f"give {bounds}")


def require_whole(
    name: str, value: object, *, least: int = 0, most: float = math.inf, optional: bool = False
) -> None:
    """As ``require_number``, for whole numbers."""
    require_number(name, value, least=least, most=most, optional=optional)
    if isinstance(value, float):
        raise ConfigError(f"{name} is {value!r}", hint="give a whole number")


def require_type(name: str, value: object, wanted: type, *, optional: bool = False) -> None:
    """Raise ConfigError unless ``value`` is of that class, without showing it: it may be a secret.

    None is allowed if ``optional``.
    """
    if not isinstance(value, wanted) and not (value is None and optional):
        raise ConfigError(
            f"{name} is a value of the type {type(value).__name__}",
            hint=f"give one of {wanted.__name__}",
        )


def require_word(name: str, value: object, *, optional: bool = False) -> None:
    """Raise ConfigError unless ``value`` is printable text without spaces, such as an ID."""
    require_type(name, value, str, optional=optional)
    if isinstance(value, str) and not (value and value.isprintable() and " " not in value):
        raise ConfigError(f"{name} is {value!r}", hint="give one word")


def require_texts(name: str, value: Iterable[object]) -> None:
    """Raise ConfigError unless ``value`` holds strings; a single string is an error."""
    if isinstance(value, str) or not all(isinstance(each, str) for each in value):
        raise ConfigError(f"{name} is not a collection of texts", hint="give a list of them")


def as_path(name: str, value: object) -> Path:
    """``value`` as a Path. Raises ConfigError if it cannot be one."""
    if not isinstance(value, str | os.PathLike) or not str(value):
        raise ConfigError(f"{name} is {value!r}", hint="give a path")
    return Path(value)
