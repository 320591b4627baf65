"""What names say: the patterns that PBXs need, and patterns that are wrong."""

import time

import pytest

from batch_uploader.core.errors import ConfigError
from batch_uploader.prepare.about.names import NamePattern

FREEPBX = (
    r"(?P<type>[a-z]+|\d+)-(?P<dst>[^-]*)-(?P<src>[^-]*)-(?P<d>\d{8})-(?P<t>\d{6})"
    r"-(?P<uid>(?:[\w.]+-)?\d+\.\d+)"
)
MEGAFON = (
    r"^(?P<user>.+)_(?P<dir>in|out)_(?P<Y>\d{4})_(?P<m>\d\d)_(?P<d>\d\d)(?:-|%2D)"
    r"(?P<H>\d\d)_(?P<M>\d\d)_(?P<S>\d\d)_(?P<client>\d+)_(\w{4})\.mp3$"
)
THREE_CX = (
    r"(?P<folder>\d+)/\[(?P<user>[^\]]*)\]_(?P<one>[^-]+)-(?P<two>[^_]+)_(?P<at>\d{14})"
    r"\((?P<callid>\d+)\)\.wav"
)
FUSIONPBX = (
    r"(?P<domain>[^/]+)/archive/(?P<Y>\d{4})/(?P<b>\w{3})/(?P<d>\d\d)/(?P<uuid>[0-9a-f-]{36})"
)
OKTELL = r"mix_(?P<a>[^_]+)_(?P<b>[^_]+)__(?P<at>\d{4}_\d\d_\d\d__\d\d_\d\d_\d\d_\d{3})\.mp3"
MTS = r"(?P<calling>\d+)_(?P<called>\d+)_(?P<at>\d{4}-\d\d-\d\d_\d\d-\d\d-\d\d)"
VICIDIAL = r"(?:(?P<campaign>[A-Z]+)_)?(?P<at>\d{8}-\d{6}|\d{12})_(?P<phone>\d+)-all"
CONNECT = r"(?P<contact>[0-9a-f-]{36})_(?P<at>\d{8}T\d\d[:_]\d\d)_UTC"
GENESYS = r"hour=(?P<H>\d+)/conversation_id=(?P<conversation>[^/]+)/(?P<recording>[^/]+)"
ORKAUDIO = r"(?P<at>\d{8}_\d{6})_(?P<port>\w+)"
TRUNK = (
    r"(?P<short>[^/]+)/\d{4}/\d+/\d+/"
    r"(?P<talkgroup>\d+)-(?P<epoch>\d+)_(?P<freq>[\d.]+)(?:-call_\d+)?"
)
UUID = "11111111-2222-3333-4444-555555555555"


@pytest.mark.parametrize(
    ("pattern", "path", "fields"),
    [
        (
            FREEPBX,
            "2026/03/27/out-79001234567-204-20260327-092517-1774592717.512.wav",
            {"type": "out", "dst": "79001234567", "src": "204", "uid": "1774592717.512"},
        ),
        (
            FREEPBX,
            "2026/03/27/q-501-79001234567-20260327-101500-pbx1-1774595700.530.WAV",
            {"type": "q", "dst": "501", "src": "79001234567", "uid": "pbx1-1774595700.530"},
        ),
        (
            FREEPBX,
            "in-74950000001-unknown-20260327-101500-1774595700.530.mp3",
            {"src": "unknown", "d": "20260327", "t": "101500"},
        ),
        (
            MEGAFON,
            "2026-03-27/petrova_a_out_2026_03_27-09_25_17_79001234567_ab1c.mp3",
            {"user": "petrova_a", "dir": "out", "client": "79001234567", "H": "09"},
        ),
        (
            MEGAFON,
            "petrova_in_2026_03_27%2D09_25_17_79001234567_ab1c.mp3",
            {"user": "petrova", "dir": "in"},
        ),
        (
            THREE_CX,
            "Recordings/204/[Иванова, Анна]_204-79001234567_20260327092517(3644).wav",
            {"folder": "204", "user": "Иванова, Анна", "two": "79001234567", "callid": "3644"},
        ),
        (
            FUSIONPBX,
            f"recordings/pbx.example.org/archive/2026/Mar/27/{UUID}.mp3",
            {"domain": "pbx.example.org", "b": "Mar", "uuid": UUID},
        ),
        (
            OKTELL,
            "20260327/0925/mix_1004_e0207__2026_03_27__09_25_17_430.mp3",
            {"a": "1004", "b": "e0207", "at": "2026_03_27__09_25_17_430"},
        ),
        (
            MTS,
            "74950000001_79001234567_2026-03-27_09-25-17.mp3",
            {"calling": "74950000001", "at": "2026-03-27_09-25-17"},
        ),
        (
            VICIDIAL,
            "2026-03-27/20260327-093012_79001234567-all.mp3",
            {"campaign": None, "at": "20260327-093012", "phone": "79001234567"},
        ),
        (
            VICIDIAL,
            "TESTCAMP_260327093012_79001234567-all.mp3",
            {"campaign": "TESTCAMP", "at": "260327093012"},
        ),
        (
            CONNECT,
            f"connect/a/CallRecordings/2026/03/27/{UUID}_20260327T18:36_UTC.wav",
            {"contact": UUID, "at": "20260327T18:36"},
        ),
        (
            GENESYS,
            f"o/year=2026/month=3/day=27/hour=9/conversation_id={UUID}/r1.opus",
            {"H": "9", "conversation": UUID, "recording": "r1"},
        ),
        (ORKAUDIO, "2026/03/27/09/20260327_092517_P3.wav", {"port": "P3"}),
        (
            TRUNK,
            "city/2026/3/7/13-1700000000_769000000.0-call_12.wav",
            {"short": "city", "talkgroup": "13", "epoch": "1700000000"},
        ),
    ],
)
def test_names_of_real_systems(pattern, path, fields):
    found = NamePattern.parse(pattern).values(path)
    assert found is not None
    assert found.source == "name"
    assert {key: found.fields[key] for key in fields} == fields


