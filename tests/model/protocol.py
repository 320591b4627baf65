"""The protocol as an explicit model, and the walk through all that can happen in it.

The order of a worker's steps and what the outside may do are written down here; what follows from
what is the real code, in ``decisions``. ``Model.steps`` yields every world that may come next, so
the whole of what can happen is a graph, and ``explore`` walks it to its end.
"""

from collections import Counter
from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace

from model import decisions
from model.decisions import (
    Search,
    claimed,
    compared,
    decided,
    ended,
    forgotten,
    judged,
    planned,
    recovered,
    rejudged,
    released,
    touched,
    transfer_of,
)
from model.world import (
    Content,
    Ledger,
    Message,
    Run,
    Worker,
    World,
    removed,
    replaced,
    sender_of,
    stored,
    with_worker,
    without_run,
    written,
)

from batch_uploader.core.errors import InDoubt, LedgerError, NotSent, Rejected, SinkError
from batch_uploader.core.model import Outcome, Receipt
from batch_uploader.core.records import ClaimResult, Record
from batch_uploader.core.states import MAYBE_STORED, Action, Status
from batch_uploader.doubts.policy import SearchPatience
from batch_uploader.pace import retry

HOLD = 1800.0
"""Seconds; in the model, whatever a doubt left on its way has arrived or is lost by then.

What arrived after the doubt arose is seen by Search by then as well. Of all else nothing is known:
Search sees talks in the order in which they were stored, and may stand still for any time.
"""
WAIT = SearchPatience(HOLD)
_NOT_SENT = NotSent("refused", code="UNAVAILABLE")
_REJECTED = Rejected("bad", code="INVALID_ARGUMENT")
_SILENCE = InDoubt("no answer", code="DEADLINE_EXCEEDED")

Step = tuple[str, World]


