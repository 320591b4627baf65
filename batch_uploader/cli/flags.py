"""Every flag, once: commands take them in groups, as frozen values.

A flag that is not given is None or off; what it means then is up to ``settings``, which also knows
the environment and the settings file. Nothing here is imported that takes long.
"""

import functools
import inspect
from collections.abc import Callable
from dataclasses import dataclass, fields
from pathlib import Path
from typing import Annotated, Any, TypeVar, get_type_hints

import typer

_F = TypeVar("_F")

_WHERE = "Where to"
_WHO = "In whose name (exactly one)"
_WHAT = "What to read"
_SOUND = "What a sound recording is"
_HOW = "How fast, how long"
_DOUBT = "Never twice"
_FILES = "Files"
_OUTPUT = "Output"
_PANELS = (None, _WHERE, _WHO, _WHAT, _SOUND, _HOW, _DOUBT, _FILES, _OUTPUT)


def _flag(
    name: str, help_text: str, panel: str | None, metavar: str | None = None, **more: Any
) -> Any:
    # Square brackets are markup to Typer's help.
    text = help_text.replace("[", r"\[")
    # The names are spelled out, or Typer would add a --no-... to each switch.
    return typer.Option(*name.split(), help=text, rich_help_panel=panel, metavar=metavar, **more)


def _existing_or_not(text: Any) -> Any:
    # Nothing more is asked of it here: what is wrong with a path has exit codes of its own. An
    # empty one would be the working directory, and is nearly always a variable that is not set.
    if text == "":
        raise typer.BadParameter("it is empty: is a variable not set?")
    return Path(text)


def path_flag(name: str, help_text: str, panel: str | None, metavar: str) -> Any:
    """A flag that takes a path."""
    return _flag(name, help_text, panel, metavar, parser=_existing_or_not)


def path_argument(help_text: str) -> Any:
    """The argument DIRECTORY."""
    return typer.Argument(
        metavar="DIRECTORY", help=help_text, show_default=False, parser=_existing_or_not
    )


def _words(*words: str) -> Callable[[], list[str]]:
    return lambda: list(words)


Directory = Annotated[Path, path_argument("Where the recordings and their sidecars are.")]
_StampField = Annotated[
    str | None,
    _flag(
        "--stamp-field",
        "A field that the connection declares for us, to find a talk by when an answer is"
        " lost: each recording's key is written into it.",
        _DOUBT,
        "NAME",
    ),
]
Json = Annotated[bool, _flag("--json", "Print one JSON document, for programs.", _OUTPUT)]


@dataclass(frozen=True, kw_only=True)
class PlaceFlags:
    """What every command about a directory has to know."""

    connection_id: Annotated[
        str | None,
        _flag(
            "--connection-id",
            "The connection, from the SpeechSense console. [env: SPEECHSENSE_CONNECTION_ID]",
            _WHERE,
            "ID",
        ),
    ] = None
    ledger: Annotated[
        Path | None,
        path_flag(
            "--ledger",
            "What is remembered of every recording. [default: DIRECTORY/.batch-uploader/ledger.db]",
            _FILES,
            "F",
        ),
    ] = None
    manifest: Annotated[
        Path | None,
        path_flag(
            "--manifest",
            "Where the talk IDs are written to. [default: DIRECTORY/manifest.jsonl]",
            _FILES,
            "F",
        ),
    ] = None
    config: Annotated[
        Path | None,
        path_flag(
            "--config",
            "The settings file: TOML whose keys are these flags. [default: batch-uploader.toml"
            " in the working directory, if there; env: BATCH_UPLOADER_CONFIG]",
            _FILES,
            "F",
        ),
    ] = None
    profile: Annotated[
        str | None,
        _flag("--profile", "Lay [profiles.NAME] of the settings file over it.", _FILES, "NAME"),
    ] = None


