"""Some of many, to look at closely."""

from collections.abc import Sequence
from typing import TypeVar

_T = TypeVar("_T")


def spread(items: Sequence[_T], most: int) -> Sequence[_T]:
    """At most this many of the items, from all over them."""
    return items[:: max(len(items) // most, 1)][:most]
