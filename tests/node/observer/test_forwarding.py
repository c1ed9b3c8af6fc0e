"""What is submitted to an observer goes on to validators; what they answer is the answer."""

import asyncio
from collections.abc import AsyncIterator, Callable, Coroutine
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import aiohttp
import pytest

from node.intake import SubmitResult, SubmitStatus
from primitives.ids import Digest
from tests.node.observer.scene import Gateway, Served, make_gateway, make_served, make_street_genesis
from tests.node.snapshots.source import Source
from tests.vm.ledger import make_key, make_wallet
from vm.contracts.permissions import Register
from vm.receipt import Rejection
from vm.transaction import SealedTransaction

BYTES = {"Content-Type": "application/octet-stream"}


class Scene:
    """A chain, two validators, an observer that follows both, and a client of the observer."""

    def __init__(self, directory: Path) -> None:
        self.source = Source(genesis=make_street_genesis())
        self.source.register(1)
        self.served: list[Served] = make_served(directory, self.source, 2)
        self.gateway: Gateway = make_gateway(directory, self.source, self.served)

    def sign(self, name: str = "somebody") -> SealedTransaction:
        wallet = make_wallet(name)
        record = Register(wallet.account, wallet.key.public, "prosumer", name)
        return self.source.sign(self.source.utility, record)

    def refuse(self, served: Served, sealed: SealedTransaction, rejection: Rejection) -> None:
        served.outcomes = [SubmitResult(Digest(sealed.id), SubmitStatus.REFUSED, rejection, "why")]

    async def submit(self, raw: bytes) -> tuple[int, dict[str, Any]]:
        async with (
            aiohttp.ClientSession() as session,
            session.post(f"{self.gateway.url}/v1/transactions", data=raw, headers=BYTES) as response,
        ):
            return response.status, await response.json()

    async def get(self, path: str) -> tuple[int, dict[str, Any]]:
        async with aiohttp.ClientSession() as session, session.get(self.gateway.url + path) as response:
            return response.status, await response.json()

    @asynccontextmanager
    async def open(self) -> AsyncIterator[None]:
        """Open all; the observer is linked to both validators."""
        async with self.served[0].open(), self.served[1].open(), self.gateway.open():
            await self.gateway.await_height(1)
            linked = 0
            while linked < 2:
                linked = sum(peer["connected"] for peer in (await self.gateway.ask()).get("peers", ()))
            yield


@pytest.fixture
def scene(tmp_path: Path) -> Scene:
    return Scene(tmp_path)


def play(scene: Scene, act: Callable[[], Coroutine[None, None, None]]) -> None:
    async def run() -> None:
        async with scene.open():
            await act()

    asyncio.run(run())


def test_what_a_validator_took_is_accepted_and_proven_by_the_observers_own_chain(scene: Scene) -> None:
    sealed = scene.sign()

    async def act() -> None:
        status, answer = await scene.submit(sealed.raw)
        assert (status, answer["status"]) == (202, "accepted")
        (taker,) = [each for each in scene.served if each.submitted]
        assert taker.submitted == [sealed.raw]
        status, answer = await scene.get(f"/v1/transactions/{sealed.id.hex()}")
        assert answer["status"] == "pending"
        scene.source.execute(sealed)
        taker.announce()
        status, answer = await scene.get(f"/v1/transactions/{sealed.id.hex()}/proof?wait_ms=20000")
        assert (status, answer["height"]) == (200, 2)
        status, answer = await scene.submit(sealed.raw)
        assert answer["status"] == "known"
        assert sum(len(each.submitted) for each in scene.served) == 1  # nobody needs it any more

    play(scene, act)


def test_one_validators_refusal_is_not_believed(scene: Scene) -> None:
    sealed = scene.sign()
    scene.refuse(scene.served[0], sealed, Rejection.SUSPENDED)

    async def act() -> None:
        for _ in range(2):  # whoever comes first
            status, answer = await scene.submit(sealed.raw)
            assert (status, answer["status"]) == (202, "accepted")

    play(scene, act)


def test_the_refusal_of_a_weak_quorum_is_the_answer(scene: Scene) -> None:
    sealed = scene.sign()
    for each in scene.served:
        scene.refuse(each, sealed, Rejection.SUSPENDED)

    async def act() -> None:
        status, answer = await scene.submit(sealed.raw)
        assert (status, answer["error"], answer["detail"]) == (422, "SUSPENDED", "why")

    play(scene, act)


def test_what_waits_already_is_passed_on_again_to_another_validator_first(scene: Scene) -> None:
    sealed = scene.sign()

    async def act() -> None:
        for _ in range(2):
            status, _ = await scene.submit(sealed.raw)
            assert status == 202
        assert [each.submitted for each in scene.served] == [[sealed.raw], [sealed.raw]]

    play(scene, act)


def test_what_is_malformed_or_wrongly_signed_is_refused_here_and_not_passed_on(scene: Scene) -> None:
    sealed = scene.sign()
    forged = sealed.raw[:-1] + bytes([sealed.raw[-1] ^ 1])
    foreign = Source(genesis=Source().genesis).sign(
        make_wallet("utility"), Register(b"a" * 16, make_key("a").public, "prosumer", "a")
    )

    async def act() -> None:
        for raw, name in (
            (b"nonsense", "MALFORMED"),
            (forged, "SIGNATURE_INVALID"),
            (foreign.raw, "OTHER_CHAIN"),
        ):
            status, answer = await scene.submit(raw)
            assert (status, answer["error"]) == (422, name)
        assert not any(each.submitted for each in scene.served)

    play(scene, act)


def test_without_a_validator_it_says_so_and_takes_nothing(scene: Scene) -> None:
    sealed = scene.sign()

    async def act() -> None:
        async with scene.gateway.open():
            status, answer = await scene.submit(sealed.raw)
            assert status == 503
            assert "no validator takes it from this observer now" in answer["detail"]
            status, _ = await scene.get(f"/v1/transactions/{sealed.id.hex()}")
            assert status == 404
            status, answer = await scene.get("/readyz")
            assert status == 503
            assert "no link to any validator" in answer["detail"]

    asyncio.run(act())


def test_an_observer_is_asked_for_everything_but_a_place_in_agreement(scene: Scene) -> None:
    async def act() -> None:
        assert (await scene.get("/readyz"))[0] == 200
        status, answer = await scene.get("/v1/consensus")
        assert status == 404
        assert "takes no part in agreement" in answer["detail"]
        status, answer = await scene.get("/v1/status")
        assert (answer["role"], answer["active"], answer["view"]) == ("observer", False, 0)
        status, answer = await scene.get("/v1/blocks/1")
        assert status == 200

    play(scene, act)
