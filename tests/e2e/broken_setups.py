"""Set-ups for ``doctor``, each with one thing that is broken: real servers, shims and limits.

Each is a context manager that takes a Lab and yields the flags, the variables and the limits.
"""

import asyncio
import contextlib
import json
import resource
import socket
import ssl
from contextlib import asynccontextmanager
from types import SimpleNamespace

import pytest
from e2e.doctors_lab import HOST, account_key
from grpc import StatusCode
from support.authorities import DAY, NOW, Authority
from support.http2_peers import FrameServer, http, says
from support.proxies import HttpProxy, Tunnel
from support.sink_servers import TalkServer, Trouble

from batch_uploader.sinks.speechsense.channel import Endpoint
from batch_uploader.sinks.speechsense.iam import AuthorizedKey, exchange


@asynccontextmanager
async def wrong_key(lab):
    yield lab.healthy("--api-key-file", lab.write("other", b"another-key-0123456789"))


@asynccontextmanager
async def wrong_connection(lab):
    yield lab.healthy("--connection-id", "aje0000000000")


@asynccontextmanager
async def expired_token(lab):
    """One that was issued for a second."""
    key = lab.folder / "account.json"
    key.write_text(json.dumps(account_key()))
    key.chmod(0o600)
    flags = ("--service-account-key-file", key, "--token-lifetime", "1s")
    with lab.start_service(*flags) as service:
        parsed = AuthorizedKey.parse(key.read_text(), "the key")
        ca_file = service.folder / "tls" / "ca.pem"
        issued = await exchange(parsed, Endpoint.parse(service.address, ca_file=ca_file))
        await asyncio.sleep(1.2)
        token = lab.write("token", issued.token.encode())
        yield lab.setup(*service.flags, "--iam-token-file", token)


@asynccontextmanager
async def clock_ahead(lab, seconds=3600):
    env = {"LD_PRELOAD": lab.shim("e2e/clock.c"), "CLOCK_SHIFT": str(seconds)}
    yield lab.healthy(env=env)


def clock_a_month_behind(lab):
    return clock_ahead(lab, -30 * 24 * 3600)


def clock_years_ahead(lab):
    return clock_ahead(lab, 3 * 365 * 24 * 3600)


@asynccontextmanager
async def no_network(lab):
    """A machine without any network."""
    under = ("unshare", "--net")
    tried = await asyncio.create_subprocess_exec(*under, "true")
    if await tried.wait():
        pytest.skip("this machine gives no namespaces")
    yield lab.setup("--endpoint", "192.0.2.1:443", *lab.who, under=under)


@asynccontextmanager
async def intercepted(lab):
    """A proxy that answers in place of the host, with a certificate of its own."""
    inspector = Authority("Office Inspector")
    async with TalkServer(inspector.server(HOST)) as server, Tunnel(server.port) as proxy:
        yield lab.proxied(proxy, "--endpoint", f"{HOST}:443")


@asynccontextmanager
async def proxy_refuses(lab):
    async with HttpProxy() as proxy:
        yield lab.proxied(proxy)


@asynccontextmanager
async def https_server(lab, protocols, speak, host=HOST):
    """A TLS server of this authority behind a proxy, which does not speak gRPC."""
    private, certificate = lab.authority.pair(host)
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(
        lab.write("server.pem", certificate), lab.write("server-key.pem", private)
    )
    context.set_alpn_protocols(protocols)

    async def serve(reader, writer):
        with contextlib.suppress(OSError, asyncio.IncompleteReadError):
            await speak(reader, writer)
        writer.close()

    server = await asyncio.start_server(serve, "127.0.0.1", 0, ssl=context)
    try:
        async with Tunnel(server.sockets[0].getsockname()[1]) as proxy:
            yield lab.proxied(proxy)
    finally:
        server.close()


async def speaks_http1(reader, writer):
    await reader.read(1)
    writer.write(b"HTTP/1.1 400 Bad Request\r\nContent-Length: 0\r\n\r\n")
    await writer.drain()


async def hangs_up(reader, writer):
    await reader.read(1)


async def keeps_silent(reader, writer):
    await asyncio.sleep(60)


@asynccontextmanager
async def only_http1(lab):
    async with https_server(lab, ["http/1.1"], speaks_http1) as setup:
        yield setup


