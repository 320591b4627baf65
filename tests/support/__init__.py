"""What several tests share: makers of files, peers and failures, harnesses for parts of all."""
