"""Runs over an archive, night after night; the emulator's records are the judge."""

from dataclasses import dataclass, field

from e2e.conftest import Result

NOBODY = ("--endpoint", "127.0.0.1:9", "--max-outage", "1s")
"""Where no request is answered: a run that makes one ends with another code."""


@dataclass
class Nights:
    """The runs of one archive over a connection of its own.

    ``command`` runs a command line; ``flags`` go to every upload.
    """

    archive: object
    command: object
    service: object
    connection: str
    key_file: object
    flags: tuple = ()
    last: Result | None = field(default=None, init=False)

    def _line(self, flags):
        self.archive.pass_time()
        where = ("--connection-id", self.connection, "--endpoint", self.service.address)
        known = ("--ca-file", self.service.folder / "tls" / "ca.pem")
        key = ("--api-key-file", self.key_file)
        return ("upload", self.archive, *where, *known, *key, *self.flags, *flags)

    def upload(self, *flags):
        """Upload what lies there, a day later."""
        return self.command(*self._line(flags))

    def start(self, *flags):
        """The process of an upload; ``command`` is a ``Program`` then."""
        return self.command.start(*self._line(flags))

    def night(self, *flags, code=0):
        """An upload that ends so."""
        self.last = self.upload(*flags)
        assert self.last.code == code, self.last.said
        return self.last

    def nothing_to_do(self, *flags):
        """One run more ends in the same way, makes no request, and changes nothing."""
        before = self.archive.manifest()
        result = self.upload(*flags, *NOBODY)
        assert result.code == self.last.code, result.said
        assert self.archive.manifest() == before
        return result

    def talks(self):
        """What the service has."""
        return [talk for talk in self.service.talks() if talk.connection_id == self.connection]

    def counts(self):
        """How many talks it has of each call."""
        return self.archive.counts(self.talks())

    def lines(self, status):
        """The manifest's lines of a status, by path."""
        told = self.archive.manifest()
        return {line["path"]: line for line in told if line["status"] == status}

    def held(self):
        """Why each possible duplicate is held, by path."""
        lines = self.lines("possible_duplicate")
        return {path: line["error"]["code"] for path, line in lines.items()}
