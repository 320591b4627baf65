"""The commands as they are typed: names, flags, help. What they do is in the modules beside.

Those are imported when their command runs, since gRPC and SQLite take longer than ``--help`` may.
Every command returns its exit code.
"""

from pathlib import Path
from typing import Annotated

import typer

from batch_uploader.cli.flags import (
    Directory,
    Json,
    PlaceFlags,
    ReadingFlags,
    SearchFlags,
    UploadFlags,
    given,
    path_argument,
    path_flag,
    takes,
)

EXAMPLES = {
    "upload": (
        "batch-uploader upload calls/ --connection-id ID --api-key-file key",
        "batch-uploader upload calls/ --kind two-channel --default language=ru-RU",
        "batch-uploader upload calls/ --profile night --max-duration 6h --progress none",
        "batch-uploader upload calls/ --include '*.pcm' --raw-rate 8000 --raw-channels 2",
    ),
    "check": (
        "batch-uploader check calls/",
        "batch-uploader check calls/ --kind two-channel --require ticket_id",
        "batch-uploader check calls/ --json | jq '.defects[] | .path'",
    ),
    "status": (
        "batch-uploader status calls/",
        "batch-uploader status calls/ --json | jq .counts",
    ),
    "resolve": (
        "batch-uploader resolve calls/ 2025/01/a.wav --talk-id TALK_ID",
        "batch-uploader resolve calls/ 2025/01/b.wav --resend",
        "batch-uploader resolve calls/ --all --give-up",
        "batch-uploader resolve calls/ --rejected --resend",
        "batch-uploader resolve calls/ --search --stamp-field upload_key --api-key-file key",
    ),
    "manifest": (
        "batch-uploader manifest calls/ | jq -r 'select(.status == \"uploaded\") | .talk_id'",
        "batch-uploader manifest calls/ --format csv -o talks.csv",
    ),
}
"""By command; they stand at the end of its help, where a terminal shows them at once."""


@takes(UploadFlags)
def upload(
    directory: Directory,
    flags: UploadFlags,
    dry_run: Annotated[
        bool, typer.Option("--dry-run", help="Send nothing: the same as check.")
    ] = False,
) -> int:
    """Put the recordings of a directory into SpeechSense, each exactly once.

    What is up already is skipped, what failed before it was stored is tried again. The first Ctrl-C
    or SIGTERM finishes what is on its way, a second one stops at once; the next run goes on.

    Durations read 90, 90s, 30m, 2h, sizes 512K, 8M, 1G. A secret is never an argument.
    """
    if dry_run:
        from batch_uploader.cli import checking

        return checking.check(directory, given(flags), as_json=flags.progress == "json")
    from batch_uploader.cli import uploading

    return uploading.upload(directory, given(flags))


@takes(ReadingFlags)
def check(directory: Directory, flags: ReadingFlags, as_json: Json = False) -> int:
    """Look at everything and send nothing: what would go up, and every defect with its cure.

    Needs neither network nor credentials, and writes nothing.
    """
    from batch_uploader.cli import checking

    return checking.check(directory, given(flags), as_json=as_json)


@takes(PlaceFlags)
def status(directory: Directory, flags: PlaceFlags, as_json: Json = False) -> int:
    """Tell what became of all recordings so far, and what needs a human.

    Also while a run is going. Ends with 1 if something needs a human.
    """
    from batch_uploader.cli import reporting

    return reporting.status(directory, given(flags), as_json=as_json)


@takes(SearchFlags)
def resolve(
    directory: Directory,
    flags: SearchFlags,
    paths: Annotated[
        list[str] | None,
        typer.Argument(metavar="PATH", help="Recordings as status prints them."),
    ] = None,
    every: Annotated[
        bool, typer.Option("--all", help="All that are in doubt or in conflict.")
    ] = False,
    rejected: Annotated[
        bool,
        typer.Option("--rejected", help="All that the service rejected; with --resend alone."),
    ] = False,
    talk_id: Annotated[
        str | None,
        typer.Option(
            "--talk-id", metavar="ID", help="It is up, as this talk. For one PATH at a time."
        ),
    ] = None,
    resend: Annotated[
        bool,
        typer.Option("--resend", help="It is not up: the next run sends it. May bill it twice."),
    ] = False,
    give_up: Annotated[
        bool,
        typer.Option("--give-up", help="Let it be: it is not sent unless its file changes."),
    ] = False,
    search: Annotated[
        bool,
        typer.Option(
            "--search",
            help="Ask the service, by the stamp field: all that are in doubt and carry it.",
        ),
    ] = False,
    yes: Annotated[bool, typer.Option("--yes", "-y", help="Do not ask back.")] = False,
) -> int:
    """Decide about recordings of which nobody knows whether the service holds them.

    Look for them in the SpeechSense console first: what is there and is sent again is billed twice,
    and nothing can be deleted. [bold]--resend[/bold] also takes those that the service rejected, of
    which nothing is stored; it and [bold]--talk-id[/bold] also take those that were given up.
    [bold]--search[/bold] does what each run with a stamp field does at its end.
    """
    from batch_uploader.cli import resolving, searching

    if search:
        resolving.demand_nothing_else(talk_id, paths, resend=resend, give_up=give_up)
        return searching.search(directory, given(flags))
    chosen = {"--talk-id": talk_id is not None, "--resend": resend, "--give-up": give_up}
    decision = resolving.Decision.of([flag for flag, on in chosen.items() if on], talk_id)
    groups = [flag for flag, on in (("--all", every), ("--rejected", rejected)) if on]
    wanted = resolving.Wanted.of(paths or [], groups)
    return resolving.resolve(directory, given(flags), decision, wanted, asks=not yes)


@takes(PlaceFlags)
def manifest(
    directory: Directory,
    flags: PlaceFlags,
    form: Annotated[
        str, typer.Option("--format", metavar="jsonl|csv", help="JSON lines, or CSV.")
    ] = "jsonl",
    output: Annotated[
        Path | None,
        path_flag("--output -o", "Into this file. [default: stdout]", None, "F"),
    ] = None,
) -> int:
    """Print what the ledger knows of every recording, one line each, sorted by path.

    Also while a run is going.
    """
    from batch_uploader.cli import exporting

    return exporting.manifest(directory, given(flags), form, output)


def demo(
    directory: Annotated[
        Path | None,
        path_argument(
            r"Where to put calls and emulator. \[default: a temporary one, which is kept]"
        ),
    ] = None,
) -> int:
    """Make sample calls, start a local SpeechSense and upload to it: no account needed."""
    from batch_uploader.cli import demonstration

    return demonstration.demo(directory)
