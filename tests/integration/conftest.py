"""Both ways in which a whole recording goes to gRPC."""

import pytest

from batch_uploader.sinks.speechsense import exchange


@pytest.fixture(params=["in batches", "as a stream"])
def way(request, monkeypatch):
    """The way that is taken, and the one of a gRPC that lacks what the first is made of."""
    if request.param == "as a stream":
        monkeypatch.setattr(exchange, "possible", lambda _: False)
    return request.param
