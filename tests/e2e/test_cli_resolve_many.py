"""``resolve`` decides about many recordings: folders, patterns, lists."""

import csv
import json
import subprocess

import anyio
import pytest
from support.ledger_cases import CONNECTION, recording
from support.ledger_changes import claim_all

from batch_uploader.ledgers.sqlite import SqliteLedger

PATHS = ["2025/01/a.mp3", "2025/01/b.wav", "2025/02/c.wav", "2025/02/{d}.wav", "[x]/e.wav"]


@pytest.fixture
def decided(calls, inside):
    """Runs ``resolve``; returns the status of each path in doubt before, by the manifest."""
    recordings = [recording(path, path) for path in PATHS]

    async def claim():
        async with SqliteLedger(calls.ledger, CONNECTION) as ledger:
            await claim_all(ledger, recordings)

    anyio.run(claim)

    def run(*arguments, code=0, said=""):
        result = inside("resolve", calls, *arguments)
        assert result.code == code, result.err
        assert said in result.err
        if not (calls.folder / "manifest.jsonl").exists():
            return set()
        return {path for path, line in calls.manifest().items() if line["status"] != "in_doubt"}

    return run


@pytest.mark.parametrize(
    ("words", "meant"),
    [
        (["2025"], {0, 1, 2, 3}),
        (["2025/01/"], {0, 1}),
        (["./2025/02"], {2, 3}),
        (["*.mp3"], {0}),
        (["2025/**/?.wav"], {1, 2}),
        (["2025/02/{d}.wav"], {3}),
        (["[x]"], set()),
        (["[x]/e.wav"], {4}),
        (["*"], {0, 1, 2, 3, 4}),
        (["*.mp3", "2025/01", "2025/02/c.wav"], {0, 1, 2}),
    ],
)
def test_a_folder_or_a_pattern_stands_for_all_there(decided, words, meant):
    if meant:
        paths = decided(*words, "--give-up", said=f"{len(meant):,} recording")
        assert paths == {PATHS[number] for number in meant}
    else:
        decided(*words, "--give-up", code=2, said="matches nothing that is to be decided")


def test_a_folder_may_be_given_as_the_shell_completes_it(decided, calls):
    assert decided(calls.folder / "2025" / "01", "--give-up") == set(PATHS[:2])
    assert decided(calls.folder, "--give-up", said="3 recordings") == set(PATHS)


def test_a_word_that_names_nothing_stops_all_of_them(decided, calls):
    (calls.folder / "2024").mkdir()
    for wrong, said in (
        ("2025/03", "2025/03 is not in the ledger"),
        ("2024", "nothing in 2024 is to be decided"),
        ("*.ogg", "*.ogg matches nothing"),
    ):
        assert decided("2025/01", wrong, "--give-up", code=2, said=said) == set()
    decided("2025/01/a.mp3", "--duplicate", code=2, said="decide about it with --give-up or")
    decided("2025", "--duplicate", code=2, said="2025 is not in the ledger")
    decided("2025", "--talk-id", "t", code=2, said="2025 is not in the ledger")


def test_what_was_given_up_is_not_swept_up_by_a_folder(decided):
    decided("2025/01/a.mp3", "--give-up")
    assert decided("2025/01", "--resend", "--yes", said="1 recording to be sent") == set(PATHS[:2])


def test_a_list_of_paths_is_decided_together(decided, calls, tmp_path):
    listing = tmp_path / "list.txt"
    listing.write_text("\n".join([PATHS[0], "", PATHS[3], str(calls.folder / PATHS[4])]))
    assert decided("--from", listing, "--give-up") == {PATHS[0], PATHS[3], PATHS[4]}
    again = "3 recordings of the list left as they are"
    assert decided("--from", listing, "--give-up", said=again) == {PATHS[0], PATHS[3], PATHS[4]}


def test_each_line_may_have_its_own_decision(decided, tmp_path):
    listing = tmp_path / "list.jsonl"
    lines = [
        {"path": PATHS[0], "decision": "resend"},
        {"path": PATHS[1], "decision": "give-up", "connection_id": CONNECTION},
        {"path": PATHS[2], "decision": "duplicate"},
        {"path": PATHS[3], "decision": "give-up", "connection_id": "another"},
        {"path": PATHS[4]},
    ]
    listing.write_text("\ufeff" + "\n".join(map(json.dumps, lines)), "utf-8")
    refused = "there is no terminal"
    assert decided("--from", listing, code=2, said=refused) == set()
    told = "1 recording to be sent by the next run; 1 recording given up"
    assert decided("--from", listing, "--yes", said=told) == set(PATHS[:2])


def test_lines_of_the_manifest_come_through_a_pipe(decided, calls, program):
    decided("2025/01/a.mp3", "--give-up")
    flags = ("resolve", calls, "--from", "-", "--give-up")
    with (calls.folder / "manifest.jsonl").open("rb") as lines:
        result = program.finish(program.start(*flags, stdin=lines))
    assert result.code == 0, result.err
    assert "4 recordings given up" in result.err
    assert "1 recording of the list left as they are" in result.err
    result = program.finish(program.start(*flags, stdin=subprocess.DEVNULL))
    assert result.code == 2
    assert "--from: it is empty" in result.err


