"""Pages cover a whole state without gap, whatever it is; each is bounded, and checks against the manifest."""

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from node.snapshots import parts
from node.snapshots.parts import check_buckets, cut_buckets, cut_pairs, measure_group, measure_pair
from vm.state_root import (
    GROUPS,
    WIDTH,
    build_tree,
    collect_group_digests,
    compute_groups_root,
    update_tree,
)

Values = dict[bytes, bytes]
VALUES = st.dictionaries(st.binary(min_size=1, max_size=12), st.binary(max_size=40), max_size=60)


def build_buckets(values: Values) -> tuple[dict[int, bytes], bytes]:
    changes = {key: (None, value) for key, value in values.items()}
    tree, writes = update_tree(build_tree(()), lambda _: b"", changes)
    digests = collect_group_digests(tree)
    assert compute_groups_root(digests) == tree.root
    return dict(writes.buckets), digests


@settings(max_examples=50, deadline=None)
@given(VALUES)
def test_the_pages_of_a_state_give_all_its_buckets_back(values: Values) -> None:
    buckets, digests = build_buckets(values)
    found: dict[int, bytes] = {}
    first = 0
    while first < GROUPS:
        rest = sorted((index, content) for index, content in buckets.items() if index >= first * WIDTH)
        page = cut_buckets(first, rest)
        assert check_buckets(page, first, digests) is None
        assert len(page.groups) <= parts.GROUPS_PER_PAGE_MAX
        assert sum(map(measure_group, page.groups[:-1])) < parts.PAGE_BYTES
        for number, group in enumerate(page.groups, first):
            found |= {number * WIDTH + place: content for place, content in enumerate(group) if content}
        first += len(page.groups)
    assert found == buckets


@settings(max_examples=50, deadline=None)
@given(VALUES)
def test_the_pages_of_a_state_give_all_its_pairs_back(values: Values) -> None:
    pairs = sorted(values.items())
    found: list[tuple[bytes, bytes]] = []
    while len(found) < len(pairs):
        page = cut_pairs(iter(pairs[len(found) :])).pairs
        assert page
        assert sum(map(measure_pair, page[:-1])) < parts.PAGE_BYTES
        found += page
    assert found == pairs


@settings(max_examples=50, deadline=None)
@given(VALUES.filter(bool), st.data())
def test_a_page_of_another_state_is_refused(values: Values, data: st.DataObject) -> None:
    _, digests = build_buckets(values)
    key = data.draw(st.sampled_from(sorted(values)))
    other, _ = build_buckets(values | {key: values[key] + b"!"})
    first = 0
    problems = []
    while first < GROUPS:
        page = cut_buckets(first, sorted((i, c) for i, c in other.items() if i >= first * WIDTH))
        problems.append(check_buckets(page, first, digests))
        first += len(page.groups)
    assert len([problem for problem in problems if problem is not None]) == 1


@pytest.mark.parametrize("groups", [GROUPS - 1, GROUPS])
def test_a_page_never_goes_beyond_the_last_group(groups: int) -> None:
    page = cut_buckets(groups - 1, ())
    assert len(page.groups) == GROUPS - groups + 1