@asynccontextmanager
async def http2_refused(lab):
    async with https_server(lab, ["h2"], hangs_up) as setup:
        yield setup


@asynccontextmanager
async def http2_unanswered(lab):
    async with https_server(lab, ["h2"], keeps_silent) as setup:
        yield setup


@asynccontextmanager
async def no_dns(lab):
    env = {"LD_PRELOAD": lab.shim("e2e/names.c")}
    yield lab.setup(*lab.who, env=env)


@asynccontextmanager
async def no_such_host(lab):
    yield lab.setup("--endpoint", "no-such-host.invalid:443", *lab.who)


@asynccontextmanager
async def closed_port(lab):
    with socket.create_server(("127.0.0.1", 0)) as nobody:
        port = nobody.getsockname()[1]
    yield lab.setup("--endpoint", f"127.0.0.1:{port}", *lab.who)


@asynccontextmanager
async def silent_port(lab):
    """It accepts connections, and nothing else."""
    with socket.create_server(("127.0.0.1", 0)) as listener:
        yield lab.setup("--endpoint", f"127.0.0.1:{listener.getsockname()[1]}", *lab.who)


@asynccontextmanager
async def unanswered_port(lab):
    """Whatever comes there is dropped, as by a firewall."""
    with socket.create_server(("127.0.0.1", 0), backlog=0) as listener:
        port = listener.getsockname()[1]
        fillers = [socket.socket() for _ in range(4)]
        for each in fillers:
            each.setblocking(False)
            each.connect_ex(("127.0.0.1", port))
        try:
            yield lab.setup("--endpoint", f"127.0.0.1:{port}", *lab.who)
        finally:
            for each in fillers:
                each.close()


def descriptors(amount):
    return lambda: resource.setrlimit(resource.RLIMIT_NOFILE, (amount, amount))


@asynccontextmanager
async def few_descriptors(lab):
    yield lab.healthy(preexec=descriptors(24))


@asynccontextmanager
async def missing(lab, what):
    with lab.start_service("--missing", what) as service:
        yield lab.setup(*service.flags, "--api-key-file", lab.calls.key_file)


def missing_role(lab):
    return missing(lab, "role")


def missing_scope(lab):
    return missing(lab, "scope")


@asynccontextmanager
async def issuer(lab, *flags, key=None):
    """A service that issues tokens for one authorized key, and perhaps not for this ``key``."""
    known = account_key()
    kept = lab.write("known.json", json.dumps(known).encode())
    given = lab.write("account.json", json.dumps(key or known).encode())
    with lab.start_service("--service-account-key-file", kept, *flags) as service:
        where = ("--iam-endpoint", service.address, "--service-account-key-file", given)
        yield lab.setup(*service.flags, *where)


def key_of_another(lab):
    return issuer(lab, key=account_key())


def issuer_of_another_time(lab):
    return issuer(lab, "--clock-off", "1h")


@asynccontextmanager
async def expired_certificate(lab):
    server = TalkServer(lab.authority.server(HOST, until=NOW - DAY))
    async with server, Tunnel(server.port) as proxy:
        yield lab.proxied(proxy)


@asynccontextmanager
async def other_host(lab):
    server = TalkServer(lab.authority.server("other.example.org"))
    async with server, Tunnel(server.port) as proxy:
        yield lab.proxied(proxy)


@asynccontextmanager
async def proxy_wants_a_login(lab):
    async with HttpProxy(
        b"HTTP/1.1 407 Proxy Authentication Required\r\nContent-Length: 0\r\n\r\n"
    ) as proxy:
        yield lab.proxied(proxy)


@asynccontextmanager
async def proxy_refuses_the_login(lab):
    async with HttpProxy(b"HTTP/1.1 407 No, canary\r\n\r\n") as proxy:
        yield lab.proxied(proxy, login="user:canary@")


@asynccontextmanager
async def no_proxy_at_all(lab):
    async with HttpProxy(b"220 mail.example.org ESMTP\r\n") as proxy:
        yield lab.proxied(proxy)


@asynccontextmanager
async def proxy_away(lab):
    with socket.create_server(("127.0.0.1", 0)) as nobody:
        port = nobody.getsockname()[1]
    yield lab.proxied(SimpleNamespace(port=port))


