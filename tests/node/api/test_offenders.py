"""Who sends what no honest client sends is refused for a while; others, and a few mistakes, are not."""

import json

import pytest

from node.api import offenders as module
from node.api.offenders import ADDRESSES_MAX, INVALID_BURST, INVALID_PER_S, Offenders
from primitives.encoding import encode
from tests.node.api.rim import Rim, open_rim, run


def test_a_burst_is_allowed_and_what_is_beyond_waits() -> None:
    offenders = Offenders()
    offenders.note("a", INVALID_BURST - 1, 100.0)
    assert offenders.compute_wait_s("a", 100.0) == 0
    offenders.note("a", 101, 100.0)
    assert offenders.compute_wait_s("a", 100.0) == pytest.approx(101 / INVALID_PER_S)
    assert offenders.compute_wait_s("b", 100.0) == 0


def test_time_brings_it_back_up_to_the_burst_and_no_further() -> None:
    offenders = Offenders()
    offenders.note("a", INVALID_BURST + 50, 0.0)
    assert offenders.compute_wait_s("a", 50 / INVALID_PER_S + 0.2) == 0
    late_s = 10 * INVALID_BURST / INVALID_PER_S
    offenders.note("a", INVALID_BURST, late_s)
    assert offenders.compute_wait_s("a", late_s) > 0


def test_the_wait_that_is_told_is_long_enough() -> None:
    offenders = Offenders()
    offenders.note("a", 5 * INVALID_BURST, 7.0)
    wait_s = offenders.compute_wait_s("a", 7.0)
    assert offenders.compute_wait_s("a", 7.0 + wait_s) == 0


def test_loopback_speaks_for_many_and_is_never_refused() -> None:
    offenders = Offenders()
    for address in ("127.0.0.1", "::1"):
        offenders.note(address, 100 * INVALID_BURST, 0.0)
        assert offenders.compute_wait_s(address, 0.0) == 0


def test_memory_is_bounded_whatever_number_of_addresses_offends() -> None:
    offenders = Offenders()
    for number in range(2 * ADDRESSES_MAX):
        offenders.note(str(number), 2 * INVALID_BURST, 0.0)
    assert len(offenders._left) == ADDRESSES_MAX
    assert offenders.compute_wait_s(str(2 * ADDRESSES_MAX - 1), 0.0) > 0
    assert offenders.compute_wait_s("0", 0.0) == 0


@pytest.mark.parametrize(
    ("path", "body", "offences"),
    [
        ("/v1/transactions/batch", encode((b"no transaction", b"another")), 2),
        ("/v1/transactions", b"no transaction", 1),
        ("/v1/transactions/batch", b"no array", 20),
    ],
)
def test_an_address_that_got_too_much_wrong_is_refused_by_name(
    monkeypatch: pytest.MonkeyPatch, path: str, body: bytes, offences: int
) -> None:
    monkeypatch.setattr(module, "INVALID_BURST", 3 * offences)
    monkeypatch.setattr(module, "INVALID_PER_S", 0.001)
    monkeypatch.setattr(module, "LOOPBACK", frozenset())

    async def post(rim: Rim) -> tuple[int, str, str]:
        async with rim.client.post(
            f"http://127.0.0.1:{rim.port}{path}",
            data=body,
            headers={"Content-Type": "application/octet-stream"},
        ) as response:
            return response.status, response.headers.get("Retry-After", ""), await response.text()

    async def scenario() -> None:
        async with open_rim() as rim:
            for _ in range(3):
                assert (await post(rim))[0] != 429
            status, retry_after, text = await post(rim)
            assert (status, json.loads(text)["error"]) == (429, "TOO_MANY_INVALID")
            assert int(retry_after) > 0
            assert (await rim.get("/livez"))[0] == 200

    run(scenario())
