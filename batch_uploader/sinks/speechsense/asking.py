"""One Search for one talk: it costs nothing, and shows whom the service lets in, and to what."""

import uuid
from typing import Final

import grpc
from grpc import StatusCode
from msgspec import Struct

from batch_uploader.sinks.speechsense import wire
from batch_uploader.sinks.speechsense.channel import (
    Endpoint,
    channel_credentials,
    named,
    open_channel,
)
from batch_uploader.sinks.speechsense.evidence import Extent, classify, never_left, stand_in
from batch_uploader.sinks.speechsense.redaction import remember
from batch_uploader.sinks.speechsense.refusals import (
    CredentialFault,
    Refused,
    refused_by_service,
)
from batch_uploader.sinks.speechsense.route import Obstacle
from batch_uploader.sinks.speechsense.rpc_result import RpcResult, date_of, unreadable
from batch_uploader.sinks.speechsense.transport import is_of_a_break

_ANSWERS: Final = frozenset(
    {
        StatusCode.OK,
        StatusCode.UNAUTHENTICATED,
        StatusCode.PERMISSION_DENIED,
        StatusCode.INVALID_ARGUMENT,
        StatusCode.NOT_FOUND,
        StatusCode.FAILED_PRECONDITION,
        StatusCode.RESOURCE_EXHAUSTED,
    }
)
"""What the service says of itself, even if it refuses the request."""


class SearchAnswer(Struct, frozen=True):
    """How the service answered: ``result`` is OK with the number of talks, or a status.

    ``date`` is the service's own time in seconds since the epoch, if it told.
    """

    result: RpcResult
    talks: int = 0
    date: float | None = None


async def ask(
    endpoint: Endpoint, *, header: str | None, connection_id: str, seconds: float
) -> SearchAnswer:
    """Search the connection for one talk; without ``header``, as nobody.

    Raises ConfigError if the CA file cannot be used, or the system lacks what gRPC needs.
    """
    ids = [("x-client-request-id", str(uuid.uuid4()))]
    secrets: tuple[str, ...] = ()
    if header is not None:
        secrets = (header.partition(" ")[2],)
        remember(*secrets)
        ids.append(("authorization", header))
    request = wire.SearchTalkRequest(connection_id=connection_id, page_size=1)
    async with open_channel(endpoint, channel_credentials(endpoint)) as channel:
        search: grpc.aio.UnaryUnaryMultiCallable[bytes, bytes] = channel.unary_unary(wire.SEARCH)
        call = search(request.SerializeToString(), metadata=tuple(ids), timeout=seconds)
        try:
            answer = await call
            metadata = (*(await call.trailing_metadata()), *(await call.initial_metadata()))
            page = wire.SearchTalkResponse.FromString(answer)
        except grpc.aio.AioRpcError as error:
            refused = RpcResult.of(error, secrets)
            return SearchAnswer(refused, date=date_of(refused.metadata))
        except Exception as error:  # noqa: BLE001 - gRPC may raise anything, and so may its answer
            return SearchAnswer(unreadable(error))
    return SearchAnswer(RpcResult(StatusCode.OK), page.talks_count, date_of(metadata))


def require_service(asked: SearchAnswer, endpoint: Endpoint) -> None:
    """Raise Obstacle unless a SpeechSense answered, whatever it said."""
    answer = asked.result
    if answer.code is StatusCode.OK:
        return
    where = named(endpoint)
    if other := stand_in(answer, where):
        raise Obstacle("not_the_service", other, "check the endpoint and what is in between")
    if never_left(answer):
        error = classify(answer, extent=Extent.PART, where=where)
        raise Obstacle("unreachable", error.problem, *error.hints)
    if answer.code is StatusCode.UNIMPLEMENTED:
        raise Obstacle(
            "not_the_service",
            f'{where} speaks gRPC, but it does not know Search ("{answer.quote()}")',
            "check the endpoint",
        )
    if answer.code is StatusCode.DEADLINE_EXCEEDED:
        raise Obstacle(
            "silent",
            f"{where} takes requests, and does not answer in time",
            "try again later; if it stays so, check what is in between",
        )
    if answer.code not in _ANSWERS or is_of_a_break(answer.details):
        raise Obstacle(
            "unavailable",
            f'{where} fails to answer: {answer.code.name} ("{answer.quote()}")',
            "try again later; if it stays so, check what is in between",
        )


def require_admitted(asked: SearchAnswer, header: str) -> None:
    """Raise Obstacle if the service does not accept the credentials, sent as ``header``."""
    answer = asked.result
    if answer.code not in {StatusCode.UNAUTHENTICATED, StatusCode.PERMISSION_DENIED}:
        return
    refused = refused_by_service(answer, "the service", header.partition(" ")[0])
    if refused.fault is not CredentialFault.ROLE:
        token = header.startswith("Bearer")
        raise _denied(refused, answer, code_of(refused.fault, token=token))


def code_of(fault: CredentialFault, *, token: bool) -> str:
    """The word for programs; ``token`` if it is about one, and not about a key."""
    if fault in {CredentialFault.WRONG, CredentialFault.EXPIRED}:
        return f"{fault.value}_{'token' if token else 'key'}"
    return "clock_off" if fault is CredentialFault.CLOCK else f"missing_{fault.value}"


def _denied(refused: Refused, answer: RpcResult, code: str, *more: str) -> Obstacle:
    return Obstacle(code, f'{refused.problem} ("{answer.quote()}")', *refused.hints, *more)


def require_connection(asked: SearchAnswer, connection_id: str, header: str) -> None:
    """Raise Obstacle unless the service knows the connection, and lets the account search it."""
    answer = asked.result
    said = f'("{answer.quote()}")'
    if answer.code is StatusCode.PERMISSION_DENIED:
        refused = refused_by_service(answer, "the service", header.partition(" ")[0])
        other = f"if {connection_id} is not the ID of the connection, correct it"
        raise _denied(refused, answer, "missing_role", other)
    unknown = answer.code is StatusCode.NOT_FOUND or (
        answer.code is StatusCode.INVALID_ARGUMENT
        and ("connection_id" in answer.faulty_fields() or "connection" in answer.details.lower())
    )
    if unknown:
        raise Obstacle(
            "wrong_connection",
            f"the service does not know the connection {connection_id} {said}",
            "check the ID: the SpeechSense console shows it with the connection (it is not the ID"
            " of the space or the project)",
        )
    if answer.code is not StatusCode.OK:
        raise Obstacle(
            "unavailable",
            f"the service does not search: {answer.code.name} {said}",
            "try again later",
        )
