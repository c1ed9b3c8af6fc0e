"""A genesis that no network could run with is refused, and the first reason is named."""

import pytest
from msgspec.structs import replace

from primitives.encoding import DecodeError, encode
from primitives.header import Validator
from tests.vm.ledger import make_energy, make_genesis, make_key, make_validators, make_wallet
from vm.contracts.ledger import GRID
from vm.genesis import (
    PRICE_MAX,
    ConsensusParameters,
    Genesis,
    GenesisAccount,
    decode_genesis,
    find_genesis_problem,
    is_name_sound,
)

GOOD = make_genesis()
ACCOUNT = GOOD.accounts[0]
FIRST = GOOD.validators[0]
SMALL_ORDER = bytes.fromhex("26e8958fc2b227b045c3f489f2ef98f0d5dfac05d3c63339b13802886d53fc05")


def with_validator(**changes: object) -> Genesis:
    return replace(GOOD, validators=(replace(FIRST, **changes), *GOOD.validators[1:]))


def with_account(**changes: object) -> Genesis:
    other = GenesisAccount(make_wallet("o").account, make_wallet("o").key.public, "prosumer", "o")
    return replace(GOOD, accounts=(ACCOUNT, replace(other, **changes)))


def with_energy(**changes: int) -> Genesis:
    return replace(GOOD, energy=make_energy(**changes))


def with_consensus(**changes: int) -> Genesis:
    return replace(GOOD, consensus=replace(ConsensusParameters(), **changes))


def test_a_good_genesis_has_no_problem_and_is_read_back() -> None:
    assert find_genesis_problem(GOOD) is None
    assert find_genesis_problem(with_account()) is None
    assert decode_genesis(encode(GOOD)) == GOOD
    assert decode_genesis(encode(GOOD)).compute_hash() == GOOD.compute_hash()


PROBLEMS = [
    (replace(GOOD, version=2), "version 2 is not 1"),
    (replace(GOOD, name=""), "network name"),
    (replace(GOOD, name="a b"), "network name"),
    (replace(GOOD, name="n" * 33), "network name"),
    (replace(GOOD, currency=""), "currency"),
    (replace(GOOD, currency="E1"), "currency"),
    (replace(GOOD, currency="€"), "currency"),
    (replace(GOOD, currency="ÄÖÜ"), "currency"),
    (replace(GOOD, currency="ABCDEFGHI"), "currency"),
    (replace(GOOD, time_ms=-1), "before 1970"),
    (replace(GOOD, time_ms=GOOD.time_ms * 1000), "after 9999"),
    (replace(GOOD, validators=()), "0 validators"),
    (replace(GOOD, validators=make_validators(3)), "3 validators"),
    (replace(GOOD, validators=make_validators(81)), "81 validators"),
    (with_validator(name="v1"), "share a name"),
    (with_validator(public_key=GOOD.validators[1].public_key), "share a key"),
    (with_validator(tls_certificate=GOOD.validators[1].tls_certificate), "share a TLS certificate"),
    (with_validator(name="v 0"), "'v 0' is not a plain name"),
    (with_validator(public_key=bytes(32)), "key of validator v0"),
    (with_validator(public_key=SMALL_ORDER), "key of validator v0"),
    (with_validator(public_key=b""), "key of validator v0"),
    (replace(GOOD, accounts=()), "nobody could register a meter"),
    (replace(GOOD, accounts=(replace(ACCOUNT, role="prosumer"),)), "nobody could register a meter"),
    (with_account(account=ACCOUNT.account), "share their account"),
    (with_account(public_key=ACCOUNT.public_key), "share their public key"),
    (with_account(name="utility"), "share their name"),
    (with_account(account=bytes(15)), "no sound id or name"),
    (with_account(name=""), "no sound id or name"),
    (with_account(role="king"), "unknown role 'king'"),
    (with_account(public_key=bytes(32)), "key of account o"),
    (with_account(account=bytes(GRID)), "account of the ledger itself"),
    (with_account(name="grid"), "account of the ledger itself"),
    (with_energy(slot_s=0), "900 or 3600"),
    (with_energy(slot_s=1800), "900 or 3600"),
    (with_energy(grace_s=-1), "times of the energy section"),
    (with_energy(future_s=-1), "times of the energy section"),
    (with_energy(grace_s=901, correction_s=900), "times of the energy section"),
    (with_energy(correction_s=31 * 86400 + 1), "at most 31 days"),
    (with_energy(future_s=3601), "at most one slot"),
    (with_energy(slot_s=900, future_s=901), "at most one slot"),
    (with_energy(feed_in_price=-1), "prices"),
    (with_energy(feed_in_price=220_001), "prices"),
    (with_energy(retail_price=PRICE_MAX + 1), "prices"),
    (with_consensus(depth=0), "depth"),
    (with_consensus(depth=5), "depth"),
    (with_consensus(view_timeout_ms=49), "view time-outs"),
    (with_consensus(view_timeout_ms=2000, view_timeout_max_ms=1999), "view time-outs"),
    (with_consensus(view_timeout_max_ms=16_001), "view time-outs"),
    (with_consensus(request_deadline_ms=49), "request_deadline_ms"),
    (with_consensus(request_deadline_ms=60_001), "request_deadline_ms"),
    (with_consensus(resend_ms=49), "resend_ms"),
    (with_consensus(resend_ms=16_001), "resend_ms"),
    (with_consensus(heartbeat_ms=999), "heartbeat_ms"),
    (with_consensus(heartbeat_ms=86_400_001), "heartbeat_ms"),
    (with_consensus(drift_ms=-1), "drift_ms"),
    (with_consensus(drift_ms=3_600_001), "drift_ms"),
]


