"""Whoever holds the genesis follows the validators from epoch to epoch, and is led nowhere else."""

from collections.abc import Callable

import pytest
from msgspec import structs

from consensus.messages import Handover
from meter import proofs
from meter.proofs import (
    PROOF_FILE_MARK,
    CertifiedReceipt,
    ReceiptVerifier,
    TrustAnchor,
    check_receipt,
    decode_proof_file,
    encode_certified_receipt,
    follow_proof,
    read_handover,
)
from primitives.encoding import DecodeError, encode
from primitives.ids import Digest
from tests.meter.networks import (
    ANCHOR,
    ELECTORATES,
    ENDS,
    HANDOVERS,
    KEYS,
    STRANGER,
    build_header,
    build_validators,
    certify,
    get_some,
    hand_over,
    prove,
)
from vm.receipt import Receipt

NAME = Digest(b"\x11" * 32)
RECEIPTS = (Receipt(NAME, None, True), Receipt(b"\x12" * 32, None, True))


def follow(*handovers: Handover) -> TrustAnchor:
    followed = ANCHOR.follow(handovers)
    assert isinstance(followed, TrustAnchor), followed
    return followed


def prove_in(epoch: int, height: int) -> CertifiedReceipt:
    return prove(RECEIPTS, 0, height, keys=get_some(ELECTORATES[epoch]), epoch=epoch)


@pytest.mark.parametrize("epoch", range(4))
def test_a_receipt_of_any_epoch_is_proven_to_whoever_followed_to_it(epoch: int) -> None:
    certified = prove_in(epoch, 10 * epoch + 5)
    assert check_receipt(follow(*HANDOVERS), NAME, certified) is None
    assert check_receipt(follow(*HANDOVERS[:epoch]), NAME, certified) is None
    assert follow(*HANDOVERS).get_signers(certified.certificate) == [
        follow(*HANDOVERS).memberships[epoch].get_name(entry.replica)  # type: ignore[arg-type]
        for entry in certified.certificate.signatures
    ]
    strangers = (STRANGER, *get_some(ELECTORATES[epoch])[1:])
    forged = prove(RECEIPTS, 0, 10 * epoch + 5, keys=strangers, epoch=epoch)
    assert check_receipt(follow(*HANDOVERS), NAME, forged) == "a signer is not a member"


@pytest.mark.parametrize("epoch", [1, 2, 3])
def test_a_receipt_of_an_epoch_that_was_not_followed_to_is_refused_and_says_what_is_missing(
    epoch: int,
) -> None:
    problem = check_receipt(follow(*HANDOVERS[: epoch - 1]), NAME, prove_in(epoch, 10 * epoch + 5))
    assert problem is not None
    assert problem.endswith(f"known up to epoch {epoch - 1}: the handovers up to it are missing")


def test_keys_of_an_epoch_prove_nothing_about_blocks_outside_it() -> None:
    anchor = follow(*HANDOVERS)
    for epoch in range(4):
        begin, end = (0, *ENDS)[epoch], (*ENDS, 10_000)[epoch]
        assert anchor.check_certificate(prove_in(epoch, begin + 1).certificate) is None
        assert anchor.check_certificate(prove_in(epoch, end).certificate) is None
        if epoch:
            assert anchor.check_certificate(prove_in(epoch, begin).certificate) is not None
        if epoch < 3:
            problem = anchor.check_certificate(prove_in(epoch, end + 1).certificate)
            assert problem == f"block {end + 1} is not of epoch {epoch}"


@pytest.mark.parametrize(
    ("shown", "reason"),
    [
        (lambda: [hand_over(0, 10, KEYS[:2], ELECTORATES[1])], "2 signatures are fewer"),
        (lambda: [hand_over(0, 10, (*KEYS[:2], STRANGER), ELECTORATES[1])], "not a member"),
        (lambda: [HANDOVERS[1]], "a handover of epoch 1, where that of epoch 0 is next"),
        (lambda: [HANDOVERS[0], HANDOVERS[2]], "a handover of epoch 2, where that of epoch 1 is next"),
        (
            lambda: [structs.replace(HANDOVERS[0], validators=build_validators(ELECTORATES[2]))],
            "names other validators",
        ),
        (lambda: [Handover(certify(build_header(10)), ANCHOR.membership.validators)], "ends no epoch"),
        (
            lambda: [HANDOVERS[0], hand_over(1, 10, get_some(ELECTORATES[1]), ELECTORATES[2])],
            "epoch 1 ends before it begins",
        ),
        (
            lambda: [HANDOVERS[0], hand_over(0, 10, KEYS[:3], ELECTORATES[2])],
            "names others than those who are known to follow",
        ),
        (lambda: [hand_over(-1, 10, KEYS[:3], ELECTORATES[1])], "a handover of epoch -1"),
    ],
)
def test_a_handover_that_proves_nothing_is_refused_by_name(
    shown: Callable[[], list[Handover]], reason: str
) -> None:
    problem = ANCHOR.follow(shown())
    assert isinstance(problem, str)
    assert reason in problem


