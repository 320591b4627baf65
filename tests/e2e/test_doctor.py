"""``doctor`` names the cause: broken set-ups, made of real servers, shims and limits."""

import asyncio
import contextlib
import json
import os
import re
import resource
import socket
import sqlite3
import ssl
import sys
import time
from contextlib import asynccontextmanager, closing
from functools import partial
from pathlib import Path
from types import SimpleNamespace

import pytest
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import rsa
from e2e.conftest import CONNECTION, events
from grpc import StatusCode
from support.authorities import DAY, NOW, Authority
from support.proxies import HttpProxy, Tunnel
from support.shims import compile_shim
from support.sink_servers import TalkServer, Trouble

from batch_uploader.app.doctor.examination import OF_THE_DIRECTORY, OF_THE_SERVICE
from batch_uploader.sinks.speechsense.channel import Endpoint
from batch_uploader.sinks.speechsense.iam import AuthorizedKey, exchange

pytestmark = pytest.mark.skipif(sys.platform != "linux", reason="preloading and limits of Linux")

ROOT = Path(__file__).parents[2]
HOST = "speech.invalid"
"""A host of which only proxies of the tests know the address."""
MOST_SECONDS = 25


class Lab:
    """Runs ``doctor`` while servers of the test are there."""

    def __init__(self, program, calls, service, folder):
        self.program = program
        self.calls = calls
        self.service = service
        self.folder = folder
        self.authority = Authority("Known Authority")
        self.ca_file = self.write("ca.pem", self.authority.pem)

    def write(self, name, content):
        path = self.folder / name
        path.write_bytes(content)
        path.chmod(0o600)
        return path

    def shim(self, source):
        return str(compile_shim(Path(__file__).parents[1] / source, self.folder))

    def healthy(self, *flags, directory=True, **how):
        """A set-up in which all is well, with these flags in addition."""
        given = (*self.service.flags, "--api-key-file", self.calls.key_file, *flags)
        return self.setup(*given, directory=directory, **how)

    def setup(self, *flags, directory=False, env=None, preexec=None):
        return SimpleNamespace(
            flags=[*([self.calls] if directory else []), *flags], env=env, preexec=preexec
        )

    def plain(self, server):
        """The flags for a server without TLS."""
        where = ("--endpoint", f"127.0.0.1:{server.port}", "--plaintext")
        return self.setup(*where, *self.who)

    def proxied(self, proxy, *flags, login="", host=HOST):
        """The flags for what is behind a proxy."""
        url = f"http://{login}127.0.0.1:{proxy.port}"
        where = ("--endpoint", f"{host}:443", "--ca-file", self.ca_file)
        return self.setup(*(flags or where), *self.who, env={"HTTPS_PROXY": url})

    @property
    def who(self):
        return ("--connection-id", CONNECTION, "--api-key-file", self.calls.key_file)

    async def examine(self, setup):
        """What is found, by the check's name; the exit code, and what was said."""
        began = time.monotonic()
        run = partial(self.program, env=setup.env, preexec=setup.preexec)
        result = await asyncio.to_thread(run, "doctor", *setup.flags, "--json")
        assert time.monotonic() - began < MOST_SECONDS
        assert result.err == "", result.err
        document = json.loads(result.out)
        checks = {each["check"]: each for each in document["checks"]}
        failed = any(each["health"] == "fail" for each in checks.values())
        assert document["healthy"] is not failed
        assert result.code == failed
        for each in checks.values():
            troubled = each["health"] in {"warn", "fail"}
            assert bool(each["code"]) == bool(each["hints"]) == troubled, each
        return checks


def account_key():
    """The authorized key of a service account, as the console writes it."""
    private = rsa.generate_private_key(public_exponent=65537, key_size=2048)
    pem = serialization.Encoding.PEM
    plain = serialization.NoEncryption()
    key = private.private_bytes(pem, serialization.PrivateFormat.PKCS8, plain)
    form = serialization.PublicFormat.SubjectPublicKeyInfo
    return {
        "id": "key-1",
        "service_account_id": "account-1",
        "private_key": key.decode(),
        "public_key": private.public_key().public_bytes(pem, form).decode(),
    }


