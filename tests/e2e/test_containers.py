"""The container, without a runtime for it: its own lines build it, its examples run it."""

import os
import re
import signal
import socket
import subprocess
import sys
from itertools import count
from pathlib import Path

import pytest
import yaml
from support import containers
from support.containers import ROOT, instructions
from support.processes import start

from batch_uploader import __version__

CONTAINERFILE = (ROOT / "Containerfile").read_text("utf-8")
KUBERNETES = list(yaml.safe_load_all((ROOT / "examples" / "kubernetes.yaml").read_text("utf-8")))
COMPOSE = yaml.safe_load((ROOT / "compose.yaml").read_text("utf-8"))
_number = count()
# To build the image takes half a minute, and longer among other tests.
pytestmark = pytest.mark.timeout(300)

PLACE = "/var/lib/batch-uploader"
NOBODY = 65532


def test_the_image_says_what_it_is():
    image = dict(containers.labels(CONTAINERFILE))
    assert image["org.opencontainers.image.version"] == __version__
    assert f"batch-uploader:{__version__}" in str(KUBERNETES)
    project = (ROOT / "pyproject.toml").read_text("utf-8")
    for key in ("description", "source", "documentation", "licenses"):
        assert f'"{image[f"org.opencontainers.image.{key}"]}"' in project


def test_all_that_is_copied_is_sent_to_the_builder():
    allowed = (ROOT / ".dockerignore").read_text("utf-8").splitlines()
    copied = [rest.split() for word, rest in instructions(CONTAINERFILE) if word == "COPY"]
    sources = [source for *some, _ in copied if "--from" not in some[0] for source in some]
    assert len(sources) == 6
    assert {f"!{source}" for source in sources} == {each for each in allowed if each[0] == "!"}


def lint(program, *arguments):
    done = subprocess.run(
        [Path(sys.executable).with_name(program), *arguments],
        check=False,
        cwd=ROOT,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        timeout=100,
    )
    assert done.returncode == 0, done.stdout


def test_linters_find_nothing():
    if sys.platform == "linux":
        lint("hadolint", "--failure-threshold", "style", "Containerfile")
    lint("check-jsonschema", "--builtin-schema", "vendor.compose-spec", "compose.yaml")
    lint("kubernetes-validate", "--strict", "examples/kubernetes.yaml")


@pytest.fixture(scope="module")
def machine(tmp_path_factory):
    if not containers.can_run():
        pytest.skip("needs root, namespaces and setpriv")
    made = containers.Machine(tmp_path_factory.mktemp("machine"))
    try:
        yield made
    finally:
        made.close()


@pytest.fixture(scope="module")
def image(machine):
    return machine.build(CONTAINERFILE)


@pytest.fixture
def run(machine, image, tmp_path):
    """The command that runs the image in a container of its own."""

    def command(mounts, *arguments, **how):
        made = machine.container(image, f"{tmp_path.name}-{next(_number)}", mounts)
        return machine.command(made, *arguments, **how)

    return command


@pytest.fixture
def ledger(tmp_path):
    """A volume for the ledger, as ``fsGroup`` leaves it."""
    made = tmp_path / "ledger"
    made.mkdir()
    os.chown(made, 0, NOBODY)
    made.chmod(0o2775)
    return made


@pytest.fixture
def secret(tmp_path, calls, service):
    """A secret as the kubelet mounts it: links, the group's alone; and the CA of the service."""
    made = tmp_path / "secret"
    (made / "..2026_01").mkdir(parents=True)
    os.chown(made / "..2026_01", 0, NOBODY)
    (made / "..data").symlink_to("..2026_01")
    for name, source in {
        "api-key": calls.key_file,
        "ca.pem": service.folder / "tls/ca.pem",
    }.items():
        kept = made / "..2026_01" / name
        kept.write_bytes(source.read_bytes())
        kept.chmod(0o440)
        os.chown(kept, 0, NOBODY)
        (made / name).symlink_to(f"..data/{name}")
    return made


@pytest.fixture
def volumes(calls, ledger, secret, tmp_path):
    """What is behind the names of the CronJob's volumes."""
    for name in ("settings", "tmp"):
        (tmp_path / name).mkdir()
    (tmp_path / "tmp").chmod(0o1777)
    made = {"calls": calls.folder, "ledger": ledger, "key": secret}
    return {**made, "settings": tmp_path / "settings", "tmp": tmp_path / "tmp"}