@dataclass(frozen=True)
class Model:
    """What may happen. Each switch turned off, or function swapped, is a mutant.

    ``runs`` may be started and each may try a recording ``attempts`` times. ``durable``: a claim
    has reached the disk when it is granted. ``lock``: one run or ``resolve`` at a time;
    ``owners``: it is known which runs are alive, and their claims stay, so there may be several.
    ``looks``: what is in doubt is looked for before it is sent again; ``hold``: not before all that
    was sent is stored or lost; ``patient``: and not before Search sees all that is stored. ``wait``
    is the hold by which a run's own searches go. ``met``: files change only once a run has recorded
    them. ``human``: what may be the same call is decided by somebody who knows; without it nothing
    may be held. ``calls``: the call that each recording is, by its key. ``strict``: an ending that
    the ledger refuses is wrong in itself; without it the run ends, and all goes on.
    """

    runs: int = 3
    attempts: int = 3
    durable: bool = True
    lock: bool = True
    owners: bool = False
    looks: bool = True
    hold: bool = True
    patient: bool = True
    met: bool = False
    human: bool = False
    calls: frozenset[tuple[str, Content]] = frozenset()
    strict: bool = True
    may_repeat: Callable[[BaseException], bool] = retry.may_repeat
    wait: SearchPatience = WAIT

    def steps(self, world: World) -> Iterator[Step]:
        """Every step that may be next, with its name."""
        yield from self._outside(world)
        if not (world.runs and self.lock):
            if world.starts < self.runs:
                yield f"run {world.starts + 1} starts", self.start(world)
            for record in world.seen.current:
                yield from self._resolve(world, record)
        for record in world.seen.current:
            yield from self._search(world, record)
        for run in world.runs:
            yield f"run {run.number} is killed", replace(without_run(world, run), seen=world.disk)
            for worker in run.workers:
                yield from self._work(world, run, worker)

    def _outside(self, world: World) -> Iterator[Step]:
        for message in set(world.wire):
            rest = removed(world.wire, message)
            yield f"what {message.sender} sent is stored", stored(world, message)
            yield f"what {message.sender} sent is lost", replace(world, wire=rest)
        unseen = [talk for talk in world.talks if not talk.found]
        for talk in unseen[:1]:
            found = replaced(world.talks, talk, replace(talk, found=True))
            yield f"{talk.talk_id} is found", replace(world, talks=found)
        if world.edits and (not self.met or self._all_met(world)):
            files, *edits = world.edits
            yield f"the files become {files}", replace(world, files=files, edits=tuple(edits))

    def _all_met(self, world: World) -> bool:
        gone = decisions.gone(world.seen, world.files)
        return all(world.seen.at(file.path) and file.path not in gone for file in world.files)

    def start(self, world: World) -> World:
        """A run begins: it recovers and plans."""
        world = written(world, recovered(world.seen, self._living(world)))
        there = {file.path for file in world.files}
        for record in world.seen.current:
            if record.path not in there:
                world = written(world, forgotten(world.seen, record.path))
        due = []
        for file in world.files:
            action = planned(file, world.seen.at(file.path))
            if action is Action.UPLOAD:
                due.append(Worker(file))
            elif action is Action.COMPARE_METADATA:
                world = written(world, touched(world.seen, file))
        run = Run(world.starts + 1, tuple(due))
        world = replace(world, starts=world.starts + 1, runs=(*world.runs, run))
        return world if due else self._all_ended(world, run)

    def _left(self, world: World, run: Run, worker: Worker) -> World:
        """A recording is done with."""
        after = replace(run, workers=removed(run.workers, worker))
        world = replace(world, runs=replaced(world.runs, run, after))
        return world if after.workers else self._all_ended(world, after)

    def _all_ended(self, world: World, run: Run) -> World:
        """A run judges again what may be a call on record, once, and sends what is free."""
        free = []
        for record in () if run.judged else world.seen.current:
            if record.status is Status.POSSIBLE_DUPLICATE:
                gone = decisions.gone(world.seen, world.files)
                answer, _, ledger = rejudged(world.seen, record.path, gone)
                world = written(world, ledger)
                free += [record.path] if answer is ClaimResult.GRANTED else []
        due = tuple(Worker(file) for file in world.files if file.path in free)
        if not due:
            return without_run(world, run)
        return replace(world, runs=replaced(world.runs, run, Run(run.number, due, judged=True)))

    def _living(self, world: World) -> frozenset[int]:
        """Whose claims stay."""
        return frozenset(run.number for run in world.runs if self.owners)

    def _resolve(self, world: World, record: Record) -> Iterator[Step]:
        ledger = recovered(world.seen, self._living(world))
        record = ledger.at(record.path) or record
        if record.status is Status.POSSIBLE_DUPLICATE and self.human:
            yield from self._compare(world, ledger, record)
        if record.status is not Status.IN_DOUBT:
            return
        if self.hold and any(message.key == record.key for message in world.wire):
            return
        mine = [talk for talk in world.talks if talk.key == record.key]
        if self.patient and not all(talk.found for talk in mine):
            return
        hits = [talk.talk_id for talk in mine if talk.found] if self.looks else []
        after = decided(ledger, record, hits[0] if hits else None)
        yield f"{record.path} is resolved: {hits or 'again'}", written(world, after)

    def _compare(self, world: World, ledger: Ledger, held: Record) -> Iterator[Step]:
        """A human compares both files, if the other one may be stored."""
        calls = dict(self.calls)
        others = [
            calls[record.key]
            for record in (*ledger.current, *ledger.history)
            if record.path == held.duplicate_of and record.status in MAYBE_STORED
        ]
        if others:
            same = calls[held.key] in others
            after = written(world, compared(ledger, held, same=same))
            yield f"{held.path} is called {'the same' if same else 'another'}", after

    def _search(self, world: World, record: Record) -> Iterator[Step]:
        """A run looks for what is in doubt, and sends again what is not there.

        It may have ended all else by then.
        """
        if record.status is not Status.IN_DOUBT:
            return
        index = frozenset(talk.talk_id for talk in world.talks if talk.found)
        mine = [talk for talk in world.talks if talk.key == record.key]
        hits = tuple(talk.talk_id for talk in mine if talk.found)
        looks = [(0.0, hits)]
        on_its_way = record.key in {message.key for message in world.wire}
        if not on_its_way and all(talk.found for talk in mine if talk.late):
            # That is what the hold is for. Search may overlook it once even then, and that is what
            # the second miss is for.
            looks += [(HOLD, hits), (HOLD, ()), (HOLD + WAIT.spacing, hits)]
        for age, seen in looks:
            after = judged(world.seen, record, Search(seen, index), age, self.wait)
            searched = written(world, after)
            yield f"{record.path} is searched for after {age} s: {seen}", searched
            again = after.at(record.path)
            if again is not None and again.status is Status.FAILED:
                yield f"{record.path} is absent and sent again", _once_more(searched, record.path)

    def _work(self, world: World, run: Run, worker: Worker) -> Iterator[Step]:
        name = f"run {run.number} {worker.file.path}"
        if not worker.claimed:
            yield from self._claim(world, run, worker, name)
        elif not worker.waiting:
            ledger = released(world.seen, worker.file.path, run.number)
            if ledger is not None:
                yield f"{name} is given back", self._left(written(world, ledger), run, worker)
            sent = replace(worker, waiting=True, attempts=worker.attempts + 1)
            message = Message(
                worker.file.recording().key, worker.file.content, sender_of(run, worker)
            )
            wire = tuple(sorted((*world.wire, message)))
            yield f"{name} is sent", replace(with_worker(world, run, worker, sent), wire=wire)
        else:
            yield from self._answer(world, run, worker, name)

    def _claim(self, world: World, run: Run, worker: Worker, name: str) -> Iterator[Step]:
        gone = decisions.gone(world.seen, world.files)
        answer, other, ledger = claimed(world.seen, worker.file, run.number, gone)
        busy = {each.file.path for each in run.workers}
        if answer is ClaimResult.BUSY and other in busy:
            return
        after = replace(world, seen=ledger, disk=ledger if self.durable else world.disk)
        if answer is ClaimResult.GRANTED:
            next_ = with_worker(after, run, worker, replace(worker, claimed=True))
        else:
            next_ = self._left(after, run, worker)
        yield f"{name} claims: {answer}", next_

    def _answer(self, world: World, run: Run, worker: Worker, name: str) -> Iterator[Step]:
        sender = sender_of(run, worker)
        for message in world.wire:
            if message.sender == sender:
                # It is proved not to be stored: what is on the wire is known to be gone.
                known = replace(world, wire=removed(world.wire, message))
                yield from self._failed(known, run, worker, name, _NOT_SENT)
                yield from self._failed(known, run, worker, name, _REJECTED)
        for talk in world.talks:
            if talk.sender == sender:
                outcome = transfer_of(worker).uploaded(Receipt(talk.talk_id))
                yield f"{name} is up", self._end(world, run, worker, outcome)
        yield from self._failed(world, run, worker, name, _SILENCE)

    def _failed(
        self, world: World, run: Run, worker: Worker, name: str, error: SinkError
    ) -> Iterator[Step]:
        if self.may_repeat(error) and worker.attempts < self.attempts:
            again = with_worker(world, run, worker, replace(worker, waiting=False, claimed=False))
            ledger = released(world.seen, worker.file.path, run.number)
            if ledger is not None:
                yield f"{name} waits to be tried again: {error}", written(again, ledger)
        else:
            outcome = transfer_of(worker).outcome(error)
            yield f"{name} ended: {error}", self._end(world, run, worker, outcome)

    def _end(self, world: World, run: Run, worker: Worker, outcome: Outcome) -> World:
        fault = "the claim is lost"
        try:
            ledger = ended(world.seen, outcome, run.number)
        except LedgerError as error:
            fault, ledger = str(error), None
        if ledger is None:
            # It ends the run, and what the service said is lost.
            killed = replace(without_run(world, run), seen=world.disk)
            return replace(killed, bug=fault if self.strict else None)
        return self._left(written(world, ledger), run, worker)


