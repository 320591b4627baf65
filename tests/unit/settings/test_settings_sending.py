"""Whom to send to, with which credentials."""

import json
import os
import sys
from pathlib import Path

import pytest
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import rsa
from support.settings_harness import SECRET, refused

from batch_uploader.settings import Settings
from batch_uploader.sinks.speechsense.channel import Proxy, Security
from batch_uploader.sinks.speechsense.commands import ApiKeyCommand, IamTokenCommand
from batch_uploader.sinks.speechsense.credentials import (
    ApiKey,
    IamToken,
    IamTokenFile,
    ServiceAccountKey,
)
from batch_uploader.sinks.speechsense.evidence import Unavailable
from batch_uploader.sinks.speechsense.vm_metadata import VmMetadataToken


class TestCredentials:
    def test_each_source_makes_its_own_kind(self, settings, tmp_path, secret_file):
        key = rsa.generate_private_key(public_exponent=65537, key_size=2048)
        pem = key.private_bytes(
            serialization.Encoding.PEM,
            serialization.PrivateFormat.PKCS8,
            serialization.NoEncryption(),
        )
        account = tmp_path / "account.json"
        account.write_text(
            json.dumps({"id": "k", "service_account_id": "s", "private_key": pem.decode()})
        )
        account.chmod(0o600)
        for flags, environment, kind in [
            ({"api-key-file": secret_file}, {}, ApiKey),
            ({}, {"API_KEY": SECRET}, ApiKey),
            ({"iam-token-file": secret_file}, {}, IamTokenFile),
            ({}, {"IAM_TOKEN": SECRET}, IamToken),
            ({"service-account-key-file": account}, {}, ServiceAccountKey),
            ({}, {"YC_SERVICE_ACCOUNT_KEY_FILE": str(account)}, ServiceAccountKey),
            ({}, {"YC_SERVICE_ACCOUNT_KEY": account.read_text()}, ServiceAccountKey),
            ({"metadata-credentials": True}, {}, VmMetadataToken),
            ({"iam-token-command": "echo 'a b'"}, {}, IamTokenCommand),
            ({"api-key-command": "echo x"}, {}, ApiKeyCommand),
        ]:
            sending = settings(flags, environment).sending()
            assert isinstance(sending.credentials, kind)
            assert SECRET not in repr(sending)

    async def test_flags_and_environment_beat_the_file_and_the_profile_the_rest(
        self, settings, secret_file
    ):
        toml = 'api-key-file = "key"\n[profiles.p]\niam-token-file = "key"\n'
        for flags, environment, header in [
            ({"iam-token-file": secret_file}, {}, f"Bearer {SECRET}"),
            ({}, {"IAM_TOKEN": "other"}, "Bearer other"),
            ({"profile": "p"}, {}, f"Bearer {SECRET}"),
            ({}, {}, f"Api-Key {SECRET}"),
        ]:
            sending = settings(flags, environment, toml).sending()
            assert await sending.credentials.header() == header

    def test_none_is_an_error_that_names_all_ways(self, settings):
        text = refused(settings().sending)
        for way in (
            *("--api-key-file", "API_KEY", "--iam-token-file", "--service-account-key-file"),
            *("--metadata-credentials", "--iam-token-command", "--api-key-command"),
        ):
            assert way in text

    @pytest.mark.parametrize(
        ("flags", "environment", "both"),
        [
            (
                {"api-key-file": Path("k"), "iam-token-file": Path("t")},
                {},
                "--api-key-file and --iam-token-file",
            ),
            (
                {},
                {"API_KEY": SECRET, "IAM_TOKEN": SECRET},
                "variable API_KEY and the environment variable IAM_TOKEN",
            ),
            (
                {"api-key-file": Path("k")},
                {"IAM_TOKEN": SECRET},
                "--api-key-file and the environment variable IAM_TOKEN",
            ),
            (
                {"api-key-file": Path("k")},
                {"API_KEY": SECRET},
                "--api-key-file and the environment variable API_KEY",
            ),
            (
                {"metadata-credentials": True, "iam-token-command": "yc"},
                {},
                "--iam-token-command and --metadata-credentials",
            ),
            (
                {"api-key-command": "pass show key"},
                {"YC_SERVICE_ACCOUNT_KEY": SECRET},
                "--api-key-command and the environment variable YC_SERVICE_ACCOUNT_KEY",
            ),
            (
                {"service-account-key-file": Path("k")},
                {"YC_SERVICE_ACCOUNT_KEY_FILE": "k"},
                "key-file and the environment variable YC_SERVICE_ACCOUNT_KEY_FILE",
            ),
        ],
    )
    def test_two_are_an_error_that_names_both_and_how_to_leave_one_out(
        self, settings, flags, environment, both
    ):
        text = refused(settings(flags, environment).sending)
        assert both in text
        assert SECRET not in text
        unset = " ".join(f"-u {name}" for name in environment)
        assert (f"env {unset} batch-uploader" in text) == bool(environment)

    def test_two_in_the_file_are_an_error(self, settings):
        toml = 'api-key-file = "k"\niam-token-file = "t"\n'
        assert "more than one credential: api-key-file in" in refused(
            settings({}, {}, toml).sending
        )

    def test_one_that_is_switched_off_is_none(self, settings):
        flags, toml = {"api-key-command": "echo x"}, "metadata-credentials = false\n"
        assert isinstance(settings(flags, {}, toml).sending().credentials, ApiKeyCommand)
        assert "the credentials are missing" in refused(settings({}, {}, toml).sending)

    def test_the_metadata_service_may_be_elsewhere(self, settings):
        flags = {"metadata-credentials": True}
        at = settings(flags, {"YC_METADATA_ADDR": "localhost:8080"}).sending().credentials
        assert "localhost:8080" in at.kind
        assert "169.254.169.254" in settings(flags).sending().credentials.kind
        wrong = refused(settings(flags, {"YC_METADATA_ADDR": "http://x"}).sending)
        assert "not HOST or HOST:PORT" in wrong
        # It matters to no other kind of credential.
        settings({}, {"API_KEY": SECRET, "YC_METADATA_ADDR": "http://x"}).sending()

    def test_a_key_in_a_variable_that_is_none_is_not_repeated(self, settings):
        """fault 66"""
        text = refused(settings({}, {"YC_SERVICE_ACCOUNT_KEY": f'{{"id": "{SECRET}"}}'}).sending)
        assert text.startswith("the environment variable YC_SERVICE_ACCOUNT_KEY: it is not an")
        assert SECRET not in text

    @pytest.mark.parametrize("name", ["iam-token-command", "api-key-command"])
    def test_a_command_that_cannot_be_run_is_told_with_its_flag(self, settings, name):
        for command in ("no-such-program --x", "echo 'a", " "):
            assert refused(settings({name: command}).sending).startswith(f"--{name}: ")

    @pytest.mark.skipif(sys.platform == "win32", reason="Windows has no modes")
    def test_a_command_that_others_may_have_written_is_not_run(self, settings, tmp_path):
        """fault 67"""
        toml = 'iam-token-command = "echo x"\n'
        given = settings({}, {}, toml)
        assert isinstance(given.sending().credentials, IamTokenCommand)
        Path(given.file).chmod(0o664)
        text = refused(lambda: Settings(tmp_path, {}, {}, tmp_path))
        assert "other users can write this file" in text
        assert "chmod go-w" in text

    def test_a_secret_given_as_a_files_name_is_not_repeated_however_long(self, settings):
        text = refused(settings({"api-key-file": Path(SECRET * 50)}).sending)
        assert text.startswith("--api-key-file: no such file")
        assert SECRET not in text

    def test_a_file_that_others_may_write_is_refused(self, settings, secret_file):
        """fault 67"""
        secret_file.chmod(0o664)
        text = refused(settings({"api-key-file": secret_file}).sending)
        assert text.startswith("--api-key-file: ")
        assert "chmod 600" in text

    def test_the_secret_given_as_a_files_name_is_not_repeated(self, settings):
        """fault 66"""
        text = refused(settings({"api-key-file": Path(SECRET)}).sending)
        assert text.startswith("--api-key-file: no such file")
        assert SECRET not in text

    def test_a_secret_that_cannot_be_one_is_refused_by_its_variable(self, settings):
        text = refused(settings({}, {"API_KEY": f"{SECRET} {SECRET}"}).sending)
        assert "the environment variable API_KEY" in text

    def test_a_variable_of_blanks_is_named_once(self, settings):
        text = refused(settings({}, {"API_KEY": "  "}).sending)
        assert text.count("API_KEY") == 1

    def test_nobody_is_told_to_close_a_directory_or_a_device(self, settings, tmp_path):
        """Fault 67: others need them."""
        for place in (tmp_path, os.devnull):
            text = refused(settings({"api-key-file": str(place)}).sending)
            assert "specify the file with the secret" in text
            assert "chmod" not in text
        assert SECRET not in text


