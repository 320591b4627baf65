"""Endpoint and credentials from the settings."""

from collections import ChainMap
from collections.abc import Callable, Mapping, Sequence
from functools import partial
from pathlib import Path

from msgspec import Struct

from batch_uploader.core.errors import ConfigError
from batch_uploader.settings.given import RawSetting
from batch_uploader.settings.profile import CREDENTIAL_VARIABLES
from batch_uploader.sinks.speechsense.channel import DEFAULT_ENDPOINT, Endpoint, Proxy, Security
from batch_uploader.sinks.speechsense.commands import ApiKeyCommand, IamTokenCommand
from batch_uploader.sinks.speechsense.credentials import (
    ApiKey,
    Credentials,
    IamToken,
    IamTokenFile,
    ServiceAccountKey,
)
from batch_uploader.sinks.speechsense.evidence import Unavailable
from batch_uploader.sinks.speechsense.iam import DEFAULT_IAM_ENDPOINT
from batch_uploader.sinks.speechsense.sink import LARGEST_WHOLE, WHOLE_LIMIT
from batch_uploader.sinks.speechsense.vm_metadata import (
    DEFAULT_METADATA_ADDRESS,
    VmMetadataToken,
)


class Sending(Struct, frozen=True):
    """The arguments of a ``SpeechSenseSink``; ``whole_limit`` is in bytes."""

    endpoint: Endpoint
    credentials: Credentials
    whole_limit: int
    stamp_field: str | None
    unavailable: Unavailable


def read_sending(layers: ChainMap[str, RawSetting]) -> Sending:
    """Reads the credential's file as well. Raises ConfigError."""
    endpoint = read_endpoint(layers)
    whole = layers["whole-limit"].size() if "whole-limit" in layers else WHOLE_LIMIT
    if whole > LARGEST_WHOLE:
        layers["whole-limit"].refuse(
            "the limit of the service is 128 MB in one message",
            f"set it to {LARGEST_WHOLE} at most; larger recordings are streamed",
        )
    doubted = "doubt-unavailable" in layers and layers["doubt-unavailable"].switch()
    return Sending(
        endpoint,
        read_credentials(layers, endpoint),
        whole,
        layers["stamp-field"].word() if "stamp-field" in layers else None,
        Unavailable.DOUBTED if doubted else Unavailable.BELIEVED,
    )


def read_endpoint(layers: ChainMap[str, RawSetting]) -> Endpoint:
    """Address and protection of the service. Raises ConfigError."""
    ca_file = layers["ca-file"].path() if "ca-file" in layers else None
    plaintext = layers.get("plaintext")
    security = Security.PLAINTEXT if plaintext and plaintext.switch() else Security.TLS
    if plaintext and security is Security.PLAINTEXT and ca_file:
        plaintext.refuse(f"{layers['ca-file'].origin} is for TLS only", "leave one of them out")
    text = str(DEFAULT_ENDPOINT)
    origins = [plaintext] if plaintext and plaintext.value is True else []
    if "endpoint" in layers:
        text = layers["endpoint"].text()
        origins.insert(0, layers["endpoint"])
    try:
        return Endpoint.parse(text, security=security, ca_file=ca_file, proxy=_proxy(layers))
    except ConfigError as error:
        raise _given_at(" and ".join(given.origin for given in origins), error) from error


def _proxy(layers: ChainMap[str, RawSetting]) -> Proxy:
    ignored = "ignore-proxy" in layers and layers["ignore-proxy"].switch()
    return Proxy.IGNORED if ignored else Proxy.ENVIRONMENT


