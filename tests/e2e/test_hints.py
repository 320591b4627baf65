"""What errors tell to do runs as it is printed, and what they blame is found where it was given."""

import re
import shlex
import shutil

import pytest

PASTED = re.compile(r"batch-uploader ((?:upload|status|resolve) .*)")


def pasted(program, result, **how):
    """Run the first command that was printed, with its arguments as a shell would read them."""
    (line, *_) = PASTED.findall(result.err)
    return program(*shlex.split(line), **how)


def test_a_ledger_is_made_anew_with_the_flags_of_the_run(calls, upload, program):
    """Endpoint, CA, key and ledger are no longer typed."""
    flags = ("--ledger", calls.folder.with_name("a ledger.db"), "--stamp-field", "stamp")
    calls.write("a.wav")
    assert upload(*flags).code == 0
    calls.folder.with_name("a ledger.db").unlink()
    (calls.folder / ".batch-uploader" / "source.json").unlink()
    for left in calls.folder.parent.glob("a ledger.db*"):
        left.unlink()
    refused = upload(*flags)
    assert refused.code == 7, refused.said
    result = pasted(program, refused)
    assert result.code == 0, result.said
    assert "a new ledger was made" in result.err


def test_an_empty_directory_is_allowed_with_the_flags_of_the_run(calls, upload, program):
    refused = upload("--exclude", "drafts/**", "--progress", "none")
    assert refused.code == 4
    assert "--exclude 'drafts/**' --progress none --allow-empty" in refused.err
    assert pasted(program, refused).code == 0
    assert upload().code == 0


def test_what_is_gone_on_purpose_is_said_with_the_flags_of_the_run(calls, upload, program):
    calls.write("a.wav", "b.wav", "c.wav")
    assert upload().code == 0
    for name in "ab":
        (calls.folder / f"{name}.wav").unlink()
        (calls.folder / f"{name}.json").unlink()
    told = upload()
    assert told.code == 1
    (line,) = [line for line in PASTED.findall(told.err) if "--allow-empty" in line]
    assert program(*shlex.split(line)).code == 0
    assert upload().code == 0


def test_a_wrong_connection_is_blamed_where_it_was_given(calls, upload, program):
    calls.write("a.wav")
    assert upload().code == 0
    settings = program.directory / "batch-uploader.toml"
    settings.write_text('connection-id = "cals"\n')
    told = f"the ledger {calls.ledger} has no connection cals\n"
    assert f"error: connection-id in {settings}: {told}" in program("status", calls).err
    env = {"SPEECHSENSE_CONNECTION_ID": "cals"}
    variable = "the environment variable SPEECHSENSE_CONNECTION_ID"
    assert f"error: {variable}: {told}" in program("status", calls, env=env).err
    flag = program("status", calls, "--connection-id", "cals")
    assert f"error: --connection-id: {told}" in flag.err


def test_another_directorys_ledger_is_blamed_where_it_was_given(calls, upload, program, tmp_path):
    calls.write("a.wav")
    assert upload().code == 0
    other = tmp_path / "other"
    shutil.copytree(calls.folder, other, ignore=shutil.ignore_patterns(".batch-uploader", "man*"))
    settings = program.directory / "batch-uploader.toml"
    settings.write_text(f'ledger = "{calls.ledger}"\n')
    result = program("check", other)
    assert result.code == 2, result.said
    assert f"error: ledger in {settings}: the ledger {calls.ledger} is of {calls}" in result.err


@pytest.mark.parametrize("progress", ["plain", "none"])
def test_credentials_that_are_refused_are_found_where_they_were_given(
    calls, program, service, progress
):
    calls.write("a.wav")
    settings = program.directory / "batch-uploader.toml"
    settings.write_text(f'connection-id = "calls"\nendpoint = "{service.address}"\n')
    flags = ("--ca-file", service.folder / "tls" / "ca.pem", "--progress", progress)
    result = program("upload", calls, *flags, env={"API_KEY": "canary"})
    assert result.code == 3, result.said
    told = " ".join(result.err.split())
    assert f"the endpoint is from endpoint in {settings}" in told
    assert "the CA file is from --ca-file" in told
    assert f"the connection ID is from connection-id in {settings}" in told
    assert "the credential is from the environment variable API_KEY" in told
    assert "canary" not in result.said


@pytest.mark.parametrize(
    ("line", "told"),
    [
        ('include = ["/"]', "include in {file}: the pattern '/' matches nothing"),
        ('exclude = ["[z-a]"]', "exclude in {file}: the pattern '[z-a]' cannot be read"),
        ('log-file = "/no/such/log"', "log-file in {file}: the log file '/no/such/log' cannot be"),
        ('ca-file = "/no/such.pem"', "ca-file in {file}: the CA file /no/such.pem cannot be read"),
        ('manifest = "/dev/null/m"', "manifest in {file}: /dev/null/m cannot be written"),
        ('conection-id = "c"', "conection-id in {file}: unknown setting"),
        ('[connection]\nlegs = ["-in/-out"]', "connection.legs in {file}: unknown setting"),
    ],
)
def test_what_is_wrong_in_a_file_is_blamed_on_its_line(calls, program, line, told):
    """Also if a variable names the file, and not only by the settings, but by what uses them."""
    calls.write("a.wav")
    file = program.directory / "settings.toml"
    file.write_text(f"{line}\n")
    endpoint = ("--connection-id", "c", "--endpoint", "example.org:443")
    key = ("--api-key-file", calls.key_file)
    result = program("upload", calls, *endpoint, *key, env={"BATCH_UPLOADER_CONFIG": str(file)})
    assert result.code == 2, result.said
    assert told.format(file=file) in result.err
    named = program("upload", calls, *endpoint, *key, "--config", file)
    assert f"error: {told.format(file=file)}" in named.err


def test_a_line_that_got_below_the_brackets_is_told_where_it_goes(calls, program):
    """What is appended to a file that init wrote is in its last table."""
    (program.directory / "batch-uploader.toml").write_text(
        '[connection]\nkind = "two-channel"\nlegs = ["-in/-out"]\n'
    )
    result = program("check", calls)
    assert result.code == 2, result.said
    assert "hint: move legs above the first line in brackets" in result.err


def test_a_settings_file_that_is_not_there_is_blamed_on_the_variable(calls, program):
    result = program("check", calls, env={"BATCH_UPLOADER_CONFIG": "/no/such.toml"})
    assert result.code == 2
    told = "error: the environment variable BATCH_UPLOADER_CONFIG: /no/such.toml cannot be read"
    assert told in result.err
