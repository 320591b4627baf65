"""The user's settings: flags over environment over profile over file, as frozen values.

A flag overrides the environment, the environment overrides the file, and in the file the chosen
profile overrides the top level. Flags and environment together may have one credential, which
overrides the file's. Defaults of fields are merged by name, required fields are united, other lists
replace each other.
"""

import os
from collections import ChainMap
from collections.abc import Mapping
from enum import StrEnum
from pathlib import Path
from typing import TYPE_CHECKING, TypeVar

from msgspec import Struct

from batch_uploader.app.places import Places
from batch_uploader.core.errors import ConfigError
from batch_uploader.core.price import Price
from batch_uploader.core.units import parse_duration, parse_hours
from batch_uploader.pace import Timetable
from batch_uploader.plan.patience import Ages
from batch_uploader.prepare.rules import Rules
from batch_uploader.run.options import MOST_CONCURRENT, SHORTEST_HOLD, RunOptions
from batch_uploader.settings.connection import OtherFields, read_rules
from batch_uploader.settings.given import RawSetting, closest
from batch_uploader.settings.price import read_price
from batch_uploader.settings.profile import (
    CREDENTIAL_VARIABLES,
    FILE_NAME,
    KEYS,
    Layer,
    read_layout,
    read_profile,
)
from batch_uploader.sources.selection import matches

__all__ = [
    "CREDENTIALS",
    "FILE_NAME",
    "KEYS",
    "VARIABLES",
    "OtherFields",
    "RawSetting",
    "Reading",
    "Settings",
    "closest",
    "find_working_directory",
]

if TYPE_CHECKING:
    from batch_uploader.settings.sending import Sending
    from batch_uploader.sinks.speechsense.channel import Endpoint
    from batch_uploader.sinks.speechsense.credentials import Credentials

_E = TypeVar("_E", bound=StrEnum)

CONFIG_VARIABLE = "BATCH_UPLOADER_CONFIG"
VARIABLES: Mapping[str, str] = {
    "connection-id": "SPEECHSENSE_CONNECTION_ID",
    "endpoint": "SPEECHSENSE_ENDPOINT",
    "metadata-address": "YC_METADATA_ADDR",
    **CREDENTIAL_VARIABLES,
}
"""The settings that may be in the environment; an empty variable is ignored."""

CREDENTIALS = (
    *("api-key", "api-key-file", "api-key-command"),
    *("iam-token", "iam-token-file", "iam-token-command"),
    *("service-account-key", "service-account-key-file", "metadata-credentials"),
)
"""The settings of which one is the credential."""

_OF_JOB = frozenset({"connection-id", "ledger", "manifest", "metrics-file", "on-finish", "otlp"})
_MOST_RECORDINGS = 10**12


class Reading(Struct, frozen=True):
    """Which files of a directory are read, and by which rules."""

    include: tuple[str, ...]
    exclude: tuple[str, ...]
    rules: Rules
    ages: Ages


