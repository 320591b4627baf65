"""Options are checked where they are made, as strictly as those of the command line."""

import math

import pytest

from batch_uploader import (
    ApiKey,
    AudioRules,
    ConfigError,
    DirectorySource,
    Endpoint,
    IamToken,
    IamTokenFile,
    Kind,
    MemoryLedger,
    MemorySink,
    MemorySource,
    RawFormat,
    RetryPolicy,
    Rules,
    RunOptions,
    Schema,
    Security,
    ServiceAccountKey,
    SpeechSenseSink,
    Timetable,
    Uploader,
)

HERE = Endpoint("127.0.0.1", 1, security=Security.PLAINTEXT)


@pytest.mark.parametrize(
    ("make", "name", "value"),
    [
        *((RunOptions, "concurrency", value) for value in (0, -1, 1025, 1.5, True, "8", None)),
        *((RunOptions, "rate", value) for value in (0, -1, math.nan, math.inf, "20/s")),
        *((RunOptions, "max_recordings", value) for value in (0, -5, 2.5)),
        *((RunOptions, name, -1) for name in ("min_age", "grace", "max_audio", "max_outage")),
        *((RunOptions, name, 0) for name in ("memory", "expanded_memory")),
        *((RunOptions, name, 0) for name in ("max_audio", "max_outage")),
        *((RunOptions, "hold", value) for value in (0, 0.5, -1)),
        *((RetryPolicy, name, 0) for name in ("attempts", "first_pause", "slowest_rate")),
        *((RetryPolicy, name, 0) for name in ("deadline", "longest_pause")),
        *((AudioRules, name, 0) for name in ("channels", "max_duration")),
        *((lambda **how: RawFormat(**{"sample_rate": 8000, "channels": 1, **how}), *each)
          for each in (("sample_rate", 0), ("channels", 0))),
    ],
)  # fmt: skip
def test_what_makes_no_sense_is_refused_by_name(make, name, value):
    with pytest.raises(ConfigError, match=f"^{name} is "):
        make(**{name: value})


def test_none_is_no_limit_where_there_may_be_none():
    options = RunOptions(rate=None, max_audio=None, max_recordings=None)
    assert options == RunOptions()


@pytest.mark.parametrize(
    ("make", "name", "value"),
    [
        # A word in place of a member would count for the other one.
        (Rules, "sidecar", "optional"),
        (Rules, "schema", {"required": ["date"]}),
        (Rules, "audio", None),
        (AudioRules, "raw", 8000),
        (AudioRules, "ogg_end", "optional"),
        (RunOptions, "bandwidth", "8M"),
        (RunOptions, "retry", 3),
        (RunOptions, "wait_for_doubt", "no"),
        (Schema, "required", "date"),
        (Schema, "declared", "date"),
        (Schema, "types", {"date": "date"}),
        (Schema, "the default 'age'", None),
        (Schema, "stamp_field", "two words"),
        (Schema, "stamp_field", ""),
        (Schema.for_kind, "kind", "two-channel"),
        *((Timetable, "entries", value) for value in ((), ((60, 1), (60, 2)), ((60, 1), (0, 1)))),
        (Timetable, "minute", ((24 * 60, 1),)),
        *((Timetable, "bandwidth", ((0, value),)) for value in (0, -1, 1.5)),
        *((Endpoint, "host", value) for value in ("", "a host", None)),
        *((Endpoint, "port", value) for value in (0, -1, 65536, "443", None)),
        (Endpoint, "security", "plaintext"),
        (Endpoint, "proxy", "ignored"),
        (Endpoint, "ca_file", ""),
        (SpeechSenseSink, "stamp_field", ""),
        (SpeechSenseSink, "unavailable", "doubted"),
        (SpeechSenseSink, "endpoint", "localhost:443"),
        (SpeechSenseSink, "credentials", "the-secret-itself"),
        (SpeechSenseSink, "credentials", ApiKey),
        *((SpeechSenseSink, name, value)
          for name in ("whole_limit", "chunk_size") for value in ("8M", 2.5, -1, 10**9)),
        (Uploader, "connection_id", ""),
        (Uploader, "rules", Schema()),
        (Uploader, "options", {"rate": 1}),
        (Uploader, "listeners", print),
        (Uploader, "manifest", ""),
    ],
)  # fmt: skip
def test_what_is_of_another_kind_is_refused_where_it_is_made(make, name, value):
    others = {
        Endpoint: {"host": "localhost", "port": 443},
        SpeechSenseSink: {"endpoint": HERE, "credentials": ApiKey("k")},
        Uploader: {"source": MemorySource({}), "sink": MemorySink(), "ledger": MemoryLedger("c")},
    }
    where = {
        "the default 'age'": {"defaults": {"age": value}},
        "minute": {"entries": value},
        "bandwidth": {"entries": value} if make is Timetable else {"bandwidth": value},
        "connection_id": {"ledger": MemoryLedger(value)},
    }
    given = {**others.get(make, {}), **where.get(name, {name: value})}
    with pytest.raises(ConfigError, match=f"^{name} (is|are|have) ") as refused:
        make(**given)
    assert "the-secret-itself" not in str(refused.value)


@pytest.mark.parametrize(
    "make", [ApiKey, IamToken, ApiKey.from_file, IamTokenFile, ServiceAccountKey.from_file]
)
@pytest.mark.parametrize("value", ["", None, b"secret-key", 5])
def test_what_cannot_be_a_credential_is_refused(make, value):
    with pytest.raises(ConfigError) as refused:
        make(value)
    if make in {ApiKey, IamToken}:
        assert "secret-key" not in str(refused.value)


def test_strings_are_taken_for_paths(tmp_path):
    file = tmp_path / "key"
    file.write_text("a-key")
    file.chmod(0o600)
    for make in (ApiKey.from_file, IamTokenFile):
        make(str(file))
    assert Endpoint("h", 1, ca_file=str(file)) == Endpoint.parse("h:1", ca_file=file)
    assert DirectorySource(str(tmp_path)).where == str(tmp_path)


def test_a_listener_that_nobody_would_await_is_refused():
    async def listen(event):
        raise AssertionError

    class Listener:
        async def __call__(self, event):
            raise AssertionError

    for each in (listen, Listener(), "print"):
        with pytest.raises(ConfigError, match="not async"):
            Uploader(
                source=MemorySource({}),
                sink=MemorySink(),
                ledger=MemoryLedger("c"),
                listeners=[each],
            )


def test_kinds_as_the_guide_has_them_are_made():
    for kind in Kind:
        assert Rules(Schema.for_kind(kind, required=["ticket"])).schema.required > {"ticket"}
    assert Timetable.parse("08:00 2M 20:00 off").at(0) is None
    assert AudioRules(raw=RawFormat(8000, 1)).channels is None
