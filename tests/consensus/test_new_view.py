import pytest
from msgspec.structs import replace

from consensus.authentication import check_envelope
from consensus.effects import Deliver, FetchBatch, FetchBlocks, Refused, ViewStarted, WantBatch
from consensus.events import BatchFetched
from consensus.messages import (
    Commit,
    Envelope,
    NewView,
    Prepare,
    Proposal,
    SignedProposal,
    ViewChange,
    get_signed_bytes,
)
from consensus.new_view import compute_proposals, compute_size, select_view_changes
from primitives.encoding import encode
from primitives.ids import Digest, View
from primitives.signing import SignatureDomain
from tests.consensus.builders import (
    NULL,
    Desk,
    batch_of,
    certificate,
    digest_of,
    empty_new_view,
    found,
    header_chain,
    new_view,
    now,
    pre_prepare,
    prepared,
    said,
    say,
)
from tests.consensus.constitution import GENESIS, START_WALL_MS, build_keys, build_membership

BATCH = batch_of()
OTHER = batch_of(b"other", proposer=1)
WITH_PREPARED = {
    0: ViewChange(0, 1, None, (prepared(BATCH),)),
    1: ViewChange(0, 1, None, ()),
    2: ViewChange(0, 1, None, ()),
}


def spoil(envelope: Envelope, **changes: object) -> Envelope:
    assert isinstance(envelope.message, NewView)
    return say(envelope.message.view % 4, replace(envelope.message, **changes))


def signed(proposal: Proposal) -> SignedProposal:
    key = build_keys(4)[proposal.view % 4]
    return SignedProposal(proposal, key.sign(SignatureDomain.CONSENSUS, GENESIS, get_signed_bytes(proposal)))


def test_what_was_prepared_is_proposed_again_with_its_digest() -> None:
    message = new_view(1, WITH_PREPARED).message
    assert isinstance(message, NewView)
    assert [entry.proposal for entry in message.proposals] == [Proposal(0, 1, 1, digest_of(BATCH))]


def test_gaps_are_filled_with_null_batches_that_make_no_block() -> None:
    desk = Desk(3)
    desk.hear(pre_prepare(BATCH, 1), BATCH)
    second = batch_of(b"second")
    desk.hear(pre_prepare(second, 2), second)
    view_changes = WITH_PREPARED | {0: ViewChange(0, 1, None, (prepared(second, 2),))}
    desk.hear(new_view(1, view_changes))
    desk.hear_votes(Prepare, NULL, 0, 2, view=1)
    desk.hear_votes(Commit, NULL, 0, 1, 2, view=1)
    desk.hear_votes(Prepare, second, 0, 2, sequence=2, view=1)
    effects = desk.hear_votes(Commit, second, 0, 1, 2, sequence=2, view=1)
    assert [(d.height, d.sequence) for d in found(effects, Deliver)] == [(1, 2)]  # type: ignore[attr-defined]


def test_of_two_prepared_digests_the_one_of_the_higher_view_is_chosen() -> None:
    entries = {
        0: ViewChange(0, 6, None, (prepared(OTHER, view=5),)),
        1: ViewChange(0, 6, None, (prepared(BATCH, view=4),)),
        2: ViewChange(0, 6, None, ()),
    }
    message = new_view(6, entries).message
    assert isinstance(message, NewView)
    assert message.proposals[0].proposal.digest == digest_of(OTHER)


def test_a_view_begins_above_the_highest_certificate_quoted() -> None:
    chain = header_chain(3)
    entries = WITH_PREPARED | {1: ViewChange(0, 1, certificate(chain[3]), ())}
    message = new_view(1, entries).message
    assert isinstance(message, NewView)
    assert compute_proposals(build_membership(4), View(1), message.view_changes) == ()


def test_a_proven_new_view_is_entered_and_its_proposals_are_prepared() -> None:
    desk = Desk(3)
    desk.hear(pre_prepare(BATCH), BATCH)
    effects = desk.hear(new_view(1, WITH_PREPARED))
    assert found(effects, ViewStarted)
    assert said(effects, Prepare) == [Prepare(0, 1, 1, digest_of(BATCH))]


def test_a_proposal_is_accepted_again_whatever_its_time() -> None:
    ahead = batch_of(time_ms=START_WALL_MS + 3_600_000)
    old = batch_of(time_ms=1)
    for batch in (ahead, old):
        desk = Desk(3)
        desk.hear(new_view(1, WITH_PREPARED | {0: ViewChange(0, 1, None, (prepared(batch),))}))
        digest = Digest(digest_of(batch))
        assert said(desk.tell(BatchFetched(now(), digest, batch)), Prepare)


def test_a_batch_that_is_missing_is_fetched_before_it_is_voted_for() -> None:
    desk = Desk(3)
    effects = desk.hear(new_view(1, WITH_PREPARED))
    assert [each.digest for each in found(effects, FetchBatch)] == [digest_of(BATCH)]  # type: ignore[attr-defined]
    assert not said(effects, Prepare)
    wrong = desk.tell(BatchFetched(now(), Digest(digest_of(BATCH)), OTHER))
    assert not said(wrong, Prepare)
    assert said(desk.tell(BatchFetched(now(), Digest(digest_of(BATCH)), BATCH)), Prepare)


