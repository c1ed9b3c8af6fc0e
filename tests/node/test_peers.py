"""Peers are the members of now, where config.toml finds them, else where the ledger does."""

from collections.abc import Iterator
from pathlib import Path

import pytest

from consensus.membership import Membership
from node.config import PeerConfig
from node.errors import HomeError
from node.home import Constitution
from node.peers import HANDOVERS_BYTES_MAX, HANDOVERS_NAME, PeerBook, read_newest_membership
from primitives.encoding import encode
from primitives.header import Validator
from primitives.ids import Epoch
from tests.meter.networks import ANCHOR, GENESIS, HANDOVERS
from vm.contracts.validators import ENDPOINT_PREFIX, Endpoint

CONSTITUTION = Constitution(GENESIS, encode(GENESIS), ANCHOR.genesis_hash, ANCHOR.memberships[0])
OWN = GENESIS.validators[0].name
LISTED = [PeerConfig(f"node{number}", f"host{number}", 7100 + number) for number in range(1, 4)]
FIFTH = Validator("node4", b"\x05" * 32, b"certificate 4")
WITH_FIFTH = Membership(Epoch(1), (*GENESIS.validators, FIFTH))


class Ledger:
    """A state that says where some validators are."""

    def __init__(self, **endpoints: Endpoint) -> None:
        members = {each.name: each.public_key for each in WITH_FIFTH.validators}
        self._values = {
            ENDPOINT_PREFIX + members[name]: encode(endpoint) for name, endpoint in endpoints.items()
        }

    def get(self, key: bytes) -> bytes | None:
        return self._values.get(key)

    def iterate(self, prefix: bytes) -> Iterator[tuple[bytes, bytes]]:
        return iter(sorted(pair for pair in self._values.items() if pair[0].startswith(prefix)))


def get_places(book: PeerBook, membership: Membership) -> dict[str, tuple[str, int]]:
    return {each.name: (each.host, each.port) for each in book.build(membership)}


def test_the_addresses_are_those_of_config_toml_and_for_others_those_of_the_ledger() -> None:
    ledger = Ledger(node4=Endpoint("fifth.example", 1), node1=Endpoint("elsewhere", 2))
    places = get_places(PeerBook(OWN, LISTED, ledger), WITH_FIFTH)
    assert places["node4"] == ("fifth.example", 1)
    assert places["node1"] == ("host1", 7101)  # a home may know a nearer way than the ledger


def test_a_member_whose_address_nobody_knows_is_waited_for() -> None:
    assert get_places(PeerBook(OWN, LISTED, Ledger()), WITH_FIFTH)["node4"] == ("", 0)


def test_a_home_needs_the_address_of_each_other_member_and_no_more() -> None:
    extra = PeerConfig("node9", "host9", 7109)
    PeerBook(OWN, [*LISTED, extra], Ledger()).check(CONSTITUTION.membership)
    PeerBook(OWN, LISTED, Ledger(node4=Endpoint("fifth.example", 1))).check(WITH_FIFTH)
    with pytest.raises(HomeError, match="lists no address of node4, and the ledger has none: add"):
        PeerBook(OWN, LISTED, Ledger()).check(WITH_FIFTH)
    with pytest.raises(HomeError, match="lists no address of node2, node3, and"):
        PeerBook(OWN, LISTED[:1], Ledger()).check(CONSTITUTION.membership)


def test_whoever_validates_since_the_home_was_made_is_a_peer_before_the_chain_says_so() -> None:
    newest = Membership(Epoch(2), (*GENESIS.validators[1:], FIFTH))
    listed = [LISTED[1], PeerConfig("node4", "host4", 7104)]
    book = PeerBook("node3", listed, Ledger(), newest)
    assert set(get_places(book, CONSTITUTION.membership)) == {"node0", "node1", "node2", "node4"}
    with pytest.raises(HomeError, match="no address of node1, and"):  # node0 has gone, and is not missed
        book.check(CONSTITUTION.membership)
    later = Membership(Epoch(3), (*GENESIS.validators[2:], FIFTH))
    assert set(get_places(book, later)) == {"node2", "node4"}


def test_the_handovers_of_a_home_lead_to_the_newest_membership(tmp_path: Path) -> None:
    assert read_newest_membership(tmp_path, CONSTITUTION) is None
    (tmp_path / HANDOVERS_NAME).write_bytes(encode(HANDOVERS))
    newest = read_newest_membership(tmp_path, CONSTITUTION)
    assert newest is not None
    assert (newest.epoch, newest.validators) == (3, HANDOVERS[-1].validators)


@pytest.mark.parametrize(
    ("content", "reason"),
    [
        (b"nonsense", "holds no handovers of this version"),
        (encode(HANDOVERS[1:]), "proves nothing: the certificate is of epoch 1"),
        (encode(HANDOVERS)[:-1], "holds no handovers of this version"),
        (bytes(HANDOVERS_BYTES_MAX + 1), "is larger than any handovers"),
    ],
)
def test_handovers_that_prove_nothing_are_refused(tmp_path: Path, content: bytes, reason: str) -> None:
    (tmp_path / HANDOVERS_NAME).write_bytes(content)
    with pytest.raises(HomeError, match=reason):
        read_newest_membership(tmp_path, CONSTITUTION)


def test_the_own_key_of_before_is_no_peer_and_its_address_is_not_missed() -> None:
    rotated = Membership(Epoch(1), (*GENESIS.validators[1:], Validator("node0", b"\x09" * 32, b"another")))
    book = PeerBook(OWN, LISTED, Ledger())
    for membership in (CONSTITUTION.membership, rotated):
        book.check(membership)
        assert set(get_places(book, membership)) == {"node1", "node2", "node3"}
