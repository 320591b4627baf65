"""``batch-uploader emulator``: its flags, and how they become options.

The emulator itself brings gRPC, so it is imported when the command runs and no sooner.
"""

import re
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Final, Literal

import anyio
import typer

from batch_uploader.errors import ConfigError
from batch_uploader.units import parse_duration, parse_size

if TYPE_CHECKING:
    from batch_uploader.emulator import Connection, Outage

_CREDENTIALS: Final = "Credentials"
_KEPT: Final = "Connections and what is kept"
_ANSWERS: Final = "Faults in the answers (P is a probability from 0 to 1)"
_NETWORK: Final = "Faults of the process and the network"
_CONNECTION: Final = re.compile(r"([^\s:=,]+)(?::([1-9][0-9]?))?(?:=([^=\s]+))?")


def _read(parse: Callable[[str], Any]) -> Callable[[Any], Any]:
    """A parser as Typer wants it: it meets defaults too, and says what it does not like."""

    def parser(text: Any) -> Any:
        if not isinstance(text, str):
            return text
        try:
            return parse(text)
        except ValueError as error:
            raise typer.BadParameter(str(error)) from None

    return parser


def _probability(text: str) -> Any:
    return typer.Option(
        min=0, max=1, metavar="P", help=text, show_default=False, rich_help_panel=_ANSWERS
    )


def _duration(text: str, panel: str) -> Any:
    return typer.Option(
        parser=_read(parse_duration),
        metavar="DURATION",
        help=text,
        show_default=False,
        rich_help_panel=panel,
    )


def _nth(text: str, panel: str) -> Any:
    return typer.Option(min=1, metavar="N", help=text, rich_help_panel=panel)


def _secret(text: str) -> Any:
    return typer.Option(metavar="FILE", help=text, show_default=False, rich_help_panel=_CREDENTIALS)


def _parse_pushback(text: str) -> float:
    return -1.0 if text == "never" else parse_duration(text)


def _parse_outage(text: str) -> "Outage":
    from batch_uploader.emulator import Outage

    start, plus, length = text.partition("+")
    if not plus:
        raise ValueError(f"{text!r} is not START+LENGTH; write it as 10s+5m")
    return Outage(parse_duration(start), parse_duration(length))


def _parse_connection(text: str) -> "Connection":
    from batch_uploader.emulator import Connection

    match = _CONNECTION.fullmatch(text)
    if match is None:
        raise ValueError(f"{text!r} is not ID[:CHANNELS][=KEY,...]; write it as demo:2=date,name")
    fields = frozenset(match[3].split(",")) if match[3] else None
    return Connection(match[1], fields, int(match[2]) if match[2] else None)


