"""Looks at the files of other records, where they decide whether a recording is the same call."""

from collections.abc import Sequence

from anyio import to_thread
from msgspec import Struct

from batch_uploader.core.errors import SourceError
from batch_uploader.core.records import Record, Sight
from batch_uploader.prepare.callid import DEFAULT_FIELDS
from batch_uploader.prepare.comparing import Comparer


class Lookout(Struct, frozen=True):
    """What a run sees of the files of records."""

    comparer: Comparer

    async def see(self, records: Sequence[Record]) -> dict[str, Sight]:
        """What is seen of the files of these records, by path."""
        return await to_thread.run_sync(
            lambda: {record.path: self.comparer.sight(record) for record in records}
        )

    async def values(self, records: Sequence[Record]) -> tuple[str, ...]:
        """The values of the default ID of the first of these recordings that can be read."""
        for record in records:
            values = await to_thread.run_sync(self._values, record)
            if values:
                return values
        return ()

    def _values(self, record: Record) -> tuple[str, ...]:
        try:
            metadata = self.comparer.metadata_of(record)
        except SourceError:
            return ()
        if isinstance(metadata, tuple):
            return ()
        return tuple(metadata.fields.get(name, "") for name in DEFAULT_FIELDS)
