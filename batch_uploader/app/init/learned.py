"""Learns the fields of a connection from one of its talks."""

from batch_uploader.core.errors import ConfigError, SearchFailed, Unauthorized
from batch_uploader.prepare.sidecar import FieldType
from batch_uploader.sinks.speechsense.channel import Endpoint
from batch_uploader.sinks.speechsense.credentials import Credentials
from batch_uploader.sinks.speechsense.sink import SpeechSenseSink

_DENIED = frozenset({"UNAUTHENTICATED", "PERMISSION_DENIED"})


async def learn_fields(
    connection_id: str, talk_id: str, endpoint: Endpoint, credentials: Credentials
) -> dict[str, FieldType]:
    """The fields that a talk has, with their types. Raises ConfigError or Unauthorized."""
    async with SpeechSenseSink(endpoint, credentials) as sink:
        try:
            found = await sink.fields_of(connection_id, talk_id)
        except SearchFailed as error:
            problem = f"the talk {talk_id} cannot be read: {error.problem}"
            if error.code in _DENIED:
                raise Unauthorized(problem, hint=error.hints, code=error.code) from error
            raise ConfigError(
                problem,
                hint="check --connection-id, --endpoint and the network, or leave --from-talk out",
            ) from error
    if found is None:
        raise ConfigError(
            f"the connection {connection_id} has no talk {talk_id}",
            hint="copy the ID of one of its talks from the console of SpeechSense",
        )
    return {name: _type(word) for name, word in found.items()}


def _type(word: str) -> FieldType:
    return FieldType(word) if word in list(FieldType) else FieldType.STRING