@pytest.mark.parametrize(
    "path",
    [
        "out-7900-204-20260327-0925-1774592717.512.wav",
        "old out-79001234567-204-20260327-092517-1774592717.512.wav",
        "out-79001234567-204-20260327-092517-1774592717.512 (copy).wav",
        "",
    ],
)
def test_a_name_that_does_not_fit_as_a_whole_says_nothing(path):
    assert NamePattern.parse(FREEPBX).values(path) is None


def test_a_pattern_with_folders_describes_the_last_of_them_or_all():
    assert NamePattern.parse(r"(?P<day>\d+)/(?P<n>[^/]+)").values("a/b/27/x.wav").fields == {
        "day": "27",
        "n": "x",
    }
    whole = NamePattern.parse(r"(?P<branch>[^/]+)/.*/(?P<n>[^/]+)\.wav")
    assert whole.values("spb/2026/03/27/x.wav").fields == {"branch": "spb", "n": "x"}
    assert whole.values("x.wav") is None


def test_names_are_compared_in_one_form_of_accented_letters():
    decomposed, composed = "\u0438\u0306_1.wav", "\u0439"
    for pattern in (r"(?P<who>й)_1", r"(?P<who>\u0439)_1", f"(?P<who>{decomposed[:2]})_1"):
        assert NamePattern.parse(pattern).values(decomposed).fields == {"who": composed}


@pytest.mark.parametrize(
    ("pattern", "message"),
    [
        (r"(?P<a>\d+", r"names: missing ), unterminated subpattern at character 1"),
        (r"x(?P<a>[z-a])", r"names: bad character range z-a at character 9, where it says 'z-a])'"),
        (r"(?P<1>x)", "bad character in group name '1'"),
        (r"(?P<a>x)(?P<a>y)", "redefinition of group name 'a'"),
        (r"\d+-\d+", "no named group"),
        ("(?P<a>x{9999999999})", "too large"),
        ("(?P<a>" + "x" * 3000 + ")", "longer than 2,000 characters"),
        ("(?P<a>[[a])", "nested set"),
    ],
)
def test_a_wrong_pattern_is_a_wrong_setting_that_shows_where(pattern, message):
    with pytest.raises(ConfigError) as caught:
        NamePattern.parse(pattern)
    assert message in caught.value.problem
    assert caught.value.hints
    assert caught.value.setting == "names"


@pytest.mark.parametrize(
    "pattern",
    [
        r"(?P<a>(\w+\s?)*)-x",
        r"(?P<a>(?:[a-z]+)+)\d",
        r"(?P<a>(?:a{1,40})+)b",
        r"(?P<a>(?:(?:x|y*)z?)+)b",
        r"(?=(?:a+)+b)(?P<a>.)",
    ],
)
def test_a_pattern_that_may_never_end_is_refused(pattern):
    with pytest.raises(ConfigError, match="repeat within a repeat"):
        NamePattern.parse(pattern)


def test_the_cure_ends():
    pattern = NamePattern.parse(r"(?P<a>(?:[a-z]++\d*+)*)-x")
    before = time.perf_counter()
    assert pattern.values("a" * 250) is None
    assert time.perf_counter() - before < 1
