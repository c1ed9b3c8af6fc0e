import pytest
from msgspec.structs import replace

from consensus.authentication import check_envelope
from consensus.messages import (
    Checkpoint,
    Commit,
    Envelope,
    NewView,
    Prepare,
    PrePrepare,
    SignedViewChange,
    ViewChange,
    get_signed_bytes,
)
from consensus.window import WINDOW
from primitives.encoding import encode
from primitives.ids import Digest
from primitives.signing import SecretKey, SignatureDomain
from tests.consensus.builders import (
    batch_of,
    certificate,
    digest_of,
    empty_new_view,
    header_chain,
    name,
    new_view,
    pre_prepare,
    prepared,
    say,
)
from tests.consensus.constitution import GENESIS, build_keys, build_membership

MEMBERSHIP = build_membership(4)
BATCH = batch_of()
CHAIN = header_chain(2)
PREPARE = say(1, Prepare(0, 0, 1, digest_of(BATCH)))
STABLE = certificate(CHAIN[1])
VIEW_CHANGE = ViewChange(0, 1, STABLE, (prepared(BATCH, 2),))
NEW_VIEW = new_view(1, dict.fromkeys((0, 1, 2), VIEW_CHANGE))


def check(envelope: Envelope) -> str | None:
    return check_envelope(MEMBERSHIP, GENESIS, envelope)


@pytest.mark.parametrize(
    "envelope", [PREPARE, pre_prepare(BATCH), say(2, Checkpoint(CHAIN[1])), say(3, VIEW_CHANGE), NEW_VIEW]
)
def test_what_a_member_signed_is_authentic(envelope: Envelope) -> None:
    assert check(envelope) is None


@pytest.mark.parametrize(
    "spoilt",
    [
        replace(PREPARE, sender=bytes(name(2))),
        replace(PREPARE, sender=SecretKey(bytes([200]) * 32).public),
        replace(PREPARE, signature=bytes(64)),
        replace(PREPARE, signature=PREPARE.signature[:63]),
        replace(PREPARE, message=Prepare(0, 0, 1, bytes(32))),
        replace(PREPARE, message=Commit(0, 0, 1, digest_of(BATCH))),
        replace(PREPARE, message=Prepare(0, 1, 1, digest_of(BATCH))),
        replace(PREPARE, message=Prepare(1, 0, 1, digest_of(BATCH))),
        replace(say(1, Checkpoint(CHAIN[1])), message=Checkpoint(CHAIN[2])),
    ],
)
def test_another_sender_signature_or_content_is_refused(spoilt: Envelope) -> None:
    assert check(spoilt) is not None


def test_a_member_that_did_not_sign_is_named_by_nobody() -> None:
    stranger = SecretKey(bytes([200]) * 32)
    signature = stranger.sign(SignatureDomain.CONSENSUS, GENESIS, get_signed_bytes(PREPARE.message))
    assert check(Envelope(stranger.public, signature, PREPARE.message)) == "the sender is not a member"


def test_a_signature_counts_in_its_own_domain_and_network_only() -> None:
    key = build_keys(4)[1]
    payload = encode(PREPARE.message)
    for domain, genesis in (
        (SignatureDomain.HEADER, GENESIS),
        (SignatureDomain.CONSENSUS, Digest(bytes(32))),
    ):
        assert check(replace(PREPARE, signature=key.sign(domain, genesis, payload))) is not None
    header = Checkpoint(CHAIN[1])
    signature = key.sign(SignatureDomain.CONSENSUS, GENESIS, get_signed_bytes(header))
    assert check(Envelope(key.public, signature, header)) is not None


def test_a_pre_prepare_names_the_digest_of_its_own_batch() -> None:
    envelope = pre_prepare(BATCH)
    assert isinstance(envelope.message, PrePrepare)
    other = replace(envelope.message, batch=batch_of(b"other").header)
    assert "batch" in (check(replace(envelope, message=other)) or "")


@pytest.mark.parametrize(
    "view_change",
    [
        replace(VIEW_CHANGE, stable=certificate(CHAIN[1], signers=(0, 1))),
        replace(VIEW_CHANGE, stable=replace(STABLE, header=CHAIN[2])),
        replace(VIEW_CHANGE, prepared=(prepared(BATCH, 1),)),
        replace(VIEW_CHANGE, prepared=(prepared(BATCH, 1 + WINDOW + 1),)),
        replace(VIEW_CHANGE, prepared=(prepared(BATCH, 3), prepared(BATCH, 2))),
        replace(VIEW_CHANGE, prepared=(prepared(BATCH, 2), prepared(BATCH, 2))),
        replace(VIEW_CHANGE, prepared=(prepared(BATCH, 2, view=1),)),
        replace(
            VIEW_CHANGE, prepared=(replace(prepared(BATCH, 2), prepares=prepared(BATCH, 2).prepares[:1]),)
        ),
        replace(VIEW_CHANGE, prepared=(replace(prepared(BATCH, 2), primary_signature=bytes(64)),)),
    ],
    ids=[
        "small",
        "other header",
        "below",
        "beyond",
        "unsorted",
        "twice",
        "same view",
        "one sender",
        "forged",
    ],
)
def test_a_view_change_that_proves_nothing_is_refused_alone_and_quoted(view_change: ViewChange) -> None:
    assert check(say(3, view_change)) is not None
    quoted = say(3, view_change)
    entry = SignedViewChange(quoted.sender, quoted.signature, view_change)
    assert isinstance(NEW_VIEW.message, NewView)
    assert (
        check(say(1, replace(NEW_VIEW.message, view_changes=(*NEW_VIEW.message.view_changes, entry))))
        is not None
    )


def test_a_new_view_quotes_what_its_senders_signed() -> None:
    message = NEW_VIEW.message
    assert isinstance(message, NewView)
    first, *rest = message.view_changes
    for spoilt in (
        replace(first, sender=bytes(name(3))),
        replace(first, sender=bytes(32)),
        replace(first, signature=bytes(64)),
        replace(first, view_change=replace(first.view_change, prepared=())),
    ):
        assert check(say(1, replace(message, view_changes=(spoilt, *rest)))) is not None


def test_a_new_view_s_proposals_are_signed_by_its_primary() -> None:
    message = NEW_VIEW.message
    assert isinstance(message, NewView)
    (proposal,) = message.proposals
    spoilt = replace(message, proposals=(replace(proposal, signature=bytes(64)),))
    assert "primary" in (check(say(1, spoilt)) or "")


def test_a_new_view_is_not_longer_than_its_network() -> None:
    message = empty_new_view(1).message
    assert isinstance(message, NewView)
    assert "more" in (check(say(1, replace(message, view_changes=message.view_changes * 2))) or "")
