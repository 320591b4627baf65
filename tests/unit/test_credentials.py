"""Credentials: read with suspicion, renewed in time, never shown."""

import asyncio
import base64
import json
import os
import sys
import time
import traceback

import pytest
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec, padding, rsa
from grpc import StatusCode
from rich.pretty import pretty_repr
from support.sink_servers import TalkServer, Trouble

from batch_uploader.core.errors import ConfigError, NoSuchService, NotSent, Unauthorized
from batch_uploader.host.exposure import others_may_read
from batch_uploader.settings.given import RawSetting
from batch_uploader.sinks.speechsense.channel import Endpoint, Proxy
from batch_uploader.sinks.speechsense.credentials import (
    ApiKey,
    IamToken,
    IamTokenFile,
    ServiceAccountKey,
    read_secret_file,
)
from batch_uploader.sinks.speechsense.iam import AuthorizedKey
from batch_uploader.sinks.speechsense.renewal import IssuedToken
from batch_uploader.sinks.speechsense.sink import _Sending

CANARY = "AQVN-canary_7"


class Clock:
    def __init__(self):
        self.now = 1000.0

    def __call__(self):
        return self.now


def secret_file(folder, content, mode=0o600):
    path = folder / "secret"
    path.write_bytes(content if isinstance(content, bytes) else content.encode())
    path.chmod(mode)
    return path


@pytest.mark.parametrize(
    "content",
    [CANARY, f"{CANARY}\n", f"  {CANARY}\r\n", f"\ufeff{CANARY}\n"],
    ids=["bare", "newline", "spaces", "byte-order mark"],
)
def test_a_secret_is_read_without_what_editors_add(tmp_path, content):
    assert read_secret_file(secret_file(tmp_path, content)) == CANARY


@pytest.mark.parametrize(
    "content",
    ["", " \n", f"{CANARY}\n{CANARY}", f"{CANARY} {CANARY}", f"{CANARY}ключ", b"\xff\xfeA\0Q\0"],
    ids=["empty", "blank", "two lines", "two words", "not ASCII", "UTF-16"],
)
def test_what_cannot_be_a_secret_is_refused_by_the_files_name(tmp_path, content):
    path = secret_file(tmp_path, content)
    with pytest.raises(ConfigError) as caught:
        read_secret_file(path)
    assert str(path) in str(caught.value)
    assert caught.value.hints[0].startswith("put ")
    assert "canary" not in "".join(traceback.format_exception(caught.value))


@pytest.mark.skipif(sys.platform == "win32", reason="Windows has no modes")
@pytest.mark.parametrize("mode", [0o666, 0o660, 0o602, 0o620, 0o777])
def test_a_secret_that_others_may_write_is_refused(tmp_path, mode):
    """Fault 67."""
    path = secret_file(tmp_path, CANARY, mode)
    for read in (read_secret_file, ApiKey.from_file, IamTokenFile, ServiceAccountKey.from_file):
        with pytest.raises(ConfigError, match=r"other users can write .*chmod 600"):
            read(path)


@pytest.mark.skipif(sys.platform == "win32", reason="Windows has no modes")
@pytest.mark.parametrize("mode", [0o600, 0o400, 0o440, 0o444, 0o640, 0o644, 0o755])
def test_a_secret_that_others_may_only_read_is_taken_and_told(tmp_path, mode):
    """Fault 67."""
    path = secret_file(tmp_path, CANARY, mode)
    assert read_secret_file(path) == CANARY
    assert others_may_read(path) is (mode not in {0o600, 0o400})


@pytest.mark.skipif(sys.platform == "win32", reason="Windows has no modes")
def test_what_systemd_hands_over_is_read_by_an_acl(tmp_path, monkeypatch):
    """Fault 67: it shows as the right of a group."""
    path = secret_file(tmp_path, CANARY, 0o440)
    monkeypatch.setenv("CREDENTIALS_DIRECTORY", str(tmp_path))
    assert read_secret_file(path) == CANARY
    assert not others_may_read(path)
    monkeypatch.setenv("CREDENTIALS_DIRECTORY", str(tmp_path / "other"))
    assert others_may_read(path)
    path.chmod(0o460)
    monkeypatch.setenv("CREDENTIALS_DIRECTORY", str(tmp_path))
    with pytest.raises(ConfigError, match="can write"):
        read_secret_file(path)


def test_a_secret_file_that_is_not_there(tmp_path):
    for read in (read_secret_file, ApiKey.from_file, IamTokenFile, ServiceAccountKey.from_file):
        with pytest.raises(ConfigError, match="nowhere cannot be read"):
            read(tmp_path / "nowhere")


@pytest.mark.parametrize("kind", [ApiKey, IamToken])
@pytest.mark.parametrize("secret", ["", "a\nb", "a b", "ключ", "a\x00b", "a" * 8193])
def test_a_secret_that_no_header_can_carry_is_refused(kind, secret):
    """Fault 100."""
    with pytest.raises(ConfigError):
        kind(secret)


