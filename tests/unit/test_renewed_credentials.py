"""Credentials from a VM's metadata service and from commands, whatever these answer (fault 124)."""

import asyncio
import gzip
import json
import os
import socket
import sys
import time
from contextlib import suppress
from itertools import pairwise
from pathlib import Path

import pytest
from hypothesis import example, given
from hypothesis import strategies as st
from support.metadata_service import http, metadata_service, token

from batch_uploader.core.errors import (
    ConfigError,
    NoSuchService,
    NotSent,
    SinkError,
    Unauthorized,
)
from batch_uploader.sinks.speechsense.authorization import Authorization
from batch_uploader.sinks.speechsense.commands import ApiKeyCommand, IamTokenCommand
from batch_uploader.sinks.speechsense.credentials import ApiKey, IamTokenFile
from batch_uploader.sinks.speechsense.vm_metadata import VmMetadataToken

CANARY = "t1.9euelZqCanary0123456789abcdef"


PIECES = (
    *(b"HTTP/1.1 200 OK\r\n", b"HTTP/1.1 100 Continue\r\n\r\n", b"\r\n", b"\n", b":", b"\0"),
    *(b"Transfer-Encoding: chunked\r\n", b"Content-Length: 49\r\n", b"\xff", b"NaN", b"}"),
    *(b'{"access_token": "t1.abcdefgh", "expires_in": 60}', b"31\r\n", b"-1\r\n", b"null"),
    *(b"9" * 30, b"f" * 20 + b"\r\n", b'{"access_token":', b'"expires_in":', b"9" * 400),
)
"""Of what answers are made, and of what breaks a parser."""


class Clock:
    def __init__(self):
        self.now = 1000.0

    def __call__(self):
        return self.now


def script(folder, *lines):
    """The command that runs these lines of Python."""
    path = folder / "give.py"
    path.write_text("\n".join(["import os, sys, time", *lines]))
    return f"{sys.executable} {path}"


