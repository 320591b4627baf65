"""Every flag, once: commands take them in groups, as frozen values.

A flag that is not given is None, off or empty; what it means then is up to ``settings``, which also
knows the environment and the settings file. Nothing here is imported that takes long.
"""

from dataclasses import dataclass, field, fields
from pathlib import Path
from typing import Any

from batch_uploader.cli.options import PATH, Flag, Panel


def _flag(*args: Any, **more: Any) -> Any:
    return field(metadata={"flag": Flag(*args, **more)})


def _switch(*args: Any) -> Any:
    return _flag(*args, is_flag=True)


def _many(*args: Any) -> Any:
    return _flag(*args, multiple=True)


@dataclass(frozen=True, kw_only=True)
class PlaceFlags:
    """What every command about a directory has to know."""

    connection_id: str | None = _flag(
        "--connection-id",
        "The connection, from the SpeechSense console. [env: SPEECHSENSE_CONNECTION_ID]",
        Panel.WHERE,
        "ID",
    )
    ledger: Path | None = _flag(
        "--ledger",
        "What is remembered of every recording. [default: DIRECTORY/.batch-uploader/ledger.db]",
        Panel.FILES,
        "F",
        type=PATH,
    )
    manifest: Path | None = _flag(
        "--manifest",
        "Where the talk IDs are written to. [default: DIRECTORY/manifest.jsonl]",
        Panel.FILES,
        "F",
        type=PATH,
    )
    config: Path | None = _flag(
        "--config",
        "The settings file: TOML whose keys are these flags. [default: batch-uploader.toml"
        " in the working directory, if there; env: BATCH_UPLOADER_CONFIG]",
        Panel.FILES,
        "F",
        type=PATH,
    )
    profile: str | None = _flag(
        "--profile", "Lay [profiles.NAME] of the settings file over it.", Panel.FILES, "NAME"
    )


@dataclass(frozen=True, kw_only=True)
class StampFlags(PlaceFlags):
    """Where the recording's key stands in a talk."""

    stamp_field: str | None = _flag(
        "--stamp-field",
        "A field that the connection declares for us, to find a talk by when an answer is"
        " lost: each recording's key is written into it.",
        Panel.DOUBT,
        "NAME",
    )


@dataclass(frozen=True, kw_only=True)
class SearchFlags(StampFlags):
    """What it takes to ask the service which talks it holds."""

    endpoint: str | None = _flag(
        "--endpoint",
        "The service. [default: api.speechsense.yandexcloud.net:443; env: SPEECHSENSE_ENDPOINT]",
        Panel.WHERE,
        "HOST:PORT",
    )
    ca_file: Path | None = _flag(
        "--ca-file",
        "Trust these certificates instead of the system's.",
        Panel.WHERE,
        "PEM",
        type=PATH,
    )
    plaintext: bool = _switch("--plaintext", "No TLS; for loopback alone.", Panel.WHERE)
    ignore_proxy: bool = _switch(
        "--ignore-proxy", "Take no notice of grpc_proxy, https_proxy, http_proxy.", Panel.WHERE
    )
    api_key_file: Path | None = _flag(
        "--api-key-file",
        "Holds an API key; mode 600. [env: API_KEY holds the key itself]",
        Panel.WHO,
        "F",
        type=PATH,
    )
    iam_token_file: Path | None = _flag(
        "--iam-token-file",
        "Holds an IAM token, read again when it changes. [env: IAM_TOKEN holds the token itself]",
        Panel.WHO,
        "F",
        type=PATH,
    )
    service_account_key_file: Path | None = _flag(
        "--service-account-key-file",
        "Authorized key of a service account, exchanged for IAM tokens as they run out."
        " [env: YC_SERVICE_ACCOUNT_KEY_FILE]",
        Panel.WHO,
        "F",
        type=PATH,
    )
    iam_endpoint: str | None = _flag(
        "--iam-endpoint",
        "Where it is exchanged. [default: iam.api.cloud.yandex.net:443]",
        Panel.WHO,
        "HOST:PORT",
    )
    hold: str | None = _flag(
        "--hold",
        "For so long after a recording came into doubt it proves nothing that Search does not"
        " find it by its stamp. [default: 30m]",
        Panel.DOUBT,
        "DURATION",
    )