async def test_headers():
    assert await ApiKey(f"{CANARY}\n").header() == f"Api-Key {CANARY}"
    assert await IamToken(CANARY).header() == f"Bearer {CANARY}"


async def test_nothing_shows_its_secret(tmp_path):
    """Fault 66."""
    pem = RSA_PEM.split("\n")[1]
    key = AuthorizedKey.parse(key_json(), "it")
    for thing in (
        ApiKey(CANARY),
        IamToken(CANARY),
        IamTokenFile(secret_file(tmp_path, CANARY)),
        ServiceAccountKey(key),
        key,
        IssuedToken(CANARY, 1.0),
        _Sending(None, None, None, CANARY, 1.0),
        RawSetting(CANARY, "API_KEY", tmp_path),
    ):
        for text in (repr(thing), str(thing), f"{thing}", pretty_repr(thing)):
            assert CANARY not in text
            assert pem not in text


async def test_a_token_file_is_read_again_when_it_changes(tmp_path):
    path = secret_file(tmp_path, "one")
    clock = Clock()
    credentials = IamTokenFile(path, clock=clock)
    assert await credentials.header() == "Bearer one"
    secret_file(tmp_path, "two")
    os.utime(path, ns=(1, 1))
    assert await credentials.header() == "Bearer one"  # not looked at yet
    clock.now += 6
    assert await credentials.header() == "Bearer two"


async def test_a_token_file_in_the_middle_of_its_renewal_leaves_the_old_token(tmp_path):
    path = secret_file(tmp_path, "one")
    clock = Clock()
    credentials = IamTokenFile(path, clock=clock)
    path.unlink()
    clock.now += 6
    assert await credentials.header() == "Bearer one"
    secret_file(tmp_path, "")
    clock.now += 6
    assert await credentials.header() == "Bearer one"
    secret_file(tmp_path, "two")
    clock.now += 6
    assert await credentials.header() == "Bearer two"


RSA_KEY = rsa.generate_private_key(65537, 2048)
RSA_PEM = RSA_KEY.private_bytes(
    serialization.Encoding.PEM,
    serialization.PrivateFormat.PKCS8,
    serialization.NoEncryption(),
).decode()


def key_json(**changes):
    content = {
        "id": "key-1",
        "service_account_id": "account-1",
        "created_at": "2025-01-01T00:00:00Z",
        "key_algorithm": "RSA_2048",
        "public_key": "-",
        # The console puts a line of its own before the key.
        "private_key": f"PLEASE DO NOT REMOVE THIS LINE! Yandex.Cloud SA Key ID <key-1>\n{RSA_PEM}",
    }
    return json.dumps(content | changes)


def unpack(part):
    return base64.urlsafe_b64decode(part + "=" * (-len(part) % 4))


def check_jwt(jwt):
    """The claims, once the signature has been verified as PS256."""
    header, claims, signature = jwt.split(".")
    RSA_KEY.public_key().verify(
        unpack(signature),
        f"{header}.{claims}".encode(),
        padding.PSS(padding.MGF1(hashes.SHA256()), 32),
        hashes.SHA256(),
    )
    assert json.loads(unpack(header)) == {"typ": "JWT", "alg": "PS256", "kid": "key-1"}
    return json.loads(unpack(claims))


def test_the_jwt_is_the_one_that_iam_asks_for():
    claims = check_jwt(AuthorizedKey.parse(key_json(), "it").sign(1_700_000_000.9))
    assert claims == {
        "iss": "account-1",
        "aud": "https://iam.api.cloud.yandex.net/iam/v1/tokens",
        "iat": 1_700_000_000,
        "exp": 1_700_003_600,
    }


EC_PEM = (
    ec.generate_private_key(ec.SECP256R1())
    .private_bytes(
        serialization.Encoding.PEM,
        serialization.PrivateFormat.PKCS8,
        serialization.NoEncryption(),
    )
    .decode()
)


@pytest.mark.parametrize(
    "text",
    [
        CANARY,
        "[]",
        "{}",
        "null",
        "[" * 100_000,
        key_json(private_key=CANARY),
        key_json(private_key=None),
        key_json(private_key=EC_PEM),
        key_json(id=""),
        key_json(service_account_id=7),
    ],
    ids=["text", "list", "empty", "null", "deep", "no PEM", "None", "EC", "no id", "number"],
)
def test_what_is_no_authorized_key_is_refused_without_quoting_it(tmp_path, text):
    path = secret_file(tmp_path, text)
    with pytest.raises(ConfigError, match="yc iam key create") as caught:
        ServiceAccountKey.from_file(path)
    assert str(path) in str(caught.value)
    assert CANARY not in "".join(traceback.format_exception(caught.value))


