"""Whom an observer follows: those listed, by name, with the keys of the newest members that are known."""

import pytest
from msgspec.structs import replace

from consensus.membership import Membership
from node.config import PeerConfig
from node.errors import HomeError
from node.observer.keeper import SourceBook
from primitives.header import Validator
from primitives.ids import Epoch
from tests.vm.ledger import make_key, make_validators

VALIDATORS = make_validators()
NOW = Membership(Epoch(3), VALIDATORS)
LISTED = (PeerConfig("v2", "192.0.2.2", 7200), PeerConfig("v0", "192.0.2.1", 7201))
REPLACED = replace(VALIDATORS[2], public_key=make_key("new").public, tls_certificate=b"new certificate")
LATER = Membership(Epoch(4), (*VALIDATORS[:2], REPLACED, VALIDATORS[3]))


def describe(book: SourceBook, membership: Membership) -> list[tuple[str, bytes, str, int]]:
    return [(each.name, each.key, each.host, each.port) for each in book.build(membership)]


def expect(*validators: Validator) -> list[tuple[str, bytes, str, int]]:
    places = {peer.name: (peer.host, peer.port) for peer in LISTED}
    return [(each.name, each.public_key, *places[each.name]) for each in validators]


def test_those_listed_are_followed_at_their_ports_for_observers_and_nobody_else() -> None:
    assert describe(SourceBook(LISTED, None), NOW) == expect(VALIDATORS[2], VALIDATORS[0])


def test_a_validator_with_a_new_key_is_followed_under_its_name() -> None:
    book = SourceBook(LISTED, None)
    assert describe(book, LATER) == expect(REPLACED, VALIDATORS[0])
    assert book.build(LATER)[0].tls_certificate == b"new certificate"


@pytest.mark.parametrize(("current", "newest"), [(NOW, LATER), (LATER, NOW)])
def test_the_later_of_the_chain_and_the_handovers_of_the_home_says_who_validates(
    current: Membership, newest: Membership
) -> None:
    assert describe(SourceBook(LISTED, newest), current) == expect(REPLACED, VALIDATORS[0])


def test_a_home_that_lists_no_validator_is_refused_with_their_names() -> None:
    book = SourceBook((PeerConfig("v9", "192.0.2.9", 7200),), None)
    with pytest.raises(HomeError, match="lists no validator; they are v0, v1, v2, v3"):
        book.check(NOW, make_key("gateway").public)


@pytest.mark.parametrize("newest", [None, LATER])
def test_a_key_that_validates_now_or_later_is_refused(newest: Membership | None) -> None:
    key = VALIDATORS[1].public_key if newest is None else REPLACED.public_key
    with pytest.raises(HomeError, match="an observer has no vote"):
        SourceBook(LISTED, newest).check(NOW, key)
    SourceBook(LISTED, newest).check(NOW, make_key("gateway").public)
