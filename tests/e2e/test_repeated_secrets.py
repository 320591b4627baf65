"""Peers that repeat the credential wherever they can: nothing that is said or written has it."""

import asyncio
import base64
import json
import os
import re
import subprocess
import sys
import time
from types import SimpleNamespace

import anyio
import grpc
import pytest
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import rsa
from grpc import StatusCode
from support.http2_peers import FrameServer, goes_away

from batch_uploader.sinks.speechsense import wire

KEY = "AQVN7-dQm3xkVtbZ0WcYp_LrH5uJ9sEoGfTa2iR"
TOKEN = "t1.9euelZqWzM7KmZnIyZnLnsuRzpSVk-3rnpWaksySjJ.kXTq3"
PART = 10


def bare(text):
    return re.sub("[^0-9A-Za-z]+", "", text).lower()


class Leaks:
    """Looks for parts of the secrets in what a run said, and in the files beside it."""

    def __init__(self, calls):
        self._calls = calls
        self.secrets = [KEY, TOKEN]

    def require_none(self, *results):
        said = {f"output {number}": result.said for number, result in enumerate(results)}
        for path in self._calls.folder.parent.rglob("*"):
            if path.is_file() and path.suffix != ".wav" and path.parent.name != "keys":
                said[str(path)] = path.read_bytes().decode("latin-1")
        secrets = list(map(bare, self.secrets))
        parts = {each[at : at + PART] for each in secrets for at in range(len(each) - PART + 1)}
        for where, text in said.items():
            letters = bare(text)
            found = parts & {letters[at : at + PART] for at in range(len(letters) - PART + 1)}
            assert not found, (where, found)


@pytest.fixture
def leaks(calls):
    return Leaks(calls)


@pytest.fixture
def keys(calls):
    folder = calls.folder.parent / "keys"
    folder.mkdir()
    return folder


def secret_file(path, content):
    path.write_text(content)
    path.chmod(0o600)
    return path


def bad_request(*texts):
    violations = [wire.BadRequest.FieldViolation(field=text, description=text) for text in texts]
    status = wire.Status(code=3, message=texts[0])
    status.details.add(
        type_url="type.googleapis.com/google.rpc.BadRequest",
        value=wire.BadRequest(field_violations=violations).SerializeToString(),
    )
    return (("grpc-status-details-bin", status.SerializeToString()),)


