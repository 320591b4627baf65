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
        "ID of the connection, from the SpeechSense console. [env: SPEECHSENSE_CONNECTION_ID]",
        Panel.WHERE,
        "ID",
    ),
    Flag(
        "--ledger",
        "Ledger of the directory: the database with the state of every recording. [default:"
        " DIRECTORY/.batch-uploader/ledger.db]",
        Panel.FILES,
        "F",
        type=PATH,
    ),
    Flag(
        "--manifest",
        "Manifest of the directory: the list of talk IDs that each run writes at its end. [default:"
        " DIRECTORY/manifest.jsonl]",
        Panel.FILES,
        "F",
        type=PATH,
    ),
    Flag(
        "--config",
        "Settings file: TOML whose keys are these flags. [default: batch-uploader.toml"
        " in the working directory, if there; env: BATCH_UPLOADER_CONFIG]",
        Panel.FILES,
        "F",
        type=PATH,
    ),
    Flag(
        "--profile",
        "Apply the overrides in [profiles.NAME] of the settings file.",
        Panel.FILES,
        "NAME",
    ),
)
"""What every command about a directory has to know."""

STAMP: Final = (
    *PLACE,
    Flag(
        "--stamp-field",
        "Text field of the connection to write each recording's key to, so that Search can find the"
        " talk when an answer is lost. Sidecars must not set it.",
        Panel.DOUBT,
        "NAME",
    ),
)
"""Where the recording's key stands in a talk."""

SEARCH: Final = (
    *STAMP,
    Flag(
        "--endpoint",
        "Address of the service. [default: api.speechsense.yandexcloud.net:443;"
        " env: SPEECHSENSE_ENDPOINT]",
        Panel.WHERE,
        "HOST:PORT",
    ),
    Flag(
        "--ca-file",
        "Certificates to trust instead of the system's, also for IAM.",
        Panel.WHERE,
        "PEM",
        type=PATH,
    ),
    _switch("--plaintext", "Do not use TLS; loopback only.", Panel.WHERE),
    _switch("--ignore-proxy", "Ignore grpc_proxy, https_proxy and http_proxy.", Panel.WHERE),
    Flag(
        "--api-key-file",
        "File with an API key; mode 600. [env: API_KEY holds the key itself]",
        Panel.WHO,
        "F",
        type=PATH,
    ),
    Flag(
        "--iam-token-file",
        "File with an IAM token, read again when it changes."
        " [env: IAM_TOKEN holds the token itself]",
        Panel.WHO,
        "F",
        type=PATH,
    ),
    Flag(
        "--service-account-key-file",
        "File with a service account's authorized key; IAM tokens are requested with it as needed."
        " [env: YC_SERVICE_ACCOUNT_KEY_FILE]",
        Panel.WHO,
        "F",
        type=PATH,
    ),
    Flag(
        "--iam-endpoint",
        "Address that issues the IAM tokens for a service account's key. [default:"
        " iam.api.cloud.yandex.net:443]",
        Panel.WHO,
        "HOST:PORT",
    ),
    Flag(
        "--hold",
        "How long a recording must have been in doubt before a Search that does not find it counts"
        " as proof that it was not stored. [default: 30m]",
        Panel.DOUBT,
        "DURATION",
    ),
)
"""What it takes to ask the service which talks it holds."""

