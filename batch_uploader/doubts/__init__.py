"""Settles doubts by searching for the talks that the service holds."""

from batch_uploader.doubts.loop import Reconciler
from batch_uploader.doubts.policy import SEARCHED, Patience

__all__ = ["SEARCHED", "Patience", "Reconciler"]
