"""Endpoints and what protects the way to them, with real certificates."""

import base64
import re

import pytest
from msgspec.structs import replace
from support.audio_makers import write_recording
from support.authorities import DAY, NOW, Authority
from support.proxies import HttpProxy, Tunnel
from support.sink_samples import Sound, Tries, sample
from support.sink_servers import TalkServer

from batch_uploader import upload_directory
from batch_uploader.core.errors import ConfigError, NoSuchService, NotSent
from batch_uploader.core.model import Ending
from batch_uploader.run.options import RunOptions
from batch_uploader.sinks.speechsense.channel import (
    DEFAULT_ENDPOINT,
    Endpoint,
    Proxy,
    Security,
    open_channel,
    proxy_in_use,
)
from batch_uploader.sinks.speechsense.credentials import ApiKey
from batch_uploader.sinks.speechsense.evidence import Unavailable
from batch_uploader.sinks.speechsense.sink import SpeechSenseSink

CONTENT = b"RIFF" + bytes(1000)


@pytest.fixture(scope="module")
def authority():
    return Authority("ours")


@pytest.fixture
def ca_file(authority, tmp_path):
    path = tmp_path / "ca.pem"
    path.write_bytes(authority.pem)
    return path


async def upload(endpoint):
    async with SpeechSenseSink(endpoint, ApiKey("k"), unavailable=Unavailable.DOUBTED) as sink:
        return await sink.upload(sample(CONTENT), Sound(CONTENT, whole=True), Tries()())


@pytest.mark.parametrize("host", ["127.0.0.1", "localhost"])
async def test_a_certificate_of_the_ca_that_is_named(authority, ca_file, host):
    async with TalkServer(authority.server("127.0.0.1", "localhost")) as server:
        receipt = await upload(Endpoint(host, server.port, ca_file=ca_file))
    assert receipt.talk_id == "talk-1"


@pytest.mark.parametrize(
    ("hosts", "until", "ca"),
    [
        (["127.0.0.1"], NOW + DAY, "theirs"),
        (["example.org", "127.0.0.2"], NOW + DAY, "ours"),
        (["127.0.0.1"], NOW - DAY, "ours"),
        (["127.0.0.1"], NOW + DAY, "system"),
    ],
    ids=["wrong CA", "wrong host name", "expired", "not among the system's"],
)
async def test_any_other_certificate_is_refused(authority, tmp_path, hosts, until, ca):
    """Faults 14 and 68: nothing was sent, not even for those who doubt, nor by a whole run."""
    ca_file = None
    if ca != "system":
        ca_file = tmp_path / "ca.pem"
        ca_file.write_bytes(authority.pem if ca == "ours" else Authority("theirs").pem)
    async with TalkServer(authority.server(*hosts, until=until)) as server:
        endpoint = Endpoint("127.0.0.1", server.port, ca_file=ca_file)
        with pytest.raises(NoSuchService) as caught:
            await upload(endpoint)
        write_recording(tmp_path / "calls")
        run = {"connection_id": "calls", "credentials": ApiKey("k"), "endpoint": endpoint}
        summary = await upload_directory(
            tmp_path / "calls",
            **run,
            options=RunOptions(min_age=0, min_age_open=0, sidecar_wait=0, max_outage=1.0),
        )
        assert (summary.ending, summary.counts) == (Ending.UNREACHABLE, {})
        assert server.calls == []
    assert "TLS certificate of 127.0.0.1" in str(caught.value)
    assert "check the CA file" in str(caught.value)


async def test_a_bundle_with_comments_in_any_encoding(authority, ca_file):
    ca_file.write_bytes(b"# \xfc\n" + Authority("theirs").pem + b"\xd0\x9f:\r\n" + authority.pem)
    async with TalkServer(authority.server("127.0.0.1")) as server:
        receipt = await upload(Endpoint("127.0.0.1", server.port, ca_file=ca_file))
    assert receipt.talk_id == "talk-1"


async def test_a_server_without_tls_gets_nothing(ca_file):
    async with TalkServer() as server:
        with pytest.raises(NotSent, match="does not speak TLS") as caught:
            await upload(Endpoint("127.0.0.1", server.port, ca_file=ca_file))
        assert caught.value.hints[0].endswith("add --plaintext")
        assert server.calls == []


