"""A node is who its key says: a member, one that will be, or nobody, which is refused with what to do."""

import pytest

from consensus.membership import Membership
from node.errors import HomeError
from node.identity import Identity, choose_identity
from primitives.header import Validator
from primitives.ids import Epoch
from primitives.signing import SecretKey
from tests.node.community import KEYS, build_genesis

GENESIS = build_genesis()
OLD, NEXT = SecretKey(b"\x31" * 32), SecretKey(b"\x32" * 32)


def make_membership(epoch: int, **changed: SecretKey) -> Membership:
    """The validators of the genesis, some with other keys."""
    validators = tuple(
        Validator(each.name, changed[each.name].public, b"c" + changed[each.name].public)
        if each.name in changed
        else each
        for each in GENESIS.validators
    )
    return Membership(Epoch(epoch), validators)


FIRST = make_membership(0)


def test_a_key_of_the_genesis_is_its_validator() -> None:
    identity = Identity(KEYS[1], b"pem")
    assert choose_identity([identity], "node1", [FIRST]) == (identity, FIRST.validators[1])


def test_of_two_keys_the_one_that_is_a_members_now_is_chosen() -> None:
    old, following = Identity(KEYS[1], b"pem"), Identity(NEXT, b"pem", b"c")
    second = make_membership(1, node1=NEXT)
    assert choose_identity([old, following], "node1", [FIRST])[0] is old
    assert choose_identity([old, following], "node1", [second])[0] is following
    # The block that replaces the key is executed, but has no certificate yet: the old key still has to sign it.
    assert choose_identity([old, following], "node1", [FIRST, second])[0] is old


def test_a_key_that_a_later_membership_knows_is_its_member() -> None:
    identity = Identity(NEXT, b"pem")
    later = make_membership(3, node2=NEXT)
    assert choose_identity([identity], "node2", [FIRST, later]) == (identity, later.validators[2])


def test_a_key_that_nobody_knows_joins_with_the_certificate_that_it_brings() -> None:
    identity = Identity(OLD, b"pem", b"certificate")
    assert choose_identity([identity], "node9", [FIRST]) == (
        identity,
        Validator("node9", OLD.public, b"certificate"),
    )


@pytest.mark.parametrize(
    ("key", "name", "reason"),
    [
        (KEYS[2], "node1", "keys/node.key is the key of node2, and config.toml says 'node1'"),
        (OLD, "node1", "not the key that the genesis names for node1"),
        (OLD, "node9", "the genesis knows no validator 'node9'; it names node0, node1, node2, node3"),
    ],
)
def test_a_key_that_is_anothers_or_nobodys_is_refused(key: SecretKey, name: str, reason: str) -> None:
    with pytest.raises(HomeError, match=reason):
        choose_identity([Identity(key, b"pem")], name, [FIRST])
