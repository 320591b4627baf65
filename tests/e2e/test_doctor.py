"""``doctor`` names the cause of what is broken, and what to do about it."""

import asyncio
import json
import re
import sys
from functools import partial
from pathlib import Path
from types import SimpleNamespace

import pytest
from e2e import broken_setups as setups
from e2e import broken_storage as storage
from e2e.broken_setups import descriptors
from e2e.broken_storage import uploaded
from e2e.conftest import events
from e2e.doctors_lab import HOST, Lab
from support.authorities import Authority
from support.load_balancer import Envoy
from support.proxies import HttpProxy, Tunnel
from support.sink_servers import TalkServer

from batch_uploader.app.doctor.examination import OF_THE_DIRECTORY, OF_THE_SERVICE

pytestmark = pytest.mark.skipif(sys.platform != "linux", reason="preloading and limits of Linux")

ROOT = Path(__file__).parents[2]


@pytest.fixture
def lab(program, calls, service, tmp_path):
    calls.write("a.wav")
    return Lab(program, calls, service, tmp_path)


TWELVE = {
    setups.wrong_key: ("credentials", "wrong_key", "API key"),
    setups.wrong_connection: ("connection", "wrong_connection", "aje0000000000"),
    setups.expired_token: ("credentials", "expired_token", "expired"),
    setups.clock_ahead: ("clock", "clock_off", "1:00:0"),
    setups.intercepted: ("tls", "intercepted", "Office Inspector"),
    setups.proxy_refuses: ("proxy", "proxy_refuses", "403 Forbidden"),
    setups.only_http1: ("http2", "no_http2", "HTTP/1 only"),
    setups.no_dns: ("dns", "no_dns", "api.speechsense.yandexcloud.net"),
    setups.closed_port: ("tcp", "refused", "refuses connections"),
    storage.no_range_locks: ("disk", "no_locks", "does not lock files"),
    setups.few_descriptors: ("machine", "too_few_resources", "open files"),
    setups.missing_role: ("connection", "missing_role", "does not let the account"),
}
MORE = {
    partial(setups.clock_ahead, seconds=-3600): ("clock", "clock_off", "behind"),
    setups.clock_a_month_behind: (
        "tls",
        "certificate_not_yet_valid",
        "on, and this machine's",
    ),
    setups.clock_years_ahead: ("tls", "certificate_expired", "machine's date is 20"),
    setups.no_network: ("tcp", "unreachable", "192.0.2.1:443 cannot be reached"),
    setups.http2_refused: ("http2", "http2_broken", "ends the connection"),
    setups.http2_unanswered: ("http2", "silent", "does not answer HTTP/2"),
    setups.no_such_host: ("dns", "no_such_host", "no-such-host.invalid"),
    setups.silent_port: ("tls", "silent", "does not answer TLS"),
    setups.unanswered_port: ("tcp", "no_answer", "does not answer on port"),
    storage.locks_for_everybody: ("disk", "no_locks", "does not lock files"),
    setups.expired_certificate: ("tls", "certificate_expired", "expired on 20"),
    setups.other_host: ("tls", "certificate_host", "other.example.org"),
    setups.proxy_wants_a_login: ("proxy", "proxy_authorization", "wants a user"),
    setups.proxy_refuses_the_login: ("proxy", "proxy_authorization", "refuses this user"),
    setups.no_proxy_at_all: ("proxy", "not_a_proxy", "HTTP proxy"),
    setups.proxy_away: ("tcp", "refused", "the proxy 127.0.0.1:"),
    setups.proxy_silent: ("proxy", "proxy_silent", "does not answer"),
    setups.badly_named_proxy: ("dns", "settings", "HTTPS_PROXY"),
    setups.no_tls: ("tls", "no_tls", "does not speak TLS"),
    setups.other_grpc_service: ("service", "not_the_service", "does not know Search"),
    storage.no_directory: ("directory", "unreadable_directory", "does not exist"),
    storage.damaged_ledger: ("ledger", "unusable_ledger", "damaged"),
    storage.newer_ledger: ("ledger", "unusable_ledger", "newer"),
    storage.lost_ledger: ("ledger", "unusable_ledger", "is gone"),
    storage.ledger_of_another_directory: ("ledger", "settings", "is of"),
    storage.read_only_ledger: ("disk", "no_access", "cannot write"),
    storage.unknown_owner: ("disk", "no_access", "the user with the ID 54321"),
    storage.closed_folder: ("disk", "no_access", "Permission denied"),
    storage.full_disk: ("disk", "full_disk", "is full"),
    setups.missing_scope: ("credentials", "missing_scope", "lacks a scope"),
    setups.key_of_another: ("credentials", "wrong_key", "authorized key"),
    setups.slow_dns: ("dns", "no_dns", "speech.invalid"),
    storage.dead_share: ("directory", "timeout", "longer than 6 seconds"),
    setups.tls_refused: ("tls", "tls_broken", "breaks off TLS"),
    setups.gateway: ("service", "not_the_service", "HTTP 502"),
    setups.web_server: ("service", "not_the_service", "HTTP 404"),
    setups.login_page: ("service", "not_the_service", "HTTP 401"),
    setups.silent_service: ("service", "silent", "does not answer in time"),
    setups.overloaded: ("service", "unavailable", "database is being repaired"),
    setups.wrong_ca_file: ("tls", "wrong_ca_file", "a public authority"),
    setups.untrusted_emulator: ("tls", "untrusted", "emulator CA"),
    setups.issuer_away: ("credentials", "no_token", "issues the IAM tokens"),
    setups.issuer_silent: ("credentials", "no_token", "IAM token"),
    setups.command_hangs: ("credentials", "no_token", "command"),
    setups.key_file_away: ("credentials", "unusable_credentials", "no such file"),
    setups.two_credentials: ("credentials", "unusable_credentials", "more than one"),
    storage.read_only_disk: ("disk", "read_only", "read-only"),
}


