"""Where the ledgers of these tests lie."""

import pytest


@pytest.fixture
def path(tmp_path):
    return tmp_path / "state" / "ledger.db"
