"""``diagnose`` as a call of a library."""

import pytest
from support.sink_servers import TalkServer

from batch_uploader import ApiKey, ConfigError, Health, diagnose


async def test_it_yields_each_check_as_it_ends(tmp_path):
    async with TalkServer() as server:
        checks = diagnose(
            str(tmp_path), connection_id="c", credentials=ApiKey("key"), endpoint=server.endpoint
        )
        found = [each async for each in checks]
    assert [each.check for each in found][:2] == ["machine", "dns"]
    assert {each.health for each in found} == {Health.OK, Health.WARN, Health.NOT_CHECKED}
    (undated,) = (each for each in found if each.health is Health.NOT_CHECKED)
    assert undated.check == "clock"
    assert [call.get("authorization") for call in server.calls] == [None, "Api-Key key"]
    assert server.talks == []


async def test_the_error_of_credentials_may_stand_for_them():
    refusal = ConfigError("the key is in another castle", hint="go there")
    async with TalkServer() as server:
        checks = diagnose(credentials=refusal, endpoint=server.endpoint)
        failed = [each async for each in checks if each.health is Health.FAIL]
    assert [(each.check, each.message) for each in failed] == [
        ("credentials", refusal.problem),
        ("connection", "the connection ID is missing"),
    ]
    assert failed[0].hints == refusal.hints


async def test_a_connection_that_cannot_be_one_is_refused_at_once():
    with pytest.raises(ConfigError):
        async for _ in diagnose(connection_id=" ", credentials=ApiKey("key")):
            pass