def test_every_code_is_in_the_documentation():
    page = (ROOT / "docs" / "operations.md").read_text("utf-8")
    rows = dict(re.findall(r"^\| `(\w+)` \|[^|]*\|(.*)\|$", page, re.MULTILINE))
    sources = [*(ROOT / "batch_uploader" / "app" / "doctor").glob("*.py")]
    sources += [
        ROOT / "batch_uploader" / "sinks" / "speechsense" / f"{name}.py"
        for name in ("route", "tls", "asking")
    ]
    text = "".join(path.read_text("utf-8") for path in sources)
    codes = set(re.findall(r'\b(?:fail|warn|Obstacle)\(\s*"(\w+)"', text)) - {"timeout", "error"}
    told = " ".join(rows[check.name] for check in OF_THE_SERVICE + OF_THE_DIRECTORY)
    assert len(codes) > 30
    assert codes <= set(re.findall(r"`(\w+)`", told))
    for check, code, _ in [*TWELVE.values(), *MORE.values()]:
        assert f"`{code}`" in rows[check] or code == "timeout"


def name_of(setup):
    return getattr(setup, "__name__", "clock_behind") if callable(setup) else None


@pytest.mark.parametrize(("setup", "expected"), [*TWELVE.items(), *MORE.items()], ids=name_of)
async def test_the_cause_of_a_broken_set_up_is_named(
    lab, setup, expected, start_service, unprivileged
):
    """Nothing else fails, but for what a run needs it for; nothing is uploaded."""
    lab.start_service, lab.unprivileged = start_service, unprivileged
    check, code, said = expected
    before = len(lab.service.talks(lab.calls))
    async with setup(lab) as broken:
        before = len(lab.service.talks())
        found = await lab.examine(broken)
        assert len(lab.service.talks()) == before
    failed = [name for name, each in found.items() if each["health"] == "fail"]
    assert failed == [check], found
    assert found[check]["code"] == code, found[check]
    assert said in found[check]["message"], found[check]
    assert "canary" not in json.dumps(found)


