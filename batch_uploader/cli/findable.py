"""What a person needs to find a recording in the SpeechSense console: when, who, how long."""

from collections.abc import Collection, Mapping
from typing import Final

from batch_uploader.app.places import Places
from batch_uploader.core.errors import UploaderError
from batch_uploader.core.records import Record
from batch_uploader.core.text import printable
from batch_uploader.settings import Settings
from batch_uploader.settings.files import own_files
from batch_uploader.ui.runs import minute
from batch_uploader.ui.text import format_hours

NOT_FOUND: Final[Mapping[str, None]] = {"date": None, "operator": None}
_OPERATOR = ("operator_name", "operator_id")


class Findable:
    """The dates and operators of recordings, as far as their files are there to tell."""

    def __init__(self, fields: Mapping[str, Mapping[str, str]]) -> None:
        self._fields = fields

    @classmethod
    async def of(cls, settings: Settings, places: Places, paths: Collection[str]) -> "Findable":
        """Reads what describes the recordings at these paths; never raises for what is missing."""
        if not paths:
            return cls({})
        from batch_uploader.app.explaining import describe_recordings  # most often nothing is asked

        try:
            reading = settings.reading()
            found = await describe_recordings(
                places,
                paths,
                rules=reading.rules,
                include=reading.include,
                exclude=reading.exclude,
                ignore=own_files(settings),
            )
        except (UploaderError, OSError):
            return cls({})  # the share may be away, and the ledger still tells what it knows
        return cls(found)

    def fields(self, path: str) -> dict[str, str | None]:
        """``date`` and ``operator`` of a recording, None if that is not known."""
        told = self._fields.get(path, {})
        operator = next((told[name] for name in _OPERATOR if told.get(name)), None)
        return {"date": told.get("date") or None, "operator": operator}

    def line(self, record: Record) -> str:
        """All of it in a line: ``2025-04-24 14:34:19, operator Anna, 3m 12s; sent …``."""
        told = self.fields(record.path)
        words = [printable(told["date"] or "")]
        if told["operator"]:
            words.append(f"operator {printable(told['operator'])}")
        if record.duration is not None:
            words.append(format_hours(record.duration))
        if record.claimed_at_ns is not None:
            words.append(f"sent {minute(record.claimed_at_ns)}")
        return ", ".join(word for word in words if word)
