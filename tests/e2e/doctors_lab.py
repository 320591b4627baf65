"""Where ``doctor`` is run while servers of a test are there."""

import asyncio
import json
import time
from functools import partial
from pathlib import Path
from types import SimpleNamespace

from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import rsa
from e2e.conftest import CONNECTION
from support.authorities import Authority
from support.shims import compile_shim

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

    def setup(self, *flags, directory=False, env=None, **how):
        """``how`` is what starts the program in another way, such as ``preexec``."""
        flags = [*([self.calls] if directory else []), *flags]
        return SimpleNamespace(flags=flags, env=env or {}, how=how)

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
        run = partial(self.program, env=setup.env, **setup.how)
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
