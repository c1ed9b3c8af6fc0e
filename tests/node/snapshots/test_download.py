"""A snapshot is believed part by part, and nothing that a quorum did not sign becomes a chain."""

from collections.abc import Callable

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from msgspec.structs import replace

from consensus.messages import Handover
from node.exchange import NO_ANSWER, RequestKind
from node.snapshots.download import Fault, Question, Refusal, Stage
from node.snapshots.parts import BucketsPage, Manifest, PairsPage
from node.snapshots.writer import SnapshotWriter
from node.storage import keys
from node.storage.chain import ChainStore
from node.storage.integrity import check_everything, open_tree
from node.storage.memory import MemoryStore
from primitives.encoding import decode, encode
from primitives.ids import Epoch, Height
from tests.node.snapshots.source import Receiver, Source

Spoil = Callable[[bytes], bytes]


def build_source(homes: int = 20) -> Source:
    source = Source()
    source.register(homes)
    return source


def spoil(source: Source, kind: RequestKind, change: Spoil) -> Refusal | None:
    """Download from a node that spoils every answer of one kind; nothing may come out of it."""
    receiver = Receiver(source)
    refusal = receiver.run(
        lambda question: change(source.answer(question)) if question.kind is kind else source.answer(question)
    )
    assert receiver.download.stage is not Stage.WHOLE
    assert receiver.installed.get_genesis() is None
    assert receiver.installed.get_height() == 0
    return refusal


def expect_lie(source: Source, kind: RequestKind, change: Spoil, reason: str) -> None:
    refusal = spoil(source, kind, change)
    assert refusal is not None
    assert refusal.fault is Fault.LIE
    assert reason in refusal.reason


def test_a_snapshot_gives_the_same_state_at_the_same_block() -> None:
    source = build_source()
    receiver = Receiver(source)
    assert receiver.run(source.answer) is None
    chain = receiver.installed
    assert chain.get_height() == chain.get_pruned_height() == source.height
    assert chain.get_latest_header() == source.header
    assert chain.get_latest_certificate() == source.chain.get_latest_certificate()
    assert list(chain.iterate(b"")) == list(source.chain.iterate(b""))
    assert list(chain.iterate_buckets()) == list(source.chain.iterate_buckets())
    assert open_tree(chain).root == source.header.state_root
    check_everything(chain)
    assert list(receiver.store.iterate(keys.UNFINISHED)) == []
    kinds = [question.kind for question in receiver.questions]
    assert kinds.count(RequestKind.SNAPSHOT_PAIRS) > 3
    assert kinds.count(RequestKind.SNAPSHOT_BUCKETS) > 3


def test_a_writer_seals_nothing_but_the_certified_state() -> None:
    source = build_source()
    certificate = source.chain.get_latest_certificate()
    assert certificate is not None
    (key, value), *rest = source.chain.iterate(b"")
    for pairs in (rest, [(key, value + b"!"), *rest], [(key + b"!", value), *rest]):
        store = MemoryStore()
        writer = SnapshotWriter(store)
        writer.put_buckets(source.chain.iterate_buckets())
        writer.put_pairs(pairs)
        assert writer.seal(certificate, source.chain) == "what was written is not the certified state"
        assert ChainStore(store).get_genesis() is None
        assert ChainStore(store).get_height() == 0


def test_a_chain_from_a_snapshot_goes_on_like_any_other() -> None:
    source = build_source()
    receiver = Receiver(source)
    assert receiver.run(source.answer) is None
    chain = receiver.installed
    source.register(3, "later")
    block = source.chain.get_block(Height(source.height))
    assert block is not None
    result = source.last
    chain.commit_block(block, result.receipts, result.state_writes, result.tree_writes)
    assert open_tree(chain).root == source.header.state_root
    check_everything(chain)


def test_what_the_own_chain_knows_of_liars_and_handovers_comes_along() -> None:
    source = build_source(2)
    receiver = Receiver(source)
    receiver.own.put_evidence(b"two votes")
    assert receiver.run(source.answer) is None
    assert list(receiver.installed.iterate_evidence()) == [b"two votes"]