class Settings:
    """All settings, converted to values on demand; invalid ones raise ConfigError.

    ``flags`` has the given flags by long name, ``directory`` what was typed. ``file`` is the
    settings file in use, if there is one and ``reads_file``.
    """

    def __init__(
        self,
        directory: Path,
        flags: Mapping[str, object],
        environment: Mapping[str, str] = os.environ,
        working_directory: Path | None = None,
        *,
        reads_file: bool = True,
    ) -> None:
        here = working_directory or find_working_directory()
        self.directory = directory
        self.flags = flags
        self._places: Places | None = None
        given: dict[str, RawSetting] = {
            name: RawSetting(value, f"--{name}", here) for name, value in flags.items()
        }
        profile, config = given.pop("profile", None), given.pop("config", None)
        self.file = _file(config, environment, here) if reads_file else None
        variables: Layer = {
            name: RawSetting(environment[variable], f"the environment variable {variable}", here)
            for name, variable in VARIABLES.items()
            if environment.get(variable)
        }
        if self.file is None and profile is not None:
            profile.refuse(
                f"there is no {FILE_NAME} with profiles in the working directory",
                "specify the settings file with --config",
            )
        layers = []
        if self.file is not None:
            by_variable = config is None and environment.get(CONFIG_VARIABLE)
            layers = _read(self.file, profile, CONFIG_VARIABLE if by_variable else None)
        # ChainMap is typed for dictionaries but writes only to the first.
        self._layers: ChainMap[str, RawSetting] = ChainMap(
            given, dict(variables), *map(dict, layers)
        )
        if "layout" in self._layers:
            self._layers.maps.append(dict(read_layout(self._layers["layout"])))

    def places(self) -> Places:
        """The places of directory, ledger and manifest; computed once."""
        if self._places is None:
            self._places = Places.of(
                self.directory,
                self.path("ledger"),
                self.path("manifest"),
                self.word("connection-id"),
            )
        return self._places

    def connection_id(self) -> str:
        """The connection to upload to."""
        found = self.places().connection_id
        if found is None:
            raise ConfigError(
                "the connection ID is missing",
                hint="specify --connection-id or SPEECHSENSE_CONNECTION_ID; the SpeechSense console"
                " has the ID",
            )
        return found

    def given(self, *names: str) -> Mapping[str, RawSetting]:
        """Those of the settings that were given."""
        return {name: self._layers[name] for name in names if name in self._layers}

    def origin(self, name: str) -> str | None:
        """Where a setting was given; None if it was not."""
        return self._layers[name].origin if name in self._layers else None

    def origins(self) -> str:
        """Where the settings of the service were given, for an error that blames one of them."""
        credential = next((n for layer in self._layers.maps for n in CREDENTIALS if n in layer), "")
        named = [
            ("the endpoint", "endpoint"),
            ("the CA file", "ca-file"),
            ("the connection ID", "connection-id"),
            ("the credential", credential),
        ]
        return ", ".join(
            f"{what} is from {origin}" for what, name in named if (origin := self.origin(name))
        )

    def reading(self) -> Reading:
        """Which files to read, and by which rules."""
        layers = self._layers
        return Reading(
            self.patterns("include"),
            self.patterns("exclude"),
            read_rules(layers),
            self._ages(),
        )

    def sending(self) -> "Sending":
        """Endpoint and credentials."""
        from batch_uploader.settings.sending import read_sending  # imports gRPC

        return read_sending(self._layers)

    def endpoint(self) -> "Endpoint":
        """Where the service is, without a credential."""
        from batch_uploader.settings.sending import read_endpoint  # as above

        return read_endpoint(self._layers)

    def credentials(self) -> "Credentials":
        """The credentials alone."""
        from batch_uploader.settings.sending import read_credentials  # as above

        return read_credentials(self._layers, self.endpoint())

    def price(self) -> Price | None:
        """The price of audio, if it is given."""
        return read_price(self._layers)

    def options(self) -> RunOptions:
        """How the run behaves."""
        usual = RunOptions()
        layers = self._layers
        concurrency = layers.get("concurrency")
        return RunOptions(
            concurrency=(
                concurrency.count(1, MOST_CONCURRENT) if concurrency else usual.concurrency
            ),
            rate=layers["rate"].rate() if "rate" in layers else None,
            bandwidth=layers["bandwidth"].read(Timetable.parse) if "bandwidth" in layers else None,
            max_recordings=(
                layers["max-recordings"].count(1, _MOST_RECORDINGS)
                if "max-recordings" in layers
                else None
            ),
            max_audio=layers["max-audio"].limit(parse_hours) if "max-audio" in layers else None,
            max_outage=self.limit("max-outage") or usual.max_outage,
            min_age=(ages := self._ages()).still,
            min_age_open=ages.still_open,
            sidecar_wait=ages.sidecar,
            grace=self.duration("grace", usual.grace),
            trust_times=self.switch("trust-times"),
            allow_empty=self.switch("allow-empty"),
            explain=self.switch("verbose"),
            hold=self._hold(usual.hold),
            wait_for_doubt=self._waits_for_doubt(),
        )

    def tables(self) -> tuple[Path, ...]:
        """The files of tables, which may be called like sidecars."""
        about = read_rules(self._layers).about
        return () if about is None else about.files

    def patterns(self, name: str) -> tuple[str, ...]:
        """A list of patterns, empty if not given."""
        given = self._layers.get(name)
        if given is None:
            return ()
        patterns = given.texts()
        try:
            matches(patterns)
        except ConfigError as error:
            given.refuse(error.problem, error.hints)
        return patterns

    def _ages(self) -> Ages:
        usual = RunOptions()
        return Ages(
            self.duration("min-age", usual.min_age),
            self.duration("min-age-open", usual.min_age_open),
            self.duration("sidecar-wait", usual.sidecar_wait),
        )

    def _hold(self, default: float) -> float:
        hold = self.duration("hold", default)
        if hold < SHORTEST_HOLD:
            given = self._layers["hold"]
            given.refuse(
                f"{given.value!r} is too short: Search sees a talk only after a while, and what it"
                " misses is sent again",
                "specify at least a second; the default is 30m",
            )
        return hold

    def _waits_for_doubt(self) -> bool:
        waits = self.switch("wait-for-doubt")
        if waits and "stamp-field" not in self._layers:
            self._layers["wait-for-doubt"].refuse(
                "Search needs a stamp field", "add --stamp-field NAME"
            )
        return waits

    def duration(self, name: str, default: float) -> float:
        """A time in seconds."""
        return self._layers[name].duration() if name in self._layers else default

    def limit(self, name: str) -> float | None:
        """A limit in seconds, None if not given."""
        return self._layers[name].limit(parse_duration) if name in self._layers else None

    def switch(self, name: str) -> bool:
        """Whether a setting is turned on."""
        return name in self._layers and self._layers[name].switch()

    def path(self, name: str) -> Path | None:
        """A path, None if not given."""
        return self._layers[name].path() if name in self._layers else None

    def word(self, name: str) -> str | None:
        """A word such as an ID, None if not given."""
        return self._layers[name].word() if name in self._layers else None

    def one_of(self, name: str, default: _E) -> _E:
        """A value of an enumeration."""
        given = self._layers.get(name)
        return given.one_of(type(default)) if given else default


def settings_by_flags(directory: Path, flags: Mapping[str, object]) -> Settings:
    """Which job it is and whom it tells, where all settings together are refused."""
    told = {name: value for name, value in flags.items() if name in _OF_JOB}
    return Settings(directory, told, reads_file=False)


def find_working_directory() -> Path:
    """The working directory. Raises ConfigError if it is gone."""
    try:
        return Path.cwd()
    except OSError as error:
        raise ConfigError(
            f"the working directory cannot be determined ({error.strerror})",
            hint="it may have been removed; change to another one: cd /",
        ) from error


def _read(file: Path, profile: RawSetting | None, variable: str | None) -> list[Layer]:
    """The layers of the file, which an environment variable may have named."""
    try:
        return read_profile(file, profile)
    except ConfigError as error:
        if variable is None:
            raise
        told = f"the environment variable {variable}: {error.problem}"
        raise ConfigError(told, hint=error.hints) from error


def _file(named: RawSetting | None, environment: Mapping[str, str], here: Path) -> Path | None:
    if named is not None:
        return named.path()
    if variable := environment.get(CONFIG_VARIABLE):
        return RawSetting(variable, f"the environment variable {CONFIG_VARIABLE}", here).path()
    usual = here / FILE_NAME
    return usual if usual.exists() else None
