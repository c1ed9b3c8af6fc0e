"""Fetching over real links: a liar is banned and named, a silent or changing peer is left, the next one is asked."""

import asyncio
from collections.abc import Awaitable, Callable, Coroutine
from pathlib import Path

import pytest

from node.exchange import NO_ANSWER, RequestKind
from node.home import load_constitution, open_storage
from node.snapshots import fetcher as fetcher_module
from node.snapshots.fetcher import SnapshotFetcher
from node.snapshots.installation import FETCHING_NAME, OFFERED_NAME
from node.snapshots.parts import PairsPage
from p2p.transfer import RequestRefused
from primitives.encoding import decode, encode
from primitives.ids import ReplicaId
from tests.node.snapshots.source import Source
from tests.p2p.members import Station, open_mesh
from tests.vm.ledger import make_genesis

Answer = Callable[[bytes, int, bytes], Awaitable[bytes]]


class Scene:
    """A node with nothing but genesis, a bad peer that is asked first, and a good one."""

    def __init__(self, home: Path, stations: list[Station]) -> None:
        self.home = home
        self.own, self.bad, self.good = stations
        self.source = Source()
        self.source.register(30)
        self.asked: list[tuple[str, RequestKind]] = []
        self.bad.ear.answer = self.serve
        self.good.ear.answer = self.serve_well

    async def serve(self, _: bytes, kind: int, payload: bytes) -> bytes:
        self.asked.append(("bad", RequestKind(kind)))
        return self.source.answers.answer(kind, payload)

    async def serve_well(self, _: bytes, kind: int, payload: bytes) -> bytes:
        self.asked.append(("good", RequestKind(kind)))
        return self.source.answers.answer(kind, payload)

    async def fetch(self) -> bool:
        """Fetch from the bad peer, then from the good one; tell whether a snapshot was offered."""
        constitution = load_constitution(self.home)
        with open_storage(self.home, constitution) as storage:
            fetcher = SnapshotFetcher(
                self.home / "data",
                self.source.genesis_hash,
                storage.chain,
                self.own.network,
                lambda: self.source.membership,
            )
            await fetcher.fetch([ReplicaId(self.bad.id), ReplicaId(self.good.id)])
            assert not (self.home / "data" / FETCHING_NAME).exists()
            assert (self.home / "data" / OFFERED_NAME).exists() == fetcher.offered.is_set()
            return fetcher.offered.is_set()

    def read_installed(self) -> int:
        """Open the home again; the opening checks the state against the certified header."""
        with open_storage(self.home, load_constitution(self.home)) as storage:
            assert list(storage.chain.iterate(b"")) == list(self.source.chain.iterate(b""))
            return storage.chain.get_height()


def run(home: Path, act: Callable[[Scene], Coroutine[None, None, None]]) -> None:
    async def play() -> None:
        async with open_mesh(3) as stations:
            await act(Scene(home, stations))

    asyncio.run(play())


@pytest.fixture
def home(tmp_path: Path) -> Path:
    (tmp_path / "genesis.bin").write_bytes(encode(make_genesis()))
    return tmp_path


def test_the_first_peer_that_has_a_snapshot_is_enough(home: Path) -> None:
    async def act(scene: Scene) -> None:
        assert await scene.fetch()
        assert {who for who, _ in scene.asked} == {"bad"}
        assert scene.read_installed() == scene.source.height

    run(home, act)


def test_a_liar_is_banned_and_named_and_the_next_peer_is_asked(home: Path) -> None:
    async def act(scene: Scene) -> None:
        async def lie(peer: bytes, kind: int, payload: bytes) -> bytes:
            said = await scene.serve(peer, kind, payload)
            if kind != RequestKind.SNAPSHOT_PAIRS:
                return said
            page = decode(said, PairsPage)
            return encode(PairsPage(((page.pairs[0][0], b"a fortune"), *page.pairs[1:])))

        scene.bad.ear.answer = lie
        assert await scene.fetch()
        assert scene.read_installed() == scene.source.height
        liar = scene.own.get_peer(scene.bad)
        assert liar.banned_for_s > 0
        assert "not of the certified state" in liar.last_error
        assert scene.own.get_peer(scene.good).banned_for_s == 0

    run(home, act)


