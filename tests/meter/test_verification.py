"""Whoever holds the genesis is told what a file proves; a file of which one byte is another proves nothing."""

import json
import random
from collections.abc import Iterator

import pytest
from hypothesis import given
from hypothesis import strategies as st
from msgspec import structs

from cli.verify import describe, tell
from meter.proof_files import PROOF_FILE_BYTES_MAX
from meter.verification import (
    Problem,
    Refusal,
    Verified,
    VerifiedBalance,
    VerifiedBill,
    VerifiedReceipt,
    Verifier,
    verify,
)
from primitives.encoding import encode
from tests.vectors import second_reader
from tests.vectors.collection import (
    GENESIS_NAME,
    PROOFS,
    SUFFIX,
    VERDICTS_NAME,
    build_collection,
)
from tests.vectors.street import HOME, SLOTS
from vm.contracts.energy.calls import SubmitReading
from vm.genesis import decode_genesis

GENESIS = (PROOFS / GENESIS_NAME).read_bytes()
VERDICTS = json.loads((PROOFS / VERDICTS_NAME).read_bytes())
GOOD = [name for name, verdict in VERDICTS.items() if verdict["verified"]]
SIGNERS = "node1, node0, node2 (3 of 4, 3"
RECEIPTS = [name for name in GOOD if name.startswith("receipt")]
VERIFIER = Verifier(decode_genesis(GENESIS))


def read(name: str) -> bytes:
    return (PROOFS / name).read_bytes()


def prove(name: str) -> Verified:
    found = verify(read(f"{name}{SUFFIX}"), GENESIS)
    assert not isinstance(found, Problem), found
    return found


def list_believed(changed: Iterator[bytes]) -> list[bytes]:
    """The spoiled files that are not refused by a name."""
    return [data for data in changed if not isinstance(VERIFIER.verify(data), Problem)]


def test_the_published_files_are_those_that_the_same_street_gives_again() -> None:
    assert build_collection() == {path.name: path.read_bytes() for path in PROOFS.iterdir()}


@pytest.mark.parametrize("name", VERDICTS)
def test_each_published_file_gets_its_verdict(name: str) -> None:
    verdict = describe(verify(read(name), GENESIS))
    verdict.pop("detail", None)
    assert verdict == VERDICTS[name]
    problem = str(VERDICTS[name].get("problem", "")).lower().replace("_", "-")
    assert name.startswith(problem or ("receipt", "balance", "bill"))


def test_every_reason_to_refuse_a_file_has_a_published_one() -> None:
    shown = {verdict["problem"] for verdict in VERDICTS.values() if not verdict["verified"]}
    assert shown == set(Refusal) - {Refusal.GENESIS_INVALID}


def change_each_byte(content: bytes, *masks: int) -> Iterator[bytes]:
    for place in range(len(content)):
        for mask in masks:
            changed = bytearray(content)
            changed[place] ^= mask
            yield bytes(changed)


@pytest.mark.parametrize("name", GOOD)
def test_a_file_with_any_one_byte_changed_is_refused_by_name(name: str) -> None:
    mask = random.Random(name).randrange(1, 256)
    assert list_believed(change_each_byte(read(name), mask)) == []


@pytest.mark.parametrize("name", ["receipt-of-a-refusal.proof", "receipt-without-transaction.proof"])
def test_a_receipt_with_any_one_bit_turned_is_refused_by_name(name: str) -> None:
    assert list_believed(change_each_byte(read(name), *(1 << bit for bit in range(8)))) == []


@pytest.mark.parametrize("name", GOOD)
def test_a_file_cut_anywhere_or_longer_by_any_byte_is_refused_by_name(name: str) -> None:
    content = read(name)
    cuts = (content[:length] for length in range(0, len(content), 7))
    assert list_believed(cuts) == []
    assert list_believed(content + bytes([value]) for value in range(256)) == []


@pytest.mark.parametrize("name", RECEIPTS)
def test_a_receipt_that_lost_or_doubled_any_one_byte_is_refused_by_name(name: str) -> None:
    content = read(name)
    places = range(len(content))
    assert list_believed(content[:place] + content[place + 1 :] for place in places) == []
    assert list_believed(content[: place + 1] + content[place:] for place in places) == []


@given(st.binary(max_size=200), st.sampled_from(sorted(VERDICTS)), st.integers(0, 10_000))
def test_whatever_bytes_are_shown_get_an_answer(piece: bytes, name: str, place: int) -> None:
    content = read(name)
    assert isinstance(VERIFIER.verify(piece), Problem)
    VERIFIER.verify(content[:place] + piece + content[place + len(piece) :])