def _once_more(world: World, path: str) -> World:
    due = [Worker(file) for file in world.files if file.path == path]
    if not due:
        return world
    if not world.runs:
        return replace(world, runs=(Run(world.starts, tuple(due)),))
    run = world.runs[0]
    if path in {worker.file.path for worker in run.workers}:
        return world
    workers = tuple(sorted((*run.workers, *due)))
    return replace(world, runs=replaced(world.runs, run, replace(run, workers=workers)))


def wrong(world: World) -> str | None:
    """What must never be, if it is so here."""
    if world.bug is not None:
        return world.bug
    for name, counts in (
        ("recording", Counter(talk.key for talk in world.talks)),
        ("content", Counter(talk.content for talk in world.talks)),
    ):
        twice = [each for each, count in counts.items() if count > 1]
        if twice:
            return f"two talks of the {name} {twice}"
    held = {talk.talk_id: talk.key for talk in world.talks}
    for record in (*world.disk.current, *world.disk.history):
        if record.status is Status.UPLOADED and held.get(record.talk_id or "") != record.key:
            return f"{record.path} is uploaded, and there is no such talk"
    return None


def wrong_in_the_end(world: World, walked: Model) -> str | None:
    """What is wrong when nothing goes wrong any more, doubts are decided and runs follow.

    For a world in which no run is alive and nothing is on its way.
    """
    model = Model(runs=world.starts + 3, human=walked.human, calls=walked.calls)
    talks = tuple(replace(talk, found=True) for talk in world.talks)
    world = replace(world, talks=talks)
    for _ in range(3):
        for record in world.seen.current:
            for _, after in model._resolve(world, record):
                world = after
        world = model.start(world)
        while world.runs:
            world = _well(model, world)
    fault = wrong(world)
    if fault is not None:
        return fault
    for file in world.files:
        record = world.seen.at(file.path)
        if record is not None and record.status is Status.REJECTED:
            continue
        # Once a talk is up, what its sidecar says later is not sent; the run says so.
        key = file.recording().key
        talks = [t for t in world.talks if t.key == key or t.content == file.content]
        if len(talks) != 1 or record is None:
            return f"{file} has the talks {talks} and is {record and record.status}"
        if record.status not in {Status.UPLOADED, Status.DUPLICATE}:
            return f"{file} has a talk and is {record.status}"
    return None


