"""What becomes of a state that only a row of the table speaks of; prints it as JSON.

``test_states`` runs this with a copy of the package that has such a row, as a process of its own.
"""

import asyncio
import json
import sys
from pathlib import Path

import batch_uploader
from batch_uploader.core import states
from batch_uploader.core.changes import Settle
from batch_uploader.core.events import CarriedOver
from batch_uploader.core.model import Ending, Failure, Outcome, Summary, Version
from batch_uploader.core.records import Record
from batch_uploader.core.states import Status, Verdict, decided_by
from batch_uploader.ledgers.manifest import read_manifest, write_manifest
from batch_uploader.ledgers.sqlite import SqliteLedger
from batch_uploader.ledgers.sqlite import queries as sql
from batch_uploader.plan.decide import plan
from batch_uploader.ui.frame import count_words
from batch_uploader.ui.stream import ScreenSize
from batch_uploader.ui.summary import summary_lines
from batch_uploader.ui.tally import Tally

STATE = Status("held_back")
STAT = Version(100, 1_000)
OUTCOME = Outcome("a.wav", STATE, STAT, failure=Failure("X", "it is like b.wav"))


def sets():
    return sorted(
        name for name, each in vars(states).items() if isinstance(each, frozenset) and STATE in each
    )


def queries():
    texts = {name: str(text) for name, text in vars(sql).items()}
    return [name for name, text in texts.items() if name.startswith("SELECT") and "held_" in text]


def decisions():
    known = Record("c", "a.wav", STATE, STAT, policy=b"rules")
    changed = Version(101, 1_000)
    plans = [plan(STAT, known, b"rules"), plan(STAT, known, b"x"), plan(changed, known, b"rules")]
    return [each.action for each in plans]


def shown():
    tally = Tally()
    tally.hear(CarriedOver(OUTCOME))
    summary = Summary(Ending.COMPLETED, {STATE: 1}, 0, 0, 0, 0, 0.0, 1.0, (OUTCOME,))
    lines = summary_lines(summary, ScreenSize(80, 24), None, "calls")
    return count_words(tally), ["".join(span.text for span in line) for line in lines]


async def recorded(home):
    async with SqliteLedger(home / "ledger.db", "c") as ledger:
        (answer,) = await ledger.apply([Settle(OUTCOME, b"rules")])
        if isinstance(answer, Exception):
            return str(answer)
        rows = [row.status async for row in ledger.rows(frozenset({STATE}))]
        await write_manifest(ledger.rows(), home / "manifest.jsonl")
    return rows + [row.status for row in read_manifest(home / "manifest.jsonl")]


sys.stdout.write(
    json.dumps(
        {
            "package": batch_uploader.__file__,
            "sets": sets(),
            "resent": STATE in decided_by(Verdict.RESEND),
            "queries": queries(),
            "decisions": decisions(),
            "shown": shown(),
            "recorded": asyncio.run(recorded(Path(sys.argv[1]))),
        }
    )
)
