"""Checks of requests, except of the audio's bytes, which ``inspection`` does.

Every check raises a RpcRefusal or returns. Where the service's status code is unknown, it is the
one that its documentation of gRPC errors suggests.
"""

import re
from collections.abc import Iterator, Mapping
from typing import Final, TypeVar

import grpc
from google.protobuf.message import DecodeError, Message
from msgspec import Struct

from batch_uploader.sinks.speechsense import wire

MESSAGE_LIMIT: Final = 128 * 1024 * 1024
"""In bytes; gRPC itself refuses a larger message."""
VALUE_LIMIT: Final = 1024
"""In bytes of UTF-8."""
DURATION_LIMIT: Final = 4 * 3600
"""In seconds."""
SAMPLE_RATES: Final = range(8_000, 48_001)
FILTER_PREFIX: Final = "userMeta."
GET_LIMIT: Final = 100
PAGE_LIMIT: Final = 1000
DEFAULT_PAGE: Final = 100
FILTERS_LIMIT: Final = 100
# gRPC rejects an answer whose headers exceed 8 KB in total.
_MOST_VIOLATIONS: Final = 10
_LONGEST_TEXT: Final = 120
_PAGE_TOKEN: Final = re.compile("[0-9]{0,5}")

_M = TypeVar("_M", bound=Message)


class Violation(Struct, frozen=True):
    """The path of a field in the request, and the problem."""

    field: str
    description: str


class RpcRefusal(Exception):  # noqa: N818 - a correct answer, not a mistake
    """The answer to a request is an error status.

    ``pushback`` is the pause in seconds that the answer asks for, negative for no retry.
    """

    def __init__(
        self,
        code: grpc.StatusCode,
        message: str,
        *violations: Violation,
        pushback: float | None = None,
    ) -> None:
        super().__init__(message)
        self.code = code
        self.message = _short(message)
        self.violations = violations[:_MOST_VIOLATIONS]
        self.pushback = pushback

    def trailers(self) -> tuple[tuple[str, str | bytes], ...]:
        """The trailing metadata: the details of the status, and the requested pause."""
        number: int = self.code.value[0]
        status = wire.Status(code=number, message=self.message)
        trailers: list[tuple[str, str | bytes]] = []
        if self.violations:
            bad = wire.BadRequest()
            for violation in self.violations:
                field, description = map(_short, (violation.field, violation.description))
                bad.field_violations.add(field=field, description=description)
            status.details.add().Pack(bad)
        if self.pushback is not None:
            trailers.append(("grpc-retry-pushback-ms", str(round(self.pushback * 1000))))
            if self.pushback >= 0:
                delay = wire.RetryInfo()
                delay.retry_delay.FromNanoseconds(round(self.pushback * 1e9))
                status.details.add().Pack(delay)
        if status.details:
            trailers.append(("grpc-status-details-bin", status.SerializeToString()))
        return tuple(trailers)


def _short(text: str) -> str:
    return text if len(text) <= _LONGEST_TEXT else text[:_LONGEST_TEXT] + "..."


def invalid(field: str, description: str) -> RpcRefusal:
    """INVALID_ARGUMENT about one field."""
    return RpcRefusal(
        grpc.StatusCode.INVALID_ARGUMENT, f"{field}: {description}", Violation(field, description)
    )


class Connection(Struct, frozen=True):
    """A connection of the emulated space.

    ``fields`` are the declared metadata keys, ``channels`` the required number of channels; None
    allows any.
    """

    id: str
    fields: frozenset[str] | None = None
    channels: int | None = None


def parse(kind: type[_M], data: bytes) -> _M:
    """The message in these bytes."""
    try:
        return kind.FromString(data)
    except DecodeError:
        raise RpcRefusal(
            grpc.StatusCode.INVALID_ARGUMENT, f"The request is not a {kind.DESCRIPTOR.full_name}"
        ) from None


