"""What audio costs, by the minutes of a month."""

from datetime import UTC, datetime
from decimal import Decimal

import pytest

from batch_uploader.core.errors import ConfigError
from batch_uploader.core.price import Price, Tier, costs, used_this_month
from batch_uploader.core.runs import Run, RunBegin, RunEnd
from batch_uploader.settings import Settings

HEAD = "[price]\ncurrency = 'RUB'\nper-minute = 1\n"
TWICE = "{from-minutes = 9, per-minute = 1}"
FLAT = Price("RUB", (Tier(Decimal(0), Decimal("0.96")),))
TIERED = Price(
    "RUB",
    (
        Tier(Decimal(0), Decimal(1)),
        Tier(Decimal(100), Decimal("0.5")),
        Tier(Decimal(200), Decimal("0.1")),
    ),
)


@pytest.mark.parametrize(
    ("price", "minutes", "used", "cost"),
    [
        (FLAT, 10, 0, "9.6"),
        (FLAT, 0, 7, "0"),
        (TIERED, 100, 0, "100"),
        (TIERED, 150, 0, "125"),
        (TIERED, 100, 50, "75"),
        (TIERED, 300, 0, "160"),
        (TIERED, 10, 500, "1"),
        (TIERED, 0.5, 99.75, "0.375"),
    ],
)
def test_each_minute_has_the_price_of_its_place_in_the_month(price, minutes, used, cost):
    assert price.cost(minutes * 60, used * 60) == Decimal(cost)


def run(year, month, minutes, ended=True):
    began = int(datetime(year, month, 3, tzinfo=UTC).timestamp()) * 10**9
    end = RunEnd("completed", uploaded_duration=minutes * 60.0) if ended else None
    return Run("c", RunBegin("r", "1", "host", 7, "{}"), began, end)


def test_each_month_begins_anew_and_a_run_that_goes_on_has_no_price_yet():
    runs = [run(2025, 2, 9, ended=False), run(2025, 2, 50), run(2025, 1, 100), run(2025, 1, 50)]
    assert costs(runs, TIERED) == [None, Decimal(50), Decimal(75), Decimal(50)]
    assert used_this_month(runs, runs[2].began_at_ns) == 150 * 60


def settings(folder, text):
    (folder / "batch-uploader.toml").write_text(text)
    return Settings(folder, {}, {}, folder)


def test_it_is_read_from_the_settings_file(tmp_path):
    text = """[price]
    currency = "RUB"
    per-minute = 1
    tiers = [{from-minutes = 100, per-minute = 0.5}, {from-minutes = 200, per-minute = 0.1}]
    """
    assert settings(tmp_path, text).price() == TIERED
    assert settings(tmp_path, "").price() is None


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("price = 1", "not a table"),
        ("[price]\ncurrency = 'RUB'", "per-minute is missing"),
        ("[price]\nper-minute = 1", "currency is missing"),
        ("[price]\ncurrency = 'RUB'\nper-minute = '1'", "not a number"),
        ("[price]\ncurrency = 'RUB'\nper-minute = -1", "is not an amount"),
        ("[price]\ncurrency = 'RUB'\nper-minute = nan", "not an amount"),
        (f"{HEAD}per-hour = 2", r"per-hour in \[price\] in .*: unknown setting"),
        (f"{HEAD}tiers = 1", "not a list of tables"),
        (f"{HEAD}tiers = [{{per-minute = 1}}]", "is missing"),
        (
            f"{HEAD}tiers = [{TWICE}, {TWICE}]",
            "from-minutes must grow",
        ),
    ],
)
def test_what_is_no_price_is_refused(tmp_path, text, said):
    with pytest.raises(ConfigError, match=said):
        settings(tmp_path, text).price()
