"""All flags, in the groups that commands take.

Flags that are not given are left out; ``settings`` has their defaults, and reads the environment
and the settings file. Slow imports are not allowed here.
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
        "ID of the SpeechSense connection that gets the recordings, from its console. [env:"
        " SPEECHSENSE_CONNECTION_ID]",
        Panel.WHERE,
        "ID",
    ),
    Flag(
        "--ledger",
        "Database with the state of every recording of DIRECTORY. [default:"
        " DIRECTORY/.batch-uploader/ledger.db]",
        Panel.FILES,
        "F",
        type=PATH,
    ),
    Flag(
        "--manifest",
        "File with the result and the talk ID of every recording of DIRECTORY; each run that"
        " changes something rewrites it. [default: DIRECTORY/manifest.jsonl]",
        Panel.FILES,
        "F",
        type=PATH,
    ),
    Flag(
        "--config",
        "Settings file: TOML whose keys are these flags. Flags and environment variables win over"
        " it. [default: batch-uploader.toml in the working directory, if there; env:"
        " BATCH_UPLOADER_CONFIG]",
        Panel.FILES,
        "F",
        type=PATH,
    ),
    Flag(
        "--profile",
        "Apply [profiles.NAME] of the settings file over the rest of that file.",
        Panel.FILES,
        "NAME",
    ),
)
"""The flags of every command about a directory."""

STAMP: Final = (
    *PLACE,
    Flag(
        "--stamp-field",
        "Text field of the connection in which each talk gets a unique key, made by"
        " batch-uploader, so that Search can tell whether a recording was stored when its answer"
        " was lost. Without it you have to decide (see resolve). Sidecars must not set it.",
        Panel.DOUBT,
        "NAME",
    ),
)
"""The flag for the field of a recording's key."""

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
        "Certificates to trust instead of the system's, for the service and for the IAM endpoint.",
        Panel.WHERE,
        "PEM",
        type=PATH,
    ),
    _switch("--plaintext", "Connect without TLS; to this machine (localhost) only.", Panel.WHERE),
    _switch(
        "--ignore-proxy", "Ignore grpc_proxy, https_proxy, http_proxy and HTTPS_PROXY.", Panel.WHERE
    ),
    Flag(
        "--api-key-file",
        "File with an API key, which others can neither write nor read (mode 600). [env: API_KEY,"
        " with the key itself]",
        Panel.WHO,
        "F",
        type=PATH,
    ),
    Flag(
        "--api-key-command",
        "Command that prints an API key, for example of a password manager. It is run without a"
        " shell, again every half an hour, and when the key is refused.",
        Panel.WHO,
        "CMD",
    ),
    Flag(
        "--iam-token-file",
        "File with an IAM token, read again when it changes. [env: IAM_TOKEN, with the token"
        " itself]",
        Panel.WHO,
        "F",
        type=PATH,
    ),
    Flag(
        "--iam-token-command",
        "Command that prints an IAM token: 'yc iam create-token'. It is run like that of"
        " --api-key-command.",
        Panel.WHO,
        "CMD",
    ),
    Flag(
        "--service-account-key-file",
        "File with a service account's authorized key; IAM tokens are requested with it as needed."
        " [env: YC_SERVICE_ACCOUNT_KEY_FILE, or YC_SERVICE_ACCOUNT_KEY with its content]",
        Panel.WHO,
        "F",
        type=PATH,
    ),
    _switch(
        "--metadata-credentials",
        "Get IAM tokens of the service account of this VM from its metadata service. [env:"
        " YC_METADATA_ADDR, with another address of it]",
        Panel.WHO,
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
        "How long a recording has to be in doubt before it counts as not stored if Search does not"
        " find it, and is sent again. Search finds new talks late, so a short time risks billing"
        " twice. [default: 30m]",
        Panel.DOUBT,
        "DURATION",
    ),
)
"""The flags for searches."""

