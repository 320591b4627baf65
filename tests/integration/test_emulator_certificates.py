"""The certificates that the emulator makes for itself."""

import asyncio
import datetime as dt
import ssl
import stat

import pytest
from support.emulator_client import running

from batch_uploader.core.errors import ConfigError
from batch_uploader.emulator import certificates as module
from batch_uploader.emulator.certificates import certificates


@pytest.mark.parametrize("name", ["localhost", "127.0.0.1", "::1"])
async def test_a_strict_client_believes_them(tmp_path, name):
    async with running(tmp_path) as (emulator, _):
        context = ssl.create_default_context(cafile=emulator.ca_file)
        context.verify_flags |= ssl.VERIFY_X509_STRICT
        port = int(emulator.address.rpartition(":")[2])
        context.set_alpn_protocols(["h2"])
        _, writer = await asyncio.open_connection(
            "127.0.0.1", port, ssl=context, server_hostname=name
        )
        writer.close()
        with pytest.raises(ssl.SSLCertVerificationError):
            await asyncio.open_connection(
                "127.0.0.1", port, ssl=context, server_hostname="example.com"
            )


def test_they_are_made_once(tmp_path):
    folder = tmp_path / "a" / "b"
    first = certificates(folder)
    assert certificates(folder) == first
    assert first.ca_file == folder / "ca.pem"
    assert stat.S_IMODE((folder / "server-key.pem").stat().st_mode) == 0o600
    # The CA's key is kept nowhere: nobody can sign anything else with it.
    assert sorted(path.name for path in folder.iterdir()) == [
        "ca.pem",
        "server-key.pem",
        "server.pem",
    ]


@pytest.mark.parametrize("name", ["ca.pem", "server.pem", "server-key.pem"])
@pytest.mark.parametrize("content", [None, b"", b"broken", "another's"])
def test_they_are_made_anew_together_where_one_is_missing_or_does_not_fit(tmp_path, name, content):
    first = certificates(tmp_path / "one")
    file = tmp_path / "one" / name
    file.unlink()
    if content == "another's":
        certificates(tmp_path / "other")
        content = (tmp_path / "other" / name).read_bytes()
    if content is not None:
        file.write_bytes(content)
    second = certificates(tmp_path / "one")
    assert second.key != first.key
    assert certificates(tmp_path / "one") == second


def test_they_are_made_anew_a_week_before_they_run_out(tmp_path, monkeypatch):
    monkeypatch.setattr(module, "_VALID", dt.timedelta(days=6))
    first = certificates(tmp_path)
    monkeypatch.setattr(module, "_VALID", dt.timedelta(days=8))
    second = certificates(tmp_path)
    assert second != first
    assert certificates(tmp_path) == second


def test_a_folder_that_is_a_file(tmp_path):
    (tmp_path / "tls").write_bytes(b"")
    with pytest.raises(ConfigError, match="specify a folder that can be written"):
        certificates(tmp_path / "tls")