@pytest.fixture
def lab(program, calls, service, tmp_path):
    calls.write("a.wav")
    return Lab(program, calls, service, tmp_path)


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


@asynccontextmanager
async def no_range_locks(lab):
    env = {"LD_PRELOAD": lab.shim("kill/nolocks.c"), "NO_RANGES": "1"}
    yield lab.healthy(env=env)


@asynccontextmanager
async def locks_for_everybody(lab):
    env = {"LD_PRELOAD": lab.shim("kill/nolocks.c"), "NO_LOCKS": "1"}
    yield lab.healthy(env=env)


def descriptors(amount):
    return lambda: resource.setrlimit(resource.RLIMIT_NOFILE, (amount, amount))


@asynccontextmanager
async def few_descriptors(lab):
    yield lab.healthy(preexec=descriptors(24))


@asynccontextmanager
async def missing_role(lab):
    denied = Trouble(StatusCode.PERMISSION_DENIED, "Permission denied")
    async with TalkServer() as server:
        server.troubles.extend([Trouble(StatusCode.UNAUTHENTICATED, "No credentials"), denied])
        yield lab.plain(server)


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
async def no_directory(lab):
    lab.calls.folder = lab.folder / "elsewhere-at-all"
    yield lab.healthy()


@asynccontextmanager
async def uploaded(lab):
    """With a ledger of a run before."""
    flags = (*lab.service.flags, "--api-key-file", lab.calls.key_file)
    result = await asyncio.to_thread(lab.program, "upload", lab.calls, *flags)
    assert result.code == 0, result.said
    yield lab.healthy()