async def test_the_systems_roots_are_trusted_by_default(authority, ca_file, monkeypatch):
    monkeypatch.setenv("SSL_CERT_FILE", str(ca_file))
    monkeypatch.delenv("GRPC_DEFAULT_SSL_ROOTS_FILE_PATH", raising=False)
    async with TalkServer(authority.server("127.0.0.1")) as server:
        receipt = await upload(Endpoint("127.0.0.1", server.port))
    assert receipt.talk_id == "talk-1"


async def test_the_systems_roots_may_be_in_a_file_that_openssl_does_not_know(
    authority, ca_file, monkeypatch
):
    for name in ("SSL_CERT_FILE", "SSL_CERT_DIR"):
        monkeypatch.setenv(name, "/nowhere")
    monkeypatch.delenv("GRPC_DEFAULT_SSL_ROOTS_FILE_PATH", raising=False)
    monkeypatch.setattr(
        "batch_uploader.sinks.speechsense.channel._BUNDLES", ("/nowhere/either", str(ca_file))
    )
    async with TalkServer(authority.server("127.0.0.1")) as server:
        receipt = await upload(Endpoint("127.0.0.1", server.port))
    assert receipt.talk_id == "talk-1"


async def test_a_ca_file_that_is_of_no_use_is_refused_before_anything_is_sent(authority, tmp_path):
    sound = authority.pem
    path = tmp_path / "ca.pem"
    for content, cure in (
        (None, "check its name"),
        (b"", "PEM"),
        (b"nonsense", "PEM"),
        (sound[:-40], "PEM"),
        (sound + sound[:-40], "PEM"),
        # What gRPC cannot read; editors put them there.
        (b"\xef\xbb\xbf" + sound, "PEM"),
        (sound.replace(b"BEGIN CERT", b"BEGIN\xc2\xa0CERT"), "PEM"),
    ):
        if content is not None:
            path.write_bytes(content)
        with pytest.raises(ConfigError, match=re.escape(str(path))) as caught:
            async with SpeechSenseSink(Endpoint("127.0.0.1", 1, ca_file=path), ApiKey("k")):
                pass
        assert cure in str(caught.value)


# --- endpoints


@pytest.mark.parametrize(
    ("text", "host", "port"),
    [
        ("api.speechsense.yandexcloud.net:443", "api.speechsense.yandexcloud.net", 443),
        (" localhost:50051\n", "localhost", 50051),
        ("127.0.0.1:1", "127.0.0.1", 1),
        ("[::1]:65535", "::1", 65535),
    ],
)
def test_an_endpoint_reads_as_it_is_written(text, host, port):
    endpoint = Endpoint.parse(text)
    assert (endpoint.host, endpoint.port) == (host, port)
    assert str(endpoint) == text.strip()


@pytest.mark.parametrize(
    "text",
    [
        "",
        "host",
        "host:",
        ":443",
        "host:0",
        "host:65536",
        "host:99999999999999",
        "host:-1",
        "host:4x",
        "host:٤٤",
        "https://host:443",
        "host/path:443",
        "dns:///host:443",
        "::1:443",
        "[::1:443",
        "[nonsense]:443",
        "unix:socket:1",
        "bad host:443",
        "\x1b[31m:443",
    ],
)
def test_what_is_no_endpoint_is_refused_with_the_way_to_write_it(text):
    with pytest.raises(ConfigError, match="HOST:PORT") as caught:
        Endpoint.parse(text)
    assert str(caught.value).isprintable()


@pytest.mark.parametrize("host", ["127.0.0.1", "127.1.2.3", "::1", "localhost", "LocalHost"])
def test_plaintext_is_for_loopback(host):
    assert Endpoint(host, 1, Security.PLAINTEXT).loopback


@pytest.mark.parametrize(
    "host",
    ["0.0.0.0", "::", "10.0.0.1", "example.org", "localhost.example.org", "127.0.0.1.nip.io"],  # noqa: S104 - nothing is bound
)
def test_plaintext_off_loopback_is_refused(host):
    """Fault 69."""
    with pytest.raises(ConfigError, match="loopback"):
        Endpoint(host, 1, Security.PLAINTEXT)
    with pytest.raises(ConfigError, match="loopback"):
        replace(Endpoint("localhost", 1, Security.PLAINTEXT), host=host)


# --- proxies