def test_members_of_later_epochs_are_followed_from_the_own_one() -> None:
    source = build_source(2)
    source.add_validator("v4")
    source.register(2, "later")
    source.add_validator("v5")
    source.register(2, "latest")
    receiver = Receiver(source)
    assert receiver.run(source.answer) is None
    chain = receiver.installed
    assert chain.get_latest_header().epoch == 2
    assert list(chain.iterate_handovers(Epoch(0))) == list(source.chain.iterate_handovers(Epoch(0)))
    assert len(list(chain.iterate_handovers(Epoch(0)))) == 2


def test_a_snapshot_of_an_epochs_last_block_brings_its_handover() -> None:
    source = build_source(2)
    source.add_validator("v4")
    receiver = Receiver(source)
    assert receiver.run(source.answer) is None
    chain = receiver.installed
    assert chain.get_latest_header().epoch == 0
    handover = chain.get_handover(Epoch(0))
    assert handover is not None
    assert len(handover.validators) == 5


def test_a_peer_without_a_snapshot_is_no_liar() -> None:
    source = Source()  # genesis only: nobody certified it
    refusal = Receiver(source).run(source.answer)
    assert refusal == Refusal(Fault.USELESS, "it has no snapshot")


def test_a_snapshot_that_is_not_above_the_own_block_is_of_no_use() -> None:
    source = build_source(2)
    refusal = Receiver(source, own=source.chain).run(source.answer)
    assert refusal is not None
    assert refusal.fault is Fault.USELESS
    assert "not above the own block" in refusal.reason


def test_a_snapshot_that_is_let_go_while_it_is_downloaded_is_named_and_begun_anew() -> None:
    source = build_source()
    receiver = Receiver(source)
    asked = 0

    def answer(question: Question) -> bytes:
        nonlocal asked
        asked += question.kind is RequestKind.SNAPSHOT_PAIRS
        if asked == 2:
            source.server.close()
        return source.answer(question)

    refusal = receiver.run(answer)
    assert refusal is not None
    assert refusal.fault is Fault.GONE
    assert f"block {source.height} is not served any more" in refusal.reason
    source.register(2, "later")
    again = Receiver(source)
    assert again.run(source.answer) is None
    assert again.installed.get_height() == source.height


@pytest.mark.parametrize("kind", [kind for kind in RequestKind if kind.name.startswith("SNAPSHOT")])
@pytest.mark.parametrize("nonsense", [b"\x00", b"\xc1" * 40, encode("text"), encode(((), ())), encode(2**63)])
def test_nonsense_is_a_lie(kind: RequestKind, nonsense: bytes) -> None:
    expect_lie(build_source(2), kind, lambda _: nonsense, "malformed")


def change_manifest(change: Callable[[Manifest], Manifest]) -> Spoil:
    return lambda answer: encode(change(decode(answer, Manifest)))


def test_a_manifest_that_too_few_signed_is_a_lie() -> None:
    source = build_source(2)
    weak = source.sign_header(source.header, 2)
    change = change_manifest(lambda manifest: replace(manifest, certificate=weak))
    expect_lie(source, RequestKind.SNAPSHOT, change, "nobody certified")


def test_a_manifest_of_another_state_than_the_certified_one_is_a_lie() -> None:
    source = build_source(2)
    change = change_manifest(
        lambda manifest: replace(manifest, group_digests=bytes(len(manifest.group_digests)))
    )
    expect_lie(source, RequestKind.SNAPSHOT, change, "not of the certified state")


@pytest.mark.parametrize("size", [0, 32, 4095 * 32, 4097 * 32])
def test_a_manifest_with_too_few_or_too_many_digests_is_a_lie(size: int) -> None:
    change = change_manifest(lambda manifest: replace(manifest, group_digests=bytes(size)))
    expect_lie(build_source(2), RequestKind.SNAPSHOT, change, "bytes of digests")


