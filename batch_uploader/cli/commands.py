"""The commands: names, flags, help. What they do is in the other modules.

These are imported when their command runs, since importing gRPC and SQLite is too slow for
``--help``. Every command returns its exit code.
"""

from collections.abc import Mapping
from pathlib import Path

import click

from batch_uploader.cli.flags import DOCTOR, INIT, PLACE, READING, SEARCH, UPLOAD
from batch_uploader.cli.options import FOLDER, PATH, Flag, Panel, command

Flags = Mapping[str, object]
"""The given flags, by long name."""

_DIRECTORY = click.Argument(["directory"], metavar="DIRECTORY", type=FOLDER)
_JSON = Flag("--json as_json", "Print one JSON document, for programs.", Panel.OUTPUT, is_flag=True)
_SINCE = Flag(
    "--since",
    "Only the runs of this time, such as 24h or 7d, and what is new since then.",
    metavar="DURATION",
)


@command(
    _DIRECTORY,
    Flag("--dry-run", "Run check with these flags; send nothing.", is_flag=True),
    Flag(
        "--rebuild",
        "If the ledger is gone, damaged or older than the manifest, make a new one from the"
        " manifest"
        " first; without this, upload sends nothing then. Pass the --stamp-field of earlier runs,"
        " so"
        " that Search can find recordings that were uploaded after the manifest was written.",
        is_flag=True,
    ),
    Flag(
        "--adopt",
        "If directories above or below have uploaded recordings of DIRECTORY with ledgers of their"
        " own, take over what is on record there; uploads of these by themselves are refused from"
        " then on. Without this, upload sends nothing then.",
        is_flag=True,
    ),
    flags=UPLOAD,
    examples=(
        "batch-uploader upload calls/ --connection-id ID --api-key-file key",
        "batch-uploader upload calls/ --kind two-channel --default language=ru-RU",
        "batch-uploader upload calls/ --profile night --max-duration 6h --progress none",
        "batch-uploader upload calls/ --include '*.pcm' --raw-rate 8000 --raw-channels 2",
    ),
)
def upload(directory: Path, flags: Flags, *, dry_run: bool, rebuild: bool, adopt: bool) -> int:
    """Upload the recordings of a directory to SpeechSense, each exactly once.

    Recordings that are already stored are skipped. Those that failed without being stored are sent
    again, in this run and in later ones. The first Ctrl-C or SIGTERM lets the uploads in flight
    finish, for at most --grace; a second one (2 s later or more) cuts them off, which leaves them
    in doubt. The next run continues. SIGHUP does not end a run.

    Durations read 90 (seconds), 90s, 30m, 2h, sizes 512K, 8M, 1G. A secret is never an argument.
    """
    if dry_run:
        from batch_uploader.cli.check import check as run_check

        if rebuild:
            raise click.UsageError("--dry-run writes nothing, so it cannot --rebuild the ledger")
        if adopt:
            raise click.UsageError("--dry-run writes nothing, so it cannot --adopt a ledger")

        return run_check(directory, flags, as_json=flags.get("progress") == "json")
    from batch_uploader.cli.upload import upload as run

    return run(directory, flags, rebuilding=rebuild, adopting=adopt)


@command(
    _DIRECTORY,
    _JSON,
    Flag(
        "--csv as_csv",
        "Print a line for each recording that is not there already, and for each defect, as CSV:"
        " path, outcome, kind, message, cure, duration, bytes. What a spreadsheet would run gets an"
        " apostrophe.",
        Panel.OUTPUT,
        is_flag=True,
    ),
    Flag(
        "--fast",
        "Read only headers: quick on a slow disk, but copies and possible duplicates are not"
        " found, and count as to be uploaded.",
        is_flag=True,
    ),
    Flag(
        "--explain",
        "Show where the metadata of the recording at this path in DIRECTORY come from, value by"
        " value, and what else is said of it.",
        metavar="PATH",
    ),
    flags=READING,
    examples=(
        "batch-uploader check calls/",
        "batch-uploader check calls/ --kind two-channel --require ticket_id",
        "batch-uploader check calls/ --json | jq '.defects[] | .path'",
        "batch-uploader check calls/ --csv > defects.csv",
        "batch-uploader check calls/ --explain 2026/03/27/a.wav",
    ),
)
def check(
    directory: Path,
    flags: Flags,
    *,
    as_json: bool,
    as_csv: bool,
    fast: bool,
    explain: str | None,
) -> int:
    """Inspect everything and send nothing: what would be uploaded, and each defect with its cure.

    Needs neither network nor credentials, and writes nothing. It reads what is new to the end, to
    find copies, as upload does. The exit code is 1 if something needs attention.
    """
    if explain is not None:
        from batch_uploader.cli.explain import explain as run_explain

        return run_explain(directory, flags, explain, as_json=as_json)
    from batch_uploader.cli.check import check as run

    return run(directory, flags, as_json=as_json, as_csv=as_csv, fast=fast)


