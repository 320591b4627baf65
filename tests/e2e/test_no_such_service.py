"""An endpoint that cannot be right is a setting to mend, unless this ledger ever reached it."""

import json
import time

import pytest

from batch_uploader.ledgers.sqlite import LedgerReader

NOWHERE = ("--endpoint", "no-such-host.invalid:443")


@pytest.fixture
def foreign(service, start_service):
    """Flags for a certificate of which nobody here knows the CA."""
    with start_service() as other:
        ca_file = other.folder / "tls" / "ca.pem"
    return ("--endpoint", service.address, "--ca-file", ca_file)


@pytest.mark.parametrize("progress", ["plain", "none"])
@pytest.mark.parametrize("wrong", ["host", "certificate"])
def test_what_was_never_reached_is_a_wrong_setting(calls, upload, request, wrong, progress):
    """Fault 106."""
    calls.write(*(f"{number}.wav" for number in range(20)))
    flags = NOWHERE if wrong == "host" else request.getfixturevalue("foreign")
    began = time.monotonic()
    result = upload(*flags, "--progress", progress)
    assert result.code == 2, result.said
    assert time.monotonic() - began < 60
    host = "error: no-such-host.invalid:443 cannot be resolved"
    certificate = f"error: the TLS certificate of {flags[1]} was not accepted"
    assert (host if wrong == "host" else certificate) in result.err
    assert "hint: check the" in result.err
    assert result.err.count("paused") == (progress == "plain")
    # Nothing is marked, so the next run just goes on.
    result = upload()
    assert result.code == 0, result.said
    assert len(calls.manifest()) == 20


async def test_what_was_reached_once_is_away(calls, upload, foreign, service):
    calls.write("a.wav")
    assert upload().code == 0
    async with LedgerReader(calls.ledger) as ledger:
        assert json.loads(await ledger.fact("reached")) == [service.address]
    calls.write("b.wav")
    result = upload(*foreign, "--max-outage", "20s", "--progress", "none")
    assert result.code == 6, result.said
    assert "nothing got through, and --max-outage is 20s: the TLS certificate" in result.err


@pytest.mark.parametrize("name", ["https_proxy", "HTTPS_PROXY"])
def test_the_proxy_is_named_whatever_the_progress(calls, upload, name):
    calls.write("a.wav")
    proxy = {name: "http://user:secret@127.0.0.1:9"}
    flags = (*NOWHERE, "--max-outage", "1s", "--progress", "none")
    result = upload(*flags, env=proxy)
    assert result.code == 6, result.said
    assert (
        "no-such-host.invalid:443 (through the proxy 127.0.0.1:9) cannot be reached" in result.err
    )
    assert "secret" not in result.said
