"""An observer as a whole, over real links: it catches up, follows, changes its source, and believes no liar."""

import asyncio
from collections.abc import Callable, Coroutine
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import pytest
from msgspec.structs import replace

from consensus.effects import Deliver
from node.answers import Answers
from node.applier import Applier
from node.errors import DivergedError, HomeError
from node.exchange import BlocksAnswer, PrunedAnswer, RequestKind, decode_blocks
from node.home import load_constitution, open_storage
from node.observer import follower as follower_module
from node.observer import sources as sources_module
from p2p.transfer import RequestRefused
from primitives.encoding import encode
from primitives.ids import Epoch, Height, Sequence
from tests.node.observer.scene import (
    DEADLINE_S,
    OWN_KEY,
    Gateway,
    Served,
    make_gateway,
    make_served,
    make_street_genesis,
)
from tests.node.snapshots.source import Source
from tests.p2p.members import wait_until
from vm.contract import LedgerContext


class Scene:
    """One chain, two validators that serve it, an observer."""

    def __init__(self, directory: Path, heartbeat_ms: int = 30_000) -> None:
        self.source = Source(genesis=make_street_genesis(heartbeat_ms))
        self.source.register(3)
        self.served = make_served(directory, self.source, 2)
        self.gateway = make_gateway(directory, self.source, self.served)

    def grow(self, name: str, *announcing: Served) -> None:
        self.source.register(1, name)
        for each in announcing or self.served:
            each.announce()


@pytest.fixture
def scene(tmp_path: Path) -> Scene:
    return Scene(tmp_path)


class Liar(Answers):
    """A validator's answers about blocks, spoiled; the rest is the source's."""

    def __init__(self, source: Source, spoil: Callable[[bytes], bytes]) -> None:
        self._source = source
        self._spoil = spoil
        self.asked = 0

    def answer(self, kind: int, payload: bytes) -> bytes:
        said = self._source.answers.answer(kind, payload)
        if kind != RequestKind.BLOCKS:
            return said
        self.asked += 1
        return self._spoil(said)


def find_cause(error: BaseException) -> BaseException:
    """Return the one error in groups of groups."""
    while isinstance(error, BaseExceptionGroup):
        (error,) = error.exceptions
    return error


def run(act: Callable[[], Coroutine[None, None, None]]) -> None:
    asyncio.run(act())


def forge_certificate(said: bytes) -> bytes:
    answer = decode_blocks(said)
    assert isinstance(answer, BlocksAnswer)
    return encode(BlocksAnswer(answer.blocks, type(answer.certificate)(answer.certificate.header, ())))


def test_an_observer_started_late_catches_up_and_hears_of_each_new_block(scene: Scene) -> None:
    async def act() -> None:
        async with scene.served[0].open(), scene.gateway.open():
            told = await scene.gateway.await_height(1)
            assert (told["role"], told["phase"], told["active"], told["primary"]) == (
                "observer",
                "observing",
                False,
                "",
            )
            for number in range(3):
                scene.grow(f"later-{number}", scene.served[0])
                await scene.gateway.await_height(scene.source.height)

    run(act)


def test_when_the_source_is_gone_another_one_is_followed(scene: Scene) -> None:
    first, second = scene.served

    async def act() -> None:
        async with second.open(), scene.gateway.open():
            async with first.open():
                await scene.gateway.await_height(1)
                scene.grow("while both are there")
                await scene.gateway.await_height(2)
            scene.grow("after one is gone", second)
            await scene.gateway.await_height(3)

    run(act)


def test_a_restarted_observer_goes_on_where_its_store_ends(scene: Scene) -> None:
    liar = Liar(scene.source, lambda said: said)
    scene.served[0].answers = liar

    async def act() -> None:
        async with scene.served[0].open():
            async with scene.gateway.open():
                await scene.gateway.await_height(1)
            asked = liar.asked
            async with scene.gateway.open():
                await scene.gateway.await_height(1)
                assert liar.asked == asked  # what it has it does not ask for
                scene.grow("later", scene.served[0])
                await scene.gateway.await_height(2)

    run(act)


