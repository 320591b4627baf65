"""The price of audio, from ``[price]``."""

from collections import ChainMap
from collections.abc import Iterator
from decimal import Decimal
from typing import Final

from batch_uploader.core.price import Price, Tier
from batch_uploader.settings.given import RawSetting

_KEYS: Final = frozenset({"currency", "per-minute", "tiers"})
_TIER: Final = frozenset({"from-minutes", "per-minute"})
_HOW: Final = (
    'write it like currency = "RUB", per-minute = 0.96, and for larger amounts'
    " tiers = [{from-minutes = 50000, per-minute = 0.80}]"
)


def read_price(layers: ChainMap[str, RawSetting]) -> Price | None:
    """The price; None if it is not given. Raises ConfigError."""
    if "price" not in layers:
        return None
    given = layers["price"]
    table = given.entries(_HOW, _KEYS)
    for name in ("currency", "per-minute"):
        if name not in table:
            given.refuse(f"{name} is missing", _HOW)
    tiers = [Tier(Decimal(0), _amount(table["per-minute"]))]
    for tier in _tiers(table.get("tiers")):
        if tier.from_minutes <= tiers[-1].from_minutes:
            table["tiers"].refuse("from-minutes must grow from one to the next", _HOW)
        tiers.append(tier)
    return Price(table["currency"].word(), tuple(tiers))


def _tiers(given: RawSetting | None) -> Iterator[Tier]:
    if given is None:
        return
    if not isinstance(given.value, list):
        given.refuse("not a list of tables", _HOW)
    for each in given.value:
        table = RawSetting(each, given.origin, given.base).entries(_HOW, _TIER)
        for name in _TIER - table.keys():
            given.refuse(f"{name} is missing", _HOW)
        yield Tier(_amount(table["from-minutes"]), _amount(table["per-minute"]))


def _amount(given: RawSetting) -> Decimal:
    value = given.value
    if isinstance(value, bool) or not isinstance(value, int | Decimal):
        given.refuse("not a number", "write it without quotes, like 0.96")
    amount = Decimal(value)
    if not amount.is_finite() or amount < 0:
        given.refuse(f"{value} is not an amount", "write it like 0.96")
    return amount
