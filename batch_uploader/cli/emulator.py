"""``batch-uploader emulator``: its flags, and how they become options.

The emulator imports gRPC, so it is imported only when the command runs.
"""

import re
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

import click

from batch_uploader.cli.options import FOLDER, PATH, Flag, Panel, Parsed, command
from batch_uploader.core.errors import BadValue, ConfigError
from batch_uploader.core.units import parse_duration, parse_size

if TYPE_CHECKING:
    from batch_uploader.emulator import Connection, Outage

_CONNECTION: Final = re.compile(r"([^\s:=,]+)(?::([1-9][0-9]?))?(?:=([^=\s]+))?")


def _probability(name: str, text: str) -> Flag:
    return Flag(name, text, Panel.ANSWERS, "P", type=click.FloatRange(0, 1), default=0.0)


def _duration(name: str, text: str, panel: Panel, default: float | None = 0.0) -> Flag:
    return Flag(name, text, panel, "DURATION", type=Parsed(parse_duration), default=default)


def _nth(name: str, text: str, panel: Panel) -> Flag:
    return Flag(name, text, panel, "N", type=click.IntRange(1))


def _secret(name: str, text: str) -> Flag:
    return Flag(name, text, Panel.CREDENTIALS, "FILE", type=PATH, multiple=True)


def _parse_pushback(text: str) -> float:
    return -1.0 if text == "never" else parse_duration(text)


def _parse_offset(text: str) -> float:
    length = parse_duration(text.removeprefix("-"))
    return -length if text.startswith("-") else length


def _parse_outage(text: str) -> "Outage":
    from batch_uploader.emulator import Outage

    start, plus, length = text.partition("+")
    if not plus:
        raise BadValue(f"{text!r} is not START+LENGTH", hint="write it as 10s+5m")
    return Outage(parse_duration(start), parse_duration(length))


def _parse_connection(text: str) -> "Connection":
    from batch_uploader.emulator import Connection

    match = _CONNECTION.fullmatch(text)
    if match is None:
        raise BadValue(
            f"{text!r} is not ID[:CHANNELS][=KEY,...]", hint="write it as demo:2=date,name"
        )
    fields = frozenset(match[3].split(",")) if match[3] else None
    return Connection(match[1], fields, int(match[2]) if match[2] else None)


