"""Flags over environment over profile over file, and what is said about each mistake."""

from pathlib import Path

import pytest
from support.settings_harness import SECRET, refused

from batch_uploader.cli.flags import UPLOAD
from batch_uploader.pace import Timetable
from batch_uploader.plan.patience import Ages
from batch_uploader.prepare.audio import RawFormat
from batch_uploader.prepare.rules import SidecarMode
from batch_uploader.prepare.sidecar import FieldType
from batch_uploader.settings import KEYS, VARIABLES, Settings
from batch_uploader.ui.progress import Progress


class TestPrecedence:
    def test_the_defaults_are_the_documented_ones(self, settings):
        given = settings()
        places, reading, options = given.places(), given.reading(), given.options()
        assert places.ledger == Path("calls/.batch-uploader/ledger.db")
        assert places.manifest == Path("calls/manifest.jsonl")
        assert places.connection_id is None
        assert (reading.include, reading.exclude, reading.ages) == ((), (), Ages(2.0, 300.0, 600.0))
        assert reading.rules.sidecar is SidecarMode.REQUIRED
        assert (options.concurrency, options.grace, options.min_age) == (32, 60.0, 2.0)
        assert (options.hold, options.wait_for_doubt) == (1800.0, False)
        assert given.one_of("progress", Progress.AUTO) is Progress.AUTO
        assert given.file is None

    def test_flag_beats_environment_beats_profile_beats_file(self, settings):
        toml = 'connection-id = "file"\n[profiles.night]\nconnection-id = "profile"\n'
        variable = {"SPEECHSENSE_CONNECTION_ID": "environment"}
        assert settings({}, {}, toml).connection_id() == "file"
        assert settings({"profile": "night"}).connection_id() == "profile"
        assert settings({"profile": "night"}, variable).connection_id() == "environment"
        flags = {"profile": "night", "connection-id": "flag"}
        assert settings(flags, variable).connection_id() == "flag"

    def test_an_empty_variable_is_none(self, settings):
        given = settings({}, {"SPEECHSENSE_CONNECTION_ID": ""}, 'connection-id = "file"')
        assert given.connection_id() == "file"

    def test_the_file_can_be_named_by_flag_or_variable(self, settings, tmp_path):
        for name in ("flag", "variable"):
            (tmp_path / f"{name}.toml").write_text(f'connection-id = "{name}"')
        usual = 'connection-id = "usual"'
        variable = {"BATCH_UPLOADER_CONFIG": "variable.toml"}
        assert settings({}, {}, usual).connection_id() == "usual"
        assert settings({}, variable).connection_id() == "variable"
        assert settings({"config": Path("flag.toml")}, variable).connection_id() == "flag"

    def test_paths_in_the_file_start_from_the_file(self, tmp_path):
        folder = tmp_path / "etc"
        folder.mkdir()
        (folder / "up.toml").write_text('ledger = "state/l.db"\nlog-file = "/var/up.log"')
        given = Settings(Path("calls"), {"config": folder / "up.toml"}, {}, tmp_path)
        assert given.places().ledger == folder / "state/l.db"
        assert given.path("log-file") == Path("/var/up.log")

    def test_a_path_given_as_a_flag_starts_from_the_working_directory(self, settings, tmp_path):
        assert settings({"ledger": Path("l.db")}).places().ledger == tmp_path / "l.db"

    def test_lists_replace_each_other_and_defaults_are_laid_over_by_name(self, settings):
        toml = """
            include = ["*.pcm"]
            require = ["a"]
            [defaults]
            language = "ru-RU"
            team = "north"
            [profiles.p]
            include = ["*.raw"]
            require = ["b"]
            [profiles.p.defaults]
            team = "south"
        """
        reading = settings({"profile": "p", "default": ["date=x", "language=kk-KZ"]}, {}, toml)
        reading = reading.reading()
        assert reading.include == ("*.raw",)
        assert reading.rules.schema.defaults == {
            "language": "kk-KZ",
            "team": "south",
            "date": "x",
        }
        assert reading.rules.schema.required == {"a", "b"}

    def test_every_flag_of_upload_that_describes_a_job_can_stand_in_the_file(self):
        flags = {flag.opts[0].removeprefix("--") for flag in UPLOAD}
        assert flags - {"config", "profile", "default"} == KEYS

    def test_every_variable_is_a_flag_or_a_secret_or_the_vendors_address(self):
        secrets = {"api-key", "iam-token", "service-account-key"}
        assert VARIABLES.keys() - KEYS == {*secrets, "metadata-address"}


