"""What the walks share."""

import pytest
from model import decisions


@pytest.fixture
def changed_code():
    """The model remembers what the real code answered; here that is changed for a while."""
    decisions.forget()
    yield
    decisions.forget()
