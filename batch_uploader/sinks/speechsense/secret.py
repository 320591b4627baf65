"""What can be a secret: one word of printable ASCII that fits into a header."""

from typing import Final

from batch_uploader.core.checks import require_type
from batch_uploader.core.errors import ConfigError

LONGEST_SECRET: Final = 8 * 1024
"""Characters: servers may refuse longer headers; the longest IAM token has less than half."""


def is_secret(text: object) -> bool:
    """Whether a header can carry it."""
    return isinstance(text, str) and len(text) <= LONGEST_SECRET and _one_word(text)


def sound(secret: str, name: str) -> str:
    """The secret without white space around it and without a byte-order mark.

    ``name`` is what holds it. Raises ConfigError, which does not show the secret.
    """
    require_type(name, secret, str)
    word = secret.removeprefix("\ufeff").strip()
    if not word:
        raise ConfigError(f"{name} is empty", hint="put the secret in it")
    if not _one_word(word):
        raise ConfigError(
            f"{name} holds more than one word, or characters that no secret has",
            hint="put only the secret in it, in one line",
        )
    if len(word) > LONGEST_SECRET:
        raise ConfigError(
            f"{name} holds {len(word):,} characters, which is too long for a secret",
            hint="put only the secret in it",
        )
    return word


def _one_word(text: str) -> bool:
    return bool(text) and text.isascii() and text.isprintable() and " " not in text