class TestValues:
    def test_durations_sizes_and_counts_are_read_from_text_and_from_toml(self, settings):
        flags = {"grace": "2m", "min-age": "90", "concurrency": "4"}
        options = settings(flags).options()
        assert (options.grace, options.min_age, options.concurrency) == (120.0, 90.0, 4)
        toml = 'grace = 90\nmin-age = 0.5\nconcurrency = 8\nwhole-limit = "8M"\napi-key-file = "k"'
        options = settings({}, {}, toml).options()
        assert (options.grace, options.min_age, options.concurrency) == (90.0, 0.5, 8)

    def test_without_them_nothing_is_limited_but_an_outage(self, settings):
        usual = settings().options()
        assert (usual.rate, usual.bandwidth, usual.max_audio, usual.max_recordings) == (None,) * 4
        assert usual.max_outage == 7200.0

    def test_the_pace_and_the_limits_are_read_from_text_and_from_toml(self, settings):
        flags = {
            "rate": "300/m",
            "bandwidth": "08:00 2M 20:00 off",
            "max-audio": "2.5",
            "max-recordings": "10",
            "max-outage": "30m",
        }
        options = settings(flags).options()
        assert (options.rate, options.max_audio, options.max_recordings) == (5.0, 9000.0, 10)
        assert options.max_outage == 1800.0
        assert options.bandwidth == Timetable(((480, 2 * 1024**2), (1200, None)))
        toml = 'rate = "20/s"\nbandwidth = 1000\nmax-audio = 0.5\nmax-recordings = 7'
        options = settings({}, {}, toml).options()
        assert (options.rate, options.max_audio, options.max_recordings) == (20.0, 1800.0, 7)
        assert options.bandwidth == Timetable(((0, 1000),))
        assert settings({"max-audio": "90m"}).options().max_audio == 5400.0

    def test_how_long_a_miss_proves_nothing_and_who_waits_for_it(self, settings):
        said = refused(lambda: settings({"wait-for-doubt": True}).options())
        assert "--wait-for-doubt: Search needs a stamp field" in said
        flags = {"hold": "1h", "wait-for-doubt": True, "stamp-field": "upload_key"}
        options = settings(flags).options()
        assert (options.hold, options.wait_for_doubt) == (3600.0, True)
        toml = 'hold = "10m"\nwait-for-doubt = true\nstamp-field = "upload_key"'
        options = settings({}, {}, toml).options()
        assert (options.hold, options.wait_for_doubt) == (600.0, True)

    @pytest.mark.parametrize(
        ("flags", "said"),
        [
            ({"hold": "0"}, "--hold: '0' is too short: Search sees a talk only after a while"),
            (
                {"concurrency": "many"},
                "--concurrency: 'many' is not a whole number from 1 to 1,024",
            ),
            ({"concurrency": "0"}, "--concurrency: '0'"),
            ({"concurrency": "9" * 5000}, "--concurrency: "),
            ({"grace": "soon"}, "--grace: 'soon' is not a duration\nwrite it as 90, 90s"),
            ({"min-age": ""}, "--min-age: it is empty"),
            ({"rate": "20"}, "--rate: '20' is not a rate\nwrite it as 20/s"),
            ({"rate": "0/s"}, "--rate: '0/s' allows nothing"),
            (
                {"bandwidth": "8:00 2M 9"},
                "--bandwidth: '8:00 2M 9' is not a bandwidth\nwrite it as",
            ),
            ({"bandwidth": "0"}, "--bandwidth: a bandwidth of 0 sends nothing"),
            (
                {"max-audio": "much"},
                "--max-audio: 'much' is not a number of hours\nwrite it as 2.5",
            ),
            ({"max-recordings": "0"}, "--max-recordings: '0' is not a whole number from 1"),
            ({"max-audio": "0"}, "--max-audio: '0' allows nothing\nleave it out"),
            ({"max-outage": "0s"}, "--max-outage: '0s' allows nothing\nleave it out"),
            ({"max-outage": "never"}, "--max-outage: 'never' is not a duration"),
        ],
    )
    def test_a_value_that_makes_no_sense_is_refused_by_its_flag(self, settings, flags, said):
        text = refused(lambda: settings(flags).options())
        assert said in text
        assert "\n" in text

    def test_a_value_of_the_wrong_type_is_refused_by_file_and_key(self, settings, tmp_path):
        file = tmp_path / "batch-uploader.toml"
        for toml, said in [
            ("concurrency = true", f"concurrency in {file}: True is not a whole number"),
            ("grace = []", f"grace in {file}: not a text"),
            ('verbose = "yes"', f"verbose in {file}: neither true nor false"),
            ("min-age = nan", f"min-age in {file}: 'NaN' is not a duration"),
        ]:
            assert said in refused(lambda toml=toml: settings({}, {}, toml).options())
        assert "exclude in" in refused(lambda: settings({}, {}, 'exclude = "x"').reading())
        assert "ledger in" in refused(lambda: settings({}, {}, "ledger = 1").places())

    @pytest.mark.parametrize(
        "value", ["\udcff", "a\x1b[31mb", "a\nb", "a\u200bb", "a\u00a0b", "a b"]
    )
    def test_an_identifier_is_one_word_of_visible_characters(self, settings, value):
        variable = {"SPEECHSENSE_CONNECTION_ID": value}
        text = refused(settings({}, variable).connection_id)
        assert text.startswith("the environment variable SPEECHSENSE_CONNECTION_ID: ")
        given = settings({"stamp-field": value, "api-key-file": Path("k")})
        assert refused(given.reading).startswith("--stamp-field: ")

    @pytest.mark.parametrize("name", ["include", "exclude", "require", "default"])
    def test_half_a_character_in_a_list_is_refused_by_its_flag(self, settings, name):
        assert refused(settings({name: ["a=\udcff"]}).reading).startswith(f"--{name}: ")

    def test_a_path_may_be_any_bytes(self, settings, tmp_path):
        given = settings({"ledger": Path("l\udcff.db")})
        assert given.places().ledger == tmp_path / "l\udcff.db"

    @pytest.mark.parametrize(
        ("flags", "toml"), [({"ledger": Path("~nouser/x")}, ""), ({}, 'ledger = "~nouser/x"')]
    )
    def test_a_home_that_nobody_has_is_refused(self, settings, flags, toml):
        text = refused(settings(flags, {}, toml).places)
        assert "ledger" in text
        assert "without the ~" in text

    def test_an_unknown_word_is_refused_with_the_nearest_known(self, settings):
        text = refused(lambda: settings({"progress": "jsn"}).one_of("progress", Progress.AUTO))
        assert "--progress: unknown value 'jsn'\ndid you mean json?" in text

    def test_a_missing_connection_says_where_to_name_it(self, settings):
        text = refused(settings().connection_id)
        assert "--connection-id" in text
        assert "SPEECHSENSE_CONNECTION_ID" in text


