"""A command that a user can paste: the same directory, and the flags that it knows."""

import shlex
from pathlib import Path

import pytest

from batch_uploader.cli.again import again, flags_again
from batch_uploader.settings import Settings

FLAGS = {
    "ledger": Path("it's aside.db"),
    "connection-id": "calls",
    "config": Path("a b.toml"),
    "include": ["*.pcm", "*.raw"],
    "trust-times": True,
    "concurrency": "4",
}
PLACE = ["--ledger", "it's aside.db", "--connection-id", "calls", "--config", "a b.toml"]
INCLUDE = ["--include", "*.pcm", "--include", "*.raw"]


@pytest.mark.parametrize(
    ("command", "flags"),
    [
        ("status", PLACE),
        ("resolve", PLACE),
        ("manifest", PLACE),
        ("upload", [*PLACE, *INCLUDE, "--trust-times", "--concurrency", "4"]),
    ],
)
def test_it_has_the_flags_that_it_knows_of_those_that_were_given(command, flags, tmp_path):
    (tmp_path / "a b.toml").touch()
    settings = Settings(Path("my calls"), FLAGS, {}, tmp_path)
    words = shlex.split(again(settings, command, "--json"))
    assert words == ["batch-uploader", command, "my calls", *flags, "--json"]
    assert shlex.split(flags_again(settings, command)) == flags


def test_a_directory_that_looks_like_a_flag_is_told_from_one():
    settings = Settings(Path("-calls"), {}, {})
    assert again(settings, "status") == "batch-uploader status ./-calls"
    assert flags_again(settings, "status") == ""