@pytest.fixture
def pod(run, calls, service, volumes):
    """The command of the CronJob's container, with its own arguments, user and mounts."""
    settings, _, job = KUBERNETES
    spec = job["spec"]["jobTemplate"]["spec"]["template"]["spec"]
    (container,) = spec["containers"]
    security = {**spec["securityContext"], **container["securityContext"]}
    assert security["readOnlyRootFilesystem"]
    assert {security[key] for key in ("runAsUser", "runAsGroup", "fsGroup")} == {NOBODY}
    (text,) = settings["data"].values()
    text = text.replace("CONNECTION_ID", "calls")
    text += f'endpoint = "{service.address}"\nca-file = "/run/secrets/speechsense/ca.pem"\n'
    (volumes["settings"] / "batch-uploader.toml").write_text(text)
    for path in (calls.folder, *calls.folder.rglob("*")):
        path.chmod(0o755 if path.is_dir() else 0o644)
    mounts = {
        each["mountPath"]: (volumes[each["name"]], each.get("readOnly", False))
        for each in container["volumeMounts"]
    }
    return run(mounts, *container["args"])


def finished(command, **how):
    done = subprocess.run(command, check=False, capture_output=True, text=True, timeout=90, **how)
    assert "Traceback" not in done.stderr, done.stderr
    return done


@pytest.mark.slow
def test_its_own_lines_build_it_and_it_runs(run):
    done = finished(run({}, "--version"))
    assert done.stdout == f"batch-uploader {__version__}\n", done.stderr
    page = run({}, entry=["ls", "/opt/batch-uploader/share/man/man1"])
    assert finished(page).stdout == "batch-uploader.1\n"
    # The ledger's place is its user's, and nothing else can be written.
    written = "touch /var/lib/batch-uploader/x; touch /opt/batch-uploader/x"
    owner = f"stat -c '%u %a' {PLACE}; {written}"
    said = finished(run({}, entry=["sh", "-c", owner]))
    assert said.stdout == f"{NOBODY} 700\n"
    assert said.stderr.count("Read-only file system") == 2


@pytest.mark.slow
def test_the_cronjob_uploads_from_what_it_can_only_read(calls, service, ledger, request):
    calls.write("a.wav", "2025/b.wav")
    pod = request.getfixturevalue("pod")
    before = {path: path.stat().st_mtime_ns for path in calls.folder.rglob("*")}
    done = finished(pod)
    assert done.returncode == 0, done.stderr
    assert service.counts(calls) == {"a.wav": 1, "2025/b.wav": 1}
    assert "other users" not in done.stderr
    assert {path: path.stat().st_mtime_ns for path in calls.folder.rglob("*")} == before
    kept = {path.name for path in ledger.iterdir()}
    assert {"ledger.db", "manifest.jsonl"} <= kept
    again = finished(pod)
    assert again.returncode == 0, again.stderr
    assert service.counts(calls) == {"a.wav": 1, "2025/b.wav": 1}


@pytest.mark.slow
def test_a_pod_that_is_evicted_drains_and_the_next_one_goes_on(calls, service, request):
    names = [f"{number}.wav" for number in range(300)]
    calls.write(*names)
    pod = request.getfixturevalue("pod")
    with service.paused():
        process = start(pod, stdout=subprocess.PIPE, stderr=subprocess.STDOUT)
        process.stdout.readline()
        process.send_signal(signal.SIGTERM)
    process.communicate(timeout=90)
    assert process.returncode == 143
    done = finished(pod)
    assert done.returncode == 0, done.stderr
    assert service.counts(calls) == dict.fromkeys(names, 1)


@pytest.mark.slow
def test_the_trial_of_compose(run, tmp_path):
    with socket.create_server(("127.0.0.1", 0)) as listener:
        port = str(listener.getsockname()[1])

    def volume(name):
        made = tmp_path / name
        if not made.exists():
            # A named volume gets the owner of its place in the image.
            made.mkdir(mode=0o700)
            os.chown(made, NOBODY, NOBODY)
        return made

    def command(name, arguments=None):
        service = COMPOSE["services"][name]
        assert service["read_only"]
        assert service["cap_drop"] == ["ALL"]
        mounts = {}
        for each in service["volumes"]:
            source, target, *options = re.sub(r"\$\{\w+:-(\w+)\}", r"\1", each).split(":")
            assert source in COMPOSE["volumes"]
            mounts[target] = (volume(source), options == ["ro"])
        given = [each.replace("9090", port) for each in arguments or service["command"]]
        entry = [] if arguments else service.get("entrypoint")
        return run(mounts, *given, entry=entry, **service.get("environment", {}))

    emulator = start(command("speechsense"), stdout=subprocess.PIPE, stderr=subprocess.STDOUT)
    assert emulator.stdout.readline().startswith(b"listening")
    probe, *test = COMPOSE["services"]["speechsense"]["healthcheck"]["test"]
    assert probe == "CMD"
    assert finished(command("speechsense", test)).returncode == 0
    done = finished(command("samples"))
    assert done.returncode == 0, done.stderr
    done = finished(command("upload"))
    assert done.returncode == 0, done.stderr
    assert "uploaded 27" in " ".join(done.stderr.split())
    emulator.send_signal(signal.SIGTERM)
    assert emulator.wait(timeout=30) == 0