@command(
    _DIRECTORY,
    _JSON,
    _SINCE,
    flags=PLACE,
    examples=(
        "batch-uploader status calls/",
        "batch-uploader status calls/ --since 24h",
        "batch-uploader status calls/ --json | jq .totals",
    ),
)
def status(directory: Path, flags: Flags, *, as_json: bool, since: str | None) -> int:
    """Show how the last run ended, what became of all recordings, and which need attention.

    Works during a run, and changes nothing. Of what is in doubt it shows date, operator and length,
    by which to find it in the SpeechSense console. The exit code is 1 if something needs attention,
    or if the last run to any connection ended badly: with another exit code than 0 and 1, or it was
    killed; with --since also if there was no run.
    """
    from batch_uploader.cli.status import status as run

    return run(directory, flags, as_json=as_json, since=since)


@command(
    _DIRECTORY,
    _JSON,
    _SINCE,
    Flag(
        "--limit",
        "Maximum number of runs to show. [default: 20]",
        metavar="N",
        default="20",
    ),
    flags=PLACE,
    examples=(
        "batch-uploader runs calls/",
        "batch-uploader runs calls/ --since 7d --json | jq '.runs[] | .exit_code'",
    ),
)
def runs(directory: Path, flags: Flags, *, as_json: bool, since: str | None, limit: str) -> int:
    """List the runs on record, the latest first: when, how they ended, and what they did.

    Reads the ledger only, and works during a run. Includes runs that were refused before they could
    open the ledger.
    """
    from batch_uploader.cli.runs import runs as run

    return run(directory, flags, as_json=as_json, since=since, limit=limit)


