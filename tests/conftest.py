"""Fixtures for all the tests, and the table of faults."""

import pytest

pytest_plugins = ["fault_table"]


@pytest.fixture
def anyio_backend():
    """grpc.aio knows asyncio alone."""
    return "asyncio"
