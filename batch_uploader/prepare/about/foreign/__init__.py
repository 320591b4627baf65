"""What other systems write about a recording: sidecars of any name and form, tags in the audio."""

from batch_uploader.prepare.about.foreign.declared import DeclaredSidecar, SidecarFormat
from batch_uploader.prepare.about.foreign.gathering import gather, sidecars_of, version_of_more
from batch_uploader.prepare.about.foreign.reader import Sidecar, SidecarReader

__all__ = [
    "DeclaredSidecar",
    "Sidecar",
    "SidecarFormat",
    "SidecarReader",
    "gather",
    "sidecars_of",
    "version_of_more",
]