_READING: Final = (
    _many(
        "--include",
        "More files to take as recordings, besides *.wav, *.mp3, *.ogg, *.oga and *.opus; for"
        " example '*.pcm'. Repeatable.",
        Panel.WHAT,
        "GLOB",
    ),
    _many(
        "--exclude",
        "Files or folders to skip; for example 'drafts/**'. Repeatable.",
        Panel.WHAT,
        "GLOB",
    ),
    _switch(
        "--skip-empty",
        "Leave out files without any audio, such as those of calls that nobody answered. By default"
        " each is a defect.",
        Panel.WHAT,
    ),
    Flag(
        "--min-length",
        "Leave out recordings that are shorter than this, and empty ones. [default: no limit]",
        Panel.WHAT,
        "DURATION",
    ),
    Flag(
        "--max-length",
        "Leave out recordings that are longer than this. [default: no limit]",
        Panel.WHAT,
        "DURATION",
    ),
    Flag(
        "--since",
        "Leave out recordings from before this date, or date and time, by their metadata's date, or"
        " by the time of the file if that is missing or cannot be read. Without an offset it is in"
        " the zone of --timezone, or else of this machine. [default: no limit]",
        Panel.WHAT,
        "DATE",
    ),
    Flag(
        "--until",
        "Leave out recordings from after this date (which is included), or from this time on."
        " [default: no limit]",
        Panel.WHAT,
        "DATE",
    ),
    Flag(
        "--sample",
        "Take only this number of the recordings, or this percentage: always the same, by their"
        " paths. Those on record as uploaded count, and a larger sample includes a smaller one, so"
        " a trial with 3 is not billed again. [default: all]",
        Panel.WHAT,
        "N|P%",
    ),
    Flag(
        "--min-age",
        "Leave recordings and sidecars modified more recently than this to the next run. [default:"
        " 2s]",
        Panel.WHAT,
        "DURATION",
    ),
    Flag(
        "--min-age-open",
        "The same for recordings that do not show where they end, since their recorder may go on"
        " after a pause: MP3, raw PCM, Ogg without its end mark, WAV with an unfinished header."
        " [default: 5m]",
        Panel.WHAT,
        "DURATION",
    ),
    Flag(
        "--sidecar-wait",
        "How long a recording without its sidecar or its row in a table, or a sidecar without its"
        " recording, is waiting before that is a defect; counted from when it was modified, put"
        " there or first seen. [default: 10m]",
        Panel.WHAT,
        "DURATION",
    ),
    _switch(
        "--allow-empty",
        "Files leave this directory on purpose, so it may be empty, and most of it may be gone at"
        " once: kept in the ledger, so that later runs need not be told. By default that is taken"
        " for a share that is not mounted.",
        Panel.WHAT,
    ),
    Flag(
        "--kind",
        "Check recordings for the channels and the fields that the service's guide prescribes for"
        " this kind of connection. [default: no such check]",
        Panel.SOUND,
        "two-channel|one-channel",
    ),
    Flag(
        "--sidecar",
        "Whether a recording needs a sidecar: the JSON file with its metadata, call.json for"
        " call.wav. If so, one without it is a defect and is not uploaded. [default: required]",
        Panel.SOUND,
        "required|optional",
    ),
    Flag(
        "--layout",
        "Ready-made [metadata] for the archives of a known system, such as freepbx; docs/layouts.md"
        " lists them. Other settings win over it.",
        Panel.SOUND,
        "NAME",
    ),
    _many(
        "--metadata",
        "File of a table that a layout or the settings declare, such as a CDR export; init finds"
        " out how to declare another one. CSV, JSON, XLSX, SQLite. Repeatable.",
        Panel.SOUND,
        "TABLE",
    ),
    Flag(
        "--names",
        "Regular expression whose named groups are what file names say: '(?P<src>[0-9]+)-.*'."
        " With a / it is for folders, too. See docs/metadata.md.",
        Panel.SOUND,
        "PATTERN",
    ),
    Flag(
        "--timezone",
        "IANA time zone of times without an offset: Europe/Moscow.",
        Panel.SOUND,
        "ZONE",
    ),
    _many(
        "--default",
        "Value of a metadata field where the sidecar lacks it, or is not there. Repeatable.",
        Panel.SOUND,
        "NAME=VALUE",
    ),
    _many(
        "--require",
        "Metadata field that the sidecar or --default must set. Repeatable.",
        Panel.SOUND,
        "NAME",
    ),
    Flag(
        "--raw-rate",
        "Sample rate of files without a header: 16-bit PCM, G.711, Dialogic ADPCM (.vox). Needs"
        " --raw-channels.",
        Panel.SOUND,
        "HZ",
    ),
    Flag(
        "--raw-channels",
        "Number of channels in files without a header. Needs --raw-rate.",
        Panel.SOUND,
        "N",
    ),
    Flag(
        "--call-id",
        "Metadata fields that together identify a call, for example conversation_id. Recordings"
        " with other values are other calls; of those with equal values one is uploaded, and the"
        " others are held or duplicates. none: such fields are not compared. [default: date,"
        " operator_id and client_id together, unless calls share them]",
        Panel.DOUBT,
        "FIELD[,FIELD...]|none",
    ),
    Flag(
        "--ogg-end",
        "Whether an Ogg must be marked as complete on its last page. If so, one without the mark is"
        " a defect, since it may be cut off; some recorders never write it. [default: required]",
        Panel.SOUND,
        "required|optional",
    ),
    Flag(
        "--convert",
        "Whether audio that the service refuses (mu-law, A-law, GSM, FLAC, Vorbis and others) is"
        " decoded to 16-bit PCM and sent. If an earlier version refused recordings for that, it is"
        " not done before you say so once. opus: all PCM is sent as Opus, in a tenth of its size."
        " [default: needed]",
        Panel.SOUND,
        "needed|opus|off",
    ),
    _switch(
        "--split-long",
        "Send a recording of more than 4 hours in pieces, cut at the quietest moment of the ten"
        " minutes before that; each has the time at which it begins. By default that is a defect.",
        Panel.SOUND,
    ),
    _many(
        "--legs",
        "What the names of the two legs of a call have besides the call's: -in/-out, -rx/-tx,"
        " _in/_out, recv_/trans_, or both names, like '{call}-a.wav {call}-b.wav' or 'in/{call}"
        " out/{call}'. They are sent as one stereo recording, and the mix beside them is left out."
        " Repeatable.",
        Panel.SOUND,
        "PATTERN",
    ),
    _switch(
        "--legs-alone",
        "Send a leg whose other one is missing alone, or the mix. By default that is a defect.",
        Panel.SOUND,
    ),
    Flag(
        "--agent-channel",
        "Channel on which the connection wants the agent. Legs are placed so, and stereo recordings"
        " swapped, by what [legs] and [stereo] of the settings file say. [default: the first leg is"
        " left, and stereo recordings stay as they are]",
        Panel.SOUND,
        "left|right",
    ),
    _switch("--verbose -v", "Explain each decision on stderr.", Panel.OUTPUT),
)
READING: Final = (*STAMP, *_READING)
"""The flags for reading and checking recordings."""

