"""The settings in a TOML file, with profiles that override the rest.

::

    connection-id = "..."            # the long name of a flag include = ["*.pcm"]

    [connection]                     # what the connection wants kind = "two-channel" other-fields =
    "refuse"

    [connection.fields] ticket_id = "string" price = {type = "decimal", required = true}

    [defaults]                       # for fields that a sidecar lacks language = "ru-RU"

    [profiles.night]                 # all of the above once more concurrency = 4

Relative paths in it are relative to the file.
"""

from collections.abc import Mapping
from decimal import Decimal
from pathlib import Path

from batch_uploader.core.errors import ConfigError
from batch_uploader.core.text import quote
from batch_uploader.host.exposure import others_may_write
from batch_uploader.settings.given import RawSetting, closest

Layer = Mapping[str, RawSetting]
"""The settings of one place, by name."""

FILE_NAME = "batch-uploader.toml"
"""Read from the working directory if it exists."""

CREDENTIAL_VARIABLES = {
    "api-key": "API_KEY",
    "iam-token": "IAM_TOKEN",
    "service-account-key": "YC_SERVICE_ACCOUNT_KEY",
    "service-account-key-file": "YC_SERVICE_ACCOUNT_KEY_FILE",
}
"""The variables that may have a credential; the first three, the secrets, may only be there."""

KEYS = frozenset(
    {
        "agent-channel",
        "allow-empty",
        "api-key-command",
        "api-key-file",
        "bandwidth",
        "ca-file",
        "call-id",
        "concurrency",
        "connection-id",
        "convert",
        "doubt-unavailable",
        "endpoint",
        "exclude",
        "grace",
        "hold",
        "iam-endpoint",
        "iam-token-command",
        "iam-token-file",
        "ignore-proxy",
        "include",
        "kind",
        "layout",
        "ledger",
        "legs",
        "legs-alone",
        "log-file",
        "manifest",
        "max-audio",
        "max-duration",
        "max-length",
        "max-outage",
        "max-recordings",
        "metadata",
        "metadata-credentials",
        "metrics-file",
        "min-age",
        "min-age-open",
        "min-length",
        "names",
        "ogg-end",
        "on-finish",
        "otlp",
        "plaintext",
        "progress",
        "rate",
        "raw-channels",
        "raw-rate",
        "require",
        "sample",
        "service-account-key-file",
        "sidecar",
        "sidecar-wait",
        "since",
        "skip-empty",
        "split-long",
        "stamp-field",
        "timezone",
        "trust-times",
        "until",
        "verbose",
        "wait-for-doubt",
        "whole-limit",
    }
)
"""The keys of the top level: the flags that describe a job, not a single run of it."""

_COMMANDS = frozenset({"api-key-command", "iam-token-command"})
_TABLES = frozenset({"connection", "defaults", "price", "profiles", "stereo"})
_SECTIONS = frozenset({"defaults", "legs", "metadata", "price", "stereo"})
"""Tables that are read as a whole; two of these keys may have a flag's value instead."""
_CONNECTION_KEYS = frozenset({"kind", "other-fields", "fields"})
_SECRETS = {
    "api-key": "api-key-file",
    "iam-token": "iam-token-file",
    "service-account-key": "service-account-key-file",
}


def read_profile(file: Path, profile: RawSetting | None) -> list[Layer]:
    """The layers of the file, the profile's before the rest. Raises ConfigError."""
    top = _load(file)
    profiles = _table(top.pop("profiles", {}), f"[profiles] in {file}")
    layers: list[Layer] = []
    if profile is not None:
        name = profile.text()
        if name not in profiles:
            profile.refuse(
                f"unknown profile {name!r} in {file}",
                closest(name, profiles, "profiles"),
            )
        where = f"[profiles.{name}] of {file}"
        layers.append(_layer(_table(profiles[name], where), file, where))
    layers.append(_layer(top, file, str(file)))
    return layers


def read_layout(given: RawSetting) -> Layer:
    """The settings of a ready-made layout, beneath all others. Raises ConfigError.

    Paths in it are relative to where the layout was chosen.
    """
    from batch_uploader import layouts  # most runs have none

    name = given.word()
    try:
        found = layouts.load(name)
    except ConfigError as error:
        given.refuse(error.problem, error.hints)
    return _layer(found.settings, given.base / FILE_NAME, f"the layout {name}")


def _load(file: Path) -> dict[str, object]:
    import tomllib  # saves 2 ms without such a file

    try:
        # Fractions are kept as written: they may become the value of a field.
        return tomllib.loads(file.read_text("utf-8-sig"), parse_float=Decimal)
    except OSError as error:
        raise ConfigError(
            f"{file} cannot be read ({error.strerror})",
            hint="check its name and mode, or specify another one with --config",
        ) from error
    except UnicodeDecodeError as error:
        raise ConfigError(f"{file} is not UTF-8", hint="save it as UTF-8") from error
    except (tomllib.TOMLDecodeError, ArithmeticError) as error:
        raise ConfigError(f"{file} is not valid TOML: {error}", hint="fix it there") from error
    except RecursionError as error:
        raise ConfigError(
            f"{file} is nested too deeply", hint="keep only settings in it"
        ) from error


def _require_own(file: Path, table: Mapping[str, object], where: str) -> None:
    for key in sorted(_COMMANDS & table.keys()):
        if others_may_write(file):
            raise ConfigError(
                f"{key} in {where}: other users can write this file, so the command may be theirs",
                hint=f"chmod go-w {quote(str(file))}",
            )


def _layer(table: Mapping[str, object], file: Path, where: str) -> Layer:
    layer: dict[str, RawSetting] = {}
    _require_own(file, table, where)
    for key, value in table.items():
        if key in _SECRETS.keys() | {name.replace("-", "_") for name in _SECRETS}:
            instead = _SECRETS[key.replace("_", "-")]
            raise ConfigError(
                f"{key} in {where}: a secret does not belong in a settings file",
                hint=f"put it in a file that only you can read, and specify that with {instead}",
            )
        if key not in KEYS | _TABLES or (key == "profiles"):
            raise ConfigError(
                f"{key} in {where}: unknown setting",
                hint=closest(key, KEYS | _TABLES, "settings"),
            )
        if key not in _TABLES:
            layer[key] = RawSetting(value, f"{key} in {where}", file.parent)
    for name in _SECTIONS & table.keys():
        if isinstance(table[name], dict) or name in _TABLES:
            origin = f"[{name}] in {where}"
            layer[name] = RawSetting(_table(table[name], origin), origin, file.parent)
    connection = _table(table.get("connection", {}), f"[connection] in {where}")
    for key, value in connection.items():
        origin = f"connection.{key} in {where}"
        if key not in _CONNECTION_KEYS:
            raise ConfigError(
                f"{origin}: unknown setting",
                hint=f"move {key} above the first line in brackets"
                if key in KEYS
                else closest(key, _CONNECTION_KEYS, "settings there"),
            )
        if key in layer:
            raise ConfigError(
                f"{origin}: it is set twice", hint=f"keep it in [connection], remove {key}"
            )
        layer[key] = RawSetting(value, origin, file.parent)
    return layer


def _table(value: object, origin: str) -> dict[str, object]:
    if not isinstance(value, dict):
        raise ConfigError(
            f"{origin}: not a table", hint="write it as [NAME] with a line for each key"
        )
    return value