def read_credentials(layers: ChainMap[str, RawSetting], endpoint: Endpoint) -> Credentials:
    """From the flags and the environment together, else from the highest layer of the file.

    Raises ConfigError, also if there are none.
    """
    makers = _makers(layers, endpoint)
    flags, variables, *file = (
        [(name, layer[name]) for name in makers if name in layer and _is_on(name, layer[name])]
        for layer in layers.maps
    )
    for named in (flags + variables, *file):
        if len(named) > 1:
            raise _several([given for _, given in named], [name for name, _ in variables])
        for name, given in named:
            make = makers[name](given)
            try:
                return make()
            except ConfigError as error:
                raise _given_at(given.origin, error) from error
    raise ConfigError(
        "the credentials are missing",
        hint="put an API key in a file that only you can read and specify it with --api-key-file,"
        " or set API_KEY; alternatives are --service-account-key-file, --metadata-credentials on a"
        " VM of Yandex Cloud, --iam-token-file, --iam-token-command and --api-key-command",
    )


def _is_on(name: str, given: RawSetting) -> bool:
    return name != "metadata-credentials" or given.switch()


def _given_at(origin: str, error: ConfigError) -> ConfigError:
    """The error with where the value was given, if known."""
    return ConfigError(f"{origin}: {error.problem}" if origin else error.problem, hint=error.hints)


def _several(all_given: Sequence[RawSetting], from_environment: Sequence[str]) -> ConfigError:
    unset = " ".join(f"-u {CREDENTIAL_VARIABLES[name]}" for name in from_environment)
    how = f"; to ignore what is in the environment: env {unset} batch-uploader ..."
    return ConfigError(
        "there is more than one credential: " + " and ".join(given.origin for given in all_given),
        hint=f"leave out all but one{how if unset else ''}",
    )


def _exists(path: Path) -> bool:
    try:
        return path.exists()
    except OSError as error:
        # It may exist; opening it reports what is wrong.
        return isinstance(error, PermissionError)


def _makers(
    layers: ChainMap[str, RawSetting], endpoint: Endpoint
) -> Mapping[str, Callable[[RawSetting], Callable[[], Credentials]]]:
    """How each kind is made: the first step reads the value, the second may refuse it."""
    return {
        "api-key": lambda given: partial(ApiKey, given.unseen()),
        "api-key-file": lambda given: partial(ApiKey.from_file, _file(given)),
        "api-key-command": lambda given: partial(ApiKeyCommand, given.text()),
        "iam-token": lambda given: partial(IamToken, given.unseen()),
        "iam-token-file": lambda given: partial(IamTokenFile, _file(given)),
        "iam-token-command": lambda given: partial(IamTokenCommand, given.text()),
        "service-account-key": lambda given: partial(
            ServiceAccountKey.parse,
            given.unseen(),
            "it",
            endpoint=_iam_endpoint(layers, endpoint),
        ),
        "service-account-key-file": lambda given: partial(
            ServiceAccountKey.from_file, _file(given), endpoint=_iam_endpoint(layers, endpoint)
        ),
        "metadata-credentials": lambda _: partial(VmMetadataToken, _metadata_address(layers)),
    }


def _file(given: RawSetting) -> Path:
    path = given.path()
    if not _exists(path):
        # The value is not shown: it may be the secret itself instead of a file's name.
        given.refuse("no such file", "check its name; specify a file, not the secret itself")
    return path


def _metadata_address(layers: ChainMap[str, RawSetting]) -> str:
    given = layers.get("metadata-address")
    return given.word() if given else DEFAULT_METADATA_ADDRESS


def _iam_endpoint(layers: ChainMap[str, RawSetting], endpoint: Endpoint) -> Endpoint:
    """The endpoint of IAM, with the same certificates and proxy as the service."""
    if "iam-endpoint" not in layers:
        default, ca_file = DEFAULT_IAM_ENDPOINT, endpoint.ca_file
        return Endpoint(default.host, default.port, ca_file=ca_file, proxy=endpoint.proxy)
    given = layers["iam-endpoint"]
    try:
        return Endpoint.parse(
            given.text(),
            security=endpoint.security,
            ca_file=endpoint.ca_file,
            proxy=endpoint.proxy,
        )
    except ConfigError as error:
        raise _given_at(given.origin, error) from error
