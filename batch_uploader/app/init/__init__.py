"""What ``init`` does: looks at an unknown archive, recognises or guesses what describes it."""