def test_a_file_longer_than_any_proof_is_not_looked_at() -> None:
    found = VERIFIER.verify(bytes(PROOF_FILE_BYTES_MAX + 1))
    assert isinstance(found, Problem)
    assert found.name == Refusal.MALFORMED
    assert "at most" in found.detail


@pytest.mark.parametrize("genesis", [b"", b"\x90", GENESIS[:-1], GENESIS + b"\0"])
def test_what_is_no_genesis_is_refused_as_one(genesis: bytes) -> None:
    found = verify(read(GOOD[0]), genesis)
    assert isinstance(found, Problem)
    assert found.name == Refusal.GENESIS_INVALID


@pytest.mark.parametrize("name", GOOD)
def test_nothing_is_proven_to_the_holder_of_another_genesis(name: str) -> None:
    other = structs.replace(decode_genesis(GENESIS), name="avenue")
    found = verify(read(name), encode(other))
    assert isinstance(found, Problem)
    assert found.name in {Refusal.CERTIFICATE_UNPROVEN, Refusal.HANDOVER_UNPROVEN}


def test_a_bill_says_whose_which_slots_what_amounts_and_who_signed() -> None:
    found = prove("bill")
    assert isinstance(found, VerifiedBill)
    assert (found.home, found.meter, found.slots_absent) == ("home-0", HOME, 0)
    assert tuple(slot_s for slot_s, _ in found.lines) == SLOTS
    assert tell(found) == [
        f"bill of home-0 (meter {HOME.hex()})",
        "  3 slots from 2023-11-14 22:15 to 2023-11-14 23:00 UTC",
        "  drew 2.250 kWh, fed in 2.400 kWh",
        "  pays 0.223316220 EUR",
        "  at grid prices alone 0.303000000; every amount was computed again",
        f"signed: block 6 of test-street, 2023-11-14 23:00 UTC, epoch 0, by {SIGNERS} are a quorum)",
    ]
    part = prove("bill-with-a-slot-not-shown")
    assert "  1 slot in between not shown: the file says nothing of them" in tell(part)


def test_a_balance_says_whose_how_much_and_as_of_when() -> None:
    found = prove("balance-after-two-changes")
    assert isinstance(found, VerifiedBalance)
    assert tell(found)[:4] == [
        f"account home-0 ({HOME.hex()}, prosumer)",
        "  after block 9 of 2023-11-14 23:00 UTC",
        "  owes 0.223316220 EUR of settlement money",
        "  has 25 coins, 0 of them reserved",
    ]
    assert (found.certification.epoch, found.certification.signers) == (2, ("node1", "node3", "node2"))
    grid = prove("balance-of-the-grid")
    assert isinstance(grid, VerifiedBalance)
    assert (grid.name, grid.role, grid.coins) == ("grid", "system", None)


def test_a_receipt_says_who_asked_for_what_and_what_became_of_it() -> None:
    found = prove("receipt")
    assert isinstance(found, VerifiedReceipt)
    assert isinstance(found.call, SubmitReading)
    assert found.transaction is not None
    assert found.transaction.account == HOME
    assert "its meter showed 1.000 kWh drawn and 2.500 kWh fed in at 2023-11-14 22:30 UTC" in tell(found)[3]
    refused = prove("receipt-of-a-refusal")
    assert isinstance(refused, VerifiedReceipt)
    assert (refused.height, refused.certification.height) == (5, 6)
    assert "was refused: READING_EXISTS, its nonce is spent, in block 5" in tell(refused)[1]
    bare = prove("receipt-without-transaction")
    assert isinstance(bare, VerifiedReceipt)
    assert (bare.transaction, bare.call, bare.place) == (None, None, 1)
    grant = prove("receipt-of-a-grant")
    assert tell(grant)[3] == f"  to {HOME.hex()}, asset 1, amount 25"


def is_believed_by_second_reader(data: bytes) -> bool:
    try:
        second_reader.check(data, GENESIS)
    except second_reader.Unproven:
        return False
    return True


@pytest.mark.parametrize("name", VERDICTS)
def test_a_verifier_written_from_the_documentation_believes_the_same_files(name: str) -> None:
    assert is_believed_by_second_reader(read(name)) == VERDICTS[name]["verified"]


def test_a_verifier_written_from_the_documentation_disbelieves_the_same_changes() -> None:
    content = read("receipt-after-two-changes.proof")
    believed = [data for data in change_each_byte(content, 0x20) if is_believed_by_second_reader(data)]
    assert believed == []
