"""Runs with credentials that expire, are revoked, or lack something, against the emulator."""

import json
import random
import time
from collections import Counter

import grpc
import pytest
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import rsa
from support.emulator_client import refused, running, wav
from support.metadata_service import http, metadata_service, token

from batch_uploader import (
    ApiKey,
    Ending,
    Endpoint,
    IamToken,
    IamTokenCommand,
    RunOptions,
    ServiceAccountKey,
    SpeechSenseSink,
    Status,
    VmMetadataToken,
    upload_directory,
)
from batch_uploader.core.errors import SearchFailed, Unauthorized
from batch_uploader.core.events import RenewalFailed, Settled
from batch_uploader.emulator import Connection, Faults, LackedRight, RegisteredKey
from batch_uploader.sinks.speechsense.refusals import CredentialFault
from batch_uploader.ui.explain import explain

KEY = rsa.generate_private_key(65537, 2048)
OTHER = rsa.generate_private_key(65537, 2048)
ACCOUNT = RegisteredKey("key-1", "account-1", KEY.public_key())


def endpoint(emulator):
    return Endpoint.parse(emulator.address, ca_file=emulator.ca_file)


def account(emulator, key=KEY, key_id="key-1"):
    pem = key.private_bytes(
        serialization.Encoding.PEM,
        serialization.PrivateFormat.PKCS8,
        serialization.NoEncryption(),
    )
    text = json.dumps(
        {"id": key_id, "service_account_id": "account-1", "private_key": pem.decode()}
    )
    return ServiceAccountKey.parse(text, "it", endpoint=endpoint(emulator))


def archive(folder, number):
    folder.mkdir()
    head = wav(0.1)[:44]
    for each in range(number):
        audio = head + random.Random(each).randbytes(1600)
        (folder / f"{each:04}.wav").write_bytes(audio)
        (folder / f"{each:04}.json").write_text(json.dumps({"n": str(each)}))
    return folder


async def upload(folder, emulator, credentials, *, listeners=(), **options):
    return await upload_directory(
        folder,
        connection_id="demo",
        endpoint=endpoint(emulator),
        credentials=credentials,
        listeners=listeners,
        options=RunOptions(min_age=0, min_age_open=0, sidecar_wait=0, max_outage=20, **options),
    )


async def lasts(tmp_path, seconds, *, metadata=False):
    """A token that lives two seconds, through so many of them with 16 workers."""
    rate, life, lead = 25, 2.0, 1.0
    folder = archive(tmp_path / "calls", seconds * rate)
    options = {
        "service_accounts": (ACCOUNT,),
        "token_lifetime": life,
        "metadata_port": 0,
        "faults": Faults(latency=0.1),
    }
    async with running(tmp_path, **options) as (emulator, _):
        kind = VmMetadataToken(emulator.metadata_address) if metadata else account(emulator)
        started = time.monotonic()
        summary = await upload(folder, emulator, kind, concurrency=16, rate=float(rate))
        took = time.monotonic() - started
        exchanges = emulator.control.requests["MetadataToken" if metadata else "Create"]
        assert summary.counts == {Status.UPLOADED: seconds * rate}
        assert took > seconds - 2
        assert emulator.control.most_exchanges == 1
        assert took / life - 1 <= exchanges <= took / (life - lead) + 2
        talks = emulator.control.talks()
        assert len({talk.sha256 for talk in talks}) == len(talks) == seconds * rate


@pytest.mark.parametrize("metadata", [False, True], ids=["key", "metadata service"])
async def test_a_token_of_two_seconds_lasts(tmp_path, metadata):
    """Fault 123."""
    await lasts(tmp_path, 8, metadata=metadata)


@pytest.mark.slow
async def test_a_token_of_two_seconds_lasts_for_a_minute(tmp_path):
    await lasts(tmp_path, 60)