@dataclass(frozen=True, kw_only=True)
class ReadingFlags(StampFlags):
    """What is read, and what is wrong with it."""

    include: tuple[str, ...] = _many(
        "--include",
        "Take these for audio as well, beside wav, mp3, ogg and opus: '*.pcm'. Repeatable.",
        Panel.WHAT,
        "GLOB",
    )
    exclude: tuple[str, ...] = _many(
        "--exclude",
        "Leave these files or folders out: 'drafts/**'. Repeatable.",
        Panel.WHAT,
        "GLOB",
    )
    min_age: str | None = _flag(
        "--min-age",
        "Leave files that changed within this time for the next run. [default: 2s]",
        Panel.WHAT,
        "DURATION",
    )
    kind: str | None = _flag(
        "--kind",
        "Require what the service's guide asks for: number of channels and fields.",
        Panel.SOUND,
        "two-channel|one-channel",
        words=("two-channel", "one-channel"),
    )
    sidecar: str | None = _flag(
        "--sidecar",
        "Whether a recording without a sidecar is a defect. [default: required]",
        Panel.SOUND,
        "required|optional",
        words=("required", "optional"),
    )
    default: tuple[str, ...] = _many(
        "--default", "For a field that the sidecar lacks. Repeatable.", Panel.SOUND, "NAME=VALUE"
    )
    require: tuple[str, ...] = _many(
        "--require", "A field that must be there. Repeatable.", Panel.SOUND, "NAME"
    )
    raw_rate: str | None = _flag(
        "--raw-rate", "Headerless files are 16-bit PCM of this rate.", Panel.SOUND, "HZ"
    )
    raw_channels: str | None = _flag(
        "--raw-channels", "... and of so many channels.", Panel.SOUND, "N"
    )
    verbose: bool = _switch("--verbose -v", "Explain each decision on stderr.", Panel.OUTPUT)


@dataclass(frozen=True, kw_only=True)
class UploadFlags(ReadingFlags, SearchFlags):
    """All of an upload."""

    concurrency: str | None = _flag(
        "--concurrency",
        "At most so many at a time; how many are is found out. [default: 32]",
        Panel.HOW,
        "N",
    )
    rate: str | None = _flag("--rate", "At most so many requests: 20/s, 300/m.", Panel.HOW, "N/s")
    bandwidth: str | None = _flag(
        "--bandwidth",
        "At most so many bytes a second, also by the time of the day:"
        " '08:00 2M 20:00 off'. What goes in one message goes at once.",
        Panel.HOW,
        "SIZE",
    )
    whole_limit: str | None = _flag(
        "--whole-limit",
        "Up to this size a recording goes in one message, above it as a stream. [default: 16M]",
        Panel.HOW,
        "SIZE",
    )
    max_duration: str | None = _flag(
        "--max-duration", "Begin nothing new after this time; exit code 6.", Panel.HOW, "DURATION"
    )
    max_audio: str | None = _flag(
        "--max-audio",
        "Send at most so many hours of audio, which is what is billed; exit code 6.",
        Panel.HOW,
        "HOURS",
    )
    max_recordings: str | None = _flag(
        "--max-recordings", "Send at most so many recordings; exit code 6.", Panel.HOW, "N"
    )
    max_outage: str | None = _flag(
        "--max-outage",
        "Wait so long for a service that cannot be reached; exit code 6. [default: 2h]",
        Panel.HOW,
        "DURATION",
    )
    grace: str | None = _flag(
        "--grace",
        "When stopped, wait so long for what is on its way. [default: 60s]",
        Panel.HOW,
        "DURATION",
    )
    wait_for_doubt: bool = _switch(
        "--wait-for-doubt",
        "Do not end before what is in doubt is searched for once its hold is over, and what is"
        " not there is sent again. Needs --stamp-field.",
        Panel.DOUBT,
    )
    doubt_unavailable: bool = _switch(
        "--doubt-unavailable",
        "Hold recordings that end with UNAVAILABLE after their last byte left, instead of"
        " sending them again.",
        Panel.DOUBT,
    )
    progress: str | None = _flag(
        "--progress",
        "How to show it: json prints events on stdout, none prints errors alone."
        " [default: auto: rich on a terminal, plain elsewhere]",
        Panel.OUTPUT,
        "auto|rich|plain|json|none",
        words=("auto", "rich", "plain", "json", "none"),
    )
    log_file: Path | None = _flag(
        "--log-file",
        "Append a JSON line for each attempt, with the request IDs that support asks for.",
        Panel.OUTPUT,
        "F",
        type=PATH,
    )


def given(flags: PlaceFlags) -> dict[str, object]:
    """Those that were given, by their long names."""
    values = ((each.name, getattr(flags, each.name)) for each in fields(flags))
    return {
        name.replace("_", "-"): list(value) if isinstance(value, tuple) else value
        for name, value in values
        if value not in (None, False, ())
    }