class Parrot(grpc.GenericRpcHandler):
    """Repeats the secret of each upload in the next of many ways, then all it ever heard."""

    def __init__(self):
        self.uploads = 0
        self.jwts = []

    def service(self, details):
        if details.method == wire.CREATE_IAM_TOKEN:
            return grpc.unary_unary_rpc_method_handler(self._create)
        if details.method == wire.UPLOAD:
            return grpc.unary_unary_rpc_method_handler(self._upload)
        return None

    async def _upload(self, request, context):
        secret = dict(context.invocation_metadata())["authorization"].partition(" ")[2]
        way = self.uploads
        self.uploads += 1
        half = secret[len(secret) // 3 :]
        coded = base64.b64encode(f"Api-Key {secret}".encode()).decode()
        ids = (("x-request-id", half), ("x-server-trace-id", secret))
        context.set_trailing_metadata(ids)
        match way % 8:
            case 0:
                return answer(f"talk-{way}")
            case 1:
                return answer(secret)
            case 2:
                return answer(f"talk-{half[:20]}")
            case 3:
                text = f"bad key {secret}; {half}; {coded}; {secret.upper()}"
                await context.abort(StatusCode.INVALID_ARGUMENT, text, ids)
            case 4:
                violations = bad_request(secret, half, coded, *self.jwts)
                await context.abort(StatusCode.INVALID_ARGUMENT, half, (*ids, *violations))
            case 5:
                text = f"EOF {secret.encode().hex()} {' '.join(secret)} {self.jwts}"
                await context.abort(StatusCode.UNAVAILABLE, text, ids)
            case 6:
                await context.abort(StatusCode.INTERNAL, "".join(self.jwts) or half, ids)
        return await context.abort(StatusCode.OUT_OF_RANGE, secret, ids)

    async def _create(self, request, context):
        jwt = wire.CreateIamTokenRequest.FromString(request).jwt
        self.jwts.append(jwt)
        response = wire.CreateIamTokenResponse(iam_token=TOKEN)
        response.expires_at.FromSeconds(int(time.time()) + 3600)
        return response.SerializeToString()


class Refusing(Parrot):
    """IAM, which repeats the JWT in part."""

    async def _create(self, request, context):
        jwt = wire.CreateIamTokenRequest.FromString(request).jwt
        self.jwts.append(jwt)
        head, claims, signature = jwt.split(".")
        text = f"no such key: {head[:30]}... {claims[5:]} ...{signature[-40:]}"
        await context.abort(StatusCode.UNAUTHENTICATED, text, (("x-request-id", claims),))


def answer(talk_id):
    return wire.UploadTalkResponse(talk_id=talk_id).SerializeToString()


@pytest.fixture
async def serve():
    servers = []

    async def start(handler):
        server = grpc.aio.server()
        server.add_generic_rpc_handlers([handler])
        port = server.add_insecure_port("127.0.0.1:0")
        await server.start()
        servers.append(server)
        return f"127.0.0.1:{port}"

    yield start
    await asyncio.gather(*(server.stop(0) for server in servers))


@pytest.fixture
def upload_to(program, calls, tmp_path):
    async def run(address, *flags, env=None, progress="json"):
        where = ("--connection-id", "calls", "--endpoint", address, "--plaintext")
        loud = ("-v", "--progress", progress, "--log-file", tmp_path / "log.jsonl")
        command = ("upload", calls, *where, *loud, *flags)
        return await anyio.to_thread.run_sync(lambda: program(*command, env=env))

    return run


def account(path):
    private = rsa.generate_private_key(public_exponent=65537, key_size=2048)
    pem = private.private_bytes(
        serialization.Encoding.PEM,
        serialization.PrivateFormat.PKCS8,
        serialization.NoEncryption(),
    ).decode()
    content = {"id": "key-1", "service_account_id": "account-1", "private_key": pem}
    secret_file(path, json.dumps(content))
    return path, pem


@pytest.mark.parametrize("progress", ["json", "plain"])
async def test_a_key_that_the_service_repeats(calls, program, leaks, serve, upload_to, *, progress):
    """Faults 66 and 80."""
    calls.write(*(f"{number}.wav" for number in range(16)))
    parrot = Parrot()
    result = await upload_to(await serve(parrot), env={"API_KEY": KEY}, progress=progress)
    assert result.code in {1, 6}, result.said
    assert parrot.uploads == 16
    exported = [program("manifest", calls, "--format", kind) for kind in ("jsonl", "csv")]
    leaks.require_none(result, program("status", calls), *exported)
    statuses = [line["status"] for line in calls.manifest().values()]
    assert statuses.count("conflict") == 4
    assert statuses.count("uploaded") == 2


async def test_a_token_and_a_jwt_that_the_service_repeats(calls, keys, leaks, serve, upload_to):
    """Faults 66 and 80: what IAM was sent and gave is repeated by the service, too."""
    calls.write(*(f"{number}.wav" for number in range(8)))
    parrot = Parrot()
    address = await serve(parrot)
    path, pem = account(keys / "account.json")
    flags = ("--service-account-key-file", path, "--iam-endpoint", address)
    result = await upload_to(address, *flags)
    assert parrot.uploads == 8
    assert len(parrot.jwts) == 1
    leaks.secrets += [*parrot.jwts, *pem.splitlines()[1:-1]]
    leaks.require_none(result)


async def test_a_jwt_that_iam_repeats_in_part(calls, keys, leaks, serve, upload_to):
    """Faults 66 and 80."""
    calls.write("a.wav")
    refusing = Refusing()
    address = await serve(refusing)
    path, _ = account(keys / "account.json")
    flags = ("--service-account-key-file", path, "--iam-endpoint", address)
    result = await upload_to(address, *flags)
    assert result.code == 3
    assert "no such key: [...]" in " ".join(result.said.split())
    leaks.secrets += refusing.jwts
    leaks.require_none(result)


async def test_a_key_in_the_last_words_of_a_connection(calls, keys, leaks, upload_to):
    """Faults 66 and 80: gRPC itself prints what a GOAWAY says."""
    calls.write("a.wav")
    key = secret_file(keys / "key", KEY)
    async with FrameServer(goes_away(0, 2, f"key {KEY}".encode())) as server:
        result = await upload_to(str(server.endpoint), "--api-key-file", key)
    assert "GOAWAY" in result.said
    leaks.require_none(result)


@pytest.mark.parametrize(
    "variables",
    [
        {"GRPC_TRACE": "all", "GRPC_VERBOSITY": "debug"},
        {"GRPC_TRACE": "all"},
        {"GRPC_TRACE": "chttp2_hpack_parser,http,api,call", "GRPC_VERBOSITY": "INFO"},
        {"GRPC_VERBOSITY": "debug"},
    ],
    ids=["all", "at its own level", "some", "no traces"],
)
async def test_grpc_is_not_made_to_print_it(calls, leaks, serve, upload_to, variables):
    """Faults 66 and 81."""
    calls.write("a.wav")
    result = await upload_to(await serve(Parrot()), env={**variables, "API_KEY": KEY})
    assert result.code == 0, result.said
    assert all(name in result.err for name in variables)
    leaks.require_none(result)


LIBRARY = """
import asyncio, os, sys
from batch_uploader import ApiKey, Endpoint, Security, upload_directory

endpoint = Endpoint.parse(sys.argv[1], security=Security.PLAINTEXT)
key = ApiKey(os.environ["KEY"])
asyncio.run(
    upload_directory(sys.argv[2], connection_id="calls", credentials=key, endpoint=endpoint)
)
"""


async def test_grpc_is_not_made_to_print_it_for_the_library(calls, leaks, serve, tmp_path):
    """Fault 81."""
    calls.write("a.wav")
    variables = {"GRPC_TRACE": "all", "GRPC_VERBOSITY": "debug", "KEY": KEY}
    command = [sys.executable, "-c", LIBRARY, await serve(Parrot()), str(calls)]
    done = await anyio.run_process(
        command, stderr=subprocess.STDOUT, env={**os.environ, **variables}, cwd=tmp_path
    )
    said = done.stdout.decode()
    assert "GRPC_TRACE" in said
    leaks.require_none(SimpleNamespace(said=said))
    assert calls.manifest()["a.wav"]["talk_id"] == "talk-0"
