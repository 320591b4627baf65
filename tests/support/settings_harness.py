"""What the tests of settings share beside their fixtures."""

import pytest

from batch_uploader.core.errors import ConfigError

SECRET = "AQVNcanary0123456789"


def refused(action):
    """The error and its hints in one text, as a user reads them."""
    with pytest.raises(ConfigError) as caught:
        action()
    return "\n".join([caught.value.problem, *caught.value.hints])
