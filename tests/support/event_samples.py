"""One of each event that ``--progress json`` tells."""

from batch_uploader.core import events
from batch_uploader.core.model import Ending, Failure, Outcome, PassedOver, Summary, Version
from batch_uploader.core.states import Status

OUTCOME = Outcome("a", Status.FAILED, Version(1, 0), failure=Failure("X", "mend it"))
SAMPLES = [
    events.RunStarted("r", "/calls"),
    events.FolderPlanned("", 1, 1, 1, 1),
    events.Decided("a", "upload", "new"),
    events.ScanFinished(1, 100),
    events.UploadStarted("a", 1),
    events.AttemptEnded("a", 1, "c", None, "OK", "", 1, 1.0, None),
    events.Settled(OUTCOME),
    events.ProblemFound(OUTCOME),
    events.Unreadable(OUTCOME),
    events.AlreadyThere("a", 1, outdated=False),
    events.SetAside("2025/01/a.wav", 100),
    events.Judged(OUTCOME),
    events.DefaultIdsOff(("2025-01-01T10:00:00Z", "1", "unknown"), ("a.wav", "b.wav"), 1, 9),
    events.LearningStarted(),
    events.ComparisonStarted(1, 100),
    events.Compared("a", 1, events.Comparison.SAME),
    events.Waiting("a", 1),
    events.ReturnedUnsent("a", 1),
    events.CarriedOver(OUTCOME),
    events.Reconciled(OUTCOME, None),
    events.DoubtsWaiting(1.0, 1),
    events.Paused(1.0, "busy"),
    events.RenewalFailed(600.0, "IAM is away"),
    events.Draining("interrupted"),
    events.MostGone(3, 5),
    events.FilesPassedOver((PassedOver(".dat", 2, 0, "WAV", "a.dat", "*.dat", None, new=True),)),
    events.RunFinished(Summary(Ending.COMPLETED, {}, 0, 0, 0, 0, 0.0, 1.0, ())),
]