def test_a_huge_claimed_height_needs_a_quorums_signatures_like_any_other() -> None:
    source = build_source(2)

    def claim(manifest: Manifest) -> Manifest:
        header = replace(manifest.certificate.header, height=2**62)
        return replace(manifest, certificate=replace(manifest.certificate, header=header))

    expect_lie(source, RequestKind.SNAPSHOT, change_manifest(claim), "nobody certified")


def test_a_huge_claimed_epoch_is_a_lie_at_the_first_handover_that_is_not_one() -> None:
    source = build_source(2)
    source.add_validator("v4")

    def claim(manifest: Manifest) -> Manifest:
        header = replace(manifest.certificate.header, epoch=2**62)
        return replace(manifest, certificate=replace(manifest.certificate, header=header))

    refusal = spoil(source, RequestKind.SNAPSHOT, change_manifest(claim))
    assert refusal is not None
    assert "how epoch 1 ended is not known" in refusal.reason


def test_a_snapshot_of_another_chain_is_a_lie() -> None:
    source, other = build_source(2), Source(time_s=1_800_000_000)
    other.signers = {each.public_key: other.signers[each.public_key] for each in other.genesis.validators}
    object.__setattr__(other.context, "genesis_hash", bytes(32))
    other.register(3)
    receiver = Receiver(source)
    refusal = receiver.run(other.answer)
    assert refusal is not None
    assert refusal.fault is Fault.LIE
    assert "nobody certified" in refusal.reason


def change_handovers(change: Callable[[tuple[Handover, ...]], tuple[Handover, ...]]) -> Spoil:
    return lambda answer: encode(change(decode(answer, tuple[Handover, ...])))


def test_a_handover_to_others_than_the_certified_header_names_is_a_lie() -> None:
    source = build_source(2)
    source.add_validator("v4")
    source.register(2, "later")
    change = change_handovers(
        lambda found: tuple(replace(each, validators=each.validators[::-1]) for each in found)
    )
    expect_lie(source, RequestKind.HANDOVERS, change, "names other validators")


def test_handovers_of_later_epochs_alone_prove_nothing() -> None:
    source = build_source(2)
    source.add_validator("v4")
    source.add_validator("v5")
    expect_lie(source, RequestKind.HANDOVERS, change_handovers(lambda found: found[1:]), "of epoch 1")


def test_no_handover_where_one_is_needed_ends_the_download() -> None:
    source = build_source(2)
    source.add_validator("v4")
    refusal = spoil(source, RequestKind.HANDOVERS, lambda _: encode(()))
    assert refusal is not None
    assert refusal.fault is Fault.USELESS


def change_buckets(change: Callable[[tuple[tuple[bytes, ...], ...]], tuple[tuple[bytes, ...], ...]]) -> Spoil:
    return lambda answer: encode(BucketsPage(change(decode(answer, BucketsPage).groups)))


def swap_leaf(groups: tuple[tuple[bytes, ...], ...]) -> tuple[tuple[bytes, ...], ...]:
    changed = [list(group) for group in groups]
    group = next(group for group in changed if group)
    place = next(place for place, content in enumerate(group) if content)
    group[place] = bytes(len(group[place]))
    return tuple(map(tuple, changed))


@pytest.mark.parametrize(
    ("change", "reason"),
    [
        (lambda groups: (), "a page of 0 groups"),
        (lambda groups: groups * 5000, "groups from group"),
        (lambda groups: groups[:1], "not full"),
        (lambda groups: groups[1:] + groups[:1], "not of the certified state"),
        (swap_leaf, "not of the certified state"),
        (lambda groups: tuple((*group, b"x" * 32) for group in groups), "has"),
        (lambda groups: tuple(group or (b"",) * 16 for group in groups), "has 16 buckets"),
    ],
)
def test_false_buckets_are_a_lie_at_once(
    change: Callable[[tuple[tuple[bytes, ...], ...]], tuple[tuple[bytes, ...], ...]], reason: str
) -> None:
    expect_lie(build_source(), RequestKind.SNAPSHOT_BUCKETS, change_buckets(change), reason)