async def test_a_failure_to_renew_ahead_of_time_is_a_warning(tmp_path):
    """Fault 123."""
    rate = 20
    folder = archive(tmp_path / "calls", 3 * rate)
    events = []
    async with (
        running(tmp_path, iam_tokens=frozenset({"t1.right"})) as (emulator, _),
        metadata_service(token("t1.right", 5), http("", "500 Oops")) as (address, requests),
    ):
        summary = await upload(
            folder, emulator, VmMetadataToken(address), rate=float(rate), listeners=[events.append]
        )
        assert summary.counts == {Status.UPLOADED: 3 * rate}
        assert len(requests) == 2
    (warning,) = (event for event in events if isinstance(event, RenewalFailed))
    assert 0 < warning.expires_in < 3
    assert "HTTP 500" in warning.reason
    assert "used for" in explain(warning)
    assert "t1.right" not in f"{events}"


async def test_tokens_that_are_revoked_are_replaced_and_nothing_fails(tmp_path):
    """Fault 123."""
    folder = archive(tmp_path / "calls", 60)
    options = {"service_accounts": (ACCOUNT,), "faults": Faults(forget_tokens_after=20)}
    async with running(tmp_path, **options) as (emulator, _):
        summary = await upload(folder, emulator, account(emulator), concurrency=16)
        assert summary.counts == {Status.UPLOADED: 60}
        assert emulator.control.requests["Create"] == 2
        assert len(emulator.control.talks()) == 60


async def test_a_recording_that_is_rejected_shows_that_its_token_was_accepted(tmp_path):
    folder = archive(tmp_path / "calls", 30)
    options = {
        "service_accounts": (ACCOUNT,),
        "connections": (Connection("demo", fields=frozenset()),),
    }
    async with running(tmp_path, **options) as (emulator, _):
        settled = []

        def revoke_at_times(event):
            if isinstance(event, Settled):
                settled.append(event)
                if len(settled) % 8 == 0:
                    emulator.control.forget_tokens()

        more = {"concurrency": 1, "listeners": [revoke_at_times]}
        summary = await upload(folder, emulator, account(emulator), **more)
        assert summary.ending is Ending.COMPLETED
        assert summary.counts == {Status.REJECTED: 30}
        assert emulator.control.requests["Create"] == 4


async def test_a_replacement_that_is_refused_too_ends_the_run(tmp_path):
    folder = archive(tmp_path / "calls", 60)
    async with running(tmp_path, iam_tokens=frozenset({"t1.right"}), metadata_port=0) as (
        emulator,
        _,
    ):
        count = tmp_path / "count"
        command = tmp_path / "give"
        command.write_text(f'#!/bin/sh\necho x >> {count}\necho "t1.wrong$(wc -l < {count})"\n')
        command.chmod(0o755)
        summary = await upload(folder, emulator, IamTokenCommand(str(command)), concurrency=16)
        assert summary.ending is Ending.UNAUTHORIZED
        assert "does not accept the IAM token" in summary.reason
        assert not emulator.control.talks()
        # The first one, and what replaced it.
        assert len(count.read_text().split()) == 2


async def test_a_key_that_is_revoked_ends_the_run(tmp_path):
    folder = archive(tmp_path / "calls", 60)
    options = {"service_accounts": (ACCOUNT,), "faults": Faults(revoke_after=20)}
    async with running(tmp_path, **options) as (emulator, _):
        summary = await upload(folder, emulator, account(emulator), concurrency=4)
        assert summary.ending is Ending.UNAUTHORIZED
        assert "does not accept the authorized key" in summary.reason
        assert emulator.control.requests["Create"] <= 3
        talks = len(emulator.control.talks())
        assert summary.counts[Status.UPLOADED] == talks < 20
        # The next night goes on where this one ended, and sends nothing twice.
        emulator.control.faults = Faults()
        emulator.control.reinstate()
        await upload(folder, emulator, account(emulator))
        assert Counter(talk.sha256 for talk in emulator.control.talks()).most_common(1)[0][1] == 1
        assert len(emulator.control.talks()) == 60


async def search(emulator, credentials):
    async with SpeechSenseSink(endpoint(emulator), credentials, stamp_field="n") as sink:
        return await sink.find("demo", ["x"])


async def ended(tmp_path, emulator, credentials):
    summary = await upload(archive(tmp_path / "calls", 3), emulator, credentials)
    assert summary.ending is Ending.UNAUTHORIZED
    assert not emulator.control.talks()
    return "\n".join([summary.reason, *summary.hints])


