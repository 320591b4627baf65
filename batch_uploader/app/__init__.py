"""Every command as a library call."""
