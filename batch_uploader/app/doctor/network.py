"""The way to the service: names, TCP, the proxy, TLS, HTTP/2."""

import asyncio
import ssl

from batch_uploader.app.doctor.diagnosis import Sign, warn, well
from batch_uploader.app.doctor.patient import Patient, in_thread
from batch_uploader.sinks.speechsense import tls
from batch_uploader.sinks.speechsense.channel import Security, ignored_proxy, trusted_roots
from batch_uploader.sinks.speechsense.route import SECONDS, Obstacle, Route, greet, no_http2

_FEWEST_SECONDS = 1.0
_SHOWN = 2
_TRIED = 4


async def dns(patient: Patient) -> Sign:
    """Whether the host that is connected to first has addresses."""
    route = patient.route = Route(patient.endpoint)
    try:
        async with asyncio.timeout(SECONDS):
            found = await in_thread(route.addresses)
    except TimeoutError:
        raise route.unresolved() from None
    patient.addresses = found
    if found == [route.host]:
        return well(f"{route.first} is an address, so no name is resolved")
    more = f" and {len(found) - _SHOWN} more" if len(found) > _SHOWN else ""
    return well(f"{route.host} has the address {', '.join(found[:_SHOWN])}{more}")


async def tcp(patient: Patient) -> Sign:
    """Whether its port can be connected to."""
    route = _route(patient)
    working, failed = await in_thread(lambda: _try(route, patient.addresses[:_TRIED]))
    if not working and failed is not None:
        raise failed
    patient.addresses = working
    if failed is not None:
        return warn(
            "some_addresses",
            f"{route.first} can be reached by {working[0]}, but not by all its addresses:"
            f" {failed.problem}",
            "if that is an IPv6 address, give this machine a route for IPv6 or turn it off",
        )
    return well(f"{route.first} accepts connections")


def _try(route: Route, addresses: list[str]) -> tuple[list[str], Obstacle | None]:
    working, failed = [], None
    for each in addresses:
        try:
            route.connect(each, max(_FEWEST_SECONDS, SECONDS / len(addresses))).close()
            working.append(each)
        except Obstacle as obstacle:
            failed = failed or obstacle
    return working, failed


async def proxy(patient: Patient) -> Sign:
    """Whether the proxy connects to the endpoint."""
    route = _route(patient)
    if variable := ignored_proxy(patient.endpoint):
        return warn(
            "proxy_ignored",
            f"the environment variable {variable} names a proxy, and gRPC passes it by, since its"
            " URL does not begin with http://",
            "write it as http://HOST:PORT; a SOCKS proxy, or one that is itself reached by TLS,"
            " cannot be used",
        )
    if route.proxy is None:
        return well("no proxy is used")

    def try_it() -> None:
        with route.open(patient.addresses[0]):
            pass

    await in_thread(try_it)
    return well(f"the proxy {route.proxy} connects to {route.endpoint}")


async def certificate(patient: Patient) -> Sign:
    """Who signed the certificate of the endpoint."""
    route, endpoint = _route(patient), patient.endpoint
    if endpoint.security is Security.PLAINTEXT:
        return well("not used, since --plaintext is given")
    signed = await in_thread(lambda: tls.examine(route, patient.addresses[0]))
    text = f"the certificate of {endpoint} is signed by {signed.issuer}"
    if not signed.expected:
        return warn(
            "private_authority",
            f"{text}, which this machine trusts, but which is not a public authority: probably a"
            " proxy or a firewall that reads the traffic",
            "if nobody may hear the calls on the way, have the host exempted from inspection",
        )
    trusted = f", which {endpoint.ca_file} trusts" if endpoint.ca_file else ""
    return well(text + trusted)


async def http2(patient: Patient) -> Sign:
    """Whether HTTP/2 gets through, which gRPC needs."""
    route = _route(patient)
    await in_thread(lambda: _greet(route, patient.addresses[0]))
    return well("it gets through")


def _greet(route: Route, address: str) -> None:
    endpoint = route.endpoint
    with route.open(address) as connection:
        if endpoint.security is Security.PLAINTEXT:
            greet(connection, str(endpoint))
            return
        try:
            secured = tls.shake_hands(connection, endpoint, trusted_roots(endpoint), "h2")
        except ssl.SSLError as error:
            # Its certificate was accepted before.
            raise no_http2(str(endpoint)) from error
        with secured:
            if secured.selected_alpn_protocol() != "h2":
                raise no_http2(str(endpoint))
            greet(secured, str(endpoint))


def _route(patient: Patient) -> Route:
    assert patient.route is not None  # noqa: S101 - a check that it needs has made it
    return patient.route
