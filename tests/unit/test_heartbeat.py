"""What systemd hears: on a real socket, and from the events of a run."""

import itertools
import os
import socket
import sys

import pytest

from batch_uploader.core import events
from batch_uploader.core.model import Ending, Outcome, Summary, Version
from batch_uploader.core.states import Status
from batch_uploader.host.systemd import ServiceManager
from batch_uploader.ui.heartbeat import Heartbeat

pytestmark = pytest.mark.skipif(sys.platform == "win32", reason="systemd is Linux's")


@pytest.fixture(params=["file", "abstract"])
def manager(request, tmp_path):
    """The other end: a datagram socket, and the environment that leads to it."""
    if request.param == "abstract" and sys.platform != "linux":
        pytest.skip("an address without a file is Linux's")
    name = str(tmp_path / "notify") if request.param == "file" else f"@batch-uploader-{os.getpid()}"
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as listener:
        listener.bind(name.replace("@", "\0", 1))
        listener.settimeout(0)
        yield listener, {"NOTIFY_SOCKET": name}


def test_it_is_told_over_its_socket(manager):
    listener, environment = manager
    with ServiceManager(environment) as told:
        assert told.listens
        told.tell(READY="1", STATUS="grüß dich")
        assert listener.recv(1000).decode() == "READY=1\nSTATUS=grüß dich"
    assert not told.listens
    told.tell(READY="1")
    with pytest.raises(BlockingIOError):
        listener.recv(1000)


def test_its_socket_may_have_an_at_in_its_name(tmp_path):
    name = tmp_path / "calls@1"
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as listener:
        listener.bind(str(name))
        with ServiceManager({"NOTIFY_SOCKET": str(name)}) as told:
            assert told.listens


def test_a_manager_that_reads_nothing_holds_nobody_up(manager):
    _listener, environment = manager
    with ServiceManager(environment) as told:
        for _ in range(10_000):
            told.tell(WATCHDOG="1")


@pytest.mark.parametrize("address", ["", "relative", "/no/such/socket"])
def test_without_a_manager_nothing_happens(address):
    with ServiceManager({"NOTIFY_SOCKET": address, "WATCHDOG_USEC": "no"}) as told:
        assert not told.listens
        assert told.watchdog is None
        told.tell(READY="1")


@pytest.mark.parametrize(
    ("more", "seconds"),
    [
        ({}, None),
        ({"WATCHDOG_USEC": "30000000"}, 30.0),
        ({"WATCHDOG_USEC": "0"}, None),
        ({"WATCHDOG_USEC": "30000000", "WATCHDOG_PID": str(os.getpid())}, 30.0),
        ({"WATCHDOG_USEC": "30000000", "WATCHDOG_PID": "1"}, None),
    ],
)
def test_its_patience_is_in_the_environment(more, seconds):
    assert ServiceManager({"NOTIFY_SOCKET": "/x", **more}).watchdog == seconds


class Heard:
    """A heartbeat, what it said, and its time."""

    def __init__(self, watchdog=60.0):
        self.now = 0.0
        self.said = []
        self.heartbeat = Heartbeat(
            lambda **state: self.said.append((self.now, state)), watchdog, lambda: self.now
        )

    def __call__(self, *happened):
        for event in happened:
            self.heartbeat(event)

    def all(self, name):
        return [state[name] for _, state in self.said if name in state]

    def fed(self):
        return [at for at, state in self.said if "WATCHDOG" in state]


SETTLED = events.Settled(Outcome("a.wav", Status.UPLOADED, Version(1, 0)))
FAILED = events.Settled(Outcome("b.wav", Status.FAILED, Version(1, 0)))


def test_the_status_tells_where_the_run_stands():
    heard = Heard()
    heard(events.RunStarted("r", "/calls"))
    assert heard.all("READY") == ["1"]
    heard(events.FolderPlanned("", 2000, 1, 0, 0))
    heard.now = 2.0
    heard(SETTLED)
    heard.now = 4.0
    heard(FAILED)
    heard(events.Paused(5.0, "it is\ntoo much"))
    heard(events.Draining("stopped by SIGTERM"))
    heard(events.RunFinished(Summary(Ending.COMPLETED, {}, 0, 0, 0, 0, 0.0, 1.0, ())))
    assert heard.all("STATUS") == [
        "looking for recordings",
        "0 of 2,000 recordings",
        "1 of 2,000 recordings, 1 uploaded",
        "2 of 2,000 recordings, 1 uploaded, 1 needs attention",
        "paused: it is too much; 2 of 2,000 recordings, 1 uploaded, 1 needs attention",
        "stopping: stopped by SIGTERM; 2 of 2,000 recordings, 1 uploaded, 1 needs attention",
        "finished; 2 of 2,000 recordings, 1 uploaded, 1 needs attention",
    ]
    assert heard.all("STOPPING") == ["1"]


def test_the_watchdog_is_fed_by_progress_and_not_by_each_event():
    heard = Heard(watchdog=60.0)
    for tenth in range(3000):
        heard.now = tenth / 10
        heard(events.BytesSent("a.wav", 1000))
    fed = heard.fed()
    assert 45 <= len(fed) <= 50
    assert max(b - a for a, b in itertools.pairwise(fed)) < 30


def test_nothing_that_happens_feeds_nobody():
    heard = Heard(watchdog=60.0)
    heard(SETTLED)
    heard.now = 1000.0
    assert heard.fed() == [0.0]


def test_a_long_pause_is_announced_and_taken_back():
    heard = Heard(watchdog=60.0)
    heard(events.Paused(600.0, "wait"))
    assert heard.all("WATCHDOG_USEC") == ["660000000"]
    heard.now = 1.0
    heard(SETTLED)
    assert heard.all("WATCHDOG_USEC") == ["660000000"], "the pause goes on"
    heard.now = 601.0
    heard(SETTLED)
    assert heard.all("WATCHDOG_USEC") == ["660000000", "60000000"]


@pytest.mark.parametrize(
    "event",
    [
        events.DoubtsWaiting(600.0, 3),
        events.AttemptEnded("a", 1, "c", None, "UNAVAILABLE", "busy", 0, 1.0, 600.0, None),
    ],
)
def test_other_waits_are_announced_as_pauses_are(event):
    heard = Heard(watchdog=60.0)
    heard(event)
    assert heard.all("WATCHDOG_USEC") == ["660000000"]


def test_a_shorter_pause_takes_nothing_from_a_longer_one():
    heard = Heard(watchdog=60.0)
    heard(events.Paused(600.0, "wait"))
    heard(events.Paused(40.0, "wait"))
    assert heard.all("WATCHDOG_USEC") == ["660000000"]


def test_a_short_pause_needs_no_patience():
    heard = Heard(watchdog=60.0)
    heard(events.Paused(5.0, "wait"))
    assert heard.all("WATCHDOG_USEC") == []


def test_without_a_watchdog_nobody_is_fed():
    heard = Heard(watchdog=None)
    heard(events.Paused(600.0, "wait"), SETTLED)
    assert heard.fed() == []


def test_a_long_wait_for_doubts_is_no_hang():
    heard = Heard(watchdog=60.0)
    heard(events.RunStarted("r", "/calls"), events.FolderPlanned("", 1, 1, 0, 0), SETTLED)
    heard.now = 10.0
    heard(events.DoubtsWaiting(300.0, 1_000))
    assert heard.all("WATCHDOG_USEC") == ["360000000"]
    assert heard.all("STATUS")[-1].startswith("searching for 1,000 in doubt; ")