@pytest.mark.parametrize(
    ("environment", "proxy"),
    [
        ({}, None),
        ({"https_proxy": "http://user:secret@proxy:3128"}, "proxy:3128"),
        ({"http_proxy": "http://a:1", "https_proxy": "http://b:2"}, "b:2"),
        ({"grpc_proxy": "http://c:3", "https_proxy": "http://b:2"}, "c:3"),
        ({"https_proxy": "http://b:2", "no_proxy": "x.org, yandexcloud.net"}, None),
        ({"https_proxy": "http://b:2", "no_proxy": "yandexcloud.net", "no_grpc_proxy": "x"}, "b:2"),
        ({"https_proxy": "http://b:2", "no_proxy": ","}, "b:2"),
        ({"https_proxy": ""}, None),
        ({"https_proxy": "HTTP://b:2"}, "b:2"),
        ({"https_proxy": "https://b:2"}, None),
        ({"https_proxy": "socks5://b:2", "http_proxy": "http://c:3"}, None),
        ({"https_proxy": "b:2"}, None),
    ],
)
def test_the_proxy_that_grpc_takes_is_known_for_the_log(environment, proxy):
    assert proxy_in_use(DEFAULT_ENDPOINT, environment) == proxy


@pytest.mark.parametrize(
    "named",
    [
        "http://user:pa/ssword@proxy:3128",
        "http://user:pa#ssword@proxy:3128",
        "http://user:pa?ssword@proxy:3128",
        "http://user:password proxy:3128",
        "user:password",
        "http://user:1234/5@proxy:3128",
        "http://[proxy:3128",
    ],
)
async def test_a_proxy_that_is_none_is_refused_without_its_password(monkeypatch, named):
    """Fault 80: gRPC takes what stands before the sign for the proxy's name, and repeats it."""
    for name in ("grpc_proxy", "no_grpc_proxy", "no_proxy"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("https_proxy", named)
    with pytest.raises(ConfigError, match="https_proxy") as refusal:
        await SpeechSenseSink(Endpoint("example.invalid", 443), ApiKey("k")).__aenter__()
    assert not re.search("user:|pa.?ssw|1234", str(refusal.value).replace("password as", ""))
    ignored = Endpoint("example.invalid", 443, proxy=Proxy.IGNORED)
    async with SpeechSenseSink(ignored, ApiKey("k")):
        pass


@pytest.mark.parametrize("url", ["https://", "socks5://", ""])
async def test_a_proxy_of_another_kind_is_passed_by(monkeypatch, url):
    """As gRPC does: so it is not named, but the way that is taken."""
    for name in ("grpc_proxy", "no_grpc_proxy", "no_proxy"):
        monkeypatch.delenv(name, raising=False)
    async with HttpProxy() as proxy:
        monkeypatch.setenv("https_proxy", f"{url}127.0.0.1:{proxy.port}")
        with pytest.raises(NoSuchService, match=r"^example.invalid:443 cannot be resolved"):
            await upload(Endpoint("example.invalid", 443))
    assert proxy.asked == []


def test_networks_can_be_kept_from_the_proxy():
    environment = {"https_proxy": "http://b:2", "no_proxy": "10.0.0.0/8,nonsense/9"}
    assert proxy_in_use(Endpoint("10.1.2.3", 443), environment) is None
    assert proxy_in_use(Endpoint("11.1.2.3", 443), environment) == "b:2"


def test_a_proxy_can_be_ignored_and_never_serves_loopback():
    environment = {"https_proxy": "http://b:2"}
    ignored = Endpoint("example.org", 443, proxy=Proxy.IGNORED)
    assert proxy_in_use(ignored, environment) is None
    assert proxy_in_use(Endpoint("localhost", 443), environment) is None


async def test_a_proxy_that_refuses_is_named(monkeypatch):
    async with HttpProxy() as proxy:
        for name in ("grpc_proxy", "no_grpc_proxy", "no_proxy"):
            monkeypatch.delenv(name, raising=False)
        monkeypatch.setenv("https_proxy", f"http://user:canary@127.0.0.1:{proxy.port}")
        endpoint = Endpoint("example.invalid", 443)
        assert proxy_in_use(endpoint) == f"127.0.0.1:{proxy.port}"
        with pytest.raises(NotSent, match="check the proxy settings") as caught:
            await upload(endpoint)
        assert [line.split()[1] for line in proxy.asked] == [b"example.invalid:443"]
        assert "canary" not in str(caught.value)
        with pytest.raises(NotSent, match="DNS"):
            await upload(Endpoint("example.invalid", 443, proxy=Proxy.IGNORED))
        assert len(proxy.asked) == 1


@pytest.mark.parametrize("name", ["https_proxy", "HTTPS_PROXY"])
async def test_recordings_go_through_a_proxy(monkeypatch, authority, ca_file, name):
    for each in (
        "grpc_proxy",
        "https_proxy",
        "http_proxy",
        "no_grpc_proxy",
        "no_proxy",
        "NO_PROXY",
    ):
        monkeypatch.delenv(each, raising=False)
    async with (
        TalkServer(authority.server("speech.invalid")) as server,
        Tunnel(server.port) as proxy,
    ):
        monkeypatch.setenv(name, f"http://user:canary@127.0.0.1:{proxy.port}")
        receipt = await upload(Endpoint("speech.invalid", 443, ca_file=ca_file))
    assert receipt.talk_id == "talk-1"
    assert proxy.asked[0].split()[1] == b"speech.invalid:443"
    assert b"Proxy-Authorization: Basic " + base64.b64encode(b"user:canary") in proxy.asked


@pytest.mark.parametrize("exempt", ["NO_PROXY", "no_proxy"])
async def test_a_proxy_in_capitals_counts(monkeypatch, exempt):
    async with HttpProxy() as proxy:
        for name in ("grpc_proxy", "https_proxy", "http_proxy", "no_grpc_proxy", "no_proxy"):
            monkeypatch.delenv(name, raising=False)
        monkeypatch.setenv("HTTPS_PROXY", f"http://user:canary@127.0.0.1:{proxy.port}")
        endpoint = Endpoint("example.invalid", 443)
        with pytest.raises(NotSent) as caught:
            await upload(endpoint)
        assert f"example.invalid:443 (through the proxy 127.0.0.1:{proxy.port})" in str(
            caught.value
        )
        assert "canary" not in str(caught.value)
        assert [line.split()[1] for line in proxy.asked] == [b"example.invalid:443"]
        monkeypatch.setenv(exempt, "example.org,.invalid")
        with pytest.raises(NoSuchService) as caught:
            await upload(endpoint)
        assert "proxy 127" not in str(caught.value)
        assert len(proxy.asked) == 1


async def test_one_in_small_letters_goes_first_and_what_is_exempt_in_capitals_is(monkeypatch):
    async with HttpProxy() as proxy:
        for name in ("grpc_proxy", "http_proxy", "no_grpc_proxy", "no_proxy", "NO_PROXY"):
            monkeypatch.delenv(name, raising=False)
        monkeypatch.setenv("HTTPS_PROXY", "http://127.0.0.1:1")
        monkeypatch.setenv("https_proxy", f"http://127.0.0.1:{proxy.port}")
        endpoint = Endpoint("example.invalid", 443)
        with pytest.raises(NotSent, match=f"through the proxy 127.0.0.1:{proxy.port}"):
            await upload(endpoint)
        assert len(proxy.asked) == 1
        monkeypatch.setenv("NO_PROXY", "example.invalid")
        with pytest.raises(NoSuchService, match="cannot be resolved"):
            await upload(endpoint)
        assert len(proxy.asked) == 1


async def test_the_proxy_itself_may_not_exist(monkeypatch):
    for name in ("grpc_proxy", "https_proxy", "http_proxy", "no_grpc_proxy", "no_proxy"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("HTTPS_PROXY", "http://proxy.invalid:3128")
    with pytest.raises(NoSuchService, match=r"through the proxy proxy.invalid:3128"):
        await upload(Endpoint("example.invalid", 443))


async def test_no_proxy_stands_between_us_and_loopback(monkeypatch):
    for name in ("grpc_proxy", "https_proxy", "http_proxy"):
        monkeypatch.setenv(name, "http://127.0.0.1:1")
    for name in ("no_grpc_proxy", "no_proxy"):
        monkeypatch.delenv(name, raising=False)
    async with TalkServer() as server:
        endpoint = Endpoint("localhost", server.port, Security.PLAINTEXT)
        assert (await upload(endpoint)).talk_id == "talk-1"


async def test_a_channel_to_the_real_service_opens_without_touching_the_network():
    await open_channel(DEFAULT_ENDPOINT).close()
