"""Fixtures for all the tests."""

import pytest


@pytest.fixture
def anyio_backend():
    """grpc.aio knows asyncio alone."""
    return "asyncio"
