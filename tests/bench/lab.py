"""Where it is measured: two cores, programs compiled from C, a certificate, sinks, and a real disk.

The client has one core for itself, all else has the other, so that no sink is in its way.
"""

import os
import shutil
import subprocess
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

NATIVE = Path(__file__).with_name("native")
ADDRESS = "127.0.0.1"
FAR_ADDRESS = "10.77.0.2"
"""Of the sink, where there is a link in between."""


class NotPossible(Exception):  # noqa: N818 - says nothing of a mistake
    """This machine lacks something; the text says what, and how it can be had."""


class Lab:
    """A folder with what all works share: compiled programs, certificate, key, data sets."""

    def __init__(self, folder, scale=1.0):
        self.folder = Path(folder).resolve()
        self.scale = scale
        self.client_core, self.other_core = cores()
        self.folder.mkdir(parents=True, exist_ok=True)
        self.certificate = self.folder / "certificate.pem"
        self.key = self.folder / "certificate-key.pem"
        self.api_key = self.folder / "api-key"
        self.api_key.write_text("bench-key")
        self.api_key.chmod(0o600)
        self._certify()

    def scaled(self, count, least=2):
        """So many of something, fewer in a shortened run."""
        return max(least, round(count * self.scale))

    def program(self, name):
        """A program of ``native``, compiled when its source is newer."""
        binary = self.folder / name
        sources = [NATIVE / f"{name}.c", NATIVE / "server.h"]
        newest = max(source.stat().st_mtime for source in sources)
        if not binary.exists() or binary.stat().st_mtime < newest:
            compiler = next(filter(None, map(shutil.which, ("cc", "gcc", "clang"))), None)
            if compiler is None:
                raise NotPossible("needs a C compiler (Debian: gcc)")
            libraries = ("-lssl", "-lcrypto", "-lpthread")
            command = [compiler, "-O2", "-Wall", "-o", binary, sources[0], *libraries]
            built = subprocess.run(command, check=False, capture_output=True, text=True)
            if built.returncode:
                raise NotPossible(f"{name}.c needs OpenSSL's headers (Debian: libssl-dev)")
        return binary

    @contextmanager
    def scratch(self):
        """A folder on the same disk that is gone afterwards."""
        folder = self.folder / "scratch"
        shutil.rmtree(folder, ignore_errors=True)
        folder.mkdir()
        try:
            yield folder
        finally:
            shutil.rmtree(folder)

    @contextmanager
    def sink(self, name, address=ADDRESS, prefix=()):
        """``grpc_sink`` or ``s3_sink`` on the other core; ``prefix`` is put before its command."""
        process = subprocess.Popen(
            [*prefix, self.program(name), address, self.certificate, self.key],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
            preexec_fn=lambda: os.sched_setaffinity(0, {self.other_core}),
        )
        try:
            yield Sink(process, address, int(process.stdout.readline().split()[1]))
        finally:
            process.communicate(timeout=10)

    def _certify(self):
        if self.certificate.exists():
            return
        names = f"subjectAltName=IP:{ADDRESS},IP:{FAR_ADDRESS}"
        command = ["openssl", "req", "-x509", "-newkey", "ec", "-pkeyopt"]
        command += ["ec_paramgen_curve:prime256v1", "-nodes", "-days", "3650", "-subj", "/CN=bench"]
        command += ["-addext", names, "-keyout", self.key, "-out", self.certificate]
        subprocess.run(command, check=True, capture_output=True)


@dataclass(frozen=True)
class Sink:
    """A running sink."""

    process: subprocess.Popen
    host: str
    port: int

    @property
    def endpoint(self):
        return f"{self.host}:{self.port}"

    def counts(self):
        """The uploads and the bytes that came so far."""
        self.process.stdin.write("\n")
        self.process.stdin.flush()
        uploads, nbytes = self.process.stdout.readline().split()
        return int(uploads), int(nbytes)


def cores():
    """One for the client, one for all else; the same one where there is no other."""
    usable = sorted(os.sched_getaffinity(0))
    return usable[0], usable[-1]
