"""What a human decides about recordings, one by one or in a file for many."""

import csv
import json
import re
from collections.abc import Iterable, Iterator, Mapping
from typing import TypeAlias

from msgspec import Struct

from batch_uploader.core.checks import require_type
from batch_uploader.core.errors import ConfigError
from batch_uploader.core.identity import Cause
from batch_uploader.core.model import RESEND, Failure, Outcome
from batch_uploader.core.states import Status, Verdict, decided_by

_LONGEST_TALK_ID = 200
_FORM = re.compile(r"[A-Za-z0-9][\w.:-]*", re.ASCII)
_PLACEHOLDERS = frozenset({"ID", "TALK-ID", "TALK_ID"})
_WORDS = {verdict.value.removeprefix("--"): verdict for verdict in Verdict}


class Resolution(Struct, frozen=True):
    """A human's verdict; ``talk_id`` only with UPLOADED. Raises ConfigError otherwise."""

    verdict: Verdict
    talk_id: str = ""

    def __post_init__(self) -> None:
        """Raise ConfigError for an invalid, missing or superfluous talk ID."""
        require_type("verdict", self.verdict, Verdict)
        require_type("talk_id", self.talk_id, str)
        word = self.talk_id
        if self.verdict is not Verdict.UPLOADED:
            if word:
                raise ConfigError(f"--talk-id and {self.verdict.value} contradict each other")
        elif not _FORM.fullmatch(word) or word.upper() in _PLACEHOLDERS:
            raise ConfigError(
                "--talk-id: not a talk ID",
                hint="copy only the ID from the SpeechSense console, not its address",
            )
        elif len(word) > _LONGEST_TALK_ID:
            raise ConfigError("--talk-id: too long for a talk ID", hint="copy only the ID")

    @property
    def ends(self) -> frozenset[Status]:
        """The states in which it is allowed."""
        return decided_by(self.verdict)

    def outcome(self, before: Outcome) -> Outcome:
        """The outcome to record."""
        failure, duplicate_of, cause = None, None, None
        match self.verdict:
            case Verdict.UPLOADED:
                status = Status.UPLOADED
            case Verdict.RESEND:
                status = Status.FAILED
                failure = RESEND
                if before.duplicate_of is not None:
                    failure = Failure("RESEND", "somebody decided that it is another call")
                    surely = before.status is Status.DUPLICATE
                    cause = Cause.NO_DUPLICATE if surely else Cause.ANOTHER_CALL
            case Verdict.GIVE_UP:
                status = Status.GIVEN_UP
                failure = Failure("GIVEN_UP", "somebody decided to give it up")
            case Verdict.ACKNOWLEDGE:
                status, failure = Status.ACKNOWLEDGED, before.failure
            case Verdict.DUPLICATE:
                status = Status.DUPLICATE
                duplicate_of, cause = before.duplicate_of, before.cause
        return Outcome(
            path=before.path,
            status=status,
            stat=before.stat,
            attempts=before.attempts,
            talk_id=self.talk_id or None,
            failure=failure,
            duplicate_of=duplicate_of,
            duration=before.duration,
            container=before.container,
            cause=cause,
        )


class PathDecision(Struct, frozen=True):
    """What was decided about the recording of this path, of any connection if it names none.

    Unless it is ``explicit`` it counts only if the recording needs attention. ``where`` names the
    line that it comes from; ``is_defused`` if the path is written as ``manifest`` writes one that a
    spreadsheet would run.
    """

    path: str
    resolution: Resolution
    connection_id: str | None = None
    explicit: bool = True
    where: str = ""
    is_defused: bool = False


