"""Where recordings go, and in whose name: endpoint and credentials from the settings."""

from collections import ChainMap
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path

from msgspec import Struct

from batch_uploader.core.errors import ConfigError
from batch_uploader.settings.given import RawSetting, refusal
from batch_uploader.settings.profile import CREDENTIAL_VARIABLES
from batch_uploader.sinks.speechsense.channel import DEFAULT_ENDPOINT, Endpoint, Proxy, Security
from batch_uploader.sinks.speechsense.credentials import (
    ApiKey,
    Credentials,
    IamToken,
    IamTokenFile,
    ServiceAccountKey,
)
from batch_uploader.sinks.speechsense.evidence import Unavailable
from batch_uploader.sinks.speechsense.iam import DEFAULT_IAM_ENDPOINT
from batch_uploader.sinks.speechsense.sink import LARGEST_WHOLE

WHOLE_LIMIT = 16 * 1024 * 1024


class Sending(Struct, frozen=True):
    """All that a ``SpeechSenseSink`` needs; ``whole_limit`` in bytes."""

    endpoint: Endpoint
    credentials: Credentials
    whole_limit: int
    stamp_field: str | None
    unavailable: Unavailable


def read_sending(layers: ChainMap[str, RawSetting]) -> Sending:
    """Reads the credential's file as well. Raises ConfigError."""
    endpoint = _endpoint(layers)
    whole = layers["whole-limit"].size() if "whole-limit" in layers else WHOLE_LIMIT
    if whole > LARGEST_WHOLE:
        layers["whole-limit"].refuse(
            "the service takes less than 128 MB in one message",
            f"set it to {LARGEST_WHOLE} at most, and what is larger goes as a stream",
        )
    doubted = "doubt-unavailable" in layers and layers["doubt-unavailable"].switch()
    return Sending(
        endpoint,
        _credentials(layers, endpoint),
        whole,
        layers["stamp-field"].word() if "stamp-field" in layers else None,
        Unavailable.DOUBTED if doubted else Unavailable.BELIEVED,
    )


def _endpoint(layers: ChainMap[str, RawSetting]) -> Endpoint:
    ca_file = layers["ca-file"].path() if "ca-file" in layers else None
    plaintext = layers.get("plaintext")
    security = Security.PLAINTEXT if plaintext and plaintext.switch() else Security.TLS
    if plaintext and security is Security.PLAINTEXT and ca_file:
        plaintext.refuse(
            f"without TLS there is no use for {layers['ca-file'].origin}", "leave one of them out"
        )
    text = str(DEFAULT_ENDPOINT)
    origins = [plaintext] if plaintext and plaintext.value is True else []
    if "endpoint" in layers:
        text = layers["endpoint"].text()
        origins.insert(0, layers["endpoint"])
    try:
        return Endpoint.parse(text, security=security, ca_file=ca_file, proxy=_proxy(layers))
    except ConfigError as error:
        where = " and ".join(given.origin for given in origins)
        raise ConfigError(f"{where}: {error}" if where else str(error)) from error


def _proxy(layers: ChainMap[str, RawSetting]) -> Proxy:
    ignored = "ignore-proxy" in layers and layers["ignore-proxy"].switch()
    return Proxy.IGNORED if ignored else Proxy.ENVIRONMENT


def _credentials(layers: ChainMap[str, RawSetting], endpoint: Endpoint) -> Credentials:
    """From the flags and the environment together, or else from the highest layer of the file."""
    makers = _makers(layers, endpoint)
    flags, variables, *file = (
        [(name, layer[name]) for name in makers if name in layer] for layer in layers.maps
    )
    for named in (flags + variables, *file):
        if len(named) > 1:
            raise _several([given for _, given in named], [name for name, _ in variables])
        for name, given in named:
            # Whoever gives the secret itself for a file's name does not want to see it printed.
            if name.endswith("-file") and not _exists(given.path()):
                given.refuse("there is no such file", "check its name; it is not the secret itself")
            try:
                return makers[name](given)
            except ConfigError as error:
                # What is wrong with the text itself says where it stands.
                if str(error).startswith(f"{given.origin}: "):
                    raise
                raise ConfigError(f"{given.origin}: {error}") from error
    raise refusal(
        "there is no credential: the service has to know who you are",
        "put an API key in a file that nobody else may read and name it with --api-key-file,"
        " or set API_KEY; --iam-token-file and --service-account-key-file are the others",
    )


def _several(all_given: Sequence[RawSetting], from_environment: Sequence[str]) -> ConfigError:
    unset = " ".join(f"-u {CREDENTIAL_VARIABLES[name]}" for name in from_environment)
    how = f"; env {unset} batch-uploader ... goes without what is in the environment"
    return refusal(
        "there is more than one credential: " + " and ".join(given.origin for given in all_given),
        f"leave all but one out{how if unset else ''}",
    )


def _exists(path: Path) -> bool:
    try:
        return path.exists()
    except OSError as error:
        # What we may not look at may be there, and opening it says what is wrong.
        return isinstance(error, PermissionError)


def _makers(
    layers: ChainMap[str, RawSetting], endpoint: Endpoint
) -> Mapping[str, Callable[[RawSetting], Credentials]]:
    return {
        "api-key": lambda given: ApiKey(given.unseen()),
        "api-key-file": lambda given: ApiKey.from_file(given.path()),
        "iam-token": lambda given: IamToken(given.unseen()),
        "iam-token-file": lambda given: IamTokenFile(given.path()),
        "service-account-key-file": lambda given: ServiceAccountKey.from_file(
            given.path(), endpoint=_iam_endpoint(layers, endpoint)
        ),
    }


def _iam_endpoint(layers: ChainMap[str, RawSetting], endpoint: Endpoint) -> Endpoint:
    """Where tokens come from: trusted and reached as the service is."""
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
        raise ConfigError(f"{given.origin}: {error}") from error
