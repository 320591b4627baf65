"""Settles doubts by searching for the talks that the service holds."""

from batch_uploader.doubts.loop import Reconciler
from batch_uploader.doubts.policy import SEARCHED, SearchPatience

__all__ = ["SEARCHED", "Reconciler", "SearchPatience"]
