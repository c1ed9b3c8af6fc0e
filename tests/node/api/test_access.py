import os
import stat
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import aiohttp
import msgspec
import pytest

from meter.client import open_client
from meter.proofs import TrustAnchor
from meter.validators import ClientSettings, QuestionRefusedError
from node.api.access import FORWARDED
from node.api.app import list_declared
from node.api.rates import BURST_S, Rates
from node.api.tokens import FILE_NAME, Tokens, add_token, read_tokens, revoke_token
from node.errors import HomeError
from tests.node.api.rim import CONFIG, open_rim, run
from tests.node.community import START_S, build_settled_community, make_meter_account

METER = make_meter_account(0).hex()
PRIVATE = [
    f"/v1/accounts/{METER}",
    "/v1/meters",
    f"/v1/meters/{METER}",
    f"/v1/bills/{METER}?first={START_S}&last={START_S}",
    f"/v1/events/{START_S}",
    f"/v1/rounds/{START_S}?meter={METER}",
    f"/v1/transactions/{'ab' * 32}?raw=1",
    f"/v1/feed?account={METER}",
]
PUBLIC = ["/v1/status", "/v1/blocks", f"/v1/slots/{START_S}", "/v1/validators", f"/v1/rounds/{START_S}"]


def test_the_private_reads_are_those_that_are_declared() -> None:
    declared = {route.path for route in list_declared() if route.private or route.private_with}
    assert len(declared) == len(PRIVATE)


@pytest.mark.parametrize("path", PRIVATE)
@pytest.mark.parametrize("header", FORWARDED)
def test_behind_a_proxy_what_concerns_one_home_needs_a_token(path: str, header: str) -> None:
    async def scenario() -> None:
        async with (
            open_rim(build_settled_community()) as rim,
            rim.client.get(rim.url(path), headers={header: "192.0.2.7"}) as response,
        ):
            assert response.status == 401
            assert response.headers["WWW-Authenticate"] == "Bearer"
            assert (await response.json(content_type=None))["error"] == "TOKEN_NEEDED"

    run(scenario())


@pytest.mark.parametrize("path", PUBLIC)
def test_what_is_public_needs_none(path: str) -> None:
    async def scenario() -> None:
        config = msgspec.structs.replace(CONFIG, private_reads="token")
        async with open_rim(build_settled_community(), config) as rim:
            status, _ = await rim.get(path)
            assert status in {200, 404}

    run(scenario())


def test_this_machine_reads_everything_unless_it_is_told_otherwise() -> None:
    async def scenario() -> None:
        async with open_rim(build_settled_community()) as rim:
            assert (await rim.get(f"/v1/meters/{METER}"))[0] == 200
        for rule, expected in (("token", 401), ("open", 200)):
            config = msgspec.structs.replace(CONFIG, private_reads=rule)
            async with open_rim(build_settled_community(), config) as rim:
                assert (await rim.get(f"/v1/meters/{METER}", Forwarded="for=192.0.2.7"))[0] == expected

    run(scenario())


def test_a_token_is_taken_while_it_is_known_and_only_in_its_form(tmp_path: Path) -> None:
    token = add_token(tmp_path, "gateway", 0)
    tokens = Tokens(tmp_path)

    async def scenario() -> None:
        config = msgspec.structs.replace(CONFIG, private_reads="token")
        async with open_rim(build_settled_community(), config, is_token_known=tokens.is_known) as rim:

            async def ask(text: str) -> tuple[int, str]:
                status, answer = await rim.get(f"/v1/meters/{METER}", Authorization=text)
                return status, answer.get("error", "")

            assert (await ask(f"Bearer {token}"))[0] == (await ask(f"bearer {token}"))[0] == 200
            for text in (
                f"Basic {token}",
                token,
                "Bearer",
                f"Bearer {token}x",
                f"Bearer {token[:-1]}",
                "Bearer " + "a" * 4096,
            ):
                assert await ask(text) == (401, "TOKEN_UNKNOWN")
            assert revoke_token(tmp_path, "gateway")
            assert await ask(f"Bearer {token}") == (401, "TOKEN_UNKNOWN")

    run(scenario())


def test_the_home_keeps_hashes_only_in_a_file_of_its_owner(tmp_path: Path) -> None:
    token = add_token(tmp_path, "gateway", 7)
    path = tmp_path / FILE_NAME
    assert stat.S_IMODE(path.stat().st_mode) == 0o600
    assert token not in path.read_text()
    assert [(each.name, each.made_ms) for each in read_tokens(tmp_path)] == [("gateway", 7)]
    for name in ("gateway", "", "a b", "x" * 33):
        with pytest.raises(HomeError):
            add_token(tmp_path, name, 0)
    assert not revoke_token(tmp_path, "nobody")