@pytest.mark.parametrize(
    "spoilt",
    [
        spoil(new_view(1, WITH_PREPARED), proposals=()),
        spoil(new_view(1, WITH_PREPARED), proposals=(signed(Proposal(0, 1, 1, digest_of(OTHER))),)),
        spoil(new_view(1, WITH_PREPARED), proposals=(signed(Proposal(0, 1, 1, NULL)),)),
        spoil(new_view(1, WITH_PREPARED), proposals=(signed(Proposal(0, 1, 2, digest_of(BATCH))),)),
        spoil(empty_new_view(1), proposals=(signed(Proposal(0, 1, 1, digest_of(OTHER))),)),
        empty_new_view(1, senders=(0, 1)),
        spoil(empty_new_view(1), view_changes=empty_new_view(1).message.view_changes[::-1]),  # type: ignore[union-attr]
        spoil(empty_new_view(1), view_changes=empty_new_view(1).message.view_changes[:1] * 3),  # type: ignore[union-attr]
        spoil(empty_new_view(1), view_changes=empty_new_view(5).message.view_changes),  # type: ignore[union-attr]
    ],
    ids=[
        "omits",
        "alters",
        "null for prepared",
        "moves",
        "adds",
        "too few",
        "unsorted",
        "duplicates",
        "other view",
    ],
)
def test_a_new_view_that_does_not_follow_from_its_view_changes_is_refused(spoilt: Envelope) -> None:
    desk = Desk(3)
    effects = desk.hear(spoilt)
    assert found(effects, Refused)
    assert desk.replica.view.view == 0


def test_a_new_view_of_a_replica_that_does_not_lead_it_is_ignored() -> None:
    desk = Desk(3)
    message = empty_new_view(1).message
    assert desk.hear(say(2, message)) == []


def test_a_new_view_of_a_lower_view_is_ignored() -> None:
    desk = Desk(3)
    desk.hear(empty_new_view(2))
    assert desk.hear(empty_new_view(1)) == []


def test_the_next_primary_sends_its_new_view_with_a_quorum_of_view_changes() -> None:
    desk = Desk(1)
    assert not said(desk.hear(say(0, ViewChange(0, 1, None, ()))), NewView)
    effects = desk.hear(say(2, ViewChange(0, 1, None, ())))
    sent = said(effects, NewView)
    assert len(sent) == 1
    assert check_envelope(build_membership(4), GENESIS, say(1, sent[0])) is None


def test_a_replica_behind_a_quoted_certificate_votes_on_nothing_that_it_decides() -> None:
    # v3 leads view 3 and has executed nothing; the certificate of height 5 reaches it in one view change only.
    chain = header_chain(5)
    entries = {
        0: ViewChange(0, 3, certificate(chain[5]), ()),
        1: ViewChange(0, 3, None, ()),
        2: ViewChange(0, 3, None, ()),
    }
    backup = Desk(1)
    effects = backup.hear(new_view(3, entries))
    fresh = batch_of(b"another first batch", proposer=3)
    assert not said(backup.hear(pre_prepare(fresh, 1, view=3), fresh), Prepare)
    assert found(effects, FetchBlocks)
    following = batch_of(b"block 6", proposer=3)
    assert said(backup.hear(pre_prepare(following, 6, view=3), following), Prepare)


def test_a_primary_behind_a_quoted_certificate_proposes_above_it() -> None:
    chain = header_chain(3)
    primary = Desk(3)
    primary.hear(say(0, ViewChange(0, 3, certificate(chain[3]), ())))
    primary.hear(say(1, ViewChange(0, 3, None, ())))
    primary.hear(say(2, ViewChange(0, 3, None, ())))
    assert [want.sequence for want in found(primary.effects, WantBatch)] == [4]  # type: ignore[attr-defined]


def test_a_view_change_quotes_a_certificate_of_blocks_that_are_still_missing() -> None:
    chain = header_chain(3)
    desk = Desk(1)
    desk.hear(
        new_view(
            3,
            {
                0: ViewChange(0, 3, certificate(chain[3]), ()),
                1: ViewChange(0, 3, None, ()),
                2: ViewChange(0, 3, None, ()),
            },
        )
    )
    desk.hear(say(0, ViewChange(0, 4, None, ())))
    effects = desk.hear(say(2, ViewChange(0, 4, None, ())))
    assert [message.stable for message in said(effects, ViewChange)] == [certificate(chain[3])]  # type: ignore[union-attr]


def test_a_batch_voted_for_is_found_again_after_the_view_ended() -> None:
    # A single faulty replica may hold the prepared certificate, and not give the batch.
    desk = Desk(2)
    desk.hear(pre_prepare(BATCH), BATCH)
    desk.hear(empty_new_view(1))
    assert desk.replica.get_batch(Digest(digest_of(BATCH))) == BATCH


def test_long_view_changes_of_faulty_replicas_do_not_fill_a_new_view(monkeypatch: pytest.MonkeyPatch) -> None:
    desk = Desk(1)
    long = say(0, ViewChange(0, 1, None, tuple(prepared(batch_of(b"%d" % n), n) for n in range(1, 60))))
    for envelope in (long, say(2, ViewChange(0, 1, None, ())), say(3, ViewChange(0, 1, None, ()))):
        desk.replica.view.view_changes[envelope.sender] = envelope  # type: ignore[index]
    desk.replica.view.view = View(1)
    assert len(select_view_changes(desk.replica.view)) == 3
    monkeypatch.setattr("consensus.new_view.NEW_VIEW_BYTES_MAX", 4096)
    assert select_view_changes(desk.replica.view) == ()
    own = say(1, ViewChange(0, 1, None, ()))
    desk.replica.view.view_changes[own.sender] = own  # type: ignore[index]
    assert long.sender not in {entry.sender for entry in select_view_changes(desk.replica.view)}


def test_the_size_of_a_view_change_is_never_underestimated() -> None:
    chain = header_chain(1)
    view_change = ViewChange(0, 1, certificate(chain[1]), (prepared(BATCH, 2), prepared(OTHER, 3)))
    message = new_view(1, {0: view_change, 1: view_change, 2: view_change}).message
    assert isinstance(message, NewView)
    assert all(compute_size(entry) >= len(encode(entry)) for entry in message.view_changes)
