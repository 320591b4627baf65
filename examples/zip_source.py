"""A source of one's own: the recordings of a ZIP archive, without unpacking it.

    python examples/zip_source.py calls.zip

Uploads to a sink in memory, so it can be tried without an account; put a SpeechSenseSink in its
place. `Source` in batch_uploader/core/ports.py says what a source promises.
"""

import asyncio
import io
import sys
import zipfile
from collections import defaultdict
from collections.abc import AsyncGenerator
from datetime import UTC, datetime
from pathlib import Path
from typing import BinaryIO

from batch_uploader import MemorySink, SqliteLedger, Status, Uploader
from batch_uploader.core.errors import SourceError
from batch_uploader.core.model import Entry, Listing

AUDIO = (".wav", ".mp3", ".ogg", ".oga", ".opus")


class ZipSource:
    """The files of one archive; its folders are the archive's."""

    def __init__(self, archive: Path) -> None:
        self._path = archive
        self._archive = zipfile.ZipFile(archive)

    @property
    def where(self) -> str:
        """The archive, for a human."""
        return str(self._path)

    def is_audio(self, path: str) -> bool:
        """Whether a file is a recording, by its name."""
        return path.lower().endswith(AUDIO)

    async def entries(self) -> AsyncGenerator[Listing]:
        """Every folder once."""
        folders: dict[str, list[Entry]] = defaultdict(list)
        for info in self._archive.infolist():
            if not info.is_dir():
                folders[info.filename.rpartition("/")[0]].append(_entry(info))
        for folder, entries in folders.items():
            yield Listing(folder, tuple(entries))

    def open(self, path: str) -> BinaryIO:
        """A recording, unpacked into memory: an archive cannot be read from the middle."""
        try:
            return io.BytesIO(self._archive.read(path))
        except (KeyError, OSError, zipfile.BadZipFile) as error:
            raise SourceError(f"{path} cannot be read from {self._path}: {error}") from error

    def read_if_cached(self, _listed: Entry) -> None:
        """Nothing: unpacking takes its time."""

    def stat(self, path: str) -> Entry:
        """What the archive says of a file."""
        try:
            return _entry(self._archive.getinfo(path))
        except KeyError as error:
            raise SourceError(f"{path} is not in {self._path}") from error

    def handle_stat(self, _handle: BinaryIO, path: str) -> Entry:
        """An archive does not change while it is read."""
        return self.stat(path)


def _entry(info: zipfile.ZipInfo) -> Entry:
    changed = datetime(*info.date_time, tzinfo=UTC)
    return Entry(info.filename, info.file_size, int(changed.timestamp()) * 1_000_000_000)


async def main(archive: Path) -> None:
    """Upload an archive; its ledger lies beside it."""
    uploader = Uploader(
        source=ZipSource(archive),
        sink=MemorySink(),
        ledger=SqliteLedger(archive.with_suffix(".ledger.db"), "example"),
    )
    async with uploader:
        summary = await uploader.run()
    print(
        f"{summary.counts.get(Status.UPLOADED, 0)} uploaded, {summary.already_there} already there"
    )


if __name__ == "__main__":
    if len(sys.argv) != 2:  # noqa: PLR2004 - the program, the archive
        sys.exit(__doc__)
    asyncio.run(main(Path(sys.argv[1])))
