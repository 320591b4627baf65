"""What follows from a search for one recording in doubt: pure.

A hit counts at once, if the talk can be this recording. A miss counts only after the hold and while
the service keeps every talk, only if the same search found what is known to have been uploaded
after the doubt arose (with a wrong field name nothing is found, with an index that lags not all),
and only together with a second miss some time later. A contradiction is for a human, and so is a
miss after the ledger was lost, when it is unknown when and whether the recording was claimed.
"""

import math
from collections.abc import Sequence
from datetime import UTC, datetime

from msgspec import Struct
from msgspec.structs import replace

from batch_uploader.core.errors import SearchFailed
from batch_uploader.core.model import Failure, Timestamp
from batch_uploader.core.ports import Match
from batch_uploader.core.records import Canary, Record

_LONGEST_SPACING = 60.0
# How much the lengths of one recording may differ, in seconds and as a share: codecs add padding,
# and the service measures to the last word.
_SLACK = 2.0
_SLACK_SHARE = 0.02
_LEAST_SHARE = 0.5
_KEPT = 60 * 24 * 3600.0
"""Seconds for which a talk certainly exists; the service deletes talks after three months."""
_NAMED = "SOURCE_CHANGED"
"""The service named a talk that is known not to be the recording."""

SEARCHED = frozenset(
    {"HELD", "MISSED_ONCE", "SEARCH_ASTRAY", "SEARCH_BEHIND", "SEARCH_UNPROVED", "TOO_OLD"}
)
"""The codes of doubts that stay after a successful Search: each was sent with a stamp."""


class SearchPatience(Struct, frozen=True):
    """The seconds after a doubt arose for which a miss proves nothing.

    ``last_look`` is how many seconds, besides the pause before a second miss, a run that does not
    wait for the hold searches at its end.
    """

    hold: float = 1800.0
    last_look: float = 30.0

    @property
    def spacing(self) -> float:
        """Seconds between two misses that count."""
        return min(_LONGEST_SPACING, self.hold)


class SearchResult(Struct, frozen=True):
    """The result of one search for several keys.

    ``keys`` are those of the doubts, ``canaries`` the latest recordings that the service stored:
    they include one claimed after a doubt arose if there is any. ``wider`` is the search with the
    canaries, if this one is only for some of its keys.
    """

    keys: frozenset[str]
    canaries: tuple[Canary, ...]
    matches: Sequence[Match]
    wider: "SearchResult | None" = None

    def since(self, doubt: Record) -> list[bool]:
        """For each canary uploaded after the doubt arose, whether the search found it.

        Found means the same talk: an earlier talk of the same recording proves nothing about later
        ones.
        """
        proof, place = self.wider or self, doubt.doubt_seq or 0
        found = {(match.key, match.talk_id) for match in proof.matches}
        return [(each.key, each.talk_id) in found for each in proof.canaries if each.seq > place]

    @property
    def unexpected(self) -> list[Match]:
        """Talks with none of the requested stamps."""
        asked = self.keys | {canary.key for canary in self.canaries}
        return [match for match in self.matches if match.key not in asked]

    def hits(self, doubt: Record) -> list[Match]:
        """The talks with its stamp."""
        key = doubt.key
        return [match for match in self.matches if match.key == key is not None]


class Up(Struct, frozen=True):
    """The service holds it."""

    talk_id: str


class Absent(Struct, frozen=True):
    """The service does not hold it: it may be sent again."""


class Contradiction(Struct, frozen=True):
    """A human decides."""

    failure: Failure


class Stays(Struct, frozen=True):
    """It stays in doubt.

    ``doubt`` is its new record, with the reason as its failure. ``due`` is in how many seconds a
    search can give a better result, None if that does not depend on time, infinite if a human must
    decide.
    """

    doubt: Record
    due: float | None = None


SearchVerdict = Up | Absent | Contradiction | Stays


def passed(then: Timestamp, now: Timestamp) -> float | None:
    """The seconds that have certainly passed; None if ``then`` is in the future.

    Within one boot of the machine the time since boot decides, which cannot be set. Across boots or
    machines the wall clock may have been set and the time since boot may be another machine's: the
    lesser of the two counts.
    """
    nanoseconds = now.wall_ns - then.wall_ns
    if then.boot_ns is not None and now.boot_ns is not None:
        if then.boot == now.boot:
            nanoseconds = now.boot_ns - then.boot_ns
        else:
            nanoseconds = min(nanoseconds, now.boot_ns)
    return nanoseconds / 1e9 if nanoseconds >= 0 else None


def judge(
    doubt: Record,
    answer: SearchResult | SearchFailed,
    connection_id: str,
    now: Timestamp,
    wait: SearchPatience,
) -> SearchVerdict:
    """The verdict on one doubt; ``now`` is when the search began."""
    if isinstance(answer, SearchFailed):
        reason = f"{answer}; {_run(doubt)} searches again"
        return _stays(_aged(doubt, now), answer.code, reason)
    hits = answer.hits(doubt)
    if hits:
        problem = _problem(hits, doubt, connection_id)
        return Up(hits[0].talk_id) if problem is None else _contradiction(doubt, problem)
    if answer.unexpected:
        return _astray(_aged(doubt, now), answer)
    if _named(doubt):
        return Stays(doubt)
    return _missed(_aged(doubt, now), answer, now, wait)


