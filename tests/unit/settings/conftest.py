"""Settings made of what a test gives, and a file with a secret."""

from pathlib import Path

import pytest
from support.settings_harness import SECRET

from batch_uploader.settings import Settings


@pytest.fixture
def settings(tmp_path):
    """Makes Settings of flags, environment and the text of a settings file."""

    def make(flags=None, environment=None, toml=None):
        if toml is not None:
            (tmp_path / "batch-uploader.toml").write_text(toml, "utf-8")
        return Settings(Path("calls"), flags or {}, environment or {}, tmp_path)

    return make


@pytest.fixture
def secret_file(tmp_path):
    file = tmp_path / "key"
    file.write_text(SECRET)
    file.chmod(0o600)
    return file
