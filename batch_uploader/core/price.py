"""What audio costs: a price for each minute, which may depend on the minutes of the month."""

from collections.abc import Iterable, Sequence
from datetime import UTC, datetime
from decimal import Decimal

from msgspec import Struct

from batch_uploader.core.runs import Run

_MINUTE = 60


class Tier(Struct, frozen=True):
    """The price of a minute from this number of minutes in a month on."""

    from_minutes: Decimal
    per_minute: Decimal


class Price(Struct, frozen=True):
    """The price of audio; ``tiers`` are sorted, and the first one begins at 0."""

    currency: str
    tiers: tuple[Tier, ...]

    def cost(self, seconds: float, used: float = 0.0) -> Decimal:
        """The price of these seconds, after ``used`` ones in the same month."""
        begin = Decimal(str(used)) / _MINUTE
        end = begin + Decimal(str(seconds)) / _MINUTE
        total = Decimal(0)
        for tier, ends in zip(self.tiers, [*self.tiers[1:], None], strict=True):
            until = end if ends is None else min(end, ends.from_minutes)
            total += max(Decimal(0), until - max(begin, tier.from_minutes)) * tier.per_minute
        return total

    def shown(self, cost: Decimal) -> str:
        """An amount for people: ``1,234.56 RUB``."""
        return f"{cost:,.2f} {self.currency}"


def used_this_month(runs: Iterable[Run], now_ns: int) -> float:
    """The seconds that these runs uploaded in the month of that time, by UTC."""
    month = _month(now_ns)
    return sum(_uploaded(run) for run in runs if _month(run.began_at_ns) == month)


def costs(runs: Sequence[Run], price: Price) -> list[Decimal | None]:
    """What each of all runs on record cost, the latest first; None while it goes on."""
    found: list[Decimal | None] = []
    month, used = "", 0.0
    for run in reversed(runs):
        if _month(run.began_at_ns) != month:
            month, used = _month(run.began_at_ns), 0.0
        seconds = _uploaded(run)
        found.append(None if run.end is None else price.cost(seconds, used))
        used += seconds
    return found[::-1]


def _month(moment_ns: int) -> str:
    return datetime.fromtimestamp(moment_ns // 1_000_000_000, UTC).strftime("%Y-%m")


def _uploaded(run: Run) -> float:
    return 0.0 if run.end is None else run.end.uploaded_duration
