"""One run as a process of its own: what ``upload`` puts together, with deadlines of a second.

What the service grants of Search in a day would be used up by the doubts of such a run, so its
quota is another one. SQLite's cache, which is full at 16 MiB after 30,000 recordings or so, is kept
small, so that it does not cover up what grows. Writes the summary's counts to stdout as JSON.
"""

import json
import sqlite3
import sys
from contextlib import closing
from pathlib import Path

import anyio

from batch_uploader.app.uploader import Uploader
from batch_uploader.emulator import API_KEY
from batch_uploader.ledgers.places import ledger_path, manifest_path
from batch_uploader.ledgers.sqlite import SqliteLedger
from batch_uploader.pace.retry import RetryPolicy
from batch_uploader.run.options import RunOptions
from batch_uploader.sinks.speechsense.channel import Endpoint
from batch_uploader.sinks.speechsense.credentials import ApiKey
from batch_uploader.sinks.speechsense.quota import Quota
from batch_uploader.sinks.speechsense.sink import SpeechSenseSink
from batch_uploader.sources.directory import DirectorySource
from batch_uploader.ui.attemptlog import AttemptLog

SQLITE_BYTES = 2 * 1024 * 1024


async def main(folder, address, ca_file, *, deadline, hold):
    endpoint = Endpoint.parse(address, ca_file=Path(ca_file))
    ledger, manifest = ledger_path(folder), manifest_path(folder)
    with AttemptLog(folder / "log.jsonl") as log:
        uploader = Uploader(
            source=DirectorySource(folder, ignore=(ledger, manifest, folder / "log.jsonl")),
            sink=SpeechSenseSink(
                endpoint, ApiKey(API_KEY), stamp_field="upload_key", quota=Quota(((100, 0.1),))
            ),
            ledger=SqliteLedger(ledger, "demo"),
            options=RunOptions(
                min_age=0,
                min_age_open=0,
                sidecar_wait=0,
                hold=hold,
                wait_for_doubt=True,
                retry=RetryPolicy(deadline=deadline),
            ),
            manifest=manifest,
            listeners=[log],
        )
        async with uploader:
            summary = await uploader.run()
    sys.stdout.write(json.dumps({status.value: n for status, n in summary.counts.items()}))


with closing(sqlite3.connect(":memory:")) as database:
    # It holds for all of the process.
    database.execute(f"PRAGMA soft_heap_limit = {SQLITE_BYTES}")
anyio.run(lambda: main(Path(sys.argv[1]), *sys.argv[2:4], **json.loads(sys.argv[4])))