def _astray(doubt: Record, answer: SearchResult) -> SearchVerdict:
    """The verdict if Search found talks that were not asked for."""
    unexpected = answer.unexpected
    named = ", ".join(match.talk_id for match in unexpected[:3])
    if answer.keys != {doubt.key} or answer.canaries:
        reason = f"Search returned {named} as well, and it is unclear yet by which stamp"
    elif any(match.key is None for match in unexpected):
        reason = f"Search for its key returned {named}, and the service does not say whose that is"
    else:
        return _contradiction(
            doubt, f"Search for its key returned {named}, which has another stamp"
        )
    return _stays(doubt, "SEARCH_ASTRAY", f"{reason}; {_run(doubt)} searches again")


def _missed(
    doubt: Record, answer: SearchResult, now: Timestamp, wait: SearchPatience
) -> SearchVerdict:
    age = passed(doubt.since, now) if doubt.since else None
    if _expired(doubt, now):
        days = round(_KEPT / 86400)
        return _stays(
            doubt,
            "TOO_OLD",
            f"Search does not find it, which proves nothing {days} days after it was sent, since"
            " the service may have deleted it; look for it in your own records",
            math.inf,
        )
    if age is None or age < wait.hold:
        left = wait.hold - (age or 0.0)
        reason = f"Search does not find it yet, which proves nothing before {_clock(now, left)}"
        return _stays(doubt, "HELD", f"{reason}; {_run(doubt)} searches again after that", left)
    if doubt.claimed_at_ns is None:
        reason = (
            f"Search does not find it by its {doubt.stamp_field}, but the ledger was lost: it may"
            " have been uploaded from another path, without this stamp, or long ago"
        )
        return _stays(doubt, "LEDGER_LOST", reason, math.inf)
    since = answer.since(doubt)
    if not (since and all(since)):
        return _unproved(doubt, since)
    gap = passed(doubt.first_miss, now) if doubt.first_miss else None
    if gap is not None and gap >= wait.spacing:
        return Absent()
    if gap is None:
        doubt = replace(doubt, first_miss=now)
    left = wait.spacing - (gap or 0.0)
    reason = (
        f"Search did not find it once; {_run(doubt)} searches again from {_clock(now, left)} on"
    )
    return _stays(doubt, "MISSED_ONCE", reason, left)


def _unproved(doubt: Record, since: Sequence[bool]) -> Stays:
    if not since:
        return _stays(
            doubt,
            "SEARCH_UNPROVED",
            "Search does not find it, and nothing was uploaded since then that shows whether Search"
            f" is up to date; the next upload with --stamp-field {doubt.stamp_field} does, or look"
            " for it yourself and decide with resolve",
            math.inf,
        )
    some = "all" if any(since) else "any"
    return _stays(
        doubt,
        "SEARCH_BEHIND",
        f"Search does not find {some} of what was uploaded since then by its {doubt.stamp_field},"
        f" so a miss of this one proves nothing; {_run(doubt)} searches again",
    )


def _expired(doubt: Record, now: Timestamp) -> bool:
    """Whether its talk may be deleted by now, by any clock; a claim is older than its doubt."""
    if doubt.claimed_at_ns is not None and now.wall_ns - doubt.claimed_at_ns > _KEPT * 1e9:
        return True
    if doubt.since is None:
        return False
    age = passed(doubt.since, now) or 0.0
    return max(age, (now.wall_ns - doubt.since.wall_ns) / 1e9) > _KEPT


def _run(doubt: Record) -> str:
    """The run that searches for it: with its stamp field."""
    return f"the next run with --stamp-field {doubt.stamp_field}"


def _aged(doubt: Record, now: Timestamp) -> Record:
    """The doubt with its hold started again if by a clock it has not arisen yet."""
    if doubt.since is None or passed(doubt.since, now) is None:
        return replace(doubt, since=now, first_miss=None)
    return doubt


def _problem(hits: Sequence[Match], doubt: Record, connection_id: str) -> str | None:
    """Why the hits cannot be taken for the recording."""
    first = hits[0]
    if len(hits) > 1:
        named = ", ".join(match.talk_id for match in hits[:3])
        return f"{len(hits)} talks carry its key: {named}"
    if _named(doubt):
        return f"talk {first.talk_id} carries its key"
    if first.connection_id != connection_id:
        return f"talk {first.talk_id} carries its key and belongs to another connection"
    length = doubt.duration
    if first.reaches is None or length is None:
        return None
    slack = _SLACK + _SLACK_SHARE * length
    if not length * _LEAST_SHARE - slack <= first.reaches <= length + slack:
        return (
            f"talk {first.talk_id} carries its key, but lasts {first.reaches:.0f} s; the recording"
            f" lasts {length:.0f} s"
        )
    return None


def _contradiction(doubt: Record, problem: str) -> Contradiction:
    failure = doubt.failure
    request_id = failure.request_id if failure else None
    known = f"; {failure.message}" if failure and _named(doubt) else ""
    return Contradiction(
        Failure("CONFLICT", f"{problem}{known}; look at the talks and decide", request_id)
    )


def _named(doubt: Record) -> bool:
    return doubt.failure is not None and doubt.failure.code == _NAMED


def _stays(doubt: Record, code: str, reason: str, due: float | None = None) -> Stays:
    if _named(doubt):
        # The only record of that talk is in this failure.
        return Stays(doubt)
    request_id = doubt.failure.request_id if doubt.failure else None
    return Stays(replace(doubt, failure=Failure(code, reason, request_id)), due)


def _clock(now: Timestamp, seconds: float) -> str:
    """The wall clock's minute after these seconds."""
    when = math.ceil((now.wall_ns / 1e9 + seconds) / 60) * 60
    return datetime.fromtimestamp(when, UTC).strftime("%Y-%m-%d %H:%M UTC")
