"""The port for observers: who is let in, what is answered, and that nothing of it reaches agreement."""

import asyncio
from collections.abc import Callable, Coroutine, Sequence
from pathlib import Path

import pytest

from node.api.services import SubmitOutcome
from node.errors import PortBusyError
from node.exchange import BlocksAnswer, RequestKind, decode_blocks, encode_height
from node.intake import SubmitResult, SubmitStatus
from node.observer import port as port_module
from node.observer.bundles import DIRECTORY_NAME
from node.observer.exchange import decode_announcement, decode_outcomes, encode_submission
from p2p.frames import Channel
from p2p.transfer import RequestFailed
from primitives.hashing import compute_transaction_id
from primitives.ids import Height
from primitives.signing import SecretKey
from tests.node.observer.scene import (
    Served,
    is_linked,
    make_observer,
    make_served,
    make_street_genesis,
    open_link,
)
from tests.node.snapshots.source import Source
from tests.p2p.members import wait_until
from vm.receipt import Rejection

TIMEOUT_S = 10.0


@pytest.fixture
def served(tmp_path: Path) -> Served:
    source = Source(genesis=make_street_genesis())
    source.register(2)
    return make_served(tmp_path, source)[0]


@pytest.fixture(autouse=True)
def look_often(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(port_module, "LOOK_S", 0.02)


def play(served: Served, act: Callable[[], Coroutine[None, None, None]]) -> None:
    async def run() -> None:
        async with served.open():
            await act()

    asyncio.run(run())


@pytest.mark.parametrize("seed", [b"\x01" * 32, b"\x02" * 32, b"\x03" * 32, b"\x04" * 32, b"\x05" * 32])
def test_an_observer_dials_whatever_its_key_and_hears_every_certified_height(
    served: Served, seed: bytes
) -> None:
    key = SecretKey(seed)
    served.let_in(make_observer(key=key))

    async def act() -> None:
        async with open_link(served, key=key) as (network, ear):
            await wait_until(lambda: is_linked(network), "linked")
            served.source.register(1, "later")
            served.announce()
            await wait_until(lambda: len(ear.messages) == 2, "two announcements")
            heights = [decode_announcement(each) for each in ear.get_payloads(Channel.CONSENSUS)]
            assert heights == [1, 2]
            assert "gridbft_observers_connected 1.0" in served.metrics.render().decode()

    play(served, act)


def test_who_is_not_let_in_is_refused_by_tls_and_let_in_as_soon_as_its_bundle_is_there(
    served: Served,
) -> None:
    bundle = served.home / DIRECTORY_NAME / "gateway.bundle"
    content = bundle.read_bytes()
    bundle.unlink()

    async def act() -> None:
        async with open_link(served) as (network, _):
            refused = "does not know this node's certificate"
            await wait_until(lambda: refused in network.get_peers()[0].last_error, "refused")
            bundle.write_bytes(content)
            await wait_until(lambda: is_linked(network), "linked without a restart")

    play(served, act)


def test_who_is_removed_loses_its_link(served: Served) -> None:
    async def act() -> None:
        async with open_link(served) as (network, _):
            await wait_until(lambda: is_linked(network), "linked")
            (served.home / DIRECTORY_NAME / "gateway.bundle").unlink()
            await wait_until(lambda: not is_linked(network), "unlinked")
            assert "is no member any more" in network.get_peers()[0].last_error

    play(served, act)


def test_certified_blocks_are_answered_and_the_members_questions_are_refused(served: Served) -> None:
    async def act() -> None:
        async with open_link(served) as (network, _):
            await wait_until(lambda: is_linked(network), "linked")
            peer = served.validator.public_key
            answer = await network.request(peer, RequestKind.BLOCKS, encode_height(Height(1)), TIMEOUT_S)
            blocks = decode_blocks(answer)
            assert isinstance(blocks, BlocksAnswer)
            assert blocks.certificate.header == served.source.header
            for kind in (RequestKind.TRANSACTIONS, RequestKind.BATCH, 99):
                with pytest.raises(RequestFailed, match="observers get what is certified"):
                    await network.request(peer, kind, bytes(32), TIMEOUT_S)
            assert is_linked(network)

    play(served, act)


@pytest.mark.parametrize("channel", [Channel.CONSENSUS, Channel.TRANSACTIONS])
def test_an_observer_that_speaks_like_a_member_is_banned_at_once(served: Served, channel: Channel) -> None:
    async def act() -> None:
        async with open_link(served) as (network, _):
            await wait_until(lambda: is_linked(network), "linked")
            assert network.send(served.validator.public_key, channel, b"a vote")
            await wait_until(lambda: "banned for 60 s" in network.get_peers()[0].last_error, "banned")
            assert channel.name.lower() in network.get_peers()[0].last_error

    play(served, act)


def test_beyond_their_budget_observers_are_told_to_ask_later(
    served: Served, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(port_module, "BUDGET_PATIENCE_S", 0.0)
    served.bytes_per_s = 65_536
    served.source.register(600, "crowd")
    question = encode_height(Height(1))

    async def act() -> None:
        async with open_link(served) as (network, _):
            await wait_until(lambda: is_linked(network), "linked")
            peer = served.validator.public_key
            answer = await network.request(peer, RequestKind.BLOCKS, question, TIMEOUT_S)
            assert len(answer) > 2 * served.bytes_per_s
            with pytest.raises(RequestFailed, match="ask later"):
                await network.request(peer, RequestKind.BLOCKS, question, TIMEOUT_S)
            assert is_linked(network)

    play(served, act)


def test_what_is_passed_on_is_submitted_and_answered_in_order(served: Served) -> None:
    raws = (b"one", b"two")
    names = [compute_transaction_id(raw) for raw in raws]
    served.outcomes = [
        SubmitResult(names[0], SubmitStatus.ACCEPTED),
        SubmitResult(names[1], SubmitStatus.REFUSED, Rejection.NONCE_TOO_FAR, "why"),
    ]

    async def act() -> None:
        async with open_link(served) as (network, _):
            await wait_until(lambda: is_linked(network), "linked")
            peer = served.validator.public_key
            answer = await network.request(peer, RequestKind.SUBMIT, encode_submission(raws), TIMEOUT_S)
            assert decode_outcomes(answer, names) == served.outcomes
            assert served.submitted == list(raws)

    play(served, act)


class Counting(Served):
    """Counts how many submissions it is asked to take at the same time."""

    inside = 0
    most = 0

    async def submit(self, raws: Sequence[bytes]) -> Sequence[SubmitOutcome]:
        self.inside += 1
        self.most = max(self.most, self.inside)
        for _ in range(20):
            await asyncio.sleep(0)
        self.inside -= 1
        return await super().submit(raws)


def test_one_question_of_an_observer_is_answered_at_a_time(tmp_path: Path) -> None:
    source = Source(genesis=make_street_genesis())
    (plain,) = make_served(tmp_path, source)
    served = Counting(plain.name, plain.home, plain.port, source, source.answers)

    async def act() -> None:
        async with open_link(served) as (network, _):
            await wait_until(lambda: is_linked(network), "linked")
            questions = [
                network.request(
                    served.validator.public_key, RequestKind.SUBMIT, encode_submission((b"x",)), TIMEOUT_S
                )
                for _ in range(6)
            ]
            await asyncio.gather(*questions)
            assert (served.most, len(served.submitted)) == (1, 6)

    play(served, act)


def test_an_observer_that_passes_unsigned_transactions_on_is_banned(served: Served) -> None:
    raws = (b"nonsense",) * 10
    names = [compute_transaction_id(raw) for raw in raws]
    served.outcomes = [SubmitResult(name, SubmitStatus.REFUSED, Rejection.MALFORMED) for name in names]

    async def act() -> None:
        async with open_link(served) as (network, _):
            await wait_until(lambda: is_linked(network), "linked")
            peer = served.validator.public_key
            with pytest.raises(RequestFailed):
                await network.request(peer, RequestKind.SUBMIT, encode_submission(raws), TIMEOUT_S)
            await wait_until(lambda: "banned" in network.get_peers()[0].last_error, "banned")

    play(served, act)


def test_port_0_serves_nobody_and_a_taken_port_is_refused_by_its_setting(
    served: Served, tmp_path: Path
) -> None:
    async def run() -> None:
        port, served.port = served.port, 0
        async with served.open(), open_link(served) as (network, _):
            assert not is_linked(network)
        served.port = port
        async with served.open():
            other = make_served(tmp_path / "other", served.source)[0]
            other.port = port
            with pytest.raises(PortBusyError, match=r"change observers\.host and observers\.port"):
                async with other.open():
                    pass

    asyncio.run(run())
