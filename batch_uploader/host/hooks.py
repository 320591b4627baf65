"""Runs a user's command and waits for it, for a limited time."""

import os
import signal
import subprocess
import sys
from collections.abc import Mapping, Sequence
from contextlib import suppress

_STDERR = 2


def run_hook(
    words: Sequence[str], text: bytes, environment: Mapping[str, str], seconds: float
) -> str | None:
    """Run it without a shell, with ``text`` on stdin. Returns what went wrong, None if nothing.

    All that it prints goes to stderr. After ``seconds`` it is killed with what it started.
    """
    try:
        process = subprocess.Popen(  # noqa: S603 - the user's own command
            words,
            stdin=subprocess.PIPE,
            stdout=_STDERR,
            env=environment,
            # Ctrl-C is for the run, which is over.
            start_new_session=True,
        )
    except (OSError, ValueError) as error:
        reason = error.strerror if isinstance(error, OSError) else error
        return f"cannot be run ({reason})"
    try:
        process.communicate(text, timeout=seconds)
    except subprocess.TimeoutExpired:
        _kill(process)
        return f"did not end within {seconds:g} seconds"
    code = process.returncode
    if code < 0:
        # Not all have names: Linux has 64.
        named = -code in {*signal.Signals}
        return f"was killed by {signal.Signals(-code).name if named else f'signal {-code}'}"
    return f"failed (exit code {code})" if code else None


def _kill(process: subprocess.Popen[bytes]) -> None:
    with suppress(ProcessLookupError, PermissionError):
        if sys.platform == "win32":
            process.kill()
        else:
            os.killpg(process.pid, signal.SIGKILL)
    process.wait()