async def test_a_set_up_in_which_all_is_well(lab):
    """Each check says so, the service is asked to Search alone, and nothing is left behind."""
    before = sorted(lab.calls.folder.rglob("*"))
    found = await lab.examine(lab.healthy())
    assert {each["health"] for each in found.values()} == {"ok"}, found
    assert list(found) == [
        *("machine", "dns", "tcp", "proxy", "tls", "http2", "service", "clock", "credentials"),
        *("connection", "directory", "disk", "ledger"),
    ]
    assert "emulator CA" in found["tls"]["message"]
    assert sorted(lab.calls.folder.rglob("*")) == before
    async with uploaded(lab) as setup:
        ledger = (await lab.examine(setup))["ledger"]
    assert (ledger["health"], ledger["message"]) == (
        "ok",
        "it is sound, with 1 recording on record",
    )


async def test_nothing_but_searches_reaches_the_service(lab, start_service):
    with start_service() as service:
        lab.service = service
        await lab.examine(lab.healthy())
    assert set(service.served) == {"Search"}


async def test_without_a_directory_and_without_anything_what_is_missing_is_said(lab):
    flags = ("--endpoint", lab.service.address, *lab.service.flags[-2:])
    found = await lab.examine(lab.setup(*flags))
    assert "directory" not in found
    assert found["service"]["health"] == "ok"
    assert found["credentials"]["code"] == "unusable_credentials"
    assert "--api-key-file" in found["credentials"]["hints"][0]
    assert found["connection"]["code"] == "no_connection"


async def test_a_private_authority_that_the_machine_trusts_is_told(lab):
    """As on machines that have the certificate of an inspecting proxy among their own."""
    inspector = Authority("Office Inspector")
    trusted = lab.write("system.pem", inspector.pem)
    async with TalkServer(inspector.server(HOST)) as server, Tunnel(server.port) as proxy:
        setup = lab.proxied(proxy, "--endpoint", f"{HOST}:443")
        setup.env["SSL_CERT_FILE"] = str(trusted)
        setup.env["SSL_CERT_DIR"] = str(lab.folder)
        found = await lab.examine(setup)
    assert (found["tls"]["health"], found["tls"]["code"]) == ("warn", "private_authority")
    assert "Office Inspector" in found["tls"]["message"]
    assert found["service"]["health"] == "ok"


async def test_a_key_whose_tokens_are_good_says_for_how_long(lab, start_service):
    lab.start_service = start_service
    async with setups.issuer(lab) as setup:
        found = await lab.examine(setup)
    assert re.search(r"account-1, valid for 1[12]h\b", found["credentials"]["message"])
    assert found["connection"]["health"] == "ok"


async def test_a_key_is_refused_by_the_clock_which_is_told_first(lab, start_service):
    lab.start_service = start_service
    async with setups.issuer_of_another_time(lab) as setup:
        found = await lab.examine(setup)
    failed = [each["check"] for each in found.values() if each["health"] == "fail"]
    assert failed == ["clock", "credentials"]
    assert found["credentials"]["code"] == found["clock"]["code"] == "clock_off"


async def test_an_address_that_does_not_answer_is_told_if_another_one_does(lab):
    async with TalkServer() as server, Tunnel(server.port) as proxy:
        setup = lab.proxied(proxy)
        setup.env["HTTPS_PROXY"] = f"http://proxy.invalid:{proxy.port}"
        setup.env["LD_PRELOAD"] = lab.shim("e2e/names.c")
        setup.env["NAMES"] = "127.0.0.2 127.0.0.1"
        found = await lab.examine(setup)
    assert (found["tcp"]["health"], found["tcp"]["code"]) == ("warn", "some_addresses")
    assert "can be reached by 127.0.0.1, but" in found["tcp"]["message"]
    assert found["proxy"]["health"] == "ok"


