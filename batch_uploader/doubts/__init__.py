"""Settling what is in doubt by asking the service which talks it holds."""

from batch_uploader.doubts.loop import Reconciler
from batch_uploader.doubts.policy import SEARCHED, Patience

__all__ = ["SEARCHED", "Patience", "Reconciler"]