@command(
    Flag(
        "--port",
        "Port to listen on; 0 lets the system choose one. [default: 0]",
        metavar="N",
        type=click.IntRange(0, 65535),
        default=0,
    ),
    Flag(
        "--host",
        "Address to listen on, loopback only: 127.0.0.1 or ::1. [default: 127.0.0.1]",
        metavar="ADDRESS",
        default="127.0.0.1",
    ),
    Flag(
        "--tls",
        "Serve TLS with a certificate that is made in DIR; the CA to trust is DIR/ca.pem. Without"
        " this, plaintext.",
        metavar="DIR",
        type=FOLDER,
    ),
    Flag(
        "--connection",
        "A connection: its ID, the number of channels that it accepts (without it, any), and the"
        " metadata keys that it declares (without them, any). Repeatable. [default: demo]",
        Panel.KEPT,
        "ID[:CHANNELS][=KEY,...]",
        type=Parsed(_parse_connection),
        multiple=True,
    ),
    Flag(
        "--store",
        "SQLite file that keeps the talks, also after a restart. [default: emulator.db in the"
        " working directory]",
        Panel.KEPT,
        "FILE",
        type=PATH,
        default=Path("emulator.db"),
    ),
    Flag(
        "--keep-audio",
        "Directory to keep the audio of each talk in, named by talk ID.",
        Panel.KEPT,
        "DIR",
        type=FOLDER,
    ),
    Flag(
        "--keep-truncated",
        "Store the received part of a stream that breaks off, instead of discarding it. What the"
        " real service does is not known.",
        Panel.KEPT,
        is_flag=True,
    ),
    _secret(
        "--api-key-file",
        "Accept the API key in FILE. Repeatable. [default, without any credential: the key"
        " emulator-key]",
    ),
    _secret("--iam-token-file", "Accept the IAM token in FILE. Repeatable."),
    _secret(
        "--service-account-key-file",
        "Issue IAM tokens for JWTs that are signed with the authorized key in FILE; the emulator"
        " uses its public half. Repeatable.",
    ),
    _duration(
        "--token-lifetime",
        "How long an issued IAM token is accepted. [default: 12h]",
        Panel.CREDENTIALS,
        43200.0,
    ),
    Flag(
        "--metadata-port",
        "Serve the metadata service of a VM, which issues IAM tokens, on this port; 0 lets the"
        " system choose one. [default: it is not served]",
        Panel.CREDENTIALS,
        "N",
        type=click.IntRange(0, 65535),
    ),
    Flag(
        "--missing",
        "Answer as if the accounts lacked the role speech-sense.data.editor on the space, or the"
        " API keys the scope yc.speech-sense.use. Repeatable.",
        Panel.CREDENTIALS,
        type=click.Choice(["role", "scope"]),
        multiple=True,
    ),
    Flag(
        "--clock-off",
        "How much the emulator's clock is ahead (with a minus: behind), by which it dates its"
        " answers and checks JWTs. [default: 0]",
        Panel.CREDENTIALS,
        "DURATION",
        type=Parsed(_parse_offset),
        default=0.0,
    ),
    _nth(
        "--forget-tokens-after",
        "Refuse the IAM tokens issued until then after N requests in all; others are issued.",
        Panel.CREDENTIALS,
    ),
    _nth("--revoke-after", "Refuse all credentials after N requests in all.", Panel.CREDENTIALS),
    Flag(
        "--seed",
        "Seed of the random faults: another test with the same seed and recordings draws the same"
        " faults. [default: 0]",
        Panel.ANSWERS,
        "N",
        type=int,
        default=0,
    ),
    _probability("--unavailable", "An upload is answered UNAVAILABLE and not stored."),
    _probability("--exhausted", "An upload is answered RESOURCE_EXHAUSTED and not stored."),
    Flag(
        "--pushback",
        "How long --unavailable and --exhausted ask the client to wait before a retry; never asks"
        " for no retry. [default: they do not say]",
        Panel.ANSWERS,
        "DURATION|never",
        type=Parsed(_parse_pushback),
    ),
    _probability("--abort-early", "A stream is refused after its first message and not stored."),
    Flag(
        "--abort-code",
        "The gRPC status that --abort-early answers with. [default: ABORTED]",
        Panel.ANSWERS,
        "STATUS",
        default="ABORTED",
    ),
    _probability("--early-ok", "A stream is answered with a talk ID after its first chunk."),
    _probability("--silent", "An upload is read to its end, never answered and not stored."),
    _probability("--lose-answer", "An upload is stored and its answer is lost."),
    Flag(
        "--lost-answer",
        "What the client gets if an answer is lost: nothing, INTERNAL, the UNAVAILABLE of a proxy,"
        " a reset of the connection, or OK without a talk ID. [default: silence]",
        Panel.ANSWERS,
        type=click.Choice(["silence", "internal", "proxy", "reset", "blank"]),
        default="silence",
    ),
    _probability("--search-unavailable", "A Search or Get is answered UNAVAILABLE."),
    _duration("--search-lag", "How long it takes until Search finds a new talk.", Panel.ANSWERS),
    _duration(
        "--store-late",
        "Store an upload this long after its last byte, even if the client has gone.",
        Panel.NETWORK,
    ),
    _nth(
        "--die-before-storing",
        "The emulator dies with the Nth upload, before storing it.",
        Panel.NETWORK,
    ),
    _nth(
        "--die-after-storing",
        "The emulator dies with the Nth upload, stored and not answered.",
        Panel.NETWORK,
    ),
    Flag(
        "--max-rate",
        "Maximum uploads a second, of which a second's worth may come at once; further ones are"
        " answered RESOURCE_EXHAUSTED.",
        Panel.NETWORK,
        "N",
        type=click.FloatRange(0),
    ),
    _duration("--latency", "Delay of every answer.", Panel.NETWORK),
    Flag(
        "--bandwidth",
        "Maximum bytes a second for all uploads together, such as 8M.",
        Panel.NETWORK,
        "SIZE",
        type=Parsed(parse_size),
    ),
    Flag(
        "--outage",
        "Cut all connections and refuse new ones for LENGTH, from START after the emulator"
        " started.",
        Panel.NETWORK,
        "START+LENGTH",
        type=Parsed(_parse_outage),
    ),
    _duration(
        "--connection-age",
        "End connections with a GOAWAY when they reach this age.",
        Panel.NETWORK,
        None,
    ),
    examples=(
        "batch-uploader emulator --tls certs --store talks.db",
        "batch-uploader emulator --connection calls:2=operator_name,date",
        "batch-uploader emulator --unavailable 0.1 --exhausted 0.1 --pushback 5s",
        "batch-uploader emulator --lose-answer 0.05 --lost-answer proxy",
        "batch-uploader emulator --port 9090 --outage 10s+5m",
    ),
)
def emulator(**given: Any) -> None:
    """Run a local SpeechSense to test against: strict, and able to fail on purpose.

    When it is ready it prints "listening on HOST:PORT". It runs until SIGINT or SIGTERM, and then
    prints how often each method was called.
    """
    import anyio

    from batch_uploader.sinks.speechsense.resources import require_resources

    require_resources()
    from batch_uploader.emulator import (
        CONNECTION,
        EmulatorOptions,
        Faults,
        LackedRight,
        LostAnswer,
        RegisteredKey,
        serve,
        status_code,
    )

    accounts = given.pop("service_account_key_file")
    options = {
        "connections": given.pop("connection") or (CONNECTION,),
        "api_keys": _secrets(given.pop("api_key_file")),
        "iam_tokens": _secrets(given.pop("iam_token_file")),
        "service_accounts": tuple(map(RegisteredKey.from_file, accounts)),
        "missing": frozenset(map(LackedRight, given.pop("missing"))),
        "tls_dir": given.pop("tls"),
        **{
            name: given.pop(name)
            for name in (
                "store",
                "host",
                "port",
                "token_lifetime",
                "clock_off",
                "metadata_port",
                "keep_audio",
                "keep_truncated",
                "connection_age",
            )
        },
    }
    given["abort_code"] = status_code(given["abort_code"])
    given["lost_answer"] = LostAnswer(given["lost_answer"])
    anyio.run(serve, EmulatorOptions(**options, faults=Faults(**given)))


def _secrets(files: Sequence[Path]) -> frozenset[str]:
    return frozenset(map(_secret_in, files))


def _secret_in(file: Path) -> str:
    try:
        text = file.read_text("utf-8").strip()
    except (OSError, UnicodeDecodeError) as error:
        raise ConfigError(
            f"the file {file} cannot be read", hint="specify one with a single key"
        ) from error
    if not text or len(text.split()) > 1:
        raise ConfigError(f"{file} does not hold a single key", hint="put one key on one line")
    return text
