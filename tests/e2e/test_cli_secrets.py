"""A secret that is looked for in all that a run says and writes (fault 66)."""

import json

import pytest
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import rsa

CANARY = "AQVNcanary-7f3b1c9d5e"


@pytest.fixture
def nowhere(calls):
    """Asserts that the canary is in no output and in no file but its own."""

    def check(*results):
        for result in results:
            assert CANARY not in result.said
        for path in calls.folder.parent.rglob("*"):
            if path.is_file() and path != calls.key_file:
                assert CANARY.encode() not in path.read_bytes(), path

    return check


LOUD = ("-v", "--progress", "json", "--log-file")


class TestCanary:
    def test_a_key_that_is_let_in(self, calls, upload, tmp_path, start_service, nowhere):
        """Fault 66."""
        calls.write("a.wav")
        calls.key_file.write_text(CANARY)
        with start_service(key=CANARY) as service:
            (service.folder / "key").unlink()
            result = upload(*LOUD, tmp_path / "log.jsonl", to=service)
        assert result.code == 0, result.err
        nowhere(result)

    def test_a_key_that_is_refused(self, calls, upload, tmp_path, nowhere):
        """Fault 66."""
        calls.write("a.wav")
        calls.key_file.write_text(CANARY)
        result = upload(*LOUD, tmp_path / "log.jsonl")
        assert result.code == 3
        nowhere(result)

    @pytest.mark.parametrize("variable", ["API_KEY", "IAM_TOKEN"])
    def test_a_secret_in_the_environment(self, calls, program, service, nowhere, variable):
        """Fault 66."""
        calls.write("a.wav")
        result = program("upload", calls, *service.flags, "-v", env={variable: CANARY})
        assert result.code == 3
        nowhere(result)

    def test_a_secret_in_the_wrong_place(self, calls, inside, nowhere):
        """Fault 66."""
        usual = ("upload", calls, "--connection-id", "calls")
        results = [
            inside(*usual, "--api-key-file", CANARY),
            inside(*usual, f"--api-key={CANARY}"),
            inside(*usual, "--api-key", CANARY),
        ]
        settings = calls.folder.parent / "batch-uploader.toml"
        settings.write_text(f'api-key = "{CANARY}"')
        results.append(inside(*usual))
        settings.unlink()
        assert {result.code for result in results} == {2}
        nowhere(*results)

    def test_a_key_that_is_taken_for_an_argument(self, calls, inside, nowhere):
        """Fault 66."""
        result = inside("upload", calls, CANARY)
        assert result.code == 2
        assert "unexpected extra argument" in result.err
        nowhere(result)

    def test_a_traceback_shows_no_secret(self, calls, program, nowhere):
        """Fault 66."""
        calls.key_file.write_text(f"{CANARY} {CANARY}")
        flags = ("upload", calls, "--connection-id", "calls", "--api-key-file", calls.key_file)
        process = program.start(*flags, env={"BATCH_UPLOADER_TRACEBACK": "1"})
        out, err = process.communicate(timeout=60)
        assert b"Traceback" in err
        assert CANARY.encode() not in out + err

    def test_values_of_metadata_are_not_written_anywhere(self, calls, upload, tmp_path):
        """fault 70"""
        calls.write("a.wav", client_name=CANARY)
        result = upload(*LOUD, tmp_path / "log.jsonl")
        assert result.code == 0
        assert CANARY not in result.said
        for path in calls.folder.parent.rglob("*"):
            if path.is_file() and path.name != "a.json":
                assert CANARY.encode() not in path.read_bytes(), path


def test_a_service_account_key_is_exchanged_for_tokens(calls, program, start_service, tmp_path):
    calls.write("a.wav")
    private = rsa.generate_private_key(public_exponent=65537, key_size=2048)
    pem = private.private_bytes(
        serialization.Encoding.PEM,
        serialization.PrivateFormat.PKCS8,
        serialization.NoEncryption(),
    ).decode()
    public = private.public_key().public_bytes(
        serialization.Encoding.PEM, serialization.PublicFormat.SubjectPublicKeyInfo
    )
    account = {"id": "key-1", "service_account_id": "account-1", "private_key": pem}
    account["public_key"] = public.decode()
    key_file = tmp_path / "account.json"
    key_file.write_text(json.dumps(account))
    key_file.chmod(0o600)
    with start_service("--service-account-key-file", key_file) as service:
        flags = ("--service-account-key-file", key_file, "--iam-endpoint", service.address)
        result = program("upload", calls, *service.flags, *flags)
        assert result.code == 0, result.err
        assert service.counts(calls) == {"a.wav": 1}
        # In the environment it is as good as a flag.
        calls.write("b.wav")
        variables = {"YC_SERVICE_ACCOUNT_KEY_FILE": str(key_file)}
        flags = ("--iam-endpoint", service.address)
        assert program("upload", calls, *service.flags, *flags, env=variables).code == 0
        assert len(service.talks(calls)) == 2
        # So is its content, as a container or a CI keeps it.
        calls.write("c.wav")
        variables = {"YC_SERVICE_ACCOUNT_KEY": key_file.read_text()}
        result = program("upload", calls, *service.flags, *flags, "-v", env=variables)
        assert result.code == 0
        assert len(service.talks(calls)) == 3
        assert pem[100:120] not in result.said