def test_lines_with_a_fault_are_named_and_the_others_applied(decided, tmp_path):
    listing = tmp_path / "list.txt"
    listing.write_text(f"none.wav\n{PATHS[0]}\n\n2025/02\n{PATHS[2]}\n")
    said = (
        "2 recordings given up\n"
        "error: --from, line 1: none.wav is not in the ledger\n"
        "hint: to see the paths: batch-uploader status "
    )
    assert decided("--from", listing, "--give-up", code=1, said=said) == {PATHS[0], PATHS[2]}
    # In a list a folder stands for nothing.
    decided("--from", listing, "--give-up", code=1, said="line 4: 2025/02 is not in the ledger")


def write(path, rows, encoding="utf-8", delimiter=","):
    with path.open("w", encoding=encoding, newline="") as file:
        writer = csv.DictWriter(file, [*rows[0]], delimiter=delimiter)
        writer.writeheader()
        writer.writerows(rows)


@pytest.mark.parametrize("written", [("utf-16", "\t"), ("utf-8-sig", ";"), ("utf-8", ",")])
def test_a_table_filled_in_by_a_person_is_decided(decided, calls, tmp_path, inside, written):
    """From ``manifest`` through a spreadsheet, by Excel's ways, back to the ledger."""
    decided("[x]/e.wav", "--give-up")
    export = tmp_path / "doubts.csv"
    exported = ("manifest", calls, "--status", "in_doubt", "--format", "csv", "-o", export)
    assert inside(*exported).code == 0
    rows = list(csv.DictReader(export.read_text("utf-8").splitlines()))
    assert [row["path"] for row in rows] == PATHS[:4]
    for row, decision in zip(rows, ["talk-id", "give-up", "talk-id", ""], strict=True):
        row |= {"decision": decision, "talk_id": "talk-1" if decision == "talk-id" else ""}
    write(export, rows, *written)
    decided("--from", export, code=1, said="the talk talk-1 is named for another one, too")
    lines = calls.manifest()
    assert [lines[path]["status"] for path in PATHS] == [
        *("in_doubt", "given_up", "in_doubt", "in_doubt", "given_up")
    ]
    rows[2]["talk_id"] = "talk-2"
    write(export, rows, *written)
    decided("--from", export, said="2 recordings recorded")
    lines = calls.manifest()
    assert [lines[path]["talk_id"] for path in PATHS] == ["talk-1", None, "talk-2", None, None]


def test_a_talk_of_another_recording_in_a_list_stops_only_its_line(decided, tmp_path):
    decided(PATHS[0], "--talk-id", "talk-1", "--yes")
    listing = tmp_path / "list.jsonl"
    lines = [
        {"path": PATHS[1], "decision": "talk-id", "talk_id": "talk-1"},
        {"path": PATHS[2], "decision": "talk-id", "talk_id": "talk-2"},
    ]
    listing.write_text("\n".join(map(json.dumps, lines)))
    said = f"the talk talk-1 belongs to {PATHS[0]}"
    assert decided("--from", listing, code=1, said=said) == {PATHS[0], PATHS[2]}


def test_a_path_that_a_spreadsheet_would_run_is_found_as_it_was_exported(
    calls, inside, tmp_path, upload
):
    calls.broken("=cmd.wav", b"no audio")
    assert upload().code == 1
    export = tmp_path / "defects.csv"
    exported = ("manifest", calls, "--status", "invalid,failed", "--format", "csv", "-o", export)
    assert inside(*exported).code == 0
    (row,) = csv.DictReader(export.read_text("utf-8").splitlines())
    assert row["path"] == "'=cmd.wav"
    result = inside("resolve", calls, "--from", export, "--acknowledge")
    assert result.code == 0, result.err
    assert calls.manifest()["=cmd.wav"]["status"] == "acknowledged"


@pytest.mark.parametrize("words", ["waiting", "uploadet", ""])
def test_a_status_that_no_manifest_has_is_refused(decided, calls, inside, words):
    result = inside("manifest", calls, "--status", words)
    assert result.code == 2
    assert "--status: unknown status" in result.err


@pytest.mark.parametrize(
    ("flags", "said"),
    [
        (["--from", "LIST", "a.wav", "--give-up"], "it is unclear which recordings"),
        (["--from", "LIST", "--all", "--give-up"], "it is unclear which recordings"),
        (["--from", "LIST", "--talk-id", "t"], "specify exactly one PATH"),
        (["--from", "LIST"], "no line has a decision"),
        (["--from", "WRONG"], "--from, line 1: unknown decision 'sned'"),
        (["--from", "GONE", "--give-up"], "cannot be read"),
        (["--from", "BYTES", "--give-up"], "--from: it is not UTF-8"),
        (["--cause", "moved", "--give-up"], "--cause and --give-up contradict"),
        (["--cause", "moove", "--resend"], "did you mean moved?"),
        (["--cause", "another-call", "--resend"], "unknown cause"),
        (["--cause", "moved", "--all", "--resend"], "it is unclear which recordings"),
        (["--all", "--duplicate"], "recordings and --duplicate contradict"),
        (["--duplicate", "--resend", "a.wav"], "--resend and --duplicate contradict"),
        (["--search", "--duplicate"], "--search decides by itself"),
        (["--search", "--cause", "moved"], "leave out --cause"),
    ],
)
def test_what_makes_no_sense_is_refused(decided, tmp_path, flags, said):
    (tmp_path / "LIST").write_text("none.wav\n2025/01/a.mp3\n")
    (tmp_path / "WRONG").write_text('{"path": "2025/01/a.mp3", "decision": "sned"}\n')
    (tmp_path / "BYTES").write_bytes(b"\xff\n")
    assert decided(*flags, code=2, said=said) == set()
