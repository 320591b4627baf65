"""``upload`` as its users and their scripts see it: talks, manifest, exit codes."""

import os
import sqlite3
import stat
from contextlib import closing
from pathlib import Path

import pytest
from e2e.conftest import assert_one_talk_each, events

from batch_uploader.app.places import require_replaceable
from batch_uploader.core.errors import ConfigError


def modes(*files):
    return {stat.S_IMODE(file.stat().st_mode) for file in files}


class TestHappyPath:
    def test_every_recording_becomes_one_talk_with_its_metadata(self, calls, upload, service):
        calls.write("a.wav", "2025/01/b.wav", "2025/01/[red]c\n.wav", client="Иван", vip=True)
        result = upload()
        assert result.code == 0, result.err
        assert result.out == ""
        assert "Uploaded 3 recordings" in result.err
        names = {"a.wav", "2025/01/b.wav", "2025/01/[red]c\n.wav"}
        assert service.counts(calls) == dict.fromkeys(names, 1)
        assert {talk.fields["client"] for talk in service.talks(calls)} == {"Иван"}
        assert {talk.fields["vip"] for talk in service.talks(calls)} == {"true"}
        talk_ids = {talk.fields["name"]: talk.talk_id for talk in service.talks(calls)}
        manifest = calls.manifest()
        assert {path: line["talk_id"] for path, line in manifest.items()} == talk_ids
        assert {line["status"] for line in manifest.values()} == {"uploaded"}

    def test_ledger_and_manifest_are_for_their_owner_alone(self, calls, upload):
        """fault 67"""
        calls.write("a.wav")
        assert upload().code == 0
        ledger = calls.folder / ".batch-uploader" / "ledger.db"
        assert modes(ledger, calls.folder / "manifest.jsonl") == {0o600}

    def test_an_empty_directory_is_told_even_to_cron(self, calls, upload):
        assert "has no recordings" in upload("--progress", "none").err
        result = upload("--progress", "none", "--allow-empty")
        assert result.code == 0
        assert "warning: " in result.err
        assert "no recordings found; check the mount and the extensions" in result.err

    def test_all_settings_can_come_from_a_file(self, calls, program, service):
        calls.write("a.wav")
        key_file = program.directory / "key"
        key_file.write_bytes(calls.key_file.read_bytes())
        key_file.chmod(0o600)
        (program.directory / "batch-uploader.toml").write_text(
            f'connection-id = "calls"\nendpoint = "{service.address}"\n'
            f'ca-file = "{service.folder}/tls/ca.pem"\napi-key-file = "key"\n'
            '[defaults]\nlanguage = "ru-RU"\n'
        )
        result = program("upload", calls)
        assert result.code == 0, result.err
        (talk,) = service.talks(calls)
        assert talk.fields["language"] == "ru-RU"

    def test_settings_can_come_from_the_environment(self, calls, program, service):
        calls.write("a.wav")
        env = {
            "SPEECHSENSE_CONNECTION_ID": "calls",
            "SPEECHSENSE_ENDPOINT": service.address,
            "API_KEY": calls.key_file.read_text(),
        }
        result = program("upload", calls, "--ca-file", service.folder / "tls/ca.pem", env=env)
        assert result.code == 0, result.err
        assert service.counts(calls) == {"a.wav": 1}

    def test_files_elsewhere_are_hinted_at(self, calls, upload, tmp_path):
        calls.write("a.wav")
        result = upload("--ledger", tmp_path / "l.db", "--manifest", tmp_path / "m.jsonl")
        assert result.code == 0, result.err
        assert f"--ledger {tmp_path}/l.db --manifest {tmp_path}/m.jsonl" in result.err
        assert (tmp_path / "m.jsonl").read_text().count("\n") == 1
        left = [each.name for each in (calls.folder / ".batch-uploader").iterdir()]
        assert left == ["source.json"], "what says where the ledger is"

    def test_headerless_pcm_goes_up_once_it_is_declared(self, calls, upload, service):
        """fault 54"""
        calls.put("a.pcm", os.urandom(3200))
        flags = ("--include", "*.pcm", "--sidecar", "optional")
        defaults = ("--default", f"origin={calls}", "--default", "name=a.pcm")
        refused = upload(*flags, *defaults)
        assert refused.code == 1
        assert "--raw-rate and --raw-channels" in " ".join(refused.err.split())
        result = upload(*flags, *defaults, "--raw-rate", "8000", "--raw-channels", "2")
        assert result.code == 0, result.err
        assert service.counts(calls) == {"a.pcm": 1}