class TestFile:
    @pytest.mark.parametrize(
        ("toml", "said"),
        [
            ('conection-id = "x"', "conection-id in "),
            ('conection-id = "x"', "did you mean connection-id?"),
            ("[conection]\nkind = 'x'", "did you mean connection?"),
            ("[connection]\nkinds = 'two-channel'", "did you mean kind?"),
            ("[connection]\nkind = 'two-chanel'", "connection.kind in "),
            ("[connection]\nkind = 'two-chanel'", "did you mean two-channel?"),
            ("[connection]\nother-fields = 'deny'", "the values are allow, refuse"),
            ("[connection]\nother-fields = 'refuse'", "no field is declared"),
            ("[connection.fields]\na = 'strng'", "a of connection.fields in "),
            ("[connection.fields]\na = 'strng'", "did you mean string?"),
            ("[connection.fields]\na = {kind = 'string'}", "unknown key 'kind'"),
            ("[connection.fields]\na = {required = 'yes'}", "neither true nor false"),
            ("kind = 'two-channel'\n[connection]\nkind = 'one-channel'", "it is set twice"),
            ("connection = 1", "not a table"),
            ("[connection]\nfields = 'x'", "not a table"),
            ("[defaults]\na = [1]", "the field 'a': not a single value"),
            ("[defaults]\na = nan", "the field 'a': not a single value"),
            ("defaults = 'x'", "not a table"),
            ("profiles = 'x'", "not a table"),
            ("= 1", "is not valid TOML"),
            ("a = " + "[" * 5000, "nested too deeply"),
            ("[profiles.x]\nprofiles = {}\n", None),
        ],
    )
    def test_a_mistake_names_file_key_and_cure(self, settings, tmp_path, toml, said):
        if said is None:
            text = refused(lambda: settings({"profile": "x"}, {}, toml))
            assert "unknown setting" in text
            return
        text = refused(lambda: settings({}, {}, toml).reading())
        assert said in text
        assert str(tmp_path / "batch-uploader.toml") in text

    def test_an_unknown_profile_is_refused_with_the_nearest_known(self, settings):
        text = refused(lambda: settings({"profile": "nigth"}, {}, "[profiles.night]\n"))
        assert "--profile: unknown profile 'nigth'" in text
        assert "did you mean night?" in text

    def test_where_there_is_no_profile_at_all_that_is_said(self, settings):
        text = refused(lambda: settings({"profile": "zz"}, {}, "concurrency = 4\n"))
        assert text.endswith("there are no profiles"), text

    def test_a_profile_without_a_file_is_refused(self, settings):
        assert "specify the settings file with --config" in refused(
            lambda: settings({"profile": "night"})
        )

    def test_a_named_file_has_to_be_there(self, settings):
        text = refused(lambda: settings({"config": Path("gone.toml")}))
        assert "gone.toml cannot be read" in text
        assert "--config" in text

    def test_bytes_that_are_not_utf8_are_refused(self, settings, tmp_path):
        (tmp_path / "batch-uploader.toml").write_bytes(b'connection-id = "\xcf\xf0"')
        assert "is not UTF-8" in refused(settings)

    @pytest.mark.parametrize("key", ["api-key", "api_key", "iam-token"])
    def test_a_secret_in_the_file_is_refused_and_not_repeated(self, settings, key):
        text = refused(lambda: settings({}, {}, f'{key} = "{SECRET}"'))
        assert "a secret does not belong in a settings file" in text
        assert SECRET not in text


