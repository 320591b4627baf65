"""Who is let in: API keys, IAM tokens, JWTs exchanged for them."""

import base64
import json
import time

import grpc
import pytest
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec, padding, rsa
from support.emulator_client import connected, refused, running

from batch_uploader.core.errors import ConfigError
from batch_uploader.emulator import RegisteredKey
from batch_uploader.emulator.rules import RpcRefusal
from batch_uploader.emulator.tokens import AUDIENCE, Authenticator

PRIVATE, OTHER = (rsa.generate_private_key(65537, 2048) for _ in range(2))
ACCOUNT = RegisteredKey("key-1", "account-1", PRIVATE.public_key())
UNAUTHENTICATED = grpc.StatusCode.UNAUTHENTICATED


def encode(content):
    raw = content if isinstance(content, bytes) else json.dumps(content).encode()
    return base64.urlsafe_b64encode(raw).rstrip(b"=").decode()


def jwt(key=PRIVATE, *, header=(), salt=32, **claims):
    now = int(time.time())
    head = {"typ": "JWT", "alg": "PS256", "kid": "key-1", **dict(header)}
    body = {"iss": "account-1", "aud": AUDIENCE, "iat": now, "exp": now + 3600, **claims}
    signed = f"{encode(head)}.{encode(body)}"
    pss = padding.PSS(padding.MGF1(hashes.SHA256()), salt)
    return f"{signed}.{encode(key.sign(signed.encode(), pss, hashes.SHA256()))}"


async def test_a_signed_jwt_is_exchanged_for_a_token_that_is_let_in(tmp_path):
    async with running(tmp_path, service_accounts=(ACCOUNT,)) as (emulator, client):
        answer = await client.create_token(jwt())
        assert answer.expires_at.seconds == pytest.approx(time.time() + 12 * 3600, abs=10)
        headers = (("authorization", f"Bearer {answer.iam_token}"),)
        async with connected(emulator, headers=headers) as bearer:
            assert await bearer.upload()
        # With other credentials declared, the default key is none any more.
        assert (await refused(client.upload())).code() is UNAUTHENTICATED
        assert emulator.control.requests == {"Create": 1, "Upload": 2}


async def test_a_token_runs_out(tmp_path):
    options = {"service_accounts": (ACCOUNT,), "token_lifetime": 0.0}
    async with running(tmp_path, **options) as (emulator, client):
        answer = await client.create_token(jwt())
        headers = (("authorization", f"Bearer {answer.iam_token}"),)
        async with connected(emulator, headers=headers) as bearer:
            error = await refused(bearer.upload())
        assert (error.code(), error.details()) == (UNAUTHENTICATED, "The IAM token has expired")


async def test_declared_keys_and_tokens_are_let_in_each_by_its_scheme(tmp_path):
    options = {"api_keys": frozenset({"k"}), "iam_tokens": frozenset({"t"})}
    async with running(tmp_path, **options) as (emulator, _):
        for header, let_in in (
            ("Api-Key k", True),
            ("api-key k", True),
            ("Bearer t", True),
            ("Bearer k", False),
            ("Api-Key t", False),
            ("Api-Key emulator-key", False),
        ):
            async with connected(emulator, headers=(("authorization", header),)) as client:
                if let_in:
                    assert await client.upload()
                else:
                    assert (await refused(client.upload())).code() is UNAUTHENTICATED


NOW = int(time.time())
BAD = {
    "nothing": ("", "malformed"),
    "two parts": ("a.b", "malformed"),
    "no base64": ("ж.ж.ж", "malformed"),
    "no JSON": (f"{encode(b'x')}.{encode(b'x')}.{encode(b'x')}", "malformed"),
    "no object": (f"{encode([])}.{encode([])}.{encode(b'x')}", "malformed"),
    "nested deeply": (f"{encode(b'[' * 99_999)}.{encode({})}.", "malformed"),
    "unsigned": (jwt(header={"alg": "none"}), "not signed with PS256"),
    "another algorithm": (jwt(header={"alg": "RS256"}), "not signed with PS256"),
    "another key's": (jwt(OTHER), "does not fit its key"),
    "another salt": (jwt(salt=20), "does not fit its key"),
    "an unknown key": (jwt(header={"kid": "key-2"}), "unknown key"),
    "no key": (jwt(header={"kid": None}), "unknown key"),
    "another account": (jwt(iss="account-2"), "not issued by"),
    "another audience": (jwt(aud="https://example.com"), "audience"),
    "expired": (jwt(iat=NOW - 4000, exp=NOW - 400), "not valid at this time"),
    "from the future": (jwt(iat=NOW + 900, exp=NOW + 1800), "not valid at this time"),
    "two hours": (jwt(exp=NOW + 7200), "longer than an hour"),
    "no times": (jwt(iat=None), "lacks iat or exp"),
}


@pytest.mark.parametrize("case", BAD)
def test_a_jwt_that_is_not_right(case):
    text, message = BAD[case]
    keeper = Authenticator([], [], [ACCOUNT])
    with pytest.raises(RpcRefusal, match=message) as refusal:
        keeper.exchange(text)
    assert refusal.value.code is UNAUTHENTICATED


def test_tokens_that_ran_out_are_forgotten():
    now = [1000.0]
    keeper = Authenticator([], [], [ACCOUNT], token_lifetime=10, clock=lambda: now[0])
    for _ in range(5):
        keeper.exchange(jwt(iat=int(now[0]), exp=int(now[0]) + 60))
        now[0] += 20
    assert len(keeper._issued) == 1


def test_an_authorized_key_is_read_from_the_file_that_the_console_gives(tmp_path):
    pem = PRIVATE.public_key().public_bytes(
        serialization.Encoding.PEM, serialization.PublicFormat.SubjectPublicKeyInfo
    )
    content = {"id": "key-1", "service_account_id": "account-1", "public_key": pem.decode()}
    file = tmp_path / "key.json"
    file.write_text(json.dumps(content))
    key = RegisteredKey.from_file(file)
    assert (key.id, key.service_account_id) == ("key-1", "account-1")
    assert key.public_key.public_numbers() == PRIVATE.public_key().public_numbers()


EC_PEM = (
    ec.generate_private_key(ec.SECP256R1())
    .public_key()
    .public_bytes(serialization.Encoding.PEM, serialization.PublicFormat.SubjectPublicKeyInfo)
    .decode()
)


@pytest.mark.parametrize(
    "content",
    [
        "",
        "[]",
        "{}",
        '{"id": "1", "service_account_id": "2", "public_key": "x"}',
        '{"id": "1", "service_account_id": "2", "public_key": 3}',
        json.dumps({"id": "1", "service_account_id": "2", "public_key": EC_PEM}),
    ],
    ids=range(6),  # the last one is another text in each process
)
def test_a_file_that_is_no_authorized_key(tmp_path, content):
    file = tmp_path / "key.json"
    file.write_text(content)
    with pytest.raises(ConfigError, match="is not an authorized key"):
        RegisteredKey.from_file(file)


def test_a_key_file_that_is_not_there(tmp_path):
    with pytest.raises(ConfigError, match="cannot be read"):
        RegisteredKey.from_file(tmp_path / "no")