def test_handovers_that_are_known_already_do_no_harm() -> None:
    assert follow(*HANDOVERS).follow(HANDOVERS) == follow(*HANDOVERS)
    assert follow(*HANDOVERS[:2]).follow(HANDOVERS[1:]) == follow(*HANDOVERS)


def test_only_so_many_epochs_are_followed(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(proofs, "EPOCHS_FOLLOWED_MAX", 3)
    assert isinstance(ANCHOR.follow(HANDOVERS[:2]), TrustAnchor)
    assert ANCHOR.follow(HANDOVERS) == "more than 3 epochs"


def test_a_verifier_keeps_each_handover_that_led_it_once() -> None:
    verifier = ReceiptVerifier(ANCHOR)
    assert verifier.follow([HANDOVERS[0], HANDOVERS[0], HANDOVERS[1]]) is None
    assert verifier.follow([]) is None
    assert verifier.follow(HANDOVERS) is None
    assert verifier.handovers == list(HANDOVERS)
    assert verifier.check(NAME, prove_in(3, 31)) is None
    forged = hand_over(3, 40, KEYS[:2], KEYS)
    assert verifier.follow([forged]) is not None
    assert verifier.anchor == follow(*HANDOVERS)
    assert verifier.handovers == list(HANDOVERS)


def check_file(content: bytes) -> str | None:
    """What `tx proof --from` does with a file."""
    try:
        certified, handovers = decode_proof_file(content)
    except DecodeError as error:
        return str(error)
    followed = follow_proof(ANCHOR, certified, handovers)
    return followed if isinstance(followed, str) else check_receipt(followed, NAME, certified)


@pytest.mark.parametrize("epoch", range(4))
def test_a_proof_file_with_its_handovers_needs_nothing_but_the_genesis(epoch: int) -> None:
    content = encode_certified_receipt(prove_in(epoch, 10 * epoch + 5), HANDOVERS[:epoch])
    assert check_file(content) is None
    assert decode_proof_file(content) == (prove_in(epoch, 10 * epoch + 5), HANDOVERS[:epoch])


def test_every_altered_byte_of_a_proof_file_with_handovers_is_refused() -> None:
    content = encode_certified_receipt(prove_in(2, 25), HANDOVERS[:2])
    assert check_file(content) is None
    believed = []
    for place in range(len(content)):
        for flip in (0x01, 0x80, 0xFF):
            spoiled = bytearray(content)
            spoiled[place] ^= flip
            if check_file(bytes(spoiled)) is None:
                believed.append((place, flip))
    assert believed == []


@pytest.mark.parametrize(
    "handovers",
    [HANDOVERS[:1], HANDOVERS, HANDOVERS[1::-1], HANDOVERS[1:], (HANDOVERS[0], HANDOVERS[0])],
    ids=["too few", "too many", "another order", "others", "one twice"],
)
def test_other_handovers_than_those_that_lead_to_the_proof_are_refused(
    handovers: tuple[Handover, ...],
) -> None:
    assert check_file(encode_certified_receipt(prove_in(2, 25), handovers)) is not None


def test_a_proof_file_cut_anywhere_or_too_long_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    content = encode_certified_receipt(prove_in(2, 25), HANDOVERS[:2])
    for length in range(len(content)):
        with pytest.raises(DecodeError):
            decode_proof_file(content[:length])
    no_handovers = PROOF_FILE_MARK + encode_certified_receipt(prove_in(0, 5))[1:] + b"\x90"
    with pytest.raises(DecodeError, match="without handovers has two parts"):
        decode_proof_file(no_handovers)
    monkeypatch.setattr(proofs, "HANDOVERS_BYTES_MAX", 10)
    monkeypatch.setattr(proofs, "CERTIFIED_RECEIPT_BYTES_MAX", 10)
    with pytest.raises(DecodeError, match="at most"):
        decode_proof_file(content)
    with pytest.raises(DecodeError, match="at most"):
        read_handover(encode(HANDOVERS[0]))