Pairs = tuple[tuple[bytes, bytes], ...]


def change_pairs(change: Callable[[Pairs], Pairs]) -> Spoil:
    return lambda answer: encode(PairsPage(change(decode(answer, PairsPage).pairs)))


@pytest.mark.parametrize(
    ("change", "reason"),
    [
        (lambda pairs: (), "not full"),
        (lambda pairs: pairs[:1], "not full"),
        (lambda pairs: (*pairs, pairs[-1]), "not in order"),
        (lambda pairs: pairs[::-1], "not in order"),
        (lambda pairs: ((pairs[0][0], pairs[1][1]), *pairs[1:]), "not of the certified state"),
        (lambda pairs: ((pairs[0][0], pairs[0][1] + b"\x00"), *pairs[1:]), "not of the certified state"),
        (lambda pairs: (*pairs, (pairs[-1][0] + b"\x00", b"mine" * 400)), "not of the certified state"),
        (lambda pairs: ((b"", b"first"), *pairs), "not of the certified state"),
    ],
)
def test_false_pairs_are_a_lie_at_once(change: Callable[[Pairs], Pairs], reason: str) -> None:
    expect_lie(build_source(), RequestKind.SNAPSHOT_PAIRS, change_pairs(change), reason)


def test_a_pair_left_out_is_a_lie_at_the_end() -> None:
    source = build_source()
    missing = next(iter(source.state.values))

    def leave_out(question: Question) -> bytes:
        if question.kind is not RequestKind.SNAPSHOT_PAIRS:
            return source.answer(question)
        store = source.store
        value = store.get(keys.STATE + missing)
        page = decode(source.answer(question), PairsPage)
        assert value is not None
        if all(key != missing for key, _ in page.pairs):
            return encode(page)
        kept = tuple(pair for pair in page.pairs if pair[0] != missing)
        following = decode(
            source.answer(Question(question.kind, encode((source.height, page.pairs[-1][0] + b"\x00")))),
            PairsPage,
        )
        return encode(PairsPage(kept + following.pairs))

    receiver = Receiver(source)
    refusal = receiver.run(leave_out)
    assert refusal is not None
    assert refusal.fault is Fault.LIE
    assert "1 are missing" in refusal.reason
    assert receiver.installed.get_genesis() is None


@settings(max_examples=60, deadline=None)
@given(data=st.data())
def test_whatever_a_server_says_only_the_certified_state_becomes_a_chain(data: st.DataObject) -> None:
    source = SOURCE
    receiver = Receiver(source)
    victim = data.draw(st.integers(0, 25), label="spoiled answer")
    how = data.draw(st.sampled_from(["flip", "cut", "grow", "repeat", "none"]), label="how")
    previous = NO_ANSWER

    def answer(question: Question) -> bytes:
        nonlocal previous
        said = source.answer(question)
        if len(receiver.questions) - 1 == victim:
            at = data.draw(st.integers(0, len(said) - 1), label="at")
            if how == "flip":
                said = said[:at] + bytes((said[at] ^ data.draw(st.integers(1, 255)),)) + said[at + 1 :]
            elif how == "cut":
                said = said[:at]
            elif how == "grow":
                said += said[:at]
            elif how == "repeat":
                said = previous
        previous = said
        return said

    if receiver.run(answer) is None:
        assert list(receiver.installed.iterate(b"")) == list(source.chain.iterate(b""))
        assert receiver.installed.get_latest_header() == source.header
    else:
        assert receiver.installed.get_genesis() is None


SOURCE = build_source()


def test_a_whole_snapshot_asks_nothing_more() -> None:
    source = build_source(2)
    receiver = Receiver(source)
    assert receiver.run(source.answer) is None
    with pytest.raises(ValueError, match="whole"):
        _ = receiver.download.question