@dataclass(frozen=True, kw_only=True)
class SearchFlags(PlaceFlags):
    """What it takes to ask the service which talks it holds."""

    endpoint: Annotated[
        str | None,
        _flag(
            "--endpoint",
            "The service. [default: api.speechsense.yandexcloud.net:443; env:"
            " SPEECHSENSE_ENDPOINT]",
            _WHERE,
            "HOST:PORT",
        ),
    ] = None
    ca_file: Annotated[
        Path | None,
        path_flag("--ca-file", "Trust these certificates instead of the system's.", _WHERE, "PEM"),
    ] = None
    plaintext: Annotated[bool, _flag("--plaintext", "No TLS; for loopback alone.", _WHERE)] = False
    ignore_proxy: Annotated[
        bool,
        _flag("--ignore-proxy", "Take no notice of grpc_proxy, https_proxy, http_proxy.", _WHERE),
    ] = False
    api_key_file: Annotated[
        Path | None,
        path_flag(
            "--api-key-file",
            "Holds an API key; mode 600. [env: API_KEY holds the key itself]",
            _WHO,
            "F",
        ),
    ] = None
    iam_token_file: Annotated[
        Path | None,
        path_flag(
            "--iam-token-file",
            "Holds an IAM token, read again when it changes. [env: IAM_TOKEN holds the token"
            " itself]",
            _WHO,
            "F",
        ),
    ] = None
    service_account_key_file: Annotated[
        Path | None,
        path_flag(
            "--service-account-key-file",
            "Authorized key of a service account, exchanged for IAM tokens as they run out."
            " [env: YC_SERVICE_ACCOUNT_KEY_FILE]",
            _WHO,
            "F",
        ),
    ] = None
    iam_endpoint: Annotated[
        str | None,
        _flag(
            "--iam-endpoint",
            "Where it is exchanged. [default: iam.api.cloud.yandex.net:443]",
            _WHO,
            "HOST:PORT",
        ),
    ] = None
    stamp_field: _StampField = None
    hold: Annotated[
        str | None,
        _flag(
            "--hold",
            "For so long after a recording came into doubt it proves nothing that Search does not"
            " find it by its stamp. [default: 30m]",
            _DOUBT,
            "DURATION",
        ),
    ] = None


@dataclass(frozen=True, kw_only=True)
class ReadingFlags(PlaceFlags):
    """What is read, and what is wrong with it."""

    include: Annotated[
        list[str] | None,
        _flag(
            "--include",
            "Take these for audio as well, beside wav, mp3, ogg and opus: '*.pcm'. Repeatable.",
            _WHAT,
            "GLOB",
        ),
    ] = None
    exclude: Annotated[
        list[str] | None,
        _flag(
            "--exclude",
            "Leave these files or folders out: 'drafts/**'. Repeatable.",
            _WHAT,
            "GLOB",
        ),
    ] = None
    min_age: Annotated[
        str | None,
        _flag(
            "--min-age",
            "Leave files that changed within this time for the next run. [default: 2s]",
            _WHAT,
            "DURATION",
        ),
    ] = None
    kind: Annotated[
        str | None,
        _flag(
            "--kind",
            "Require what the service's guide asks for: number of channels and fields.",
            _SOUND,
            "two-channel|one-channel",
            autocompletion=_words("two-channel", "one-channel"),
        ),
    ] = None
    sidecar: Annotated[
        str | None,
        _flag(
            "--sidecar",
            "Whether a recording without a sidecar is a defect. [default: required]",
            _SOUND,
            "required|optional",
            autocompletion=_words("required", "optional"),
        ),
    ] = None
    default: Annotated[
        list[str] | None,
        _flag("--default", "For a field that the sidecar lacks. Repeatable.", _SOUND, "NAME=VALUE"),
    ] = None
    require: Annotated[
        list[str] | None,
        _flag("--require", "A field that must be there. Repeatable.", _SOUND, "NAME"),
    ] = None
    raw_rate: Annotated[
        str | None,
        _flag("--raw-rate", "Headerless files are 16-bit PCM of this rate.", _SOUND, "HZ"),
    ] = None
    raw_channels: Annotated[
        str | None,
        _flag("--raw-channels", "... and of so many channels.", _SOUND, "N"),
    ] = None
    stamp_field: _StampField = None
    verbose: Annotated[bool, _flag("--verbose -v", "Explain each decision on stderr.", _OUTPUT)] = (
        False
    )