class TestExitCodes:
    def test_1_some_need_attention_and_the_others_go_up(self, calls, upload, service):
        calls.write("a.wav", "b.wav")
        (calls.folder / "b.json").write_text('{"x": null}')
        calls.rest("b.json")
        calls.broken("c.wav")
        result = upload()
        assert result.code == 1
        assert "2 recordings need attention" in result.err
        assert "sidecar-null" in result.err
        assert service.counts(calls) == {"a.wav": 1}
        statuses = {path: line["status"] for path, line in calls.manifest().items()}
        assert statuses == {"a.wav": "uploaded", "b.wav": "invalid", "c.wav": "invalid"}

    @pytest.mark.parametrize(
        ("flags", "said"),
        [
            (["--no-such-flag"], "no such option '--no-such-flag'"),
            (["too", "many"], "unexpected extra argument"),
            (["--concurrency"], "requires an argument"),
            (["--concurrency", "0"], "--concurrency: '0' is not a whole number"),
            (["--grace", "soon"], "--grace: 'soon' is not a duration"),
            (["--progress", "loud"], "--progress: unknown value 'loud'"),
            (["--kind", "two-channels"], "did you mean two-channel?"),
            (["--endpoint", "nowhere"], "--endpoint: the endpoint 'nowhere' is not HOST:PORT"),
            (["--config", "no.toml"], "no.toml cannot be read"),
            (["--profile", "night"], "--profile: there is no batch-uploader.toml with profiles"),
            (["--iam-token-file", "no"], "--api-key-file and --iam-token-file"),
            (["--stamp-field", "\udcff"], "--stamp-field: it contains invisible characters"),
            (["--ledger", "~nouser/x"], "--ledger: cannot expand ~: unknown user"),
            (["--endpoint", "example.com:443", "--plaintext"], "--endpoint and --plaintext"),
            (["--ca-file", "/no/such.pem"], "/no/such.pem cannot be read"),
            (["--include", "/"], "the pattern '/' matches nothing"),
            (["--log-file", "/no/such/log"], "the log file '/no/such/log' cannot be opened"),
        ],
    )
    def test_2_usage_and_settings(self, calls, inside, flags, said):
        calls.write("a.wav")
        usual = ["--connection-id", "calls", "--api-key-file", calls.key_file]
        result = inside("upload", calls, *usual, *flags)
        assert result.code == 2, result.err
        assert result.out == ""
        error, *_ = result.err.splitlines()
        assert error.startswith("error: ")
        assert said in result.err
        assert not (calls.folder / "manifest.jsonl").exists()

    def test_2_a_missing_connection_or_credential(self, calls, inside):
        key = ("--api-key-file", calls.key_file)
        assert "SPEECHSENSE_CONNECTION_ID" in inside("upload", calls, *key).err
        result = inside("upload", calls, "--connection-id", "calls")
        assert result.code == 2
        assert "error: the credentials are missing\n" in result.err

    def test_2_a_key_file_that_others_may_write(self, calls, upload):
        """fault 67"""
        calls.key_file.chmod(0o660)
        result = upload()
        assert result.code == 2
        assert "chmod 600" in result.err

    def test_3_the_credentials_are_refused_and_nothing_is_marked(self, calls, upload, service):
        """fault 25"""
        calls.write("a.wav")
        calls.key_file.write_text("some-other-key")
        result = upload()
        assert result.code == 3, result.err
        assert result.err.count("error: ") == 1
        calls.key_file.write_text("e2e-key-0123456789")
        assert upload().code == 0
        assert service.counts(calls) == {"a.wav": 1}

    def test_4_there_is_no_such_directory(self, calls, program):
        usual = ("--connection-id", "calls", "--api-key-file", calls.key_file)
        missing = program.directory / "missing"
        result = program("upload", missing, *usual)
        assert result.code == 4
        assert "missing does not exist" in result.err
        assert not missing.exists()
        assert program("upload", calls.key_file, *usual).code == 4

    def test_5_another_run_holds_the_ledger(self, calls, upload, start_service):
        """Faults 9, and 10: the second run sends nothing, and once the first is killed it may."""
        calls.write("a.wav", "b.wav")
        stamp = ("--stamp-field", "upload_key")
        with start_service("--silent", "1") as service:
            process = upload(*stamp, "--progress", "json", to=service, start=True)
            next(events(process, "upload_started"))
            result = upload(*stamp, to=service)
            assert result.code == 5
            assert result.err.startswith("error: ")
            process.kill()
            process.communicate()
        assert service.served["Upload"] <= 2
        calls.write("c.wav")
        with start_service() as service:
            result = upload(*stamp, "--wait-for-doubt", "--hold", "2s", to=service)
            assert result.code == 0, result.err
            assert_one_talk_each(calls, service, ["a.wav", "b.wav", "c.wav"])

    def test_6_a_limit_is_reached_and_the_next_run_goes_on(self, calls, upload, start_service):
        """fault 74"""
        calls.write(*(f"{number}.wav" for number in range(20)))
        with start_service("--latency", "300ms") as service:
            result = upload("--max-duration", "2s", "--concurrency", "1", to=service)
            assert result.code == 6, result.err
            assert "--max-duration is reached" in result.err
            assert 0 < len(service.talks(calls)) < 20
            assert upload(to=service).code == 0
            assert set(service.counts(calls).values()) == {1}
            assert len(service.talks(calls)) == 20

    @pytest.mark.parametrize(
        ("flag", "most"), [("--max-recordings", "3"), ("--max-audio", "0.0001")]
    )
    def test_6_so_much_and_no_more(self, calls, upload, service, flag, most):
        """fault 74: 0.0001 hours are 0.36 s, three recordings of 0.1 s"""
        calls.write(*(f"{number}.wav" for number in range(8)))
        result = upload(flag, most)
        assert result.code == 6, result.err
        assert f"{flag} is reached" in " ".join(result.err.split())
        assert len(service.talks(calls)) == 3
        assert upload().code == 0
        assert service.counts(calls) == {f"{number}.wav": 1 for number in range(8)}

    def test_6_nobody_is_there(self, calls, upload, service):
        """fault 27"""
        calls.write(*(f"{number}.wav" for number in range(8)))
        result = upload("--endpoint", "127.0.0.1:9", "--max-outage", "2s")
        assert result.code == 6, result.err
        assert "error: nothing got through" in result.err
        assert "cannot be reached" in " ".join(result.err.split())
        assert calls.manifest() == {}
        assert upload().code == 0
        assert service.counts(calls) == {f"{number}.wav": 1 for number in range(8)}

    def test_6_nobody_is_there_and_cron_sends_mail(self, calls, upload):
        """Fault 27: what only somebody's doing will change is said even with --progress none."""
        calls.write("a.wav")
        flags = ("--endpoint", "127.0.0.1:9", "--max-outage", "1s", "--progress", "none")
        result = upload(*flags)
        assert result.code == 6
        assert result.err.startswith("error: nothing got through")

    def test_7_the_ledger_is_damaged(self, calls, upload, service):
        """fault 7"""
        calls.write("a.wav")
        assert upload().code == 0
        ledger = calls.folder / ".batch-uploader" / "ledger.db"
        ledger.write_bytes(b"no ledger" * 1000)
        calls.write("b.wav")
        result = upload()
        assert result.code == 7, result.err
        assert result.err.startswith("error: ")
        assert service.counts(calls) == {"a.wav": 1}

    def test_7_the_ledger_is_gone_but_there_was_one(self, calls, upload, service):
        """fault 8"""
        calls.write("a.wav")
        assert upload().code == 0
        for file in (calls.folder / ".batch-uploader").iterdir():
            file.unlink()
        result = upload()
        assert result.code == 7
        assert "is gone" in result.err
        assert "--rebuild" in result.err
        assert service.counts(calls) == {"a.wav": 1}

    def test_2_a_manifest_that_cannot_be_written_is_refused_before_anything_is_sent(
        self, calls, upload, service, tmp_path, unprivileged
    ):
        calls.write("a.wav")
        locked = tmp_path / "locked"
        locked.mkdir(mode=0o500)
        for manifest in (calls, "/dev/null", tmp_path / "missing" / "m", locked / "m"):
            result = upload("--manifest", manifest, preexec=unprivileged)
            assert result.code == 2, result.err
            assert f"--manifest: {manifest} cannot be written" in result.err
        result = upload("--log-file", calls)
        assert result.code == 2
        assert service.counts(calls) == {}
        assert not (calls.folder / ".batch-uploader").exists()

    @pytest.mark.parametrize("command", ["upload", "check", "status", "resolve", "manifest"])
    def test_2_an_empty_name_is_not_the_working_directory(self, inside, command):
        more = ["--all", "--resend"] if command == "resolve" else []
        result = inside(command, "", *more)
        assert result.code == 2
        assert "error: DIRECTORY: it is empty" in result.err

    @pytest.mark.parametrize("flag", ["--ledger", "--manifest", "--api-key-file", "--log-file"])
    def test_2_an_empty_path_is_refused(self, calls, inside, flag):
        result = inside("upload", calls, flag, "")
        assert result.code == 2
        assert f"error: {flag}: it is empty" in result.err

    def test_4_a_directory_that_may_not_be_read(self, calls, upload, program, unprivileged):
        calls.write("a.wav")
        for mode in (0o000, 0o300, 0o400):
            calls.folder.chmod(mode)
            try:
                results = [
                    upload(preexec=unprivileged),
                    *(
                        program(command, calls, preexec=unprivileged)
                        for command in ("check", "status", "manifest")
                    ),
                ]
            finally:
                calls.folder.chmod(0o700)
            assert {result.code for result in results} == {4}, results
            assert {"cannot be read" in result.err for result in results} == {True}

    def test_7_a_ledger_that_may_not_be_read(self, calls, upload, program, unprivileged):
        calls.write("a.wav")
        assert upload().code == 0
        ledger = calls.folder / ".batch-uploader" / "ledger.db"
        for file, mode in ((ledger, 0o000), (ledger.parent, 0o000)):
            file.chmod(mode)
            try:
                results = [
                    program(command, calls, "--ledger", ledger, preexec=unprivileged)
                    for command in ("check", "status", "manifest")
                ]
            finally:
                file.chmod(0o700)
            assert {result.code for result in results} == {7}, results