@command(
    _DIRECTORY,
    click.Argument(["paths"], metavar="[PATH]...", nargs=-1),
    Flag(
        "--all every",
        "Decide about all recordings in doubt, and in conflict (the service's answers contradict"
        " each other); no PATH.",
        is_flag=True,
    ),
    Flag(
        "--rejected",
        "Decide about all recordings that the service rejected; only with --resend.",
        is_flag=True,
    ),
    Flag(
        "--talk-id",
        "The recording was stored as this talk. The service is not asked; one PATH at a time. A"
        " wrong one is taken back by deciding again.",
        metavar="ID",
    ),
    Flag(
        "--resend",
        "The recording was not stored, or is another call: send it with the next run. If it was"
        " stored, it is billed twice.",
        is_flag=True,
    ),
    Flag(
        "--give-up",
        "Leave it open whether the recording was stored, and never send it again unless its audio"
        " changes.",
        is_flag=True,
    ),
    Flag(
        "--duplicate",
        "The possible duplicate is the same call as the other one: it is not sent.",
        is_flag=True,
    ),
    Flag(
        "--acknowledge",
        "What is wrong with an invalid or rejected recording is known: it needs no attention until"
        " its file, its sidecar or the settings change.",
        is_flag=True,
    ),
    Flag(
        "--kind kinds",
        "Acknowledge all that is invalid or rejected for this reason, by the code that status"
        " --json has; with PATHs, those of them. Repeatable.",
        metavar="CODE",
        multiple=True,
    ),
    Flag(
        "--cause causes",
        "Decide about all possible duplicates of this cause, as status names it; with PATHs, about"
        " those of them. Repeatable.",
        metavar="CAUSE",
        multiple=True,
    ),
    Flag(
        "--from file",
        "Decide about the recordings in this file (-: stdin): paths, one a line, or what manifest"
        " writes, as JSON lines or CSV, with a decision filled in: resend, duplicate, give-up,"
        " acknowledge, or talk-id with the ID as talk_id. Lines with a fault are named, the others"
        " are applied.",
        metavar="FILE",
        type=PATH,
    ),
    Flag(
        "--search",
        "Let Search decide about all recordings in doubt: what it finds was stored; what it does"
        " not"
        " find after --hold was not, and the next run sends it. Needs --stamp-field and"
        " credentials.",
        is_flag=True,
    ),
    Flag(
        "--yes -y",
        "Do not ask for confirmation; needed for --resend where there is no terminal.",
        is_flag=True,
    ),
    flags=SEARCH,
    examples=(
        "batch-uploader resolve calls/ 2025/01/a.wav --talk-id TALK_ID",
        "batch-uploader resolve calls/ 2025/01/b.wav --resend",
        "batch-uploader resolve calls/ --all --give-up",
        "batch-uploader resolve calls/ --rejected --resend",
        "batch-uploader resolve calls/ --cause changed-audio --duplicate",
        "batch-uploader resolve calls/ '2025/01/*.mp3' --duplicate",
        "batch-uploader resolve calls/ --kind empty --acknowledge",
        "batch-uploader resolve calls/ --from decided.csv",
        "batch-uploader resolve calls/ --search --stamp-field upload_key",
    ),
)
def resolve(
    directory: Path,
    flags: Flags,
    *,
    paths: tuple[str, ...],
    every: bool,
    rejected: bool,
    talk_id: str | None,
    resend: bool,
    give_up: bool,
    duplicate: bool,
    acknowledge: bool,
    causes: tuple[str, ...],
    kinds: tuple[str, ...],
    file: Path | None,
    search: bool,
    yes: bool,
) -> int:
    """Decide about recordings that the service may or may not have stored.

    These are recordings in doubt, since an answer was lost, and possible duplicates, since they may
    be calls that are stored already. Look for them in the SpeechSense console first: a call that is
    stored and sent again is billed twice, and talks cannot be deleted.

    PATHs are as status prints them; a folder or a pattern as of --include stands for all that need
    attention there. --resend also accepts recordings that the service rejected, and duplicates that
    are other calls after all; --resend and --talk-id accept those that were given up here earlier.
    --search does what each upload with a stamp field does at its end; it alone needs the network.
    """
    from batch_uploader.cli import resolve as module

    decisions = _given(
        ("--talk-id", talk_id is not None),
        ("--resend", resend),
        ("--give-up", give_up),
        ("--duplicate", duplicate),
        ("--acknowledge", acknowledge),
    )
    groups = _given(("--all", every), ("--rejected", rejected))
    if search:
        chosen = [("the paths", paths), ("--cause", causes), ("--kind", kinds), ("--from", file)]
        others = _given(*chosen, ("--rejected", rejected))
        module.require_nothing_else(decisions, others)
        return module.search(directory, flags)
    resolution = module.resolution_of(decisions, talk_id, optional=file is not None)
    wanted = module.Wanted(resolution, paths or (), groups, causes or (), kinds or (), file)
    return module.resolve(directory, flags, wanted, asks=not yes)


def _given(*flags: tuple[str, object]) -> list[str]:
    """The flags that are given."""
    return [flag for flag, value in flags if value]


@command(
    _DIRECTORY,
    Flag(
        "--format form",
        "JSON lines, or CSV. [default: jsonl]",
        metavar="jsonl|csv",
        default="jsonl",
    ),
    Flag(
        "--output -o",
        "File to write to, replaced if there is one. [default: stdout]",
        metavar="F",
        type=PATH,
    ),
    Flag(
        "--raw",
        "Write CSV cells as they are, so that paths match file names. By default an apostrophe is"
        " put before what a spreadsheet would run as a formula, and the column defused names these"
        " cells.",
        is_flag=True,
    ),
    Flag(
        "--status statuses",
        "Only lines of these statuses, such as invalid,failed.",
        metavar="S[,S...]",
    ),
    flags=PLACE,
    examples=(
        "batch-uploader manifest calls/ | jq -r 'select(.status == \"uploaded\") | .talk_id'",
        "batch-uploader manifest calls/ --format csv -o talks.csv",
        "batch-uploader manifest calls/ --status invalid,failed --format csv -o defects.csv",
    ),
)
def manifest(
    directory: Path,
    flags: Flags,
    *,
    form: str,
    output: Path | None,
    raw: bool,
    statuses: str | None,
) -> int:
    """Print the result of every recording from the ledger, one line each, sorted by path.

    Works during a run. Prints all connections of the ledger, or the one that --connection-id or its
    variable names.
    """
    from batch_uploader.cli.manifest import manifest as run

    return run(directory, flags, form, output, raw=raw, statuses=statuses)