@dataclass(frozen=True, kw_only=True)
class UploadFlags(ReadingFlags, SearchFlags):
    """All of an upload."""

    concurrency: Annotated[
        str | None,
        _flag(
            "--concurrency",
            "At most so many at a time; how many are is found out. [default: 32]",
            _HOW,
            "N",
        ),
    ] = None
    rate: Annotated[
        str | None,
        _flag("--rate", "At most so many requests: 20/s, 300/m.", _HOW, "N/s"),
    ] = None
    bandwidth: Annotated[
        str | None,
        _flag(
            "--bandwidth",
            "At most so many bytes a second, also by the time of the day:"
            " '08:00 2M 20:00 off'. What goes in one message goes at once.",
            _HOW,
            "SIZE",
        ),
    ] = None
    whole_limit: Annotated[
        str | None,
        _flag(
            "--whole-limit",
            "Up to this size a recording goes in one message, above it as a stream. [default: 16M]",
            _HOW,
            "SIZE",
        ),
    ] = None
    max_duration: Annotated[
        str | None,
        _flag(
            "--max-duration", "Begin nothing new after this time; exit code 6.", _HOW, "DURATION"
        ),
    ] = None
    max_audio: Annotated[
        str | None,
        _flag(
            "--max-audio",
            "Send at most so many hours of audio, which is what is billed; exit code 6.",
            _HOW,
            "HOURS",
        ),
    ] = None
    max_recordings: Annotated[
        str | None,
        _flag("--max-recordings", "Send at most so many recordings; exit code 6.", _HOW, "N"),
    ] = None
    max_outage: Annotated[
        str | None,
        _flag(
            "--max-outage",
            "Wait so long for a service that cannot be reached; exit code 6. [default: 2h]",
            _HOW,
            "DURATION",
        ),
    ] = None
    grace: Annotated[
        str | None,
        _flag(
            "--grace",
            "When stopped, wait so long for what is on its way. [default: 60s]",
            _HOW,
            "DURATION",
        ),
    ] = None
    wait_for_doubt: Annotated[
        bool,
        _flag(
            "--wait-for-doubt",
            "Do not end before what is in doubt is searched for once its hold is over, and what is"
            " not there is sent again. Needs --stamp-field.",
            _DOUBT,
        ),
    ] = False
    doubt_unavailable: Annotated[
        bool,
        _flag(
            "--doubt-unavailable",
            "Hold recordings that end with UNAVAILABLE after their last byte left, instead of"
            " sending them again.",
            _DOUBT,
        ),
    ] = False
    progress: Annotated[
        str | None,
        _flag(
            "--progress",
            "How to show it: json prints events on stdout, none prints errors alone."
            " [default: auto: rich on a terminal, plain elsewhere]",
            _OUTPUT,
            "auto|rich|plain|json|none",
            autocompletion=_words("auto", "rich", "plain", "json", "none"),
        ),
    ] = None
    log_file: Annotated[
        Path | None,
        path_flag(
            "--log-file",
            "Append a JSON line for each attempt, with the request IDs that support asks for.",
            _OUTPUT,
            "F",
        ),
    ] = None


def given(flags: PlaceFlags) -> dict[str, object]:
    """Those that were given, by their long names."""
    values = ((field.name, getattr(flags, field.name)) for field in fields(flags))
    return {
        name.replace("_", "-"): value for name, value in values if value not in (None, False, [])
    }


def takes(
    group: type[_F],
) -> Callable[[Callable[..., int]], Callable[..., int]]:
    """Make a command's parameter ``flags`` a group of flags.

    Typer sees one parameter for each field of the group, panel by panel; the command sees one
    value.
    """
    hints = get_type_hints(group, include_extras=True)
    names = [field.name for field in fields(group)]  # type: ignore[arg-type] # a dataclass
    defaults = {field.name: field.default for field in fields(group)}  # type: ignore[arg-type] # as above

    def decorate(command: Callable[..., int]) -> Callable[..., int]:
        @functools.wraps(command)
        def flat(**values: Any) -> int:
            flags = group(**{name: values.pop(name) for name in names})
            return command(flags=flags, **values)

        own = inspect.signature(command).parameters.values()
        parameters = [
            parameter.replace(kind=inspect.Parameter.KEYWORD_ONLY)
            for parameter in own
            if parameter.name != "flags"
        ]
        parameters += [
            inspect.Parameter(
                name,
                inspect.Parameter.KEYWORD_ONLY,
                default=defaults[name],
                annotation=hints[name],
            )
            for name in names
        ]
        parameters.sort(key=_panel)
        flat.__signature__ = inspect.Signature(parameters)  # type: ignore[attr-defined] # for Typer
        return flat

    return decorate


def _panel(parameter: inspect.Parameter) -> int:
    (option,) = parameter.annotation.__metadata__
    return _PANELS.index(option.rich_help_panel)