@pytest.mark.parametrize(
    ("spoil", "reason"),
    [
        (forge_certificate, "0 signatures are fewer than the 3 needed"),
        (lambda _: b"nonsense", "blocks that are none"),
    ],
)
def test_a_liar_is_refused_by_name_and_left_for_another(
    scene: Scene, spoil: Callable[[bytes], bytes], reason: str
) -> None:
    liar, honest = scene.served
    liar.answers = Liar(scene.source, spoil)

    async def act() -> None:
        async with liar.open(), scene.gateway.open():
            async with asyncio.timeout(DEADLINE_S):
                told = await scene.gateway.ask()
                while not any(peer["banned_for_s"] for peer in told.get("peers", ())):
                    told = await scene.gateway.ask()
            assert told["height"] == 0
            (peer,) = [each for each in told["peers"] if each["banned_for_s"]]
            assert peer["name"] == liar.name
            assert reason in peer["last_error"]
            async with honest.open():
                await scene.gateway.await_height(1)

    run(act)


def test_who_announces_blocks_and_gives_none_is_left_and_not_banned(
    scene: Scene, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(follower_module, "USELESS_S", 0.05)
    monkeypatch.setattr(sources_module, "USELESS_S", 0.05)
    tries = []

    def refuse(said: bytes) -> bytes:
        tries.append(said)
        if len(tries) < 3:
            raise RequestRefused("this node is starting")
        return b"" if len(tries) == 3 else said

    scene.served[0].answers = Liar(scene.source, refuse)

    async def act() -> None:
        async with scene.served[0].open(), scene.gateway.open():
            told = await scene.gateway.await_height(1)
            assert all(peer["banned_for_s"] == 0 for peer in told["peers"])
            assert len(tries) == 4

    run(act)


def test_a_change_of_the_validators_is_followed_by_its_certificate(scene: Scene) -> None:
    async def act() -> None:
        async with scene.served[0].open(), scene.gateway.open():
            await scene.gateway.await_height(1)
            scene.source.add_validator("v4")
            scene.served[0].announce()
            told = await scene.gateway.await_height(scene.source.height)
            assert told["epoch"] == 1
            scene.grow("in the next epoch", scene.served[0])
            await scene.gateway.await_height(scene.source.height)
        async with scene.served[0].open(), scene.gateway.open():
            told = await scene.gateway.await_height(scene.source.height)
            assert told["epoch"] == 1

    run(act)


def test_the_last_block_of_an_epoch_whose_certificate_a_crash_took_is_asked_for_again(scene: Scene) -> None:
    scene.source.add_validator("v4")
    last = scene.source.height
    blocks = [scene.source.chain.get_block(Height(height)) for height in range(1, last + 1)]
    constitution = load_constitution(scene.gateway.home)
    ledger = LedgerContext(constitution.genesis, constitution.genesis_hash)
    with open_storage(scene.gateway.home, constitution) as storage, ThreadPoolExecutor(1) as executor:
        chain = storage.chain
        applier = Applier(ledger, chain, chain.get_latest_header(), storage.tree, executor)
        for block in blocks:
            assert block is not None
            header = block.header
            position = (Epoch(header.epoch), Sequence(header.sequence), Height(header.height))
            applier.advance(applier.execute_and_store(Deliver(*position, block.batch)))
        assert chain.get_latest_certificate() is None

    async def act() -> None:
        async with scene.served[0].open(), scene.gateway.open():
            told = await scene.gateway.await_height(last)
            assert told["epoch"] == 1
            scene.grow("in the next epoch", scene.served[0])
            await scene.gateway.await_height(scene.source.height)

    run(act)


def test_an_epoch_that_has_ended_is_over_also_after_a_restart_without_any_link(scene: Scene) -> None:
    scene.source.add_validator("v4")

    async def act() -> None:
        async with scene.served[0].open(), scene.gateway.open():
            await scene.gateway.await_height(scene.source.height)
        async with scene.gateway.open():
            told = await scene.gateway.await_height(scene.source.height)
            assert told["epoch"] == 1

    run(act)


def test_a_block_that_executes_to_another_header_than_the_certified_one_stops_the_observer(
    scene: Scene,
) -> None:
    def certify_other_state(said: bytes) -> bytes:
        answer = decode_blocks(said)
        assert isinstance(answer, BlocksAnswer)
        (block,) = answer.blocks
        header = replace(block.header, state_root=bytes(32))
        return encode(BlocksAnswer((replace(block, header=header),), scene.source.sign_header(header)))

    scene.served[0].answers = Liar(scene.source, certify_other_state)

    async def act() -> None:
        with pytest.raises(ExceptionGroup) as caught:
            async with scene.served[0].open(), scene.gateway.open(), asyncio.timeout(DEADLINE_S):
                await asyncio.Event().wait()
        error = find_cause(caught.value)
        assert isinstance(error, DivergedError)
        assert "block 1 was certified as" in str(error)
        assert "gridbft reset data" in str(error)

    run(act)


def test_an_observer_that_hears_of_no_block_for_three_heartbeats_says_so_until_one_comes(
    tmp_path: Path,
) -> None:
    scene = Scene(tmp_path, heartbeat_ms=1000)

    async def await_waiting(*, is_waiting: bool) -> dict[str, Any]:
        async with asyncio.timeout(DEADLINE_S):
            while True:
                told = await scene.gateway.ask()
                if told and (told["waiting"] is not None) == is_waiting:
                    return told

    async def act() -> None:
        async with scene.served[0].open(), scene.gateway.open():
            await scene.gateway.await_height(1)
            told = await await_waiting(is_waiting=True)
            assert "no validator has told of a new block for" in told["waiting"]
            assert told["phase"] == "observing"
            scene.grow("at last", scene.served[0])
            await await_waiting(is_waiting=False)

    run(act)


def test_where_all_let_the_next_blocks_go_a_snapshot_is_fetched(scene: Scene) -> None:
    for name in ("a", "b", "c"):
        scene.source.register(1, name)
    for height in (1, 2):
        scene.source.chain.prune_block(Height(height))

    async def act() -> None:
        async with scene.served[0].open():
            async with scene.gateway.open() as node:
                await wait_until(lambda: node.lifetime.is_reopening, "a snapshot waits to become the store")
            async with scene.gateway.open():
                await scene.gateway.await_height(scene.source.height)
                scene.grow("after the snapshot", scene.served[0])
                await scene.gateway.await_height(scene.source.height)

    run(act)


def test_whoever_says_that_blocks_are_pruned_does_not_keep_others_from_being_asked(scene: Scene) -> None:
    liar, _ = scene.served
    liar.answers = Liar(scene.source, lambda _: encode(PrunedAnswer(10)))

    async def act() -> None:
        async with scene.served[0].open(), scene.served[1].open(), scene.gateway.open() as node:
            await scene.gateway.await_height(1)
            assert not node.lifetime.is_reopening

    run(act)


def test_an_observer_whose_chain_no_quorum_certified_stops_and_says_so(scene: Scene, tmp_path: Path) -> None:
    other = Source(genesis=scene.source.genesis, time_s=scene.source.time_s + 3600)
    other.register(1, "another history")
    forked = make_served(tmp_path / "forked", other, 1)[0]
    forked.port = scene.served[0].port
    gateway = Gateway(scene.gateway.home, other, scene.gateway.config)

    async def act() -> None:
        async with forked.open(), gateway.open():
            await gateway.await_height(1)
        scene.grow("the certified one")
        with pytest.raises(ExceptionGroup) as caught:
            async with scene.served[0].open(), scene.gateway.open(), asyncio.timeout(DEADLINE_S):
                await asyncio.Event().wait()
        error = find_cause(caught.value)
        assert isinstance(error, DivergedError)
        assert "a quorum certified another block 2" in str(error)

    run(act)


def test_a_key_that_validates_is_refused_at_the_start(scene: Scene, monkeypatch: pytest.MonkeyPatch) -> None:
    validators = scene.source.genesis.validators
    keys = [each.public_key for each in validators]
    assert OWN_KEY.public not in keys
    key = next(iter(scene.source.signers.values()))
    monkeypatch.setattr("tests.node.observer.scene.OWN_KEY", key)

    async def act() -> None:
        with pytest.raises(HomeError, match="is a validator's, and an observer has no vote"):
            async with scene.gateway.open():
                pass

    run(act)