@pytest.mark.skipif(not Path("/dev/stdout").is_symlink(), reason="a link of Linux")
@pytest.mark.parametrize(
    "name", ["/dev/stdout", "/dev/fd/1", "/proc/self/fd/1", "/dev/new", "link"]
)
def test_what_belongs_to_the_system_is_not_replaced(tmp_path, monkeypatch, name):
    """Fault 96: a link to a file that somebody redirected to looks like one to be written anew."""
    (tmp_path / "link").symlink_to("/dev", target_is_directory=True)
    monkeypatch.setattr(os, "access", lambda *_args, **_how: True)
    path = tmp_path / "link" / "stdout" if name == "link" else Path(name)
    with pytest.raises(ConfigError, match="cannot be written"):
        require_replaceable(path, "--output")


def test_what_an_older_version_called_invalid_is_looked_into_again(calls, upload, service):
    """Fault 102: it is on record with the digest that the first version had for these rules."""
    calls.write("a.wav")
    assert upload("--require", "never").code == 1
    assert upload("--require", "never").code == 1
    first = bytes.fromhex("8ea1aa05d1ec543610884ed8e73f7db75cf460c536acd75a4fa9bac80a5049b0")
    with closing(sqlite3.connect(calls.folder / ".batch-uploader" / "ledger.db")) as ledger, ledger:
        ledger.execute("UPDATE recordings SET policy = ? WHERE status = 'invalid'", (first,))
    assert upload().code == 0
    assert service.counts(calls) == {"a.wav": 1}