async def test_a_proxy_that_grpc_passes_by_is_told(lab):
    async with HttpProxy() as proxy:
        setup = lab.proxied(proxy)
        setup.env["HTTPS_PROXY"] = f"127.0.0.1:{proxy.port}"
        setup.env["LD_PRELOAD"] = lab.shim("e2e/names.c")
        setup.env["NAMES"] = "127.0.0.1 127.0.0.1"
        setup.flags += ["--endpoint", f"{HOST}:{proxy.port}"]
        found = await lab.examine(setup)
    assert (found["proxy"]["health"], found["proxy"]["code"]) == ("warn", "proxy_ignored")
    assert "HTTPS_PROXY" in found["proxy"]["message"]


async def test_the_date_is_that_of_a_load_balancer_if_the_service_gives_none(lab):
    """As before most services: a real Envoy dates the answers."""
    env = {"LD_PRELOAD": lab.shim("e2e/clock.c"), "CLOCK_SHIFT": "120"}
    async with (
        TalkServer() as server,
        Envoy({"route": {"cluster": "service"}}, upstream=server.port) as envoy,
    ):
        bare = (await lab.examine(lab.plain(server)))["clock"]
        setup = lab.plain(SimpleNamespace(port=envoy.endpoint.port))
        setup.env.update(env)
        found = (await lab.examine(setup))["clock"]
    assert bare["health"] == "not_checked"
    assert (found["health"], found["code"]) == ("warn", "clock_off")
    assert re.search(r"0:0(1:59|2:0\d) ahead", found["message"])


async def test_no_failure_is_without_a_hint(lab):
    """Not even of what answers nonsense: a metadata service that is another web server."""
    async with HttpProxy(b"HTTP/1.1 426 \r\nContent-Length: 0\r\n\r\n") as other:
        env = {"YC_METADATA_ADDR": f"127.0.0.1:{other.port}"}
        found = await lab.examine(lab.setup(*lab.service.flags, "--metadata-credentials", env=env))
    assert found["credentials"]["code"] == "no_token"
    assert found["credentials"]["hints"]


async def test_an_empty_directory_may_be_a_mount_that_is_away(lab):
    lab.calls.folder = lab.folder / "mount"
    lab.calls.folder.mkdir()
    found = await lab.examine(lab.healthy())
    assert (found["directory"]["health"], found["directory"]["code"]) == ("warn", "empty_directory")
    assert found["directory"]["hints"] == ["check the mount"]


async def test_fewer_descriptors_than_workers_need(lab):
    found = await lab.examine(lab.healthy(preexec=descriptors(64)))
    assert found["machine"]["code"] == "too_few_descriptors"
    assert found["machine"]["hints"][0].startswith("raise the limit: ulimit -n ")
    assert found["connection"]["health"] == "ok"


async def test_a_run_that_holds_the_ledger(lab, start_service, upload):
    with start_service("--store-late", "20s") as slow:
        run = upload("--progress", "json", to=slow, start=True)
        await asyncio.to_thread(lambda: next(events(run, "upload_started")))
        found = await lab.examine(lab.healthy())
        run.kill()
    assert found["ledger"]["code"] == "held"
    assert "another run is using" in found["ledger"]["message"]


async def test_a_run_over_a_directory_above(lab, start_service, upload):
    lab.calls.write("below/b.wav")
    with start_service("--store-late", "20s") as slow:
        run = upload("--progress", "json", to=slow, start=True)
        await asyncio.to_thread(lambda: next(events(run, "upload_started")))
        lab.calls.folder /= "below"
        found = await lab.examine(lab.healthy())
        run.kill()
    assert found["ledger"]["code"] == "held"
    assert f"another run (of {lab.calls.folder.parent})" in found["ledger"]["message"]


async def test_a_share_and_files_that_cannot_be_read(lab, unprivileged):
    lab.calls.write("closed.wav")
    (lab.calls.folder / "closed.wav").chmod(0)
    env = {"LD_PRELOAD": lab.shim("kill/nolocks.c"), "FS_TYPE": "0x6969"}
    found = await lab.examine(lab.healthy(env=env, preexec=unprivileged))
    assert found["directory"]["code"] == "unreadable_files"
    assert "closed.wav cannot be read" in found["directory"]["message"]
    assert found["disk"]["code"] == "network_share"
    assert "NFS" in found["disk"]["message"]
