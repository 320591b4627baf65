"""A container without a runtime: an overlay over this machine's root, in a mount namespace.

The lines of the Containerfile are run in it as they are, with this machine's Python as that of the
base image. What runs afterwards has a root that is read only, another user, no home, no
capabilities, and mounts of its own. It shares the network. Needs root.
"""

import json
import os
import re
import shlex
import shutil
import subprocess
import sys
from dataclasses import dataclass, field, replace
from pathlib import Path

ROOT = Path(__file__).parents[2]
PYTHON = Path(sys.executable).resolve()
BASE_PATH = f"{PYTHON.parent}:/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"


def instructions(text):
    """The instructions of a Containerfile, each as one line."""
    lines = (line for line in text.splitlines() if not line.startswith("#"))
    joined = "\n".join(lines).replace("\\\n", " ")
    return [tuple(line.split(maxsplit=1)) for line in joined.splitlines() if line.strip()]


def labels(text):
    """The labels of a Containerfile."""
    for word, rest in instructions(text):
        if word == "LABEL":
            yield from (each.split("=", 1) for each in shlex.split(rest))


@dataclass
class Image:
    """What a stage has made, and how it is run."""

    root: Path
    variables: dict = field(default_factory=lambda: {"PATH": BASE_PATH})
    user: str = "0:0"
    directory: str = "/"
    entry: list = field(default_factory=list)


class Machine:
    """The namespace with all roots; ends with ``close``."""

    def __init__(self, folder):
        self._folder = folder
        script = f"mount -t tmpfs none {folder}; echo ready; exec sleep infinity"
        # It ends with the tests, however they end.
        command = ["setpriv", "--pdeathsig", "KILL", "unshare", "--mount", "sh", "-ec", script]
        self._holder = subprocess.Popen(command, stdout=subprocess.PIPE, text=True)
        assert self._holder.stdout.readline() == "ready\n"

    def close(self):
        self._holder.kill()
        self._holder.wait()
        self._holder.stdout.close()

    def inside(self, *command):
        """The command that runs another one in the namespace; its process is that command's."""
        return ["nsenter", f"--mount=/proc/{self._holder.pid}/ns/mnt", "--", *map(str, command)]

    def do(self, script):
        """Run a shell script in the namespace."""
        done = subprocess.run(
            self.inside("sh", "-ec", script), check=False, capture_output=True, text=True
        )
        assert done.returncode == 0, f"{script}\n{done.stdout}{done.stderr}"
        return done.stdout

    def overlay(self, below, name):
        """A root that can be changed, above another one."""
        place = self._folder / name
        root = place / "root"
        self.do(
            f"mkdir -p {place}/up {place}/work {root};"
            f"mount -t overlay overlay {root}"
            f" -o lowerdir={below},upperdir={place}/up,workdir={place}/work;"
            f"for each in proc dev; do mount --rbind /$each {root}/$each; done;"
            f"mount -t tmpfs none {root / 'tmp'}"
        )
        return root

    def build(self, containerfile):
        """The image of the last stage."""
        stages, arguments, image, name = {}, {}, None, ""
        for word, rest in instructions(containerfile):
            if word == "ARG":
                key, _, value = rest.partition("=")
                arguments[key] = value
            elif word == "FROM":
                base, *named = rest.split()
                assert base == "${BASE}"
                assert "@sha256:" in arguments["BASE"] or re.search(
                    r":\d+\.\d+\.\d+-", arguments["BASE"]
                )
                name = named[1] if named else "last"
                image = stages[name] = Image(self._base(name))
            else:
                self._apply(image, word, rest, stages)
        return image

    def _base(self, name):
        """This machine's root, whose Python others can read, under the name of the base image."""
        root = self.overlay("/", name)
        parents = " ".join(f"{root}{parent}" for parent in PYTHON.parents)
        python = f"{root}{PYTHON.with_name('python')}"
        self.do(f"chmod a+rx {parents}; test -e {python} || ln -s {PYTHON.name} {python}")
        return root

    def _apply(self, image, word, rest, stages):
        match word:
            case "WORKDIR":
                image.directory = rest
                self.do(f"mkdir -p {image.root}{rest}")
            case "COPY":
                self._copy(image, shlex.split(rest), stages)
            case "RUN":
                script = shlex.quote(f"cd {image.directory}; {rest}")
                variables = self._variables(image)
                self.do(f"exec chroot {image.root} env {variables} sh -ec {script}")
            case "ENV":
                for key, value in (each.split("=", 1) for each in shlex.split(rest)):
                    image.variables[key] = value.replace("$PATH", image.variables["PATH"])
            case "USER":
                image.user = rest
            case "ENTRYPOINT":
                image.entry = json.loads(rest)
            case _:
                assert word in {"LABEL", "CMD"}, word

    def _copy(self, image, words, stages):
        """A folder's content goes into the target, as a file does."""
        *sources, target = words
        stage = ROOT
        if sources[0].startswith("--from="):
            stage = stages[sources.pop(0).removeprefix("--from=")].root
        target = image.root / (Path(image.directory) / target).relative_to("/")
        self.do(f"mkdir -p {target}")
        for source in (stage / each.lstrip("/") for each in sources):
            self.do(f"if test -d {source}; then of=/.; fi; cp -r {source}${{of-}} {target}")

    @staticmethod
    def _variables(image):
        # How to reach a package index is this machine's affair.
        ours = {key: value for key, value in os.environ.items() if key.startswith("PIP_")}
        return shlex.join(f"{key}={value}" for key, value in {**ours, **image.variables}.items())

    def container(self, image, name, mounts):
        """The image with folders of the tests' at its places, and a root that is read only.

        ``mounts`` is by place; a folder is (path, whether it is read only).
        """
        made = replace(image, root=self.overlay(image.root, name))
        for target, (source, read_only) in mounts.items():
            place = f"{made.root}{target}"
            self.do(f"mkdir -p {place}; mount --bind {source} {place}")
            if read_only:
                self.do(f"mount -o remount,bind,ro {place}")
        self.do(f"mount -o remount,ro {made.root}")
        return made

    def command(self, image, *arguments, entry=None, **variables):
        """The command that runs the image as its user; its process is the program's."""
        user, group = image.user.split(":")
        shown = shlex.join(map(str, [*(image.entry if entry is None else entry), *arguments]))
        lowered = f"setpriv --reuid {user} --regid {group} --groups {group}"
        lowered += " --bounding-set=-all --inh-caps=-all --no-new-privs"
        given = shlex.join(
            f"{key}={value}" for key, value in {**image.variables, **variables}.items()
        )
        script = f"cd {image.directory}; exec {lowered} env -i {given} {shown}"
        return self.inside("chroot", image.root, "sh", "-ec", script)


def can_run():
    """Whether this machine can do it."""
    tools = ("unshare", "nsenter", "setpriv", "chroot")
    if sys.platform != "linux" or os.geteuid() != 0 or not all(map(shutil.which, tools)):
        return False
    return subprocess.run(["unshare", "--mount", "true"], check=False).returncode == 0
