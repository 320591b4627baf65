"""Each limit of a real Envoy that can end a request after the service has stored it.

Whatever it says then, the recording is in doubt. The service is the judge of what it stored.
"""

import asyncio

import pytest
from grpc import StatusCode
from support.sink_failures import failure
from support.sink_servers import Moment, TalkServer, Trouble

from batch_uploader.core.errors import InDoubt

SOON = "0.3s"
STORED = Trouble(moment=Moment.STORED, hang=True)
BUSY = Trouble(StatusCode.UNAVAILABLE, "busy")
TALK = b"\n\x06talk-1"
MANY = tuple((f"x-{number}", "v" * 100) for number in range(150))
ANSWERED = Trouble(moment=Moment.STORED, answer=TALK, trailing=MANY)


def route(**how):
    return {"route": {"cluster": "service", "timeout": "0s", **how}}


def retries(reasons, **how):
    return route(retry_policy={"retry_on": reasons, "num_retries": 1, **how})


def http(**how):
    return {"common_http_protocol_options": how}


def limit(name, action=None, *, after=(STORED,), **settings):
    """A limit by its name, where it is set, and what befalls the requests at the service."""
    return pytest.param(action or route(), after, settings, id=name)


LIMITS = [
    limit("max_stream_duration of the cluster", protocol=http(max_stream_duration=SOON)),
    limit("max_stream_duration of the manager", manager=http(max_stream_duration=SOON)),
    limit(
        "max_stream_duration of the route",
        route(max_stream_duration={"max_stream_duration": SOON}),
    ),
    limit("grpc-timeout", route(max_stream_duration={"grpc_timeout_header_max": SOON})),
    limit("timeout of the route", route(timeout=SOON)),
    limit("idle_timeout of the route", route(idle_timeout=SOON)),
    limit("stream_idle_timeout", manager={"stream_idle_timeout": SOON}),
    limit(
        "max_connection_duration of the manager",
        route(timeout="1s"),
        manager={**http(max_connection_duration=SOON), "drain_timeout": "0.1s"},
    ),
    limit(
        "max_connection_duration of the cluster",
        route(timeout="1s"),
        protocol=http(max_connection_duration=SOON),
    ),
    limit(
        "max_requests_per_connection",
        route(timeout=SOON),
        protocol=http(max_requests_per_connection=1),
    ),
    limit("per_try_timeout", retries("5xx,reset", per_try_timeout=SOON), after=(STORED, STORED)),
    limit(
        "per_try_idle_timeout", retries("reset", per_try_idle_timeout=SOON), after=(STORED, STORED)
    ),
    limit(
        "outlier_detection",
        retries("reset", per_try_timeout=SOON),
        after=(STORED, STORED),  # it may be tried again before it is ejected
        outlier_detection={"consecutive_5xx": 1, "max_ejection_percent": 100},
        common_lb_config={"healthy_panic_threshold": {"value": 0}},
    ),
    limit(
        "max_retries",
        retries("reset", per_try_timeout=SOON),
        circuit_breakers={"thresholds": [{"max_retries": 0}]},
    ),
    limit("max_headers_count", after=(ANSWERED,), protocol=http(max_headers_count=10)),
    limit("max_response_headers_kb", after=(ANSWERED,), protocol=http(max_response_headers_kb=1)),
    limit(
        "a refusal of the second try",
        retries("reset", per_try_timeout=SOON),
        after=(STORED, BUSY),
        host={"include_attempt_count_in_response": True},
    ),
]


@pytest.mark.slow
@pytest.mark.parametrize("whole", [True, False], ids=["whole", "stream"])
@pytest.mark.parametrize(("action", "after", "settings"), LIMITS)
async def test_what_is_stored_is_in_doubt_whatever_limit_ends_it(action, after, settings, whole):
    """Fault 77."""
    pytest.importorskip("envoy", reason="there is no Envoy for this system")
    from support.load_balancer import Envoy  # not everywhere

    async with TalkServer() as server:
        server.troubles.extend(after)
        async with asyncio.timeout(60), Envoy(action, upstream=server.port, **settings) as between:
            error = await failure(between.endpoint, seconds=8.0, whole=whole)
        assert server.talks
        assert type(error) is InDoubt, (error, error.code)