@command(
    _DIRECTORY,
    Flag(
        "--metadata tables",
        "Table with metadata, or with names for IDs: CSV, JSON lines, XLSX, SQLite. Repeatable."
        " [default: those of a known layout that lie in DIRECTORY or beside it]",
        metavar="TABLE",
        multiple=True,
    ),
    Flag(
        "--layout",
        "Layout to use, of those in docs/layouts.md; guessed: none of them, but what names,"
        " sidecars and tables say by themselves. [default: the one that fits best]",
        metavar="NAME",
    ),
    Flag(
        "--timezone",
        "Time zone of times that have none. Asked for on a terminal if it is needed.",
        metavar="ZONE",
    ),
    Flag(
        "--from-talk talk_id",
        "Learn the fields of the connection and their types from this talk, which any upload to it"
        " has made; needs a credential.",
        metavar="ID",
    ),
    Flag(
        "--output -o",
        "File to write. [default: batch-uploader.toml, which other commands read from the working"
        " directory]",
        metavar="F",
        type=PATH,
    ),
    flags=INIT,
    examples=(
        "batch-uploader init calls/",
        "batch-uploader init calls/ --metadata cdr.csv --connection-id ID",
        "batch-uploader init calls/ --layout megafon --timezone Europe/Moscow -o calls.toml",
        "batch-uploader init calls/ --from-talk TALK_ID --connection-id ID --api-key-file key",
    ),
)
def init(
    directory: Path,
    flags: Flags,
    *,
    tables: tuple[str, ...],
    layout: str | None,
    timezone: str | None,
    talk_id: str | None,
    output: Path | None,
) -> int:
    """Recognise an archive and write its settings file, batch-uploader.toml.

    Looks at the names of recordings, the sidecars beside them and the tables, says which known
    layout fits and how well, and shows what some recordings would get. Asks on a terminal for what
    it cannot find; elsewhere that is an error that names the flag. Overwrites nothing. Without
    --from-talk it needs no network.
    """
    from batch_uploader.cli.init import Asked
    from batch_uploader.cli.init import init as run

    return run(directory, flags, Asked(tables or (), layout, timezone, talk_id, output))


@command(
    click.Argument(["directory"], metavar="[DIRECTORY]", required=False, type=FOLDER),
    _JSON,
    flags=DOCTOR,
    examples=(
        "batch-uploader doctor",
        "batch-uploader doctor calls/ --connection-id ID --api-key-file key",
        "batch-uploader doctor calls/ --json | jq '.checks[] | select(.health != \"ok\")'",
    ),
)
def doctor(directory: Path | None, flags: Flags, *, as_json: bool) -> int:
    """Find out why uploads fail, or whether they will work: each check with its cure.

    Checks this machine, the way to the service (DNS, TCP, proxy, TLS, HTTP/2), the service, its
    clock, the credentials and the connection; with DIRECTORY also whether that can be read, the
    disk of the ledger, and the ledger. Nothing is uploaded, changed or billed. It takes 20 seconds
    at most. The exit code is 1 if a check fails.
    """
    from batch_uploader.cli.doctor import doctor as run

    return run(directory, flags, as_json=as_json)


@command(click.Argument(["directory"], metavar="[DIRECTORY]", required=False, type=FOLDER))
def demo(directory: Path | None) -> int:
    """Make sample calls, start a local SpeechSense and upload to it: no account needed.

    Ends by itself. DIRECTORY is where the sample calls are made and kept, so take a new one;
    without it, they are in a new temporary directory.
    """
    from batch_uploader.cli.demo import demo as run

    return run(directory)
