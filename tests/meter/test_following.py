"""A client that holds an old genesis follows the validators by itself, and nobody leads it astray."""

import pytest
from msgspec import structs

from meter import handovers, proofs
from meter.client import Client
from meter.outcomes import Committed, OutcomeUnknown
from meter.proofs import check_receipt, encode_certified_receipt, read_certificate
from primitives.encoding import encode
from primitives.ids import Digest
from tests.meter.networks import (
    ANCHOR,
    ELECTORATES,
    HANDOVERS,
    KEYS,
    Ledger,
    build_header,
    build_validators,
    certify,
    get_some,
    hand_over,
    sign_call,
)
from tests.meter.stand_in import StandIn
from tests.meter.test_client import LONG_S, ask, deliver

BRIEF_S = 1.5


@pytest.fixture
def late() -> Ledger:
    """A network whose validators have changed three times."""
    return Ledger(height=30, epoch=3)


@pytest.mark.parametrize("page", [1, 2, 64])
def test_a_transaction_is_proven_after_the_validators_have_changed(late: Ledger, page: int) -> None:
    node = StandIn(late, page=page)
    transaction = sign_call(1)

    async def work(client: Client) -> None:
        outcome = await client.deliver(transaction, LONG_S)
        assert isinstance(outcome, Committed)
        assert client.anchor.epoch == 3
        assert client.get_handovers(3) == HANDOVERS
        assert client.get_handovers(1) == HANDOVERS[:1]
        assert check_receipt(client.anchor, transaction.id, outcome.proof) is None
        assert client.distrusted == {}

    ask(work, node)
    assert node.asked.count("GET /v1/handovers") == -(-3 // page)


def test_without_a_change_nobody_is_asked_for_handovers() -> None:
    node = StandIn(Ledger())
    assert isinstance(deliver(sign_call(1), node), Committed)
    assert "GET /v1/handovers" not in node.asked


def test_a_validator_that_shows_a_forged_handover_is_not_asked_again_and_another_leads(late: Ledger) -> None:
    forged = hand_over(0, 10, KEYS[:2], ELECTORATES[1])
    liar, honest = StandIn(late, handovers=(forged, *HANDOVERS[1:])), StandIn(late)

    async def work(client: Client) -> tuple[object, list[str]]:
        outcome = await client.deliver(sign_call(1), LONG_S)
        return outcome, list(client.distrusted.values())

    outcome, distrusted = ask(work, liar, honest)
    assert isinstance(outcome, Committed)
    assert len(distrusted) == 1
    assert distrusted[0].startswith("showed a forged handover: the handover of epoch 0 proves nothing")


def test_a_validator_without_handovers_is_believed_when_another_leads_to_its_epoch(late: Ledger) -> None:
    forgetful, honest = StandIn(late, handovers=()), StandIn(late)

    async def work(client: Client) -> None:
        assert isinstance(await client.deliver(sign_call(1), LONG_S), Committed)
        assert client.distrusted == {}

    ask(work, forgetful, honest)
    assert forgetful.asked.count("GET /v1/handovers") == 1


def test_an_epoch_that_nobody_proves_is_not_believed_and_nobody_accused(late: Ledger) -> None:
    async def work(client: Client) -> None:
        assert isinstance(await client.deliver(sign_call(1), BRIEF_S), OutcomeUnknown)
        assert client.distrusted == {}
        assert client.anchor.epoch == 2
        assert await client.get_certified_height() == 0

    ask(work, StandIn(late, handovers=HANDOVERS[:2]))


def test_where_a_client_follows_no_further_it_accuses_nobody(
    late: Ledger, monkeypatch: pytest.MonkeyPatch
) -> None:
    for module in (handovers, proofs):
        monkeypatch.setattr(module, "EPOCHS_FOLLOWED_MAX", 3)

    async def work(client: Client) -> None:
        assert isinstance(await client.deliver(sign_call(1), BRIEF_S), OutcomeUnknown)
        assert client.distrusted == {}
        assert client.anchor.epoch == 2

    ask(work, StandIn(late))


def test_a_network_that_strangers_made_up_is_refused(late: Ledger) -> None:
    """Those whom nobody handed over to sign whatever they like: handovers, receipts, blocks."""
    validators = build_validators(ELECTORATES[3])
    header = structs.replace(
        build_header(10), next_membership=HANDOVERS[2].certificate.header.next_membership
    )
    forged = structs.replace(HANDOVERS[0], certificate=certify(header, ELECTORATES[3]), validators=validators)

    async def work(client: Client) -> None:
        assert isinstance(await client.deliver(sign_call(1), BRIEF_S), OutcomeUnknown)
        assert client.anchor == ANCHOR

    ask(work, StandIn(Ledger(epoch=1), handovers=(forged,)))


def test_the_highest_proven_height_is_found_in_any_epoch(late: Ledger) -> None:
    assert ask(lambda client: client.get_certified_height(), StandIn(late, certified_height=77)) == 77


def test_a_client_follows_to_a_certificate_that_it_is_shown(late: Ledger) -> None:
    certificate = certify(build_header(25, epoch=2), get_some(ELECTORATES[2]))

    async def work(client: Client) -> None:
        assert (await client.follow(None)) == ANCHOR
        assert (await client.follow(b"no certificate")) == ANCHOR
        anchor = await client.follow(encode(certificate))
        assert anchor.check_certificate(read_certificate(encode(certificate))) is None
        unproven = encode(certify(build_header(99, epoch=9)))
        assert (await client.follow(unproven)).epoch == 3

    ask(work, StandIn(late))


def test_a_proof_without_handovers_is_the_same_file_as_ever(late: Ledger) -> None:
    late.execute([Digest(b"\x11" * 32)])
    certified = late.proofs[b"\x11" * 32]
    assert encode_certified_receipt(certified) == encode(certified)
    assert encode_certified_receipt(certified, HANDOVERS) != encode(certified)