CASES = {
    "wrong key": (
        {},
        lambda _: ApiKey("another-key"),
        ("does not accept the API key", "neither deleted nor revoked"),
        CredentialFault.WRONG,
    ),
    "wrong token": (
        {},
        lambda _: IamToken("t1.another"),
        ("does not accept the IAM token", "12 hours", "--service-account-key-file"),
        CredentialFault.WRONG,
    ),
    "no role": (
        {"missing": frozenset({LackedRight.ROLE})},
        lambda _: ApiKey("emulator-key"),
        ("does not let the account", "speech-sense.data.editor on the space"),
        CredentialFault.ROLE,
    ),
    "no scope": (
        {"missing": frozenset({LackedRight.SCOPE})},
        lambda _: ApiKey("emulator-key"),
        ("lacks a scope", "--scopes yc.speech-sense.use"),
        CredentialFault.SCOPE,
    ),
    "another account's key": (
        {"service_accounts": (ACCOUNT,)},
        lambda emulator: account(emulator, OTHER),
        ("does not accept the authorized key", "yc iam key list"),
        CredentialFault.WRONG,
    ),
    "a deleted key": (
        {"service_accounts": (ACCOUNT,)},
        lambda emulator: account(emulator, key_id="key-2"),
        ("does not accept the authorized key", "yc iam key create"),
        CredentialFault.WRONG,
    ),
    "clock behind": (
        {"service_accounts": (ACCOUNT,), "clock_off": 5400.0},
        account,
        ("this machine's clock, which is 1:30:00 behind", "timedatectl"),
        CredentialFault.CLOCK,
    ),
    "clock ahead": (
        {"service_accounts": (ACCOUNT,), "clock_off": -3600.0},
        account,
        ("this machine's clock, which is 1:00:00 ahead", "timedatectl"),
        CredentialFault.CLOCK,
    ),
}


@pytest.mark.parametrize("case", CASES)
async def test_what_is_wrong_is_told_apart(tmp_path, case):
    options, make, said, fault = CASES[case]
    async with running(tmp_path, **options) as (emulator, _):
        text = await ended(tmp_path, emulator, make(emulator))
        for part in said:
            assert part in text
        with pytest.raises(SearchFailed) as caught:
            await search(emulator, make(emulator))
        assert caught.value.fault == fault
        assert caught.value.hints


async def test_a_token_that_has_expired_is_told_with_what_renews_it(tmp_path):
    options = {"service_accounts": (ACCOUNT,), "token_lifetime": 1.0, "metadata_port": 0}
    async with running(tmp_path, **options) as (emulator, _):
        given = (await VmMetadataToken(emulator.metadata_address).header()).partition(" ")[2]
        # Long enough for the emulator to tell.
        while not await _expired(emulator, given):
            pass
        text = await ended(tmp_path, emulator, IamToken(given))
        assert "since it has expired" in text
        assert "--metadata-credentials" in text


async def _expired(emulator, token):
    try:
        await search(emulator, IamToken(token))
    except SearchFailed as error:
        return error.fault == CredentialFault.EXPIRED
    return False


async def test_a_role_that_is_withdrawn_ends_the_run_and_its_return_goes_on(tmp_path):
    folder = archive(tmp_path / "calls", 30)
    async with running(tmp_path) as (emulator, _):
        emulator.control.lack(LackedRight.ROLE)
        assert (await upload(folder, emulator, ApiKey("emulator-key"))).counts == {}
        emulator.control.lack()
        summary = await upload(folder, emulator, ApiKey("emulator-key"))
        assert summary.counts == {Status.UPLOADED: 30}


async def test_the_emulators_metadata_service_is_as_strict_as_the_vendors(tmp_path):
    async with running(tmp_path, metadata_port=0, service_accounts=(ACCOUNT,)) as (
        emulator,
        client,
    ):
        credentials = VmMetadataToken(emulator.metadata_address)
        client.headers = (("authorization", await credentials.header()),)
        assert await client.upload()
        emulator.control.forget_tokens()
        assert (await refused(client.upload())).code() is grpc.StatusCode.UNAUTHENTICATED
        emulator.control.revoke()
        with pytest.raises(Unauthorized, match="404"):
            await VmMetadataToken(emulator.metadata_address).header()