def emulator(
    *,
    port: Annotated[int, typer.Option(min=0, max=65535, help="0 lets the system choose one.")] = 0,
    host: Annotated[
        str, typer.Option(help="127.0.0.1 or ::1: only this machine may reach it.")
    ] = "127.0.0.1",
    tls: Annotated[
        Path | None,
        typer.Option(
            metavar="DIR",
            help="Serve TLS with a certificate made for it; the CA to trust is DIR/ca.pem. "
            "Plaintext without this.",
        ),
    ] = None,
    connection: Annotated[
        list[Any] | None,
        typer.Option(
            parser=_read(_parse_connection),
            metavar="ID[:CHANNELS][=KEY,...]",
            help="A connection, its number of channels and the metadata keys that it declares; "
            "any where they are left out. Repeatable. (default: demo)",
            show_default=False,
            rich_help_panel=_KEPT,
        ),
    ] = None,
    store: Annotated[
        Path,
        typer.Option(
            metavar="FILE",
            help="Talks are in this SQLite file, also after a restart.",
            rich_help_panel=_KEPT,
        ),
    ] = Path("emulator.db"),
    keep_audio: Annotated[
        Path | None,
        typer.Option(
            metavar="DIR",
            help="Keep the bytes of audio there, named by their talk IDs.",
            rich_help_panel=_KEPT,
        ),
    ] = None,
    keep_truncated: Annotated[
        bool,
        typer.Option(
            "--keep-truncated",
            help="Store what came of a stream that breaks off instead of discarding it: nobody "
            "knows what the service does.",
            rich_help_panel=_KEPT,
        ),
    ] = False,
    api_key_file: Annotated[
        list[Path] | None,
        _secret("Let in the API key in FILE. Repeatable. (default: the key emulator-key)"),
    ] = None,
    iam_token_file: Annotated[
        list[Path] | None, _secret("Let in the IAM token in FILE. Repeatable.")
    ] = None,
    service_account_key_file: Annotated[
        list[Path] | None,
        _secret(
            "Give IAM tokens for JWTs signed with the authorized key in FILE, whose public half "
            "is used. Repeatable."
        ),
    ] = None,
    token_lifetime: Annotated[
        float, _duration("How long such a token is let in. (default: 12h)", _CREDENTIALS)
    ] = 43200.0,
    revoke_after: Annotated[
        int | None, _nth("Refuse every credential after N requests.", _CREDENTIALS)
    ] = None,
    seed: Annotated[
        int,
        typer.Option(
            help="The same seed and the same recordings meet the same faults.",
            rich_help_panel=_ANSWERS,
        ),
    ] = 0,
    unavailable: Annotated[
        float, _probability("An upload is answered UNAVAILABLE and not stored.")
    ] = 0.0,
    exhausted: Annotated[
        float, _probability("An upload is answered RESOURCE_EXHAUSTED and not stored.")
    ] = 0.0,
    pushback: Annotated[
        float | None,
        typer.Option(
            parser=_read(_parse_pushback),
            metavar="DURATION|never",
            help="The pause that these two answers ask for; they ask for none without this.",
            rich_help_panel=_ANSWERS,
        ),
    ] = None,
    abort_early: Annotated[
        float, _probability("A stream is refused after its first message and not stored.")
    ] = 0.0,
    abort_code: Annotated[
        str,
        typer.Option(
            metavar="STATUS",
            help="The gRPC status of that refusal.",
            rich_help_panel=_ANSWERS,
        ),
    ] = "ABORTED",
    early_ok: Annotated[
        float, _probability("A stream is answered with a talk ID after its first chunk.")
    ] = 0.0,
    silent: Annotated[
        float, _probability("An upload is read to its end, never answered and not stored.")
    ] = 0.0,
    lose_answer: Annotated[
        float, _probability("An upload is stored and its answer is lost.")
    ] = 0.0,
    lost_answer: Annotated[
        Literal["silence", "internal", "proxy", "reset", "blank"],
        typer.Option(
            help="What is seen of a lost answer: nothing, INTERNAL, the UNAVAILABLE of a proxy, a "
            "reset of the connection, or OK without a talk ID.",
            rich_help_panel=_ANSWERS,
        ),
    ] = "silence",
    search_unavailable: Annotated[
        float, _probability("A Search or Get is answered UNAVAILABLE.")
    ] = 0.0,
    search_lag: Annotated[
        float, _duration("How long Search does not see a new talk.", _ANSWERS)
    ] = 0.0,
    store_late: Annotated[
        float,
        _duration("Store that long after the last byte, even if nobody waits any more.", _NETWORK),
    ] = 0.0,
    die_before_storing: Annotated[
        int | None, _nth("The process dies with the Nth upload, before storing it.", _NETWORK)
    ] = None,
    die_after_storing: Annotated[
        int | None,
        _nth("The process dies with the Nth upload, stored and not answered.", _NETWORK),
    ] = None,
    max_rate: Annotated[
        float | None,
        typer.Option(
            min=0,
            metavar="N",
            help="So many uploads a second are taken, a second's worth of them at once; what "
            "comes on top is answered RESOURCE_EXHAUSTED.",
            rich_help_panel=_NETWORK,
        ),
    ] = None,
    latency: Annotated[float, _duration("Added to every answer.", _NETWORK)] = 0.0,
    bandwidth: Annotated[
        int | None,
        typer.Option(
            parser=_read(parse_size),
            metavar="SIZE",
            help="Bytes a second for all uploads together, such as 8M.",
            rich_help_panel=_NETWORK,
        ),
    ] = None,
    outage: Annotated[
        Any,
        typer.Option(
            parser=_read(_parse_outage),
            metavar="START+LENGTH",
            help="Refuse all connections for LENGTH, beginning START after the start.",
            rich_help_panel=_NETWORK,
        ),
    ] = None,
    connection_age: Annotated[
        float | None, _duration("End connections of that age with a GOAWAY.", _NETWORK)
    ] = None,
) -> None:
    """Run a local SpeechSense to test against: strict, and able to fail on purpose.

    When it is ready it prints "listening on HOST:PORT". It runs until SIGINT or SIGTERM.

    [bold]Examples[/bold]

    \b
      batch-uploader emulator --tls certs --store talks.db
      batch-uploader emulator --connection calls:2=operator_name,date
      batch-uploader emulator --unavailable 0.1 --exhausted 0.1 --pushback 5s
      batch-uploader emulator --lose-answer 0.05 --lost-answer proxy
      batch-uploader emulator --port 9090 --outage 10s+5m
    """  # noqa: D301 - the \b is a character here; Typer keeps the lines after it as they are
    from batch_uploader.emulator import (
        CONNECTION,
        EmulatorOptions,
        Faults,
        LostAnswer,
        ServiceAccountKey,
        serve,
        status_code,
    )

    try:
        faults = Faults(
            seed=seed,
            unavailable=unavailable,
            exhausted=exhausted,
            pushback=pushback,
            abort_early=abort_early,
            abort_code=status_code(abort_code),
            early_ok=early_ok,
            silent=silent,
            lose_answer=lose_answer,
            lost_answer=LostAnswer(lost_answer),
            revoke_after=revoke_after,
            search_unavailable=search_unavailable,
            search_lag=search_lag,
            store_late=store_late,
            die_before_storing=die_before_storing,
            die_after_storing=die_after_storing,
            max_rate=max_rate,
            latency=latency,
            bandwidth=bandwidth,
            outage=outage,
        )
    except ValueError as error:
        raise typer.BadParameter(str(error)) from None
    options = EmulatorOptions(
        store=store,
        host=host,
        port=port,
        connections=tuple(connection or [CONNECTION]),
        api_keys=_secrets(api_key_file or []),
        iam_tokens=_secrets(iam_token_file or []),
        service_accounts=tuple(map(ServiceAccountKey.from_file, service_account_key_file or [])),
        token_lifetime=token_lifetime,
        tls_dir=tls,
        keep_audio=keep_audio,
        keep_truncated=keep_truncated,
        connection_age=connection_age,
        faults=faults,
    )
    anyio.run(serve, options)


def _secrets(files: Sequence[Path]) -> frozenset[str]:
    return frozenset(map(_secret_in, files))


def _secret_in(file: Path) -> str:
    try:
        text = file.read_text("utf-8").strip()
    except (OSError, UnicodeDecodeError) as error:
        raise ConfigError(f"The file {file} cannot be read; name one with a single key") from error
    if not text or len(text.split()) > 1:
        raise ConfigError(f"{file} holds no key, or several; put one key on one line")
    return text