_OF_INIT: Final = frozenset(
    (
        *("connection_id", "ledger", "manifest", "stamp_field", "endpoint", "ca_file"),
        *("plaintext", "ignore_proxy", "api_key_file", "iam_token_file", "iam_endpoint"),
        *("api_key_command", "iam_token_command", "metadata_credentials"),
        *("service_account_key_file", "kind"),
    )
)
INIT: Final = tuple(flag for flag in (*SEARCH, *_READING) if flag.name in _OF_INIT)
"""The flags that are written into a new settings file."""

UPLOAD: Final = (
    *SEARCH,
    *_READING,
    _switch(
        "--trust-times",
        "Consider a file of the same size and modification time unchanged. By default a new change"
        " time or inode (after chmod or a restore) makes a run compare its content, and only other"
        " content is sent.",
        Panel.WHAT,
    ),
    Flag(
        "--concurrency",
        "Maximum uploads in flight; a run finds out how many of these the service takes. [default:"
        " 32]",
        Panel.HOW,
        "N",
    ),
    Flag(
        "--rate",
        "Maximum rate of upload attempts: 20/s, 300/m, 1000/h. [default: no limit]",
        Panel.HOW,
        "N/s",
    ),
    Flag(
        "--bandwidth",
        "Maximum bytes a second, or by local time of day: '08:00 2M 20:00 off' allows 2M from 8:00"
        " and has no limit from 20:00 to 8:00. A recording that goes in one message leaves at"
        " once, and the next ones wait for it. [default: no limit]",
        Panel.HOW,
        "SIZE",
    ),
    Flag(
        "--whole-limit",
        "Recordings up to this size are sent in one message, larger ones as a stream. [default:"
        " 16M]",
        Panel.HOW,
        "SIZE",
    ),
    Flag(
        "--max-duration",
        "Start no upload when the run has lasted this long; exit code 6 if any are left. [default:"
        " no limit]",
        Panel.HOW,
        "DURATION",
    ),
    Flag(
        "--max-audio",
        "Start no upload that would make the run send more hours of audio than this (audio is what"
        " is billed): 2.5, 100; exit code 6. [default: no limit]",
        Panel.HOW,
        "HOURS",
    ),
    Flag(
        "--max-recordings",
        "Start no upload when the run has sent this many recordings; exit code 6. [default: no"
        " limit]",
        Panel.HOW,
        "N",
    ),
    Flag(
        "--max-outage",
        "End the run when the service has taken no upload for this long; exit code 6. [default:"
        " 2h]",
        Panel.HOW,
        "DURATION",
    ),
    Flag(
        "--grace",
        "How long uploads in flight may continue after Ctrl-C or SIGTERM. A recording that is cut"
        " off then is in doubt: it may have been stored. [default: 60s]",
        Panel.HOW,
        "DURATION",
    ),
    _switch(
        "--wait-for-doubt",
        "Do not end while recordings are in doubt and --hold has not passed: search for them, and"
        " send again what was not stored. Needs --stamp-field.",
        Panel.DOUBT,
    ),
    _switch(
        "--doubt-unavailable",
        "Leave a recording in doubt if the service answers UNAVAILABLE when it has all of it. By"
        " default that is believed to mean that nothing was stored, and the recording is sent"
        " again.",
        Panel.DOUBT,
    ),
    Flag(
        "--progress",
        "How to show progress: a live display (rich), lines (plain), events on stdout for programs"
        " (json), or errors only (none). [default: auto: rich on a terminal, plain elsewhere]",
        Panel.OUTPUT,
        "auto|rich|plain|json|none",
    ),
    Flag(
        "--log-file",
        "Append a JSON line for each upload attempt to this file, with the request IDs that"
        " Yandex's support asks for. SIGHUP makes a run open it again, after a rotation.",
        Panel.OUTPUT,
        "F",
        type=PATH,
    ),
    Flag(
        "--metrics-file",
        "Keep metrics of this job in a file for the textfile collector of Prometheus: written each"
        " minute, and when the run ends or is refused.",
        Panel.OUTPUT,
        "F.prom",
        type=PATH,
    ),
    _switch(
        "--otlp",
        "Export the same metrics to an OpenTelemetry collector, which OTEL_EXPORTER_OTLP_ENDPOINT"
        " and other variables of OpenTelemetry name. Needs the extra otlp.",
        Panel.OUTPUT,
    ),
    Flag(
        "--on-finish",
        "Command to run when the run has ended or was refused, for a minute at most. It gets the"
        " result as JSON on stdin, and in variables such as BATCH_UPLOADER_EXIT_CODE. It is run"
        " without a shell, and does not change the exit code.",
        Panel.OUTPUT,
        "CMD",
    ),
)
"""All flags of an upload."""

_OF_DOCTOR: Final = (_OF_INIT - {"stamp_field", "kind"}) | {"config", "profile", "concurrency"}
DOCTOR: Final = tuple(flag for flag in UPLOAD if flag.name in _OF_DOCTOR)
"""The flags that say what an upload needs."""
