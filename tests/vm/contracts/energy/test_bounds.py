"""What a call or a block may cost: counted in reads of the stored state, never in seconds."""

import pytest

from tests.vm.contracts.energy.audit import audit
from tests.vm.contracts.energy.community import Community
from tests.vm.ledger import Chain
from vm.contracts.energy import contract
from vm.receipt import Rejection


def count_reads(chain: Chain, monkeypatch: pytest.MonkeyPatch, *raws: bytes) -> int:
    """Return how many stored values the block asks for; the block is not kept."""
    count = 0
    read = chain.state.get

    def get(key: bytes) -> bytes | None:
        nonlocal count
        count += 1
        return read(key)

    with monkeypatch.context() as patch:
        patch.setattr(chain.state, "get", get)
        chain.prepare(*raws)
    return count


def make_history(slots: int, skipped: frozenset[int] = frozenset()) -> Community:
    """Return a community of quarter hours whose home a sent all readings but the skipped ones."""
    community = Community(homes=("a", "b"), slot_s=900, correction_s=31 * 86400)
    readings = [
        community.sign("a", community.reading("a", slot, slot * 10, 0))
        for slot in range(slots)
        if slot not in skipped
    ]
    community.chain.execute(*readings, at_s=community.end_of(slots))
    while (community.chain.last.next_due_ms or 0) <= community.chain.time_s * 1000:
        community.chain.execute()
    return community


def test_a_late_reading_costs_the_same_however_many_came_after_it(monkeypatch: pytest.MonkeyPatch) -> None:
    costs = []
    for slots in (20, 200):
        community = make_history(slots, frozenset({5}))
        late = community.sign("a", community.reading("a", 5, 50, 0))
        base = count_reads(community.chain, monkeypatch)
        costs.append(count_reads(community.chain, monkeypatch, late.raw) - base)
    assert costs[0] == costs[1] < 20


def test_a_reading_costs_at_most_the_length_of_the_gap_it_falls_into(monkeypatch: pytest.MonkeyPatch) -> None:
    gap = 300
    community = make_history(400, frozenset(range(10, 10 + gap)))
    base = count_reads(community.chain, monkeypatch)
    late = community.sign("a", community.reading("a", 10, 100, 0))
    assert count_reads(community.chain, monkeypatch, late.raw) - base < gap + 20


def test_a_slot_settles_with_a_few_reads_per_meter(monkeypatch: pytest.MonkeyPatch) -> None:
    costs = []
    for count in (20, 40):
        names = tuple(f"h{number:02}" for number in range(count))
        community = Community(homes=names)
        for name in names[1:]:
            community.submit(name, 0, 100, 5)
        last = community.sign(names[0], community.reading(names[0], 0, 100, 5))
        costs.append(count_reads(community.chain, monkeypatch, last.raw))
    assert costs[1] < 2 * costs[0] < 20 * 2 * 8


def test_a_block_settles_a_bounded_number_of_silent_lines(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(contract, "LINES_PER_BLOCK_MAX", 6)
    community = Community()
    community.chain.time_s = community.end_of(10)
    settled = []
    for _ in range(6):
        community.chain.execute()
        settled.append(sum(community.is_settled(slot) for slot in range(11)))
    assert settled == [2, 4, 6, 8, 10, 10]
    audit(community.chain.state, 3600)


def test_slots_that_settled_ahead_of_a_silent_one_are_passed_over_at_once() -> None:
    community = Community(homes=("a", "b"), grace_s=50 * 3600)
    for slot in range(1, 40):
        for name in "ab":
            assert community.submit(name, slot, slot) is None
    assert not community.is_settled(0)
    community.submit("a", 0, 0)
    community.submit("b", 0, 0)
    assert community.chain.last.next_due_ms == (community.end_of(40) + 50 * 3600) * 1000


def test_a_refused_reading_of_the_distant_past_reads_next_to_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    community = Community(slot_s=900, correction_s=3600)
    community.chain.execute(at_s=community.end_of(100_000))
    for _ in range(3):
        community.chain.execute()
    sealed = community.sign("a", community.reading("a", 0, 5, 0))
    assert community.chain.admit(sealed) == Rejection.READING_TOO_LATE
    base = count_reads(community.chain, monkeypatch)
    assert count_reads(community.chain, monkeypatch, sealed.raw) - base < 8