_READING: Final = (
    _many(
        "--include",
        "Also take these files as recordings, besides *.wav, *.mp3, *.ogg and *.opus: '*.pcm'."
        " Repeatable.",
        Panel.WHAT,
        "GLOB",
    ),
    _many(
        "--exclude",
        "Skip these files or folders: 'drafts/**'. Repeatable.",
        Panel.WHAT,
        "GLOB",
    ),
    Flag(
        "--min-age",
        "Leave files modified more recently than this, recordings and sidecars, to the next run."
        " [default: 2s]",
        Panel.WHAT,
        "DURATION",
    ),
    Flag(
        "--kind",
        "Require the number of channels and the fields that the service's guide prescribes for this"
        " kind of connection.",
        Panel.SOUND,
        "two-channel|one-channel",
        words=("two-channel", "one-channel"),
    ),
    Flag(
        "--sidecar",
        "Whether every recording must have a sidecar. [default: required]",
        Panel.SOUND,
        "required|optional",
        words=("required", "optional"),
    ),
    _many(
        "--default",
        "Value for a field that the sidecar lacks. Repeatable.",
        Panel.SOUND,
        "NAME=VALUE",
    ),
    _many(
        "--require",
        "Field that the sidecar or --default must set. Repeatable.",
        Panel.SOUND,
        "NAME",
    ),
    Flag(
        "--raw-rate",
        "Sample rate of headerless 16-bit PCM files. Needs --raw-channels.",
        Panel.SOUND,
        "HZ",
    ),
    Flag(
        "--raw-channels",
        "Number of channels in headerless 16-bit PCM files. Needs --raw-rate.",
        Panel.SOUND,
        "N",
    ),
    _switch("--verbose -v", "Explain each decision on stderr.", Panel.OUTPUT),
)
READING: Final = (*STAMP, *_READING)
"""What is read, and what is wrong with it."""

UPLOAD: Final = (
    *SEARCH,
    *_READING,
    _switch(
        "--trust-times",
        "Treat a file of the same size and modification time as unchanged, even if its change"
        " time or inode is new.",
        Panel.WHAT,
    ),
    Flag(
        "--concurrency",
        "Maximum uploads in flight; the actual number adapts. [default: 32]",
        Panel.HOW,
        "N",
    ),
    Flag("--rate", "Maximum rate of upload attempts: 20/s, 300/m, 1000/h.", Panel.HOW, "N/s"),
    Flag(
        "--bandwidth",
        "Maximum bytes a second, optionally by time of day: '08:00 2M 20:00 off'. Recordings"
        " sent in one message are not throttled mid-message.",
        Panel.HOW,
        "SIZE",
    ),
    Flag(
        "--whole-limit",
        "Largest recording to send in one message; larger ones are streamed. [default: 16M]",
        Panel.HOW,
        "SIZE",
    ),
    Flag(
        "--max-duration",
        "Start no new upload after this time of the run; then exit code 6.",
        Panel.HOW,
        "DURATION",
    ),
    Flag(
        "--max-audio",
        "End the run before it sends more hours of audio (which is what is billed) than this; then"
        " exit code 6.",
        Panel.HOW,
        "HOURS",
    ),
    Flag(
        "--max-recordings",
        "End the run before it sends more recordings than this; then exit code 6.",
        Panel.HOW,
        "N",
    ),
    Flag(
        "--max-outage",
        "End the run when nothing has got through for this time; then exit code 6. [default: 2h]",
        Panel.HOW,
        "DURATION",
    ),
    Flag(
        "--grace",
        "How long uploads in flight may go on after Ctrl-C or SIGTERM; what is cut off then is in"
        " doubt. [default: 60s]",
        Panel.HOW,
        "DURATION",
    ),
    _switch(
        "--wait-for-doubt",
        "Keep running until recordings in doubt have been searched for after --hold, and those that"
        " were not stored have been sent again. Needs --stamp-field.",
        Panel.DOUBT,
    ),
    _switch(
        "--doubt-unavailable",
        "Treat an UNAVAILABLE after the last byte was sent as a doubt, instead of sending the"
        " recording again.",
        Panel.DOUBT,
    ),
    Flag(
        "--progress",
        "Progress display: json prints events on stdout, none prints errors only."
        " [default: auto: rich on a terminal, plain elsewhere]",
        Panel.OUTPUT,
        "auto|rich|plain|json|none",
        words=("auto", "rich", "plain", "json", "none"),
    ),
    Flag(
        "--log-file",
        "Append a JSON line for each upload attempt to this file, with the request IDs that the"
        " vendor's support asks for.",
        Panel.OUTPUT,
        "F",
        type=PATH,
    ),
)
"""All of an upload."""