class TestRules:
    def test_a_kind_is_a_number_of_channels_and_the_guides_fields(self, settings):
        rules = settings({"kind": "two-channel"}).reading().rules
        assert rules.audio.channels == 2
        assert rules.schema.required >= {"operator_name", "client_id", "date", "language"}
        rules = settings({"kind": "one-channel"}).reading().rules
        assert rules.audio.channels == 1
        assert "client_id" not in rules.schema.required

    def test_the_file_declares_fields_with_types(self, settings):
        toml = """
            [connection]
            other-fields = "refuse"
            [connection.fields]
            ticket_id = "string"
            price = {type = "decimal", required = true}
            [profiles.lax.connection.fields]
            price = "number"
        """
        schema = settings({}, {}, toml).reading().rules.schema
        assert schema.types == {"ticket_id": FieldType.STRING, "price": FieldType.DECIMAL}
        assert schema.required == {"price"}
        assert schema.declared == {"ticket_id", "price"}
        lax = settings({"profile": "lax"}).reading().rules.schema
        assert lax.types["price"] is FieldType.NUMBER
        assert lax.required == frozenset()

    def test_a_kind_adds_its_fields_to_those_declared(self, settings):
        toml = "[connection]\nkind = 'one-channel'\nother-fields = 'refuse'\n"
        schema = settings({}, {}, toml).reading().rules.schema
        assert schema.declared == {"operator_name", "operator_id", "date", "language"}

    def test_values_of_defaults_are_written_as_a_sidecar_would(self, settings):
        toml = (
            "[defaults]\na = 7\nb = 1.50\nc = true\nd = 2025-04-24T14:34:19+03:00\n"
            "e = 12345678901234567890.5\n"
        )
        assert settings({}, {}, toml).reading().rules.schema.defaults == {
            "a": "7",
            "b": "1.5",
            "c": "true",
            "d": "2025-04-24T14:34:19+03:00",
            "e": "12345678901234567890.5",
        }

    def test_a_default_keeps_all_after_the_first_equals_sign(self, settings):
        schema = settings({"default": ["q=a=b", "r="]}).reading().rules.schema
        assert schema.defaults == {"q": "a=b", "r": ""}

    @pytest.mark.parametrize(
        ("flags", "said"),
        [
            ({"default": ["language"]}, "--default: 'language' is not NAME=VALUE"),
            ({"default": ["=x"]}, "--default: '=x' is not NAME=VALUE"),
            ({"default": ["a=" + "x" * 1025]}, "--default: the field 'a'"),
            ({"kind": "one-channel", "default": ["date=today"]}, "--default: the field 'date'"),
            ({"stamp-field": "k", "default": ["k=v"]}, "--default: the field 'k'"),
            ({"raw-rate": "8000"}, "add --raw-channels N"),
            ({"raw-channels": "2"}, "add --raw-rate HZ"),
            ({"raw-rate": "96000", "raw-channels": "2"}, "--raw-rate: '96000'"),
            ({"ogg-end": "no"}, "--ogg-end: unknown value 'no'"),
            ({"sidecar": "no"}, "--sidecar: unknown value 'no'"),
        ],
    )
    def test_a_rule_that_makes_no_sense_is_refused_by_its_flag(self, settings, flags, said):
        assert said in refused(lambda: settings(flags).reading())

    def test_what_is_required_has_to_be_declared(self, settings):
        toml = "[connection]\nother-fields = 'refuse'\n[connection.fields]\na = 'string'\n"
        text = refused(lambda: settings({"require": ["b"]}, {}, toml).reading())
        assert "required but not declared: b" in text
        assert "--require" in text

    def test_an_ogg_without_its_end_mark_is_taken_if_so_said(self, settings):
        assert settings({}).reading().rules.audio.ogg_end == "required"
        assert settings({"ogg-end": "optional"}).reading().rules.audio.ogg_end == "optional"
        assert settings({}, {}, 'ogg-end = "optional"').reading().rules.audio.ogg_end == "optional"

    def test_raw_pcm_needs_rate_and_channels(self, settings):
        rules = settings({"raw-rate": "8000", "raw-channels": "2"}).reading().rules
        assert rules.audio.raw == RawFormat(8000, 2)

    @pytest.mark.parametrize(
        ("flags", "toml", "named", "default"),
        [
            ({}, "", set(), True),
            ({"call-id": "call"}, "", {"call"}, True),
            ({"call-id": "b,a"}, 'call-id = "c"', {"a", "b"}, True),
            ({}, 'call-id = "a"\n[profiles.p]\ncall-id = "none"', {"a"}, True),
            ({"profile": "p"}, 'call-id = "a"\n[profiles.p]\ncall-id = "none"', set(), False),
            ({}, 'call-id = ["a", "b"]', {"a", "b"}, True),
        ],
    )
    def test_the_fields_that_identify_a_call(self, settings, flags, toml, named, default):
        ids = settings(flags, {}, toml).reading().rules.call_ids
        assert (ids.named, ids.default) == (named, default)

    @pytest.mark.parametrize(
        ("flags", "toml", "said"),
        [
            ({"call-id": "a,none"}, "", "--call-id: none and other fields"),
            ({"call-id": "a,,b"}, "", "--call-id: 'a,,b': a field has no name"),
            ({"call-id": "a,a"}, "", "--call-id: a: named twice"),
            ({"call-id": ""}, "", "--call-id: it is empty"),
            ({"call-id": "key", "stamp-field": "key"}, "", "--call-id: the field 'key': this is"),
            (
                {"call-id": "cal"},
                '[connection]\nother-fields = "refuse"\n[connection.fields]\ncall = "string"',
                "did you mean call?",
            ),
            ({}, "call-id = [5]", "call-id in "),
            ({}, 'call-id = ["a", "a"]', "named twice"),
        ],
    )
    def test_fields_that_identify_no_call_are_refused(self, settings, flags, toml, said):
        text = refused(settings(flags, {}, toml).reading)
        assert said in text
        assert text.startswith(("--call-id: ", "call-id in "))
