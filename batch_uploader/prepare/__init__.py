"""From a pair of files to a recording that is ready to be claimed, or its defects."""
