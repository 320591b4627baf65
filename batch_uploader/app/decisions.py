"""What a human decides about recordings, one by one or in a file for many."""

import json
import re
from collections.abc import Iterable

from msgspec import Struct

from batch_uploader.core.checks import require_type
from batch_uploader.core.errors import ConfigError
from batch_uploader.core.identity import Cause
from batch_uploader.core.model import RESEND, Failure, Outcome
from batch_uploader.core.states import Status, Verdict, decided_by

_LONGEST_TALK_ID = 200
_FORM = re.compile(r"[A-Za-z0-9][\w.:-]*", re.ASCII)
_PLACEHOLDERS = frozenset({"ID", "TALK-ID", "TALK_ID"})
_WORDS = {
    verdict.value.removeprefix("--"): verdict
    for verdict in Verdict
    if verdict is not Verdict.UPLOADED
}


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

    Unless it is ``explicit`` it counts only if the recording needs attention.
    """

    path: str
    resolution: Resolution
    connection_id: str | None = None
    explicit: bool = True


def read_decisions(
    lines: Iterable[str], where: str, usual: Resolution | None = None
) -> list[PathDecision]:
    """The decisions in these lines, each a path or a JSON object with a ``path``.

    An object may have a ``decision`` (resend, duplicate or give-up) and a ``connection_id``, as a
    line of the manifest does; other keys are ignored. ``usual`` is the decision of the others; if
    it is None they are left out. For an object it counts only if the recording needs attention, as
    a manifest has all. ``where`` names the file in errors. Raises ConfigError.
    """
    decisions: dict[tuple[str, str | None], PathDecision] = {}
    read = 0
    for number, line in enumerate(lines, 1):
        if not (text := line.strip("\r\n")):
            continue
        read += 1
        decision = _decision(text, f"{where}, line {number}", usual)
        if decision is None:
            continue
        key = decision.path, decision.connection_id
        if decisions.setdefault(key, decision) != decision:
            raise ConfigError(
                f"{where}, line {number}: an earlier line decides otherwise", hint="keep one"
            )
    if not decisions:
        raise ConfigError(
            f"{where}: no line has a decision" if read else f"{where}: it is empty",
            hint='specify --resend or --duplicate for all, or add "decision": "resend" or'
            ' "duplicate" to the lines',
        )
    return list(decisions.values())


def _decision(text: str, where: str, usual: Resolution | None) -> PathDecision | None:
    found = _object(text)
    if found is None:
        return None if usual is None else PathDecision(text, usual)
    path, connection_id = found.get("path"), found.get("connection_id")
    if not isinstance(path, str) or not path:
        raise ConfigError(f"{where}: it has no path", hint='write it like {"path": "a.wav"}')
    if not isinstance(connection_id, str | None):
        raise ConfigError(f"{where}: connection_id is not a text", hint="leave it out")
    word = found.get("decision")
    if word is None:
        return None if usual is None else PathDecision(path, usual, connection_id, explicit=False)
    if not isinstance(word, str) or word.replace("_", "-") not in _WORDS:
        raise ConfigError(
            f"{where}: unknown decision {word!r}", hint=f"the decisions are {', '.join(_WORDS)}"
        )
    return PathDecision(path, Resolution(_WORDS[word.replace("_", "-")]), connection_id)


def _object(text: str) -> dict[str, object] | None:
    """The JSON object that the line is; None for a path, which may also begin with a brace."""
    if not text.lstrip().startswith("{"):
        return None
    try:
        found = json.loads(text)
    except ValueError:
        return None
    return found if isinstance(found, dict) else None