@asynccontextmanager
async def proxy_silent(lab):
    with socket.create_server(("127.0.0.1", 0)) as listener:
        yield lab.proxied(SimpleNamespace(port=listener.getsockname()[1]))


@asynccontextmanager
async def badly_named_proxy(lab):
    yield lab.setup(
        "--endpoint", f"{HOST}:443", *lab.who, env={"HTTPS_PROXY": "http:// proxy:3128"}
    )


@asynccontextmanager
async def no_tls(lab):
    async with TalkServer() as server:
        yield lab.setup("--endpoint", f"127.0.0.1:{server.port}", *lab.who)


@asynccontextmanager
async def other_grpc_service(lab):
    """It knows no Search."""
    async with TalkServer() as server:
        server.troubles.append(Trouble(StatusCode.UNIMPLEMENTED, "Method not found!"))
        yield lab.plain(server)


@asynccontextmanager
async def slow_dns(lab):
    """Its name servers are unreachable, and the resolver waits for them."""
    env = {"LD_PRELOAD": lab.shim("e2e/names.c"), "NAMES_HANG": "1"}
    yield lab.setup("--endpoint", f"{HOST}:443", *lab.who, env=env)


@asynccontextmanager
async def tls_refused(lab):
    """What a firewall does that wants no TLS to this host."""

    async def refuse(reader, writer):
        await reader.read(1)
        writer.close()

    server = await asyncio.start_server(refuse, "127.0.0.1", 0)
    async with server:
        port = server.sockets[0].getsockname()[1]
        yield lab.setup("--endpoint", f"127.0.0.1:{port}", *lab.who)


@asynccontextmanager
async def framed(lab, script):
    async with FrameServer(script) as server:
        yield lab.plain(server)


def gateway(lab):
    """One that has nothing behind it."""
    return framed(lab, http(502, b"<html>Bad Gateway</html>"))


def web_server(lab):
    """One that speaks HTTP/2 and knows no such page."""
    return framed(lab, http(404))


def login_page(lab):
    """One that wants a password first, as portals do."""
    return framed(lab, http(401))


def silent_service(lab):
    return framed(lab, takes_all)


async def takes_all(writer, stream):
    pass


def overloaded(lab):
    return framed(lab, says(StatusCode.UNAVAILABLE, "The database is being repaired"))


@asynccontextmanager
async def wrong_ca_file(lab):
    """One that is not needed, since gRPC knows who signed the certificate."""
    roots = lab.write("roots.pem", lab.authority.pem)
    other = lab.write("other.pem", Authority("Other").pem)
    async with TalkServer(lab.authority.server(HOST)) as server, Tunnel(server.port) as proxy:
        setup = lab.proxied(proxy, "--endpoint", f"{HOST}:443", "--ca-file", other)
        setup.env["GRPC_DEFAULT_SSL_ROOTS_FILE_PATH"] = str(roots)
        yield setup


@asynccontextmanager
async def untrusted_emulator(lab):
    yield lab.setup("--endpoint", lab.service.address, *lab.who)


@asynccontextmanager
async def issuer_away(lab):
    """What would issue the tokens for the key is not there."""
    key = lab.write("account.json", json.dumps(account_key()).encode())
    with socket.create_server(("127.0.0.1", 0)) as nobody:
        port = nobody.getsockname()[1]
    flags = ("--service-account-key-file", key, "--iam-endpoint", f"127.0.0.1:{port}")
    yield lab.setup(*lab.service.flags, *flags)


@asynccontextmanager
async def issuer_silent(lab):
    key = lab.write("account.json", json.dumps(account_key()).encode())
    with socket.create_server(("127.0.0.1", 0)) as listener:
        port = listener.getsockname()[1]
        flags = ("--service-account-key-file", key, "--iam-endpoint", f"127.0.0.1:{port}")
        yield lab.setup(*lab.service.flags, *flags)


@asynccontextmanager
async def command_hangs(lab):
    yield lab.setup(*lab.service.flags, "--iam-token-command", "sleep 60")


@asynccontextmanager
async def key_file_away(lab):
    yield lab.setup(*lab.service.flags, "--api-key-file", lab.folder / "nowhere")


@asynccontextmanager
async def two_credentials(lab):
    yield lab.healthy(env={"API_KEY": "another-0123456789"})