def read_decisions(
    lines: Iterable[str],
    where: str,
    usual: Resolution | None = None,
    faults: list[ConfigError] | None = None,
) -> list[PathDecision]:
    """The decisions in these lines: CSV with a header, or each a path or a JSON object.

    Column or key ``path`` names the recording, ``decision`` is resend, duplicate, give-up,
    acknowledge, or talk-id with the ID in ``talk_id``; ``connection_id`` may be there, as in the
    manifest; others are ignored. ``usual`` is the decision of those that have none; if it is None
    they are left out. It counts only if the recording needs attention, as a manifest has all.
    ``where`` names the file in errors. Raises ConfigError at the first line with a fault; with
    ``faults`` these are added there instead, and the other lines count; of two that contradict
    each other neither does.
    """
    decisions: dict[tuple[str, str | None], PathDecision] = {}
    contradicted: set[tuple[str, str | None]] = set()
    read = 0
    for number, text in _rows(lines):
        read += 1
        line = f"{where}, line {number}"
        try:
            decision = _decision(text, line, usual)
            if decision is None:
                continue
            key = decision.path, decision.connection_id
            before = decisions.setdefault(key, decision)
            if before.resolution != decision.resolution or before.explicit != decision.explicit:
                contradicted.add(key)
            _require_one(before, decision, line)
        except ConfigError as fault:
            if faults is None:
                raise
            faults.append(fault)
    if not decisions and not faults:
        raise ConfigError(
            f"{where}: no line has a decision" if read else f"{where}: it is empty",
            hint='specify --resend or --duplicate for all, or add "decision": "resend" or'
            ' "duplicate" to the lines',
        )
    return [each for key, each in decisions.items() if key not in contradicted]


def _require_one(before: PathDecision, after: PathDecision, where: str) -> None:
    if before.resolution != after.resolution or before.explicit != after.explicit:
        raise ConfigError(f"{where}: an earlier line decides otherwise", hint="keep one")


_Row: TypeAlias = "str | Mapping[str, object]"


def _rows(lines: Iterable[str]) -> Iterator[tuple[int, _Row]]:
    """The lines that are not empty, with their numbers; those of a CSV as mappings."""
    numbered = enumerate(lines, 1)
    for number, line in numbered:
        if not (text := line.strip("\r\n")):
            continue
        header = _header(text)
        if header is not None:
            yield from _cells(numbered, *header, number)
            return
        yield number, text if (found := _object(text)) is None else found


def _header(text: str) -> tuple[list[str], str] | None:
    """The columns of a CSV and what is between them, if the line is its header."""
    for delimiter in ",;\t":
        names = next(csv.reader([text], delimiter=delimiter), [])
        columns = [name.strip().lower() for name in names]
        if len(columns) > 1 and "path" in columns:
            return columns, delimiter
    return None


def _cells(
    numbered: Iterable[tuple[int, str]], columns: list[str], delimiter: str, above: int
) -> Iterator[tuple[int, _Row]]:
    reader = csv.reader((line for _, line in numbered), delimiter=delimiter)
    for cells in reader:
        filled = {name: cell for name, cell in zip(columns, cells, strict=False) if cell.strip()}
        if filled:
            yield above + reader.line_num, filled


def _decision(row: _Row, where: str, usual: Resolution | None) -> PathDecision | None:
    if isinstance(row, str):
        return None if usual is None else PathDecision(row, usual, where=where)
    path, connection_id = row.get("path"), row.get("connection_id")
    if not isinstance(path, str) or not path:
        raise ConfigError(f"{where}: it has no path", hint='write it like {"path": "a.wav"}')
    if not isinstance(connection_id, str | None):
        raise ConfigError(f"{where}: connection_id is not a text", hint="leave it out")
    defused = "path" in str(row.get("defused") or "").split()
    resolution = _resolution(row, where)
    if resolution is not None:
        return PathDecision(path, resolution, connection_id, where=where, is_defused=defused)
    if usual is None:
        return None
    return PathDecision(path, usual, connection_id, explicit=False, where=where, is_defused=defused)


def _resolution(row: Mapping[str, object], where: str) -> Resolution | None:
    word = row.get("decision")
    if word is None:
        return None
    name = word.strip().lower().replace("_", "-") if isinstance(word, str) else ""
    if name not in _WORDS:
        raise ConfigError(
            f"{where}: unknown decision {word!r}", hint=f"the decisions are {', '.join(_WORDS)}"
        )
    if _WORDS[name] is not Verdict.UPLOADED:
        return Resolution(_WORDS[name])
    talk_id = row.get("talk_id")
    if not isinstance(talk_id, str) or not talk_id:
        raise ConfigError(f"{where}: it has no talk_id", hint="copy it from the console")
    try:
        return Resolution(Verdict.UPLOADED, talk_id.strip())
    except ConfigError as fault:
        problem = fault.problem.removeprefix("--talk-id: ")
        raise ConfigError(f"{where}: talk_id: {problem}", hint=fault.hints) from fault


def _object(text: str) -> dict[str, object] | None:
    """The JSON object that the line is; None for a path, which may also begin with a brace."""
    if not text.lstrip().startswith("{"):
        return None
    try:
        found = json.loads(text)
    except ValueError:
        return None
    return found if isinstance(found, dict) else None