@asynccontextmanager
async def damaged_ledger(lab):
    async with uploaded(lab) as setup:
        size = lab.calls.ledger.stat().st_size
        with lab.calls.ledger.open("r+b") as file:
            file.seek(size // 2)
            file.write(os.urandom(size // 2))
        yield setup


@asynccontextmanager
async def newer_ledger(lab):
    async with uploaded(lab) as setup:
        with closing(sqlite3.connect(lab.calls.ledger)) as connection:
            connection.execute("PRAGMA user_version = 99")
        yield setup


@asynccontextmanager
async def lost_ledger(lab):
    async with uploaded(lab) as setup:
        lab.calls.ledger.unlink()
        yield setup


@asynccontextmanager
async def ledger_of_another_directory(lab):
    async with uploaded(lab):
        other = lab.folder / "other"
        other.mkdir()
        yield lab.setup(
            other,
            *lab.service.flags,
            *("--api-key-file", lab.calls.key_file, "--ledger", lab.calls.ledger),
        )


@asynccontextmanager
async def read_only_ledger(lab):
    async with uploaded(lab) as setup:
        lab.calls.ledger.chmod(0o400)
        setup.preexec = lab.unprivileged
        yield setup


@asynccontextmanager
async def full_disk(lab):
    """As far as the directory goes."""
    full = lab.write("full", b"")
    under = {"KILL_UNDER": str(lab.calls), "FULL_WHILE": str(full)}
    yield lab.healthy(env={"LD_PRELOAD": lab.shim("kill/shim.c"), **under})


TWELVE = {
    wrong_key: ("credentials", "wrong_key", "API key"),
    wrong_connection: ("connection", "wrong_connection", "aje0000000000"),
    expired_token: ("credentials", "expired_token", "expired"),
    clock_ahead: ("clock", "clock_off", "1:00:0"),
    intercepted: ("tls", "intercepted", "Office Inspector"),
    proxy_refuses: ("proxy", "proxy_refuses", "403 Forbidden"),
    only_http1: ("http2", "no_http2", "HTTP/1 only"),
    no_dns: ("dns", "no_dns", "api.speechsense.yandexcloud.net"),
    closed_port: ("tcp", "refused", "refuses connections"),
    no_range_locks: ("disk", "no_locks", "does not lock files"),
    few_descriptors: ("machine", "too_few_resources", "open files"),
    missing_role: ("connection", "missing_role", "may not use the connection"),
}
MORE = {
    partial(clock_ahead, seconds=-3600): ("clock", "clock_off", "behind"),
    http2_refused: ("http2", "http2_broken", "ends the connection"),
    http2_unanswered: ("http2", "silent", "does not answer HTTP/2"),
    no_such_host: ("dns", "no_such_host", "no-such-host.invalid"),
    silent_port: ("tls", "silent", "does not answer TLS"),
    unanswered_port: ("tcp", "no_answer", "does not answer on port"),
    locks_for_everybody: ("disk", "no_locks", "does not lock files"),
    expired_certificate: ("tls", "certificate_expired", "expired on 20"),
    other_host: ("tls", "certificate_host", "other.example.org"),
    proxy_wants_a_login: ("proxy", "proxy_authorization", "wants a user"),
    proxy_refuses_the_login: ("proxy", "proxy_authorization", "refuses this user"),
    no_proxy_at_all: ("proxy", "not_a_proxy", "HTTP proxy"),
    proxy_away: ("tcp", "refused", "the proxy 127.0.0.1:"),
    proxy_silent: ("proxy", "proxy_silent", "does not answer"),
    badly_named_proxy: ("dns", "settings", "HTTPS_PROXY"),
    no_tls: ("tls", "no_tls", "does not speak TLS"),
    other_grpc_service: ("service", "not_the_service", "does not know Search"),
    no_directory: ("directory", "unreadable_directory", "does not exist"),
    damaged_ledger: ("ledger", "unusable_ledger", "damaged"),
    newer_ledger: ("ledger", "unusable_ledger", "newer"),
    lost_ledger: ("ledger", "unusable_ledger", "is gone"),
    ledger_of_another_directory: ("ledger", "settings", "is of"),
    read_only_ledger: ("disk", "no_access", "cannot write"),
    full_disk: ("disk", "full_disk", "is full"),
}


def test_every_code_is_in_the_documentation():
    page = (ROOT / "docs" / "operations.md").read_text("utf-8")
    rows = dict(re.findall(r"^\| `(\w+)` \|[^|]*\|(.*)\|$", page, re.MULTILINE))
    sources = [*(ROOT / "batch_uploader" / "app" / "doctor").glob("*.py")]
    sources += [
        ROOT / "batch_uploader" / "sinks" / "speechsense" / f"{name}.py"
        for name in ("way", "tls", "asking")
    ]
    text = "".join(path.read_text("utf-8") for path in sources)
    codes = set(re.findall(r'\b(?:fail|warn|Obstacle)\(\s*"(\w+)"', text)) - {"timeout"}
    told = " ".join(rows[check.name] for check in OF_THE_SERVICE + OF_THE_DIRECTORY)
    assert len(codes) > 30
    assert codes <= set(re.findall(r"`(\w+)`", told))
    for check, code, _ in [*TWELVE.values(), *MORE.values()]:
        assert f"`{code}`" in rows[check]


def name_of(setup):
    return getattr(setup, "__name__", "clock_behind") if callable(setup) else None


@pytest.mark.parametrize(("setup", "expected"), [*TWELVE.items(), *MORE.items()], ids=name_of)
async def test_the_cause_of_a_broken_set_up_is_named(
    lab, setup, expected, start_service, unprivileged
):
    """Nothing else fails, but for what a run needs it for; nothing is uploaded."""
    lab.start_service, lab.unprivileged = start_service, unprivileged
    check, code, said = expected
    before = len(lab.service.talks(lab.calls))
    async with setup(lab) as broken:
        before = len(lab.service.talks())
        found = await lab.examine(broken)
        assert len(lab.service.talks()) == before
    failed = [name for name, each in found.items() if each["health"] == "fail"]
    assert failed == [check], found
    assert found[check]["code"] == code, found[check]
    assert said in found[check]["message"], found[check]
    assert "canary" not in json.dumps(found)


async def test_a_set_up_in_which_all_is_well(lab):
    """Each check says so, the service is asked to Search alone, and nothing is left behind."""
    before = sorted(lab.calls.folder.rglob("*"))
    found = await lab.examine(lab.healthy())
    assert {each["health"] for each in found.values()} == {"ok"}, found
    assert list(found) == [
        *("machine", "dns", "tcp", "proxy", "tls", "http2", "service", "clock", "credentials"),
        *("connection", "directory", "disk", "ledger"),
    ]
    assert "emulator CA" in found["tls"]["message"]
    assert sorted(lab.calls.folder.rglob("*")) == before
    async with uploaded(lab) as setup:
        ledger = (await lab.examine(setup))["ledger"]
    assert (ledger["health"], ledger["message"]) == (
        "ok",
        "it is sound, with 1 recording on record",
    )


async def test_nothing_but_searches_reaches_the_service(lab, start_service):
    with start_service() as service:
        lab.service = service
        await lab.examine(lab.healthy())
    assert set(service.served) == {"Search"}


async def test_without_a_directory_and_without_anything_what_is_missing_is_said(lab):
    flags = ("--endpoint", lab.service.address, *lab.service.flags[-2:])
    found = await lab.examine(lab.setup(*flags))
    assert "directory" not in found
    assert found["service"]["health"] == "ok"
    assert found["credentials"]["code"] == "no_credentials"
    assert "--api-key-file" in found["credentials"]["hints"][0]
    assert found["connection"]["code"] == "no_connection"


async def test_a_private_authority_that_the_machine_trusts_is_told(lab):
    """As on machines that have the certificate of an inspecting proxy among their own."""
    inspector = Authority("Office Inspector")
    trusted = lab.write("system.pem", inspector.pem)
    async with TalkServer(inspector.server(HOST)) as server, Tunnel(server.port) as proxy:
        setup = lab.proxied(proxy, "--endpoint", f"{HOST}:443")
        setup.env["SSL_CERT_FILE"] = str(trusted)
        setup.env["SSL_CERT_DIR"] = str(lab.folder)
        found = await lab.examine(setup)
    assert (found["tls"]["health"], found["tls"]["code"]) == ("warn", "private_authority")
    assert "Office Inspector" in found["tls"]["message"]
    assert found["service"]["health"] == "ok"


async def test_fewer_descriptors_than_workers_need(lab):
    found = await lab.examine(lab.healthy(preexec=descriptors(64)))
    assert found["machine"]["code"] == "too_few_descriptors"
    assert found["machine"]["hints"][0].startswith("raise the limit: ulimit -n ")
    assert found["connection"]["health"] == "ok"


async def test_a_run_that_holds_the_ledger(lab, start_service, upload):
    with start_service("--store-late", "20s") as slow:
        run = upload("--progress", "json", to=slow, start=True)
        await asyncio.to_thread(lambda: next(events(run, "upload_started")))
        found = await lab.examine(lab.healthy())
        run.kill()
    assert found["ledger"]["code"] == "held"
    assert "another run is using" in found["ledger"]["message"]


async def test_a_share_and_files_that_cannot_be_read(lab, unprivileged):
    lab.calls.write("closed.wav")
    (lab.calls.folder / "closed.wav").chmod(0)
    env = {"LD_PRELOAD": lab.shim("kill/nolocks.c"), "FS_TYPE": "0x6969"}
    found = await lab.examine(lab.healthy(env=env, preexec=unprivileged))
    assert found["directory"]["code"] == "unreadable_files"
    assert "closed.wav cannot be read" in found["directory"]["message"]
    assert found["disk"]["code"] == "network_share"
    assert "NFS" in found["disk"]["message"]
