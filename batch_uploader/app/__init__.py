"""Every command as a library call: what is put together, and where its files are."""
