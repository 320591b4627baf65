"""Search and Get: which talks carry a stamp.

It is not verified whether Search's key of a metadata field is ``userMeta.NAME``, as in the guide,
or ``user.NAME``, as in a comment of the API. A wrong one finds nothing and may not be refused, so
both are tried until one finds a talk with a requested stamp.
"""

from collections.abc import Awaitable, Callable, Iterable, Sequence
from typing import Final, TypeVar

import grpc
from google.protobuf.message import DecodeError, Message

from batch_uploader.core.errors import SearchFailed
from batch_uploader.core.ports import Match
from batch_uploader.sinks.speechsense import wire
from batch_uploader.sinks.speechsense.quota import Quota, Waits
from batch_uploader.sinks.speechsense.refusals import refused_by_service
from batch_uploader.sinks.speechsense.rpc_result import RpcResult, flaw, request_id

Ask = Callable[[str, bytes], Awaitable[bytes | RpcResult]]
"""Makes one call: takes a method and a request, returns a response or how the call failed."""

_SPELLINGS: Final = ("userMeta.{}", "user.{}")
_PAGE: Final = 1_000
_MOST_FOUND: Final = 200
"""A stamp is unique to a talk, so a larger result does not answer the search."""
_M = TypeVar("_M", bound=Message)

_DENIED: Final = frozenset({grpc.StatusCode.UNAUTHENTICATED, grpc.StatusCode.PERMISSION_DENIED})
_REFUSED: Final = frozenset({grpc.StatusCode.INVALID_ARGUMENT, grpc.StatusCode.NOT_FOUND})


class Lookup:
    """Finds talks by a stamp field; each Search counts as one talk of the quota of Get.

    The quotas of Search are unknown.
    """

    def __init__(self, stamp_field: str, quota: Quota) -> None:
        self._names = tuple(spelling.format(stamp_field) for spelling in _SPELLINGS)
        self._stamp_field = stamp_field
        self._quota = quota

    async def find(
        self, connection_id: str, keys: Sequence[str], ask: Ask, waits: Waits | None = None
    ) -> list[Match]:
        """As ``ports.Sink.find``; at most a hundred ``keys``."""
        found: dict[str, Match] = {}
        refusals: list[SearchFailed] = []
        for name in self._names:
            await self._quota.take(1, waits)
            talk_ids = await self._search(name, connection_id, keys, ask)
            if isinstance(talk_ids, SearchFailed):
                refusals.append(talk_ids)
                continue
            new = [talk_id for talk_id in talk_ids if talk_id not in found]
            matches = await self._get(connection_id, new, ask, waits)
            found.update((match.talk_id, match) for match in matches)
            if any(match.key in keys for match in matches):
                # The service uses this name.
                self._names = (name,)
                return list(found.values())
        if len(refusals) == len(self._names):
            raise refusals[0]
        return list(found.values())

    async def _search(
        self, name: str, connection_id: str, keys: Sequence[str], ask: Ask
    ) -> Sequence[str] | SearchFailed:
        """The talks' IDs; a SearchFailed if the service does not know the field under this name."""
        request = wire.SearchTalkRequest(
            connection_id=connection_id,
            filters=[wire.Filter(key=name, any_match=wire.AnyMatchFilter(values=keys))],
            page_size=_PAGE,
        )
        answer = await ask(wire.SEARCH, request.SerializeToString())
        if isinstance(answer, RpcResult):
            if answer.code in _REFUSED:
                return failed(answer)
            raise failed(answer)
        page = _parse(wire.SearchTalkResponse.FromString, answer)
        if page.next_page_token or len(page.talk_ids) > _MOST_FOUND:
            # Getting each of them would use up a day's quota.
            return SearchFailed(
                f"Search by {name} returned {page.talks_count:,} talks, so it ignores that field",
                code="SEARCH_INEXACT",
            )
        _require_sound(page.talk_ids)
        return page.talk_ids

    async def _get(
        self, connection_id: str, talk_ids: Sequence[str], ask: Ask, waits: Waits | None
    ) -> list[Match]:
        matches: list[Match] = []
        step = self._quota.at_once
        for start in range(0, len(talk_ids), step):
            some = talk_ids[start : start + step]
            await self._quota.take(len(some), waits)
            request = wire.GetTalkRequest(connection_id=connection_id, talk_ids=some)
            # All fields but analyses are returned in any case.
            request.results_mask.paths.append("conversation_statistics")
            answer = await ask(wire.GET, request.SerializeToString())
            if isinstance(answer, RpcResult):
                raise failed(answer)
            talks = _parse(wire.GetTalkResponse.FromString, answer).talk
            _require_sound(talk.id for talk in talks)
            matches += map(self._match, talks)
            told = {talk.id for talk in talks}
            # Found, but not returned by Get: its stamp is unknown.
            matches += [Match(each, connection_id, None) for each in some if each not in told]
        return matches

    def _match(self, talk: "wire.Talk") -> Match:
        fields = talk.talk_fields
        # The name of a field may itself have a dot.
        stamps = [field.value for field in fields if field.name == self._stamp_field] or [
            field.value for field in fields if _bare(field.name) == self._stamp_field
        ]
        ends = talk.conversation_statistics.conversation_boundaries.end_time_ms
        return Match(
            talk.id,
            talk.connection_id,
            stamps[0] if len(stamps) == 1 else None,
            ends / 1000 if ends > 0 else None,
        )


async def fields_of(
    connection_id: str, talk_id: str, ask: Ask, quota: Quota
) -> dict[str, str] | None:
    """The metadata fields of a talk with their types (``string``), None if there is no such talk.

    Raises SearchFailed.
    """
    await quota.take(1)
    request = wire.GetTalkRequest(connection_id=connection_id, talk_ids=[talk_id])
    request.results_mask.paths.append("conversation_statistics")
    answer = await ask(wire.GET, request.SerializeToString())
    if isinstance(answer, RpcResult):
        raise failed(answer)
    talks = _parse(wire.GetTalkResponse.FromString, answer).talk
    found = next((talk for talk in talks if talk.id == talk_id), None)
    if found is None:
        return None
    return {_bare(field.name): _type(field.type) for field in found.talk_fields if field.name}


def _type(number: int) -> str:
    """The word for a type; unknown ones are of a newer service."""
    try:
        word = wire.FieldType.Name(number).removeprefix("FIELD_TYPE_").lower()
    except ValueError:
        return "string"
    return "string" if word == "unspecified" else word


def failed(answer: RpcResult) -> SearchFailed:
    """The error for a failed Search or Get."""
    said = answer.quote()
    refused = refused_by_service(answer, "the service", "") if answer.code in _DENIED else None
    return SearchFailed(
        "the service did not say which talks it holds" + (f' ("{said}")' if said else ""),
        hint=refused.hints if refused else None,
        fault=refused.fault if refused else "",
        code=answer.code.name,
        request_id=request_id(answer.metadata),
    )


def _require_sound(talk_ids: Iterable[str]) -> None:
    for wrong in filter(None, map(flaw, talk_ids)):
        raise SearchFailed(f"the service returned {wrong}", code="UNREADABLE")


def _bare(name: str) -> str:
    for spelling in _SPELLINGS:
        name = name.removeprefix(spelling.format(""))
    return name


def _parse(read: Callable[[bytes], _M], answer: bytes) -> _M:
    try:
        return read(answer)
    except (DecodeError, TypeError):  # None is what gRPC makes of an answer without a message
        raise SearchFailed("the service's answer cannot be read", code="UNREADABLE") from None
