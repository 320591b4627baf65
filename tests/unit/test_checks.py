"""Options are checked where they are made, as strictly as those of the command line."""

import math

import pytest

from batch_uploader import RetryPolicy, RunOptions
from batch_uploader.core.errors import ConfigError
from batch_uploader.prepare.audio import AudioRules, RawFormat


@pytest.mark.parametrize(
    ("make", "name", "value"),
    [
        *((RunOptions, "concurrency", value) for value in (0, -1, 1025, 1.5, True, "8", None)),
        *((RunOptions, "rate", value) for value in (0, -1, math.nan, math.inf, "20/s")),
        *((RunOptions, "max_recordings", value) for value in (0, -5, 2.5)),
        *((RunOptions, name, -1) for name in ("min_age", "grace", "max_audio", "max_outage")),
        *((RunOptions, name, 0) for name in ("memory", "wide_memory", "max_audio", "max_outage")),
        *((RunOptions, "hold", value) for value in (0, 0.5, -1)),
        *((RetryPolicy, name, 0) for name in ("attempts", "first_pause", "slowest_rate")),
        *((RetryPolicy, name, 0) for name in ("deadline", "longest_pause")),
        *((AudioRules, name, 0) for name in ("channels", "max_duration")),
        *((lambda **how: RawFormat(**{"sample_rate": 8000, "channels": 1, **how}), *each)
          for each in (("sample_rate", 0), ("channels", 0))),
    ],
)  # fmt: skip
def test_what_makes_no_sense_is_refused_by_name(make, name, value):
    with pytest.raises(ConfigError, match=f"^{name} is "):
        make(**{name: value})


def test_none_is_no_limit_where_there_may_be_none():
    options = RunOptions(rate=None, max_audio=None, max_recordings=None)
    assert options == RunOptions()
