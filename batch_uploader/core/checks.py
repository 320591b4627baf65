"""What the options of the library have to be, asked where they are made."""

import math

from batch_uploader.core.errors import ConfigError


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

    ``least`` and ``most`` are allowed themselves, ``above`` is not. None is allowed if it is
    ``optional``.
    """
    if value is None and optional:
        return
    if isinstance(value, bool) or not isinstance(value, int | float) or not math.isfinite(value):
        raise ConfigError(f"{name} is {value!r}, which is not a number")
    if value <= above:
        raise ConfigError(f"{name} is {value!r}; give more than {above:g}")
    if not least <= value <= most:
        bounds = f"at least {least:g}" if value < least else f"at most {most:g}"
        raise ConfigError(f"{name} is {value!r}; give {bounds}")


def require_whole(
    name: str, value: object, *, least: int = 0, most: float = math.inf, optional: bool = False
) -> None:
    """The same for what is counted."""
    require_number(name, value, least=least, most=most, optional=optional)
    if isinstance(value, float):
        raise ConfigError(f"{name} is {value!r}; give a whole number")
