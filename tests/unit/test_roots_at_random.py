"""Uploads of directories that contain each other, in an order that is drawn; the talks judge."""

import json
import os
import random
import time
from collections import Counter

import pytest
from support.engine_harness import OPTIONS, of_call, wav

from batch_uploader.app.belonging import Belonging
from batch_uploader.app.guard import RootGuard
from batch_uploader.app.places import Places
from batch_uploader.app.roots import Roots
from batch_uploader.app.uploader import Uploader
from batch_uploader.core.errors import InDoubt, OtherRoots, Rejected
from batch_uploader.ledgers.places import LEDGER_FOLDER
from batch_uploader.ledgers.sqlite import SqliteLedger
from batch_uploader.sinks.memory import MemorySink
from batch_uploader.sources.directory import DirectorySource

pytestmark = pytest.mark.anyio

CONNECTION = "connection-1"
ROOTS = ("", "a", "a/x", "a/y", "b")
LEAVES = ("a", "a/x", "a/y", "b", "c")
STEPS = 24
OLD = 3_600


class Archive:
    """A tree with uploads of its folders, each with its usual ledger or one in a common place."""

    def __init__(self, folder, drawn):
        self.top = folder / "top"
        self.state = folder / "state"
        self.state.mkdir()
        self.drawn = drawn
        self.sink = MemorySink(stamp_field="upload_key")
        self.calls = 0
        self.elsewhere = {root: drawn.random() < 0.3 for root in ROOTS}
        for leaf in LEAVES:
            (self.top / leaf).mkdir(parents=True, exist_ok=True)

    def add(self):
        self.calls += 1
        path = self.top / self.drawn.choice(LEAVES) / f"{self.calls}.wav"
        path.write_bytes(wav(self.calls))
        path.with_suffix(".json").write_bytes(of_call(self.calls))
        then = time.time() - OLD
        for each in (path, path.with_suffix(".json")):
            os.utime(each, (then, then))

    async def upload(self, root, *, adopts):
        """Whether it was not refused."""
        name = root.replace("/", "-") or "top"
        ledger = self.state / f"{name}.db" if self.elsewhere[root] else None
        places = Places.of(self.top / root, ledger, None, CONNECTION)
        roots = Roots(places, CONNECTION)
        source = DirectorySource(
            places.directory,
            ignore=(places.ledger, places.manifest),
            leads_to=places.root,
            watch={LEDGER_FOLDER: roots.require_none_in},
        )
        belonging = Belonging(places.ledger, places.root)
        uploader = Uploader(
            source=source,
            sink=self.sink,
            ledger=SqliteLedger(places.ledger, CONNECTION),
            options=OPTIONS,
            manifest=places.manifest,
            belonging=belonging,
            guard=RootGuard(places, belonging, roots, source, adopts=adopts),
        )
        try:
            async with uploader:
                await uploader.run()
        except OtherRoots:
            return False
        return True

    def fail_some(self):
        how = self.drawn.choice(("lost", "silent", "rejected", None, None))
        silence = InDoubt("no answer", code="DEADLINE_EXCEEDED")
        if how == "lost":
            self.sink.lose_next(silence)
        elif how == "silent":
            self.sink.fail_next(silence)
        elif how == "rejected":
            self.sink.fail_next(Rejected("not this one", code="INVALID_ARGUMENT"))

    def manifest(self):
        return (self.top / "manifest.jsonl").read_text().splitlines()

    def assert_once(self):
        counts = Counter(talk.sha256 for talk in self.sink.talks)
        assert set(counts.values()) <= {1}
        return len(counts)


@pytest.mark.parametrize("seed", range(8))
async def test_whatever_is_uploaded_when_each_call_goes_up_once(tmp_path, seed):
    """Fault 103: doubts and failures among them; in the end the largest has all of them."""
    drawn = random.Random(seed)
    archive = Archive(tmp_path, drawn)
    refused = 0
    for _ in range(STEPS):
        for _ in range(drawn.randrange(3)):
            archive.add()
        archive.fail_some()
        root = drawn.choice(ROOTS)
        adopts = drawn.random() < 0.4
        done = await archive.upload(root, adopts=adopts)
        assert done or not adopts
        refused += not done
        archive.assert_once()
    for _ in range(4):  # what was to fail fails
        assert await archive.upload("", adopts=True)
    stored = archive.assert_once()
    statuses = Counter(json.loads(line)["status"] for line in archive.manifest())
    open_ = sum(statuses.pop(each, 0) for each in ("in_doubt", "conflict", "rejected"))
    assert statuses == {"uploaded": archive.calls - open_}
    assert archive.calls - open_ <= stored <= archive.calls
    assert refused, "they never met"
