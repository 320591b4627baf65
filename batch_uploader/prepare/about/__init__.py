"""Makes a recording's metadata from what tables, names, sidecars of any shape and tags say."""