def test_tokens_that_are_made_and_revoked_at_the_same_time_are_all_kept_and_all_gone(tmp_path: Path) -> None:
    names = [f"reader{number}" for number in range(40)]
    for name in names[:20]:
        add_token(tmp_path, name, 0)
    with ThreadPoolExecutor(8) as threads:
        gone = threads.map(lambda name: revoke_token(tmp_path, name), names[:20])
        made = threads.map(lambda name: add_token(tmp_path, name, 0), names[20:])
        assert all(gone)
        assert all(map(Tokens(tmp_path).is_known, made))
    assert sorted(each.name for each in read_tokens(tmp_path)) == sorted(names[20:])


def test_the_file_belongs_to_the_homes_owner_whoever_makes_a_token(tmp_path: Path) -> None:
    if os.geteuid() == 0:  # anybody else owns every home that it can write to
        os.chown(tmp_path, 65534, 65534)
    add_token(tmp_path, "gateway", 0)
    found, home = (tmp_path / FILE_NAME).stat(), tmp_path.stat()
    assert (found.st_uid, found.st_gid) == (home.st_uid, home.st_gid)


@pytest.mark.parametrize(
    "content", ["", "{", '{"tokens": [{"name": "a", "hash": "zz", "made_ms": 0}]}', "[]"]
)
def test_a_damaged_file_lets_nobody_in_and_is_told(tmp_path: Path, content: str) -> None:
    token = add_token(tmp_path, "gateway", 0)
    tokens = Tokens(tmp_path)
    assert tokens.is_known(token)
    (tmp_path / FILE_NAME).write_text(content)
    with pytest.raises(HomeError, match="damaged"):
        read_tokens(tmp_path)
    assert not tokens.is_known(token)
    assert not Tokens(tmp_path / "nowhere").is_known(token)


def test_an_address_may_ask_at_its_rate_and_others_are_not_touched() -> None:
    rates = Rates(10.0)
    burst = int(10 * BURST_S)
    assert [rates.take("192.0.2.1", 0.0) for _ in range(burst)] == [0.0] * burst
    assert rates.take("192.0.2.1", 0.0) == pytest.approx(0.1)
    assert rates.take("192.0.2.2", 0.0) == 0.0
    assert rates.take("192.0.2.1", 0.1) == 0.0
    assert rates.take("192.0.2.1", 0.1) > 0.0
    assert [rates.take("127.0.0.1", 0.0) for _ in range(10 * burst)] == [0.0] * 10 * burst


def test_who_asks_too_often_is_told_when_to_come_back() -> None:
    async def scenario() -> None:
        config = msgspec.structs.replace(CONFIG, requests_per_second_max=1.0)
        connector = aiohttp.TCPConnector(local_addr=("127.0.0.77", 0))
        async with open_rim(config=config) as rim, aiohttp.ClientSession(connector=connector) as client:
            for _ in range(int(BURST_S)):
                async with client.get(rim.url("/v1/status")) as response:
                    assert response.status == 200
            async with client.get(rim.url("/v1/status")) as refused:
                assert refused.status == 429
                assert refused.headers["Retry-After"] == "1"
                assert (await refused.json(content_type=None))["error"] == "TOO_MANY_REQUESTS"

    run(scenario())


def test_a_client_shows_its_token_and_is_told_by_name_where_it_has_none(tmp_path: Path) -> None:
    tokens = Tokens(tmp_path)
    token = add_token(tmp_path, "gateway", 0)

    async def scenario() -> None:
        community = build_settled_community()
        anchor = TrustAnchor(community.genesis_hash, (community.membership,))
        config = msgspec.structs.replace(CONFIG, private_reads="token")
        async with open_rim(community, config, is_token_known=tokens.is_known) as rim:
            async with open_client([rim.url("")], anchor, ClientSettings(token=token)) as client:
                assert (await client.get_account("utility")).name == "utility"
            for other, name in (("", "TOKEN_NEEDED"), ("0" * 64, "TOKEN_UNKNOWN")):
                async with open_client([rim.url("")], anchor, ClientSettings(token=other)) as client:
                    with pytest.raises(QuestionRefusedError) as refused:
                        await client.get_account("utility")
                    assert refused.value.name == name
        assert token not in repr(ClientSettings(token=token))

    run(scenario())