@pytest.fixture
async def iam():
    async with TalkServer() as server:
        yield server


def account(iam, clock):
    key = AuthorizedKey.parse(key_json(), "it")
    return ServiceAccountKey(key, endpoint=iam.endpoint, clock=clock)


async def test_a_token_is_fetched_once_for_all_who_wait_and_then_kept(iam):
    iam.tokens.append(("t-1", time.time() + 12 * 3600))
    credentials = account(iam, Clock())
    headers = await asyncio.gather(*(credentials.header() for _ in range(20)))
    assert set(headers) == {"Bearer t-1"}
    assert check_jwt(iam.jwts[0])["iss"] == "account-1"
    assert await credentials.header() == "Bearer t-1"
    assert len(iam.jwts) == 1


@pytest.mark.parametrize(
    ("life", "kept", "renewed"),
    [(12 * 3600, 10.9 * 3600, 11.1 * 3600), (600, 290, 310)],
    ids=["an hour before the end", "halfway"],
)
async def test_a_token_is_renewed_well_before_its_end(iam, life, kept, renewed):
    clock = Clock()
    credentials = account(iam, clock)
    iam.tokens.append(("t-1", time.time() + life))
    await credentials.header()
    start = clock.now
    clock.now = start + kept
    assert await credentials.header() == "Bearer t-1"
    clock.now = start + renewed
    iam.tokens.append(("t-2", time.time() + life))
    assert await credentials.header() == "Bearer t-2"


async def test_while_iam_is_away_the_old_token_serves_until_its_end(iam):
    clock = Clock()
    credentials = account(iam, clock)
    iam.tokens.append(("t-1", time.time() + 12 * 3600))
    await credentials.header()
    clock.now += 11.5 * 3600
    iam.tokens.append(Trouble(StatusCode.UNAVAILABLE, "busy"))
    assert await credentials.header() == "Bearer t-1"
    assert await credentials.header() == "Bearer t-1"  # asks again only after a while
    assert len(iam.jwts) == 2
    clock.now += 3600
    iam.tokens.append(Trouble(StatusCode.UNAVAILABLE, "busy"))
    with pytest.raises(NotSent, match="busy"):
        await credentials.header()
    iam.tokens.append(("t-2", time.time() + 12 * 3600))
    assert await credentials.header() == "Bearer t-2"


async def test_while_a_token_is_being_renewed_the_others_go_on_with_the_old_one(iam):
    clock = Clock()
    credentials = account(iam, clock)
    iam.tokens.append(("t-1", time.time() + 12 * 3600))
    await credentials.header()
    clock.now += 11.5 * 3600
    iam.tokens.append(("t-2", time.time() + 12 * 3600))
    headers = await asyncio.gather(*(credentials.header() for _ in range(3)))
    assert headers == ["Bearer t-2", "Bearer t-1", "Bearer t-1"]


@pytest.mark.parametrize("expires_in", [-100_000, 100 * 3600], ids=["past", "far"])
async def test_clocks_that_differ_make_neither_a_storm_nor_an_eternal_token(iam, expires_in):
    """Fault 13."""
    clock = Clock()
    credentials = account(iam, clock)
    iam.tokens.extend([("t-1", time.time() + expires_in), ("t-2", time.time() + expires_in)])
    await credentials.header()
    assert await credentials.header() == "Bearer t-1"
    clock.now += 12 * 3600
    assert await credentials.header() == "Bearer t-2"


@pytest.mark.parametrize(
    ("answer", "expected"),
    [
        (Trouble(StatusCode.UNAUTHENTICATED, "unknown key"), Unauthorized),
        (Trouble(StatusCode.NOT_FOUND, "no key"), Unauthorized),
        (Trouble(StatusCode.INTERNAL, "boom"), NotSent),
        (("", 0), NotSent),
    ],
    ids=["refused", "not found", "broken", "empty"],
)
async def test_without_a_first_token_nothing_is_sent(iam, answer, expected):
    iam.tokens.append(answer)
    with pytest.raises(expected) as caught:
        await account(iam, Clock()).header()
    assert type(caught.value) is expected
    assert str(iam.endpoint) in str(caught.value)


async def test_an_iam_endpoint_that_does_not_exist_is_told_from_one_that_is_away(iam):
    nowhere = Endpoint("iam.invalid", 443, proxy=Proxy.IGNORED)
    with pytest.raises(
        NoSuchService, match=r"iam\.invalid:443, which issues the IAM tokens, cannot"
    ):
        await ServiceAccountKey(AuthorizedKey.parse(key_json(), "it"), endpoint=nowhere).header()
    await iam.__aexit__(None, None, None)
    with pytest.raises(NotSent, match="which issues the IAM tokens, cannot be reached") as caught:
        await account(iam, Clock()).header()
    assert type(caught.value) is NotSent