class TestEndpoint:
    def test_the_default_is_the_service_over_tls(self, settings):
        endpoint = settings({}, {"API_KEY": SECRET}).sending().endpoint
        assert str(endpoint) == "api.speechsense.yandexcloud.net:443"
        assert endpoint.security is Security.TLS
        assert endpoint.proxy is Proxy.ENVIRONMENT

    def test_all_of_it_can_be_set(self, settings, tmp_path):
        flags = {
            "endpoint": "localhost:50051",
            "ca-file": Path("ca.pem"),
            "ignore-proxy": True,
            "whole-limit": "8M",
            "stamp-field": "upload_key",
            "doubt-unavailable": True,
        }
        sending = settings(flags, {"API_KEY": SECRET}).sending()
        assert sending.endpoint.ca_file == tmp_path / "ca.pem"
        assert sending.endpoint.proxy is Proxy.IGNORED
        assert sending.whole_limit == 8 * 1024 * 1024
        assert sending.stamp_field == "upload_key"
        assert sending.unavailable is Unavailable.DOUBTED

    @pytest.mark.parametrize(
        ("flags", "said"),
        [
            ({"endpoint": "https://x"}, "--endpoint: the endpoint 'https://x' is not HOST:PORT"),
            ({"endpoint": "example.com:443", "plaintext": True}, "--endpoint and --plaintext: "),
            ({"plaintext": True}, "--plaintext: "),
            (
                {"endpoint": "localhost:1", "plaintext": True, "ca-file": Path("c")},
                "--plaintext: --ca-file is for TLS only",
            ),
            ({"whole-limit": "128M"}, "--whole-limit: the limit of the service is 128 MB"),
        ],
    )
    def test_a_mistake_names_its_flags(self, settings, flags, said):
        """fault 69"""
        assert said in refused(settings(flags, {"API_KEY": SECRET}).sending)