def test_a_silent_peer_is_left_after_a_while_and_not_punished(
    home: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(fetcher_module, "REQUEST_TIMEOUT_S", 0.2)

    async def act(scene: Scene) -> None:
        never = asyncio.Event()

        async def say_nothing(peer: bytes, kind: int, payload: bytes) -> bytes:
            await never.wait()
            return b""

        scene.bad.ear.answer = say_nothing
        assert await scene.fetch()
        never.set()
        assert scene.own.get_peer(scene.bad).banned_for_s == 0
        assert scene.read_installed() == scene.source.height

    run(home, act)


def test_a_peer_that_lets_a_snapshot_go_is_asked_for_its_newer_one(home: Path) -> None:
    async def act(scene: Scene) -> None:
        async def change(peer: bytes, kind: int, payload: bytes) -> bytes:
            if scene.asked.count(("bad", RequestKind.SNAPSHOT_PAIRS)) == 2 and scene.source.height == 1:
                scene.source.server.close()
                scene.source.register(5, "newer")
            return await scene.serve(peer, kind, payload)

        scene.bad.ear.answer = change
        assert await scene.fetch()
        assert scene.asked.count(("bad", RequestKind.SNAPSHOT)) == 2
        assert scene.own.get_peer(scene.bad).banned_for_s == 0
        assert scene.read_installed() == scene.source.height == 2

    run(home, act)


def test_a_peer_that_always_lets_go_is_left_for_another(home: Path) -> None:
    async def act(scene: Scene) -> None:
        async def let_go(peer: bytes, kind: int, payload: bytes) -> bytes:
            said = await scene.serve(peer, kind, payload)
            return said if kind == RequestKind.SNAPSHOT else NO_ANSWER

        scene.bad.ear.answer = let_go
        assert await scene.fetch()
        assert scene.asked.count(("bad", RequestKind.SNAPSHOT)) == fetcher_module.ATTEMPTS_MAX
        assert scene.read_installed() == scene.source.height

    run(home, act)


def test_when_nobody_has_one_nothing_is_left_and_it_may_be_tried_again(home: Path) -> None:
    async def act(scene: Scene) -> None:
        async def refuse(peer: bytes, kind: int, payload: bytes) -> bytes:
            raise RequestRefused("this node is starting")

        scene.bad.ear.answer = scene.good.ear.answer = refuse
        assert not await scene.fetch()
        scene.good.ear.answer = scene.serve_well
        assert await scene.fetch()
        assert scene.read_installed() == scene.source.height

    run(home, act)


def test_a_chain_that_grew_beyond_the_snapshot_meanwhile_is_kept(home: Path) -> None:
    async def act(scene: Scene) -> None:
        with open_storage(home, load_constitution(home)) as storage:

            async def overtake(peer: bytes, kind: int, payload: bytes) -> bytes:
                if kind == RequestKind.SNAPSHOT_PAIRS and storage.chain.get_height() == 0:
                    block = scene.source.chain.get_block(scene.source.header.height)  # type: ignore[arg-type]  # a height
                    assert block is not None
                    result = scene.source.last
                    storage.chain.commit_block(
                        block, result.receipts, result.state_writes, result.tree_writes
                    )
                return await scene.serve(peer, kind, payload)

            scene.bad.ear.answer = scene.good.ear.answer = overtake
            data = home / "data"
            fetcher = SnapshotFetcher(
                data,
                scene.source.genesis_hash,
                storage.chain,
                scene.own.network,
                lambda: scene.source.membership,
            )
            await fetcher.fetch([ReplicaId(scene.bad.id)])
            assert not fetcher.offered.is_set()
            assert not (data / OFFERED_NAME).exists()

    run(home, act)


def test_a_disk_that_refuses_ends_the_download_and_not_the_node(
    home: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    async def act(scene: Scene) -> None:
        (home / "data").mkdir()
        with open_storage(home, load_constitution(home)) as storage:
            (home / "data" / FETCHING_NAME).write_bytes(b"a file where a directory must be")
            fetcher = SnapshotFetcher(
                home / "data",
                scene.source.genesis_hash,
                storage.chain,
                scene.own.network,
                lambda: scene.source.membership,
            )
            await fetcher.fetch([ReplicaId(scene.good.id)])
            assert not fetcher.offered.is_set()
        assert "snapshot_not_stored" in capsys.readouterr().out

    run(home, act)


def test_a_peer_that_answers_at_the_last_moment_each_time_is_left(
    home: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Instead of letting time pass, each of its answers costs 20 of the 60 s that it has."""
    monkeypatch.setattr(fetcher_module, "REQUEST_TIMEOUT_S", 60.0)
    monkeypatch.setattr(fetcher_module, "ANSWER_PATIENCE_S", -20.0)

    async def act(scene: Scene) -> None:
        async def be_fast(peer: bytes, kind: int, payload: bytes) -> bytes:
            monkeypatch.setattr(fetcher_module, "ANSWER_PATIENCE_S", 60.0)
            return await scene.serve_well(peer, kind, payload)

        scene.good.ear.answer = be_fast
        assert await scene.fetch()
        assert len([who for who, _ in scene.asked if who == "bad"]) == 3
        assert scene.own.get_peer(scene.bad).banned_for_s == 0
        assert scene.read_installed() == scene.source.height

    run(home, act)