def _well(model: Model, world: World) -> World:
    """The next step of a run that meets nothing but success."""
    for message in world.wire:
        return stored(world, message)
    run = world.runs[0]
    for worker in run.workers:
        for name, after in model._work(world, run, worker):
            if any(word in name for word in ("claims", "is sent", "is up")):
                return replace(after, talks=tuple(replace(t, found=True) for t in after.talks))
    raise AssertionError(f"nothing can go on in {world}")


def explore(model: Model, first: World) -> tuple[int, str | None]:
    """How many worlds can be reached, and how the first wrong one comes about, if there is one."""
    files = {file for files in (first.files, *first.edits) for file in files}
    calls = frozenset((file.recording().key, file.content) for file in files)
    model = replace(model, calls=calls)
    came_from: dict[World, tuple[World, str] | None] = {first: None}
    front = [first]
    while front:
        following = []
        for world in front:
            fault = wrong(world)
            if fault is None and not world.runs and not world.wire:
                fault = wrong_in_the_end(world, model)
                fault = fault and f"and when nothing goes wrong any more: {fault}"
            if fault is not None:
                return len(came_from), f"{_story(came_from, world)}\n{fault}"
            for name, after in model.steps(world):
                if after not in came_from:
                    came_from[after] = (world, name)
                    following.append(after)
        front = following
    return len(came_from), None


def _story(came_from: dict[World, tuple[World, str] | None], world: World) -> str:
    names = []
    while (step := came_from[world]) is not None:
        world, name = step
        names.append(name)
    return "\n".join(reversed(names))
