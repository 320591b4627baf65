"""Key files as Kubernetes, Docker and systemd hand them over, and as they lie about."""

import os
import shutil
import subprocess
import sys

import pytest

pytestmark = pytest.mark.skipif(sys.platform == "win32", reason="Windows has no modes")

TOLD = "other users can read the secret in "


@pytest.fixture
def mounts():
    """A command that runs shell commands in mounts of its own, then what follows."""
    command = ["unshare", "--mount", *([] if os.geteuid() == 0 else ["--map-root-user"])]
    if not shutil.which("unshare") or subprocess.run([*command, "true"], check=False).returncode:
        pytest.skip("this machine gives no namespaces")
    return lambda *steps: [*command, "sh", "-ec", f'{"; ".join(steps)}; exec "$@"', "sh"]


@pytest.fixture
def send(calls, program, service):
    def run(key_file, **how):
        calls.write("a.wav")
        return program("upload", calls, *service.flags, "--api-key-file", key_file, **how)

    return run


@pytest.mark.parametrize("mode", [0o644, 0o440])
def test_kubernetes_mounts_it_read_only(send, mounts, calls, tmp_path, mode):
    """Fault 67: behind two links, as the kubelet swaps them."""
    volume = tmp_path / "volume"
    (volume / "..2026_01").mkdir(parents=True)
    shutil.copy(calls.key_file, volume / "..2026_01" / "key")
    (volume / "..2026_01" / "key").chmod(mode)
    (volume / "..data").symlink_to("..2026_01")
    (volume / "key").symlink_to("..data/key")
    read_only = (f"mount --bind {volume} {volume}", f"mount -o remount,ro,bind {volume}")
    result = send(volume / "key", under=mounts(*read_only))
    assert result.code == 0, result.said
    assert TOLD not in result.err
    assert TOLD in send(volume / "key").err


def test_docker_has_a_place_for_it(send, mounts, calls):
    """Fault 67."""
    steps = (
        "mount -t tmpfs none /run",
        "mkdir /run/secrets",
        f"cp {calls.key_file} /run/secrets/key",
        "chmod 444 /run/secrets/key",
    )
    result = send("/run/secrets/key", under=mounts(*steps))
    assert result.code == 0, result.said
    assert TOLD not in result.err


def test_systemd_names_its_place(send, calls, tmp_path):
    """Fault 67."""
    handed = tmp_path / "credentials"
    handed.mkdir(mode=0o500)
    shutil.copy(calls.key_file, handed / "key")
    (handed / "key").chmod(0o440)
    result = send(handed / "key", env={"CREDENTIALS_DIRECTORY": str(handed)})
    assert result.code == 0, result.said
    assert TOLD not in result.err
    assert TOLD in send(handed / "key").err


@pytest.mark.parametrize(("mode", "told"), [(0o600, False), (0o640, True), (0o604, True)])
def test_elsewhere_it_is_told_who_can_read_it(send, calls, mode, told):
    """Fault 67."""
    calls.key_file.chmod(mode)
    result = send(calls.key_file)
    assert result.code == 0, result.said
    hint = f"{TOLD}{calls.key_file}; chmod 600 {calls.key_file}"
    assert (hint in " ".join(result.err.split())) is told


def test_what_others_may_write_is_refused(send, calls):
    """Fault 67."""
    calls.key_file.chmod(0o620)
    result = send(calls.key_file)
    assert result.code == 2
    assert f"other users can write {calls.key_file}" in result.err
    assert not calls.ledger.exists()
