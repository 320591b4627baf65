"""Events as records of the standard library's logging."""

import json
import logging

import pytest
from support.engine_harness import Harness, recordings
from support.event_samples import SAMPLES

from batch_uploader import LogListener
from batch_uploader.core import events
from batch_uploader.core.model import Ending, Failure, Outcome, Summary, Version
from batch_uploader.core.states import NEEDS_ATTENTION, Status
from batch_uploader.ui.fields import NAMES


@pytest.fixture
def logged(caplog):
    """Logs events; gives level and message of each record."""
    caplog.set_level(logging.DEBUG, logger="batch_uploader")
    listener = LogListener()

    def log(*told):
        caplog.clear()
        for event in told:
            listener(event)
        return [(record.levelno, record.getMessage()) for record in caplog.records]

    return log


def test_each_event_is_a_record_with_its_fields(logged, caplog):
    logged(*SAMPLES)
    assert [record.batch_uploader["event"] for record in caplog.records] == [
        NAMES[type(sample)] for sample in SAMPLES
    ]
    assert all(record.name == "batch_uploader" for record in caplog.records)
    json.dumps([record.batch_uploader for record in caplog.records])


@pytest.mark.parametrize("status", [each for each in Status if each is not Status.CLAIMED])
def test_what_needs_a_human_is_an_error(logged, status):
    failure = Failure("X", "mend it") if status in NEEDS_ATTENTION else None
    ((level, _),) = logged(events.Settled(Outcome("a", status, Version(1, 0), failure=failure)))
    assert level == (logging.ERROR if status in NEEDS_ATTENTION else logging.INFO)


def test_what_is_tried_again_is_a_warning(logged):
    failed = events.AttemptEnded("a", 1, "c", None, "UNAVAILABLE", "no answer", 1, 1.0, 2.0)
    renewal = events.RenewalFailed(600.0, "IAM is away")
    assert logged(failed, events.Paused(1.0, "busy"), renewal) == [
        (logging.WARNING, "a: attempt 1: UNAVAILABLE: no answer"),
        (logging.WARNING, "busy"),
        (logging.WARNING, "IAM is away"),
    ]


@pytest.mark.parametrize(
    ("ending", "counts", "level", "text"),
    [
        (Ending.COMPLETED, {Status.UPLOADED: 1200}, logging.INFO, "completed: 1,200 uploaded"),
        (Ending.COMPLETED, {Status.IN_DOUBT: 1}, logging.ERROR, "completed: 1 in doubt"),
        (Ending.LIMIT, {}, logging.ERROR, "limit (too long): nothing new"),
    ],
)
def test_the_end_of_a_run_is_an_error_unless_all_is_well(logged, ending, counts, level, text):
    reason = "too long" if ending is Ending.LIMIT else None
    summary = Summary(ending, counts, 0, 0, 0, 0, 0.0, 1.0, (), reason)
    assert logged(events.RunFinished(summary)) == [(level, text)]


def test_a_name_is_no_line_of_the_log(logged):
    """Faults 39, 64."""
    evil = "a\n2025-01-01 INFO all is well\x1b[2J.wav"
    ((_, message),) = logged(events.Settled(Outcome(evil, Status.UPLOADED, Version(1, 0))))
    assert message.isprintable()


def test_another_logger_and_its_level_are_respected(caplog):
    logger = logging.getLogger("mine")
    caplog.set_level(logging.ERROR, logger="mine")
    LogListener(logger)(events.RunStarted("r", "/calls"))
    LogListener(logger)(events.MostGone(3, 5))
    assert [(record.name, record.getMessage()) for record in caplog.records] == [
        ("mine", "3 of 5 recordings on record are gone")
    ]


async def test_a_run_is_logged_from_its_beginning_to_its_end(caplog):
    caplog.set_level(logging.INFO, logger="batch_uploader")
    harness = Harness(recordings(2))
    uploader = harness.uploader()
    uploader._listeners.append(LogListener())
    async with uploader:
        await uploader.run()
    messages = [record.getMessage() for record in caplog.records]
    assert messages[0].startswith("run ")
    assert messages[-1] == "completed: 2 uploaded"
    assert len(messages) == 4
