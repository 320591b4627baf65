"""Search and Get."""

import time

import grpc

from batch_uploader.emulator.control import Control
from batch_uploader.emulator.rules import (
    DEFAULT_PAGE,
    GET_LIMIT,
    RpcRefusal,
    check_search,
    invalid,
    parse,
)
from batch_uploader.emulator.store import Talk, TalkStore
from batch_uploader.prepare.sidecar import FieldType, Kind, Schema
from batch_uploader.sinks.speechsense import wire

_TYPES = Schema.for_kind(Kind.TWO_CHANNEL).types


class Queries:
    """Answers Search and Get. Every method returns the response or raises RpcRefusal."""

    def __init__(self, store: TalkStore, control: Control, connections: frozenset[str]) -> None:
        self._store = store
        self._control = control
        self._connections = connections

    async def search(self, data: bytes) -> wire.SearchTalkResponse:
        """The IDs of indexed talks by their metadata."""
        request = parse(wire.SearchTalkRequest, data)
        self._fail_on_purpose()
        connection_id = self._connection(request.connection_id)
        conditions = check_search(request)
        start = int(request.page_token or "0")
        page = await self._store.search(
            connection_id,
            conditions,
            time.time_ns() - round(self._control.faults.search_lag * 1e9),
            slice(start, start + (request.page_size or DEFAULT_PAGE)),
        )
        return wire.SearchTalkResponse(
            talk_ids=page.talk_ids,
            talks_count=page.count,
            next_page_token="" if page.next_offset is None else str(page.next_offset),
        )

    async def get(self, data: bytes) -> wire.GetTalkResponse:
        """Talks by their IDs; missing ones are left out."""
        request = parse(wire.GetTalkRequest, data)
        self._fail_on_purpose()
        if not request.talk_ids:
            raise invalid("talk_ids", "is empty")
        if len(request.talk_ids) > GET_LIMIT:
            raise invalid("talk_ids", f"{len(request.talk_ids)} are asked for, {GET_LIMIT} allowed")
        connection_id = self._connection(request.connection_id)
        talks = await self._store.get(tuple(request.talk_ids), connection_id)
        return wire.GetTalkResponse(talk=[_message(talk) for talk in talks])

    def _connection(self, connection_id: str) -> str | None:
        if connection_id and connection_id not in self._connections:
            raise RpcRefusal(grpc.StatusCode.NOT_FOUND, f"Connection {connection_id} is not found")
        return connection_id or None

    def _fail_on_purpose(self) -> None:
        if self._control.query_fails():
            raise RpcRefusal(grpc.StatusCode.UNAVAILABLE, "The search is unavailable, try again")


def _type(name: str) -> str:
    """The type of a field as the service's guide has it; of any other one, a string."""
    return f"FIELD_TYPE_{_TYPES.get(name, FieldType.STRING).upper()}"


def _message(talk: Talk) -> wire.Talk:
    message = wire.Talk(
        id=talk.talk_id,
        connection_id=talk.connection_id,
        created_by="emulator",
        modified_by="emulator",
        talk_fields=[
            wire.Field(name=name, value=value, type=wire.FieldType.Value(_type(name)))
            for name, value in talk.fields.items()
        ],
        talk_state=wire.TalkState(
            processing_state=wire.ProcessingState.PROCESSING_STATE_SUCCESS,
        ),
    )
    message.created_at.FromNanoseconds(talk.created_at_ns)
    message.modified_at.FromNanoseconds(talk.modified_at_ns)
    if talk.sha256 is not None:
        boundaries = message.conversation_statistics.conversation_boundaries
        boundaries.end_time_ms = round(talk.duration * 1000)
        boundaries.duration_seconds = round(talk.duration)
    return message