def check_metadata(
    metadata: wire.TalkMetadata, connections: Mapping[str, Connection]
) -> Connection:
    """Check a talk's metadata. Returns the talk's connection."""
    if not metadata.connection_id:
        raise invalid("metadata.connection_id", "is missing")
    connection = connections.get(metadata.connection_id)
    if connection is None:
        raise RpcRefusal(
            grpc.StatusCode.NOT_FOUND, f"Connection {metadata.connection_id} is not found"
        )
    violations = tuple(_violations(metadata, connection))
    if violations:
        more = f" (and {len(violations) - 1} more)" if len(violations) > 1 else ""
        raise RpcRefusal(
            grpc.StatusCode.INVALID_ARGUMENT,
            f"{violations[0].field}: {violations[0].description}{more}",
            *violations,
        )
    return connection


def _violations(metadata: wire.TalkMetadata, connection: Connection) -> Iterator[Violation]:
    for key in sorted(metadata.fields):
        if connection.fields is not None and key not in connection.fields:
            yield Violation(f"metadata.fields[{key}]", "the connection declares no such field")
    yield from _long_values("metadata.fields", metadata.fields)
    ids = set()
    for index, user in enumerate(metadata.users):
        where = f"metadata.users[{index}]"
        if not user.id:
            yield Violation(f"{where}.id", "is missing")
        elif user.id in ids:
            yield Violation(f"{where}.id", "is another user's too")
        ids.add(user.id)
        if user.role not in wire.UserRole.values():
            yield Violation(f"{where}.role", "is not a role")
        yield from _long_values(f"{where}.fields", user.fields)


def _long_values(where: str, values: Mapping[str, str]) -> Iterator[Violation]:
    for key in sorted(values):
        size = len(values[key].encode())
        if size > VALUE_LIMIT:
            yield Violation(f"{where}[{key}]", f"{size} bytes, {VALUE_LIMIT} at most are allowed")


def check_text(request: wire.UploadTextRequest) -> None:
    """Check that a chat has messages, each by one of the users in its metadata."""
    if not request.text_content.messages:
        raise invalid("text_content.messages", "is empty")
    users = {user.id for user in request.metadata.users}
    for index, message in enumerate(request.text_content.messages):
        where = f"text_content.messages[{index}]"
        if message.user_id not in users:
            raise invalid(f"{where}.user_id", "is none of the users in the metadata")
        if not message.HasField("timestamp"):
            raise invalid(f"{where}.timestamp", "is missing")
        if not message.text.text:
            raise invalid(f"{where}.text", "is empty")


class Condition(Struct, frozen=True):
    """Selects talks whose metadata field has one of the values, or has none of them."""

    field: str
    values: tuple[str, ...]
    inverse: bool


def check_search(request: wire.SearchTalkRequest) -> tuple[Condition, ...]:
    """The conditions of a Search; the emulator supports only matching of fields."""
    if not 0 <= request.page_size <= PAGE_LIMIT:
        raise invalid("page_size", f"is not between 1 and {PAGE_LIMIT}")
    if not _PAGE_TOKEN.fullmatch(request.page_token):
        raise invalid("page_token", "is not one of this server")
    if len(request.filters) > FILTERS_LIMIT:
        raise invalid("filters", f"the emulator takes {FILTERS_LIMIT} at most")
    if request.HasField("query"):
        raise invalid("query", "the emulator does not search in texts")
    if request.HasField("sort_data"):
        raise invalid("sort_data", "the emulator does not sort")
    return tuple(_conditions(request))


def _conditions(request: wire.SearchTalkRequest) -> Iterator[Condition]:
    for index, filter_ in enumerate(request.filters):
        where = f"filters[{index}]"
        kind = filter_.WhichOneof("filter")
        if kind != "any_match":
            raise invalid(where, f"the emulator knows any_match, not {kind or 'a blank filter'}")
        field = filter_.key.removeprefix(FILTER_PREFIX)
        if not field or field == filter_.key:
            raise invalid(f"{where}.key", f"the emulator knows {FILTER_PREFIX}<field> only")
        if not filter_.any_match.values:
            raise invalid(f"{where}.any_match.values", "is empty")
        yield Condition(field, tuple(filter_.any_match.values), filter_.inverse)
