"""No part of a credential is shown, however a peer repeats it."""

import base64
import re
import string
import urllib.parse

import pytest
from hypothesis import given
from hypothesis import strategies as st

from batch_uploader.sinks.speechsense import redaction
from batch_uploader.sinks.speechsense.redaction import remember, reveals, shown
from batch_uploader.sinks.speechsense.rpc_result import RpcResult, flaw, request_id

KEY = "AQVN7-dQm3xkVtbZ0WcYp_LrH5uJ9sEoGfTa2iR"
JWT = "eyJ0eXAiOiJKV1QiLCJhbGciOiJQUzI1NiIsImtpZCI6ImFqZTkxIn0.eyJpc3MiOiJhamUzIn0.kq8-Zx_1w-PdE"
SECRETS = [KEY, JWT]
PART = 8


@pytest.fixture(autouse=True)
def only_these(monkeypatch):
    """The secrets of other tests are no business of these."""
    for name, value in (("_parts", {}), ("_all", frozenset()), ("_sizes", frozenset())):
        monkeypatch.setattr(redaction, name, value)
    for secret in SECRETS:
        remember(secret)


def bare(text):
    return re.sub("[^0-9A-Za-z]+", "", text).lower()


def leaks(text):
    parts = {bare(secret)[at : at + PART] for secret in SECRETS for at in range(len(bare(secret)))}
    return any(part in bare(text) for part in parts if len(part) == PART)


def spelt(text):
    return " ".join(text)


def percent(text):
    return "".join(f"%{byte:02X}" for byte in text.encode())


def coded(encode):
    return lambda text: encode(f"key {text}!".encode()).decode()


WAYS = [
    str,
    str.upper,
    str.lower,
    spelt,
    percent,
    urllib.parse.quote,
    coded(base64.b64encode),
    coded(base64.urlsafe_b64encode),
    coded(base64.b16encode),
    lambda text: text.encode().hex(),
    lambda text: f"key={text.encode().hex()}",
    lambda text: f"0x{text.encode().hex()}",
    lambda text: text.encode().hex(":"),
    lambda text: text.encode().hex(" ").upper(),
    lambda text: "".join(f"\\x{byte:02x}" for byte in text.encode()),
    lambda text: "".join(f"\\u{byte:04x}" for byte in text.encode()),
    lambda text: "".join(f"&#{byte};" for byte in text.encode()),
    lambda text: "".join(f"\\{byte:03o}" for byte in text.encode()),
    lambda text: str(list(text.encode())),
    lambda text: ", ".join(f"0x{byte:02x}" for byte in text.encode()),
    lambda text: "\n".join(text[at : at + 5] for at in range(0, len(text), 5)),
    "\u200b".join,
    lambda text: f'"{text[:20]}" + "{text[20:]}"',
]


@given(
    secret=st.sampled_from(SECRETS),
    way=st.sampled_from(WAYS),
    cut=st.tuples(st.integers(0, 30), st.integers(0, 30)),
    around=st.tuples(*[st.text(string.ascii_letters + " .:;'\"()", max_size=20)] * 2),
)
def test_no_part_of_a_secret_is_shown(secret, way, cut, around):
    """Fault 80."""
    part = secret[cut[0] : len(secret) - cut[1] if cut[1] else None]
    if len(bare(part)) < 12:
        return
    said = f"{around[0]} {way(part)} {around[1]}"
    found = shown(said, 2000)
    assert not leaks(found)
    assert "[...]" in found
    # What was encoded is not there to be decoded either.
    encoded = way(part)
    assert encoded not in found
    assert reveals(said)


def test_what_is_left_on_both_sides_makes_up_no_part():
    """Fault 80."""
    found = shown(f"{KEY[:6]}{KEY[20:32]}{KEY[6:12]}", 300)
    assert not leaks(found)


HONEST = [
    "The service is unavailable, try again",
    "metadata.fields[date]: 2025-04-24T14:34:19 has no offset",
    "Connection bhq9k2 is not found",
    "0f7d1a52-9f0c-4a8e-bb52-6a0d4c3b2a11",
    "upstream connect error or disconnect/reset before headers. reset reason: overflow",
    "1234567890abcdef",
    "fingerprint 9f:86:d0:81:88:4c:7d:65:9a:2f:ea:a0:c5:5a:d0:15",
    "2025-04-24 14:34:19, 10 20 30 40 50 60 70 80",
]


@pytest.mark.parametrize("text", HONEST)
def test_what_is_not_of_a_secret_stays_as_it_is(text):
    assert shown(text, 300) == text
    assert not reveals(text)
    assert flaw(text) is None


@given(st.text())
def test_any_text_is_shown_in_one_line(text):
    assert shown(text, 50).isprintable()
    assert len(shown(text, 50)) <= 50


def test_a_short_secret_counts_as_a_whole():
    remember("emulator-key")
    remember("t-1")
    assert shown("an emulator, emulator-key, t-1", 100) == "an emulator, [...], t-1"
    assert shown("an emulator, t-1", 100, ("t-1",)) == "an emulator, [...]"
    assert not reveals("talk-1-of-t-1")


def test_an_old_secret_is_forgotten_only_after_many_others():
    for number in range(31):
        remember(f"another-one-{number:020}")
    assert "[...]" in shown(JWT, 300)
    assert len(redaction._parts) == 32


def test_ids_show_no_secret():
    """Fault 80."""
    for name in ("x-request-id", "x-server-trace-id"):
        assert not leaks(request_id(((name, f"req-{KEY[5:25]}"),)))
    assert flaw(KEY[3:30]) == "a part of the credential as its talk ID"
    assert not leaks(RpcResult(None, f"bad: {JWT[10:60]}").quote())


def test_what_hides_a_credential_leaves_nothing_of_a_private_value_that_overlaps_it():
    """Fault 80: the digits of a number may be a part of some key."""
    remember("zz55512345678901zz")
    assert shown("call +79055512345678 now", 100, ["+79055512345678"]) == "call [...] now"
    assert shown("r-5551234567890 Ivan", 100, ["67890 Ivan"]) == "r-[...]"
