import pytest
from msgspec.structs import replace

from consensus.certificates import check_certificate, check_prepared
from consensus.messages import Certificate, PreparedCertificate, Signature
from primitives.ids import Digest
from tests.consensus.builders import batch_of, certificate, header_chain, name, prepared
from tests.consensus.constitution import GENESIS, build_membership

MEMBERSHIP = build_membership(4)
VALID = certificate(header_chain(1)[1])
PREPARED = prepared(batch_of())


def spoilt_signature(entry: Signature) -> Signature:
    return replace(entry, signature=entry.signature[:-1] + bytes([entry.signature[-1] ^ 1]))


def test_a_quorum_of_header_signatures_is_a_certificate() -> None:
    assert check_certificate(MEMBERSHIP, GENESIS, VALID) is None


@pytest.mark.parametrize(
    ("spoilt", "reason"),
    [
        (replace(VALID, signatures=VALID.signatures[:2]), "fewer"),
        (replace(VALID, signatures=()), "fewer"),
        (replace(VALID, signatures=(VALID.signatures[0], *VALID.signatures[:2])), "distinct"),
        (replace(VALID, signatures=VALID.signatures[::-1]), "sorted"),
        (replace(VALID, signatures=(*VALID.signatures, Signature(b"\xff" * 32, bytes(64)))), "not a member"),
        (replace(VALID, signatures=(spoilt_signature(VALID.signatures[0]), *VALID.signatures[1:])), "valid"),
        (
            replace(VALID, signatures=(replace(VALID.signatures[0], signature=b""), *VALID.signatures[1:])),
            "valid",
        ),
        (replace(VALID, header=replace(VALID.header, epoch=1)), "epoch"),
        *(
            (replace(VALID, header=replace(VALID.header, **{field: b"\x01" * 32})), "valid")
            for field in ("parent", "batch_digest", "state_root", "receipts_root", "next_membership")
        ),
        *(
            (replace(VALID, header=replace(VALID.header, **{field: 9})), "valid")
            for field in ("height", "sequence", "time_ms", "protocol_version")
        ),
    ],
)
def test_an_altered_certificate_is_refused(spoilt: Certificate, reason: str) -> None:
    assert reason in (check_certificate(MEMBERSHIP, GENESIS, spoilt) or "")


def test_a_certificate_of_another_network_is_refused() -> None:
    assert check_certificate(MEMBERSHIP, Digest(bytes(32)), VALID) is not None


@pytest.mark.parametrize("replicas", [4, 5, 6, 7, 10])
def test_the_primary_and_a_quorum_less_one_of_backups_prepare(replicas: int) -> None:
    membership = build_membership(replicas)
    valid = prepared(batch_of(), view=3, replicas=replicas)
    assert check_prepared(membership, GENESIS, valid) is None
    short = replace(valid, prepares=valid.prepares[:-1])
    assert check_prepared(membership, GENESIS, short) is not None


@pytest.mark.parametrize(
    "spoilt",
    [
        replace(PREPARED, prepares=(PREPARED.prepares[0], PREPARED.prepares[0])),
        replace(PREPARED, prepares=PREPARED.prepares[::-1]),
        replace(PREPARED, prepares=(PREPARED.prepares[0], spoilt_signature(PREPARED.prepares[1]))),
        replace(PREPARED, prepares=(replace(PREPARED.prepares[0], replica=bytes(32)), PREPARED.prepares[1])),
        replace(PREPARED, primary_signature=bytes(64)),
        replace(PREPARED, primary_signature=b""),
        replace(PREPARED, proposal=replace(PREPARED.proposal, epoch=1)),
        replace(PREPARED, proposal=replace(PREPARED.proposal, view=1)),
        replace(PREPARED, proposal=replace(PREPARED.proposal, view=-1)),
        replace(PREPARED, proposal=replace(PREPARED.proposal, sequence=2)),
        replace(PREPARED, proposal=replace(PREPARED.proposal, digest=b"\x01" * 32)),
    ],
)
def test_an_altered_prepared_certificate_is_refused(spoilt: PreparedCertificate) -> None:
    assert check_prepared(MEMBERSHIP, GENESIS, PREPARED) is None
    assert check_prepared(MEMBERSHIP, GENESIS, spoilt) is not None


def test_the_primary_is_not_counted_twice() -> None:
    own = Signature(name(0), PREPARED.primary_signature)
    spoilt = replace(PREPARED, prepares=tuple(sorted((own, PREPARED.prepares[0]), key=lambda s: s.replica)))
    assert "twice" in (check_prepared(MEMBERSHIP, GENESIS, spoilt) or "")