class TestMetadataService:
    async def test_the_request_is_the_one_that_the_service_asks_for(self):
        async with metadata_service(token(CANARY)) as (address, requests):
            credentials = VmMetadataToken(address)
            assert await credentials.header() == f"Bearer {CANARY}"
            assert await credentials.header() == f"Bearer {CANARY}"
        (request,) = requests
        path = "/computeMetadata/v1/instance/service-accounts/default/token"
        assert request.startswith(f"GET {path} HTTP/1.0\r\n")
        assert "\r\nMetadata-Flavor: Google\r\n" in request
        assert credentials.life == pytest.approx(43200, abs=5)
        assert CANARY not in repr(credentials)

    async def test_an_answer_in_chunks_is_read(self):
        body = b'{"access_token": "t1.abcdefgh", "expires_in": 60}'
        chunked = b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n"
        chunked += b"%x\r\n%s\r\n0\r\n\r\n" % (len(body), body)
        async with metadata_service(chunked) as (address, _):
            assert await VmMetadataToken(address).header() == "Bearer t1.abcdefgh"

    async def test_a_life_that_is_not_told_is_renewed_every_half_an_hour(self):
        clock = Clock()
        answers = [http('{"access_token": "t1.one"}'), http('{"access_token": "t1.two"}')]
        async with metadata_service(*answers) as (address, _):
            credentials = VmMetadataToken(address, clock=clock)
            await credentials.header()
            clock.now += 29 * 60
            assert await credentials.header() == "Bearer t1.one"
            clock.now += 2 * 60
            assert await credentials.header() == "Bearer t1.two"
            assert credentials.life is None

    @pytest.mark.parametrize(
        ("answer", "kind", "said"),
        [
            (b"", NoSuchService, "is not HTTP"),
            (b"\0" * 500, NoSuchService, "is not HTTP"),
            (b"HTTP/1.1 abc\r\n\r\n", NoSuchService, "is not HTTP"),
            (b"SSH-2.0-OpenSSH_9.6\r\n", NoSuchService, "is not HTTP"),
            (b"HTTP/1.1 200 OK\r\nA: " + b"x" * 70_000, NoSuchService, "too large"),
            (http("x" * 10_000_000), NoSuchService, "too large"),
            (b"HTTP/1.1 200 OK\r\nContent-Length: 900\r\n\r\n{}", NoSuchService, "is not HTTP"),
            (http(""), NoSuchService, "no IAM token"),
            (http("<html>"), NoSuchService, "no IAM token"),
            (http("[" * 60_000), NoSuchService, "no IAM token"),
            (http("[]"), NoSuchService, "no IAM token"),
            (http('{"access_token": null}'), NoSuchService, "no IAM token"),
            (http('{"access_token": "two words"}'), NoSuchService, "no IAM token"),
            (http('{"access_token": "ключ"}'), NoSuchService, "no IAM token"),
            (http('{"access_token": "a\\nb"}'), NoSuchService, "no IAM token"),
            (http('{"access_token": "' + "a" * 9000 + '"}'), NoSuchService, "no IAM token"),
            (http(gzip.compress(b"{}")), NoSuchService, "no IAM token"),
            (http("no account", "404 Not Found"), Unauthorized, "no account"),
            (http("flavor", "403 Forbidden"), Unauthorized, "403"),
            (http("later", "500 Oops"), NotSent, "HTTP 500"),
            (http("", "302 Found"), NotSent, "HTTP 302"),
        ],
    )
    async def test_whatever_else_it_answers_is_told_and_sent_to_nobody(self, answer, kind, said):
        async with metadata_service(answer) as (address, _):
            with pytest.raises(kind, match=said) as caught:
                await VmMetadataToken(address).header()
        assert type(caught.value) is kind
        assert address in caught.value.problem

    @given(st.lists(st.sampled_from(PIECES) | st.binary(max_size=4), max_size=12).map(b"".join))
    @example(b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n" + b"f" * 20 + b"\r\n")
    @example(http('{"access_token": "t1.abcdefgh", "expires_in": ' + "9" * 400 + "}"))
    def test_no_answer_at_all_raises_anything_else(self, answer):
        async def ask():
            async with metadata_service(answer) as (address, _):
                return await VmMetadataToken(address).header()

        with suppress(SinkError):
            assert asyncio.run(ask()) == "Bearer t1.abcdefgh"

    @pytest.mark.parametrize("life", ["soon", True, -5, 0, None, 1e400, {}])
    async def test_a_life_that_cannot_be_one_makes_no_storm(self, life):
        clock = Clock()
        body = '{"access_token": "t1.abcdefgh", "expires_in": %s}'
        text = "Infinity" if life == 1e400 else json.dumps(life)
        async with metadata_service(http(body % text)) as (address, requests):
            credentials = VmMetadataToken(address, clock=clock)
            for _ in range(20):
                assert await credentials.header() == "Bearer t1.abcdefgh"
                clock.now += 1
            assert len(requests) == 1

    async def test_a_token_that_lives_for_a_moment_is_not_requested_without_end(self):
        async with metadata_service(token("t1.brief", 0.001)) as (address, requests):
            credentials = VmMetadataToken(address)
            for _ in range(20):
                assert await credentials.header() == "Bearer t1.brief"
                await asyncio.sleep(0.05)
            assert 2 <= len(requests) <= 3

    async def test_silence_ends_and_is_worth_another_attempt(self):
        async with metadata_service(None) as (address, _):
            started = time.monotonic()
            with pytest.raises(NotSent, match="did not answer in time") as caught:
                await VmMetadataToken(address, timeout=0.3).header()
            assert type(caught.value) is NotSent
            assert time.monotonic() - started < 5

    async def test_where_the_address_is_a_black_hole_there_is_none(self):
        """As on a laptop: nothing answers to the first packet."""
        with socket.socket() as deaf:
            deaf.bind(("127.0.0.1", 0))
            deaf.listen(0)
            address = deaf.getsockname()
            waiting = [socket.socket() for _ in range(4)]
            for each in waiting:
                each.setblocking(False)
                each.connect_ex(address)
            with pytest.raises(NoSuchService, match="did not answer in time"):
                await VmMetadataToken(f"127.0.0.1:{address[1]}", timeout=0.5).header()
            for each in waiting:
                each.close()

    async def test_the_token_of_another_cloud_is_sent_to_nobody(self):
        async with metadata_service(token("ya29.c.b0AXv0zTM")) as (address, _):
            with pytest.raises(NoSuchService, match="no IAM token"):
                await VmMetadataToken(address).header()

    async def test_elsewhere_than_on_a_vm_there_is_none(self):
        async with metadata_service(b"") as (address, _):
            pass
        with pytest.raises(NoSuchService, match="cannot be reached") as caught:
            await VmMetadataToken(address).header()
        assert "only a VM" in caught.value.hints[0]

    @pytest.mark.parametrize(
        "address", ["", "http://169.254.169.254", "a b", "h:0", "h:99999", "h:x", ":80", "ж"]
    )
    def test_an_address_that_cannot_be_one(self, address):
        with pytest.raises(ConfigError):
            VmMetadataToken(address)

    def test_addresses(self):
        for address in ("169.254.169.254", "localhost:8080", "[::1]:80", "[fd00::1]"):
            assert address in VmMetadataToken(address).kind


class TestCommands:
    async def test_what_it_prints_is_the_secret(self, tmp_path):
        command = script(tmp_path, f"print({CANARY!r})")
        assert await IamTokenCommand(command).header() == f"Bearer {CANARY}"
        assert await ApiKeyCommand(command).header() == f"Api-Key {CANARY}"

    async def test_its_words_are_split_like_a_shells_and_nothing_is_expanded(self, tmp_path):
        command = script(tmp_path, "print(len(sys.argv), sys.argv[1:], file=open('args', 'w'))")
        os.chdir(tmp_path)
        with pytest.raises(NotSent, match="printed nothing"):
            await IamTokenCommand(command + " 'a b' $HOME ';' `id`").header()
        assert (tmp_path / "args").read_text() == "5 ['a b', '$HOME', ';', '`id`']\n"

    async def test_it_runs_again_within_the_hour_and_when_it_is_refused(self, tmp_path):
        count = tmp_path / "count"
        command = script(
            tmp_path,
            f"open({str(count)!r}, 'a').write('x')",
            f"print('t1.token' + str(os.path.getsize({str(count)!r})))",
        )
        clock = Clock()
        credentials = IamTokenCommand(command, clock=clock)
        assert await credentials.header() == "Bearer t1.token1"
        clock.now += 1700
        assert await credentials.header() == "Bearer t1.token1"
        clock.now += 1900
        assert await credentials.header() == "Bearer t1.token2"
        credentials.refused("Bearer t1.token1")
        assert await credentials.header() == "Bearer t1.token2"
        credentials.refused("Bearer t1.token2")
        assert await credentials.header() == "Bearer t1.token3"

    async def test_a_failure_later_leaves_what_it_printed_in_use(self, tmp_path):
        flag = tmp_path / "flag"
        command = script(
            tmp_path, f"if os.path.exists({str(flag)!r}): sys.exit(3)", f"print({CANARY!r})"
        )
        clock = Clock()
        credentials = IamTokenCommand(command, clock=clock)
        await credentials.header()
        flag.touch()
        for _ in range(3):
            clock.now += 3600
            assert await credentials.header() == f"Bearer {CANARY}"
        assert "exit code 3" in credentials.trouble.problem
        credentials.refused(f"Bearer {CANARY}")
        with pytest.raises(NotSent, match="exit code 3"):
            await credentials.header()

    @pytest.mark.parametrize(
        ("lines", "said"),
        [
            ("pass", "printed nothing"),
            ("print()", "printed nothing"),
            ("print('a'); print('b')", "2 lines"),
            ("print('a b')", "no single word"),
            ("print('ключ')", "no single word"),
            ("sys.stdout.buffer.write(bytes(100))", "no single word"),
            ("print('x' * 9000)", "printed"),
            ("print('x' * 10_000_000)", "too much"),
            ("while True: print('x' * 1000)", "too much"),
            ("sys.exit(1)", "exit code 1"),
            ("os.kill(os.getpid(), 9)", "exit code -9"),
            ("print('login first', file=sys.stderr); sys.exit(2)", 'exit code 2: "login first"'),
            ("print('a warning', file=sys.stderr)", 'nothing, not one IAM token; "a warning"'),
        ],
    )
    async def test_whatever_else_it_does_is_told(self, tmp_path, lines, said):
        with pytest.raises(NoSuchService) as caught:
            await IamTokenCommand(script(tmp_path, lines)).header()
        assert said in caught.value.problem
        assert "run it yourself" in caught.value.hints[0]

    async def test_a_flood_on_stderr_does_no_harm(self, tmp_path):
        flood = "sys.stderr.write('e' * 5_000_000)"
        command = script(tmp_path, flood, f"print({CANARY!r})")
        assert await IamTokenCommand(command).header() == f"Bearer {CANARY}"

    async def test_no_secret_that_it_prints_is_shown(self, tmp_path):
        """Fault 66."""
        echo = f"print({CANARY!r}); print('got', {CANARY!r}, file=sys.stderr); sys.exit(1)"
        with pytest.raises(NotSent) as caught:
            await IamTokenCommand(script(tmp_path, echo)).header()
        assert "got" in caught.value.problem
        assert CANARY not in str(caught.value)
        secret = "AQVNzyxwvutsrqponmlkjih9876543210zyxwvut"  # not printed to stdout
        echo = f"print('the key is {secret}', file=sys.stderr); sys.exit(1)"
        with pytest.raises(NotSent) as caught:
            await ApiKeyCommand(script(tmp_path, echo)).header()
        assert "the key is" in caught.value.problem
        assert secret[:12] not in str(caught.value)

    @pytest.mark.skipif(sys.platform == "win32", reason="Windows has no process groups")
    async def test_one_that_hangs_is_killed_with_what_it_began(self, tmp_path):
        pids = tmp_path / "pids"
        command = script(
            tmp_path,
            "import subprocess",
            "child = subprocess.Popen(['sleep', '60'])",
            f"open({str(pids)!r}, 'w').write(f'{{os.getpid()}} {{child.pid}}')",
            "time.sleep(60)",
        )
        with pytest.raises(NotSent, match="did not end within") as caught:
            await IamTokenCommand(command, timeout=1.5).header()
        assert type(caught.value) is NotSent
        for pid in pids.read_text().split():
            await _gone(int(pid))

    @pytest.mark.parametrize("leaves", ["False", "True"])
    async def test_what_it_leaves_running_with_its_output_open_is_not_waited_for(
        self, tmp_path, leaves
    ):
        command = script(
            tmp_path,
            "import subprocess",
            f"subprocess.Popen(['sleep', '20'], start_new_session={leaves})",
            f"print({CANARY!r})",
        )
        began = time.monotonic()
        assert await IamTokenCommand(command).header() == f"Bearer {CANARY}"
        assert time.monotonic() - began < 15

    async def test_it_gets_no_terminal_to_ask_at(self, tmp_path):
        command = script(tmp_path, f"print({CANARY!r} + sys.stdin.read())")
        assert await IamTokenCommand(command).header() == f"Bearer {CANARY}"

    @pytest.mark.parametrize("command", ["", "  ", "'open", "no-such-program x", "./nowhere"])
    def test_a_command_that_cannot_be_run_is_refused_before_anything_is_sent(self, command):
        with pytest.raises(ConfigError):
            IamTokenCommand(command)

    def test_arguments_are_not_shown(self, tmp_path):
        """Fault 66."""
        command = IamTokenCommand(f"{sys.executable} --token {CANARY}")
        assert CANARY not in f"{command!r}{command.kind}"


async def _gone(pid):
    """Wait until a process has ended; as an orphan it may be a zombie of a container's init."""
    for _ in range(100):
        if not _lives(pid):
            return
        await asyncio.sleep(0.05)
    raise AssertionError(f"{pid} lives")


def _lives(pid):
    try:
        return Path(f"/proc/{pid}/stat").read_text().split()[2] != "Z"
    except OSError:
        return False


class TestOneFlight:
    async def test_sixteen_who_wait_share_one_request_and_its_failure(self):
        async with metadata_service(http("", "500 Oops"), token(CANARY)) as (address, requests):
            credentials = VmMetadataToken(address)
            ends = await asyncio.gather(
                *(credentials.header() for _ in range(16)), return_exceptions=True
            )
            assert [type(end) for end in ends] == [NotSent] * 16
            assert len(requests) == 1
            ends = await asyncio.gather(*(credentials.header() for _ in range(16)))
            assert set(ends) == {f"Bearer {CANARY}"}
            assert len(requests) == 2

    async def test_one_who_is_cancelled_leaves_the_request_to_another(self):
        async with metadata_service(None, token(CANARY)) as (address, requests):
            credentials = VmMetadataToken(address)
            first = asyncio.ensure_future(credentials.header())
            second = asyncio.ensure_future(credentials.header())
            while not requests:
                await asyncio.sleep(0.01)
            first.cancel()
            assert await second == f"Bearer {CANARY}"

    async def test_failures_ahead_of_time_are_repeated_ever_more_slowly(self):
        clock = Clock()
        answers = [token(CANARY, 3600), http("", "500 Oops")]
        async with metadata_service(*answers) as (address, requests):
            credentials = VmMetadataToken(address, clock=clock)
            await credentials.header()
            clock.now += 1801
            times = []
            while clock.now < 1000 + 3599:
                before = len(requests)
                assert await credentials.header() == f"Bearer {CANARY}"
                times += [clock.now] * (len(requests) - before)
                clock.now += 1
            gaps = [later - earlier for earlier, later in pairwise(times)]
            assert gaps[:7] == [1, 2, 4, 8, 16, 32, 60]
            assert max(gaps) == 60
            clock.now += 2
            with pytest.raises(NotSent, match="HTTP 500"):
                await credentials.header()


class TestRefused:
    async def test_what_never_changes_is_not_replaced(self):
        authorization = Authorization(ApiKey(CANARY))
        assert not await authorization.replaced(await authorization.header())

    async def test_a_refused_token_is_replaced_exactly_once(self):
        answers = [token(f"t1.token{n}") for n in range(9)]
        async with metadata_service(*answers) as (address, requests):
            authorization = Authorization(VmMetadataToken(address))
            first = await authorization.header()
            replaced = await asyncio.gather(*(authorization.replaced(first) for _ in range(16)))
            assert replaced == [True] * 16
            assert len(requests) == 2
            second = await authorization.header()
            assert not await authorization.replaced(second)
            assert len(requests) == 2

    async def test_one_that_was_accepted_is_replaced_in_its_turn(self):
        answers = [token(f"t1.token{n}") for n in range(9)]
        async with metadata_service(*answers) as (address, _):
            authorization = Authorization(VmMetadataToken(address))
            for _ in range(5):
                header = await authorization.header()
                authorization.accepted(header)
                assert await authorization.replaced(header)
                # One who was refused late, with the old token, changes nothing.
                authorization.accepted(await authorization.header())
                assert await authorization.replaced(header)

    async def test_the_same_token_again_is_no_replacement(self):
        async with metadata_service(token(CANARY)) as (address, requests):
            authorization = Authorization(VmMetadataToken(address))
            assert not await authorization.replaced(await authorization.header())
            assert len(requests) == 2

    async def test_a_token_file_is_looked_at_at_once(self, tmp_path):
        path = tmp_path / "token"
        path.write_text("one")
        path.chmod(0o600)
        authorization = Authorization(IamTokenFile(path))
        header = await authorization.header()
        assert not await authorization.replaced(header)
        path.write_text("another")
        replaced = await asyncio.gather(*(authorization.replaced(header) for _ in range(16)))
        assert replaced == [True] * 16
        assert await authorization.header() == "Bearer another"