@pytest.mark.parametrize(("genesis", "reason"), PROBLEMS)
def test_each_problem_is_named_in_one_line(genesis: Genesis, reason: str) -> None:
    problem = find_genesis_problem(genesis)
    assert problem is not None
    assert reason in problem
    assert "\n" not in problem
    with pytest.raises(DecodeError, match=r"."):
        decode_genesis(encode(genesis))


@pytest.mark.parametrize(
    "genesis",
    [
        replace(GOOD, validators=make_validators(80)),
        with_energy(slot_s=900, future_s=900, grace_s=0, correction_s=0),
        with_energy(correction_s=31 * 86400, grace_s=31 * 86400),
        with_energy(feed_in_price=0, retail_price=0),
        with_energy(feed_in_price=PRICE_MAX, retail_price=PRICE_MAX),
        with_consensus(depth=4, view_timeout_ms=16_000, drift_ms=0),
    ],
)
def test_values_at_their_bounds_are_accepted(genesis: Genesis) -> None:
    assert find_genesis_problem(genesis) is None


def test_bytes_that_are_no_genesis_are_refused() -> None:
    raw = encode(GOOD)
    for data in (b"", raw[:-1], raw + b"\x00", b"\x90", b"\xdc" + raw[1:]):
        with pytest.raises(DecodeError):
            decode_genesis(data)


def test_every_field_is_under_the_hash() -> None:
    others = [
        replace(GOOD, name="other"),
        replace(GOOD, time_ms=GOOD.time_ms + 1),
        with_account(),
        with_energy(grace_s=901),
        with_consensus(depth=3),
        replace(GOOD, validators=(*GOOD.validators[1:], GOOD.validators[0])),
        with_validator(tls_certificate=b"another"),
    ]
    assert len({genesis.compute_hash() for genesis in [GOOD, *others]}) == len(others) + 1


@pytest.mark.parametrize("name", ["a", "A.b-c_9", "0" * 32])
def test_a_plain_name_is_sound(name: str) -> None:
    assert is_name_sound(name)


def test_a_validator_is_known_by_its_key() -> None:
    validator = Validator("v9", make_key("v9").public, b"another certificate")
    assert find_genesis_problem(replace(GOOD, validators=(*GOOD.validators, validator))) is None
