"""Every flag, once, in the groups that commands take.

A flag that is not given is left out; what that means is up to ``settings``, which also knows the
environment and the settings file. Nothing here is imported that takes long.
"""

from typing import Any, Final

from batch_uploader.cli.options import PATH, Flag, Panel


def _switch(*args: Any) -> Flag:
    return Flag(*args, is_flag=True)


def _many(*args: Any) -> Flag:
    return Flag(*args, multiple=True)


PLACE: Final = (
    Flag(
        "--connection-id",
        "The connection, from the SpeechSense console. [env: SPEECHSENSE_CONNECTION_ID]",
        Panel.WHERE,
        "ID",
    ),
    Flag(
        "--ledger",
        "What is remembered of every recording. [default: DIRECTORY/.batch-uploader/ledger.db]",
        Panel.FILES,
        "F",
        type=PATH,
    ),
    Flag(
        "--manifest",
        "Where the talk IDs are written to. [default: DIRECTORY/manifest.jsonl]",
        Panel.FILES,
        "F",
        type=PATH,
    ),
    Flag(
        "--config",
        "The settings file: TOML whose keys are these flags. [default: batch-uploader.toml"
        " in the working directory, if there; env: BATCH_UPLOADER_CONFIG]",
        Panel.FILES,
        "F",
        type=PATH,
    ),
    Flag("--profile", "Lay [profiles.NAME] of the settings file over it.", Panel.FILES, "NAME"),
)
"""What every command about a directory has to know."""

STAMP: Final = (
    *PLACE,
    Flag(
        "--stamp-field",
        "A field that the connection declares for us, to find a talk by when an answer is"
        " lost: each recording's key is written into it.",
        Panel.DOUBT,
        "NAME",
    ),
)
"""Where the recording's key stands in a talk."""

SEARCH: Final = (
    *STAMP,
    Flag(
        "--endpoint",
        "The service. [default: api.speechsense.yandexcloud.net:443; env: SPEECHSENSE_ENDPOINT]",
        Panel.WHERE,
        "HOST:PORT",
    ),
    Flag(
        "--ca-file",
        "Trust these certificates instead of the system's.",
        Panel.WHERE,
        "PEM",
        type=PATH,
    ),
    _switch("--plaintext", "No TLS; for loopback alone.", Panel.WHERE),
    _switch(
        "--ignore-proxy", "Take no notice of grpc_proxy, https_proxy, http_proxy.", Panel.WHERE
    ),
    Flag(
        "--api-key-file",
        "Holds an API key; mode 600. [env: API_KEY holds the key itself]",
        Panel.WHO,
        "F",
        type=PATH,
    ),
    Flag(
        "--iam-token-file",
        "Holds an IAM token, read again when it changes. [env: IAM_TOKEN holds the token itself]",
        Panel.WHO,
        "F",
        type=PATH,
    ),
    Flag(
        "--service-account-key-file",
        "Authorized key of a service account, exchanged for IAM tokens as they run out."
        " [env: YC_SERVICE_ACCOUNT_KEY_FILE]",
        Panel.WHO,
        "F",
        type=PATH,
    ),
    Flag(
        "--iam-endpoint",
        "Where it is exchanged. [default: iam.api.cloud.yandex.net:443]",
        Panel.WHO,
        "HOST:PORT",
    ),
    Flag(
        "--hold",
        "For so long after a recording came into doubt it proves nothing that Search does not"
        " find it by its stamp. [default: 30m]",
        Panel.DOUBT,
        "DURATION",
    ),
)
"""What it takes to ask the service which talks it holds."""

_READING: Final = (
    _many(
        "--include",
        "Take these for audio as well, beside wav, mp3, ogg and opus: '*.pcm'. Repeatable.",
        Panel.WHAT,
        "GLOB",
    ),
    _many(
        "--exclude",
        "Leave these files or folders out: 'drafts/**'. Repeatable.",
        Panel.WHAT,
        "GLOB",
    ),
    Flag(
        "--min-age",
        "Leave files that changed within this time for the next run. [default: 2s]",
        Panel.WHAT,
        "DURATION",
    ),
    Flag(
        "--kind",
        "Require what the service's guide asks for: number of channels and fields.",
        Panel.SOUND,
        "two-channel|one-channel",
        words=("two-channel", "one-channel"),
    ),
    Flag(
        "--sidecar",
        "Whether a recording without a sidecar is a defect. [default: required]",
        Panel.SOUND,
        "required|optional",
        words=("required", "optional"),
    ),
    _many(
        "--default", "For a field that the sidecar lacks. Repeatable.", Panel.SOUND, "NAME=VALUE"
    ),
    _many("--require", "A field that must be there. Repeatable.", Panel.SOUND, "NAME"),
    Flag("--raw-rate", "Headerless files are 16-bit PCM of this rate.", Panel.SOUND, "HZ"),
    Flag("--raw-channels", "... and of so many channels.", Panel.SOUND, "N"),
    _switch("--verbose -v", "Explain each decision on stderr.", Panel.OUTPUT),
)
READING: Final = (*STAMP, *_READING)
"""What is read, and what is wrong with it."""

UPLOAD: Final = (
    *SEARCH,
    *_READING,
    _switch(
        "--trust-times",
        "A file of the same size and modification time is unchanged: do not compare its content"
        " when its change time or inode is new.",
        Panel.WHAT,
    ),
    Flag(
        "--concurrency",
        "At most so many at a time; how many are is found out. [default: 32]",
        Panel.HOW,
        "N",
    ),
    Flag("--rate", "At most so many requests: 20/s, 300/m.", Panel.HOW, "N/s"),
    Flag(
        "--bandwidth",
        "At most so many bytes a second, also by the time of the day:"
        " '08:00 2M 20:00 off'. What goes in one message goes at once.",
        Panel.HOW,
        "SIZE",
    ),
    Flag(
        "--whole-limit",
        "Up to this size a recording goes in one message, above it as a stream. [default: 16M]",
        Panel.HOW,
        "SIZE",
    ),
    Flag(
        "--max-duration", "Begin nothing new after this time; exit code 6.", Panel.HOW, "DURATION"
    ),
    Flag(
        "--max-audio",
        "Send at most so many hours of audio, which is what is billed; exit code 6.",
        Panel.HOW,
        "HOURS",
    ),
    Flag("--max-recordings", "Send at most so many recordings; exit code 6.", Panel.HOW, "N"),
    Flag(
        "--max-outage",
        "Wait so long for a service that cannot be reached; exit code 6. [default: 2h]",
        Panel.HOW,
        "DURATION",
    ),
    Flag(
        "--grace",
        "When stopped, wait so long for what is on its way. [default: 60s]",
        Panel.HOW,
        "DURATION",
    ),
    _switch(
        "--wait-for-doubt",
        "Do not end before what is in doubt is searched for once its hold is over, and what is"
        " not there is sent again. Needs --stamp-field.",
        Panel.DOUBT,
    ),
    _switch(
        "--doubt-unavailable",
        "Hold recordings that end with UNAVAILABLE after their last byte left, instead of"
        " sending them again.",
        Panel.DOUBT,
    ),
    Flag(
        "--progress",
        "How to show it: json prints events on stdout, none prints errors alone."
        " [default: auto: rich on a terminal, plain elsewhere]",
        Panel.OUTPUT,
        "auto|rich|plain|json|none",
        words=("auto", "rich", "plain", "json", "none"),
    ),
    Flag(
        "--log-file",
        "Append a JSON line for each attempt, with the request IDs that support asks for.",
        Panel.OUTPUT,
        "F",
        type=PATH,
    ),
)
"""All of an upload."""
