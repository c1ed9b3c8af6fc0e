"""Every decoder under bytes that nobody should send: refused by name, or accepted in the one form there is."""

import sys
import tracemalloc
from types import FrameType
from typing import Any, get_args

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from consensus.messages import Message
from tests.fuzz.mutations import HUGE_LENGTHS, INPUT_BYTES_MAX, NESTS, NUMBERS, mutate
from tests.fuzz.targets import TARGETS, Target, run

EXAMPLES = 100
FREE_BYTES = 1536 * 1024
"""What a decoder may allocate whatever comes: a buffer of the megabyte that a file may have, a type's decoder."""

FREE_CALLS = 5_000
CALLS_PER_BYTE = 20
"""The TOML reader looks at every character of a line several times; whatever grows with the square is far beyond."""

ALL = pytest.mark.parametrize("target", TARGETS.values(), ids=TARGETS)


@ALL
def test_valid_bytes_are_accepted(target: Target) -> None:
    seeds = target.list_seeds()
    assert seeds
    assert all(run(target, seed) for seed in seeds)


@ALL
def test_spoilt_bytes_are_refused_by_name_or_have_one_form(target: Target) -> None:
    @settings(max_examples=EXAMPLES, deadline=None, suppress_health_check=list(HealthCheck))
    @given(mutate(target.list_seeds()))
    def check(data: bytes) -> None:
        run(target, data)

    check()


@ALL
def test_any_bytes_are_refused_by_name_or_have_one_form(target: Target) -> None:
    @settings(max_examples=EXAMPLES // 2, deadline=None)
    @given(st.binary(max_size=300))
    def check(data: bytes) -> None:
        run(target, data)

    check()


def build_bombs(target: Target) -> list[bytes]:
    """Return inputs that are small and say that they are large, deep or many; and large ones of one kind of byte."""
    seed = max(target.list_seeds(), key=len)
    heads = [b"", seed[:1], seed[: len(seed) // 2]]
    bombs = [head + token for head in heads for token in (*HUGE_LENGTHS, *NUMBERS)]
    bombs += [
        (head + before + opening * INPUT_BYTES_MAX)[:INPUT_BYTES_MAX]
        for head in heads
        for before, opening in NESTS
    ]
    bombs += [(seed * (INPUT_BYTES_MAX // len(seed) + 1))[:INPUT_BYTES_MAX]]
    return [*bombs, *(bytes([byte]) * INPUT_BYTES_MAX for byte in b"\x00\x90\xc0\xff\n,=#")]


@ALL
def test_a_bomb_takes_no_more_memory_than_its_size_allows(target: Target) -> None:
    for seed in target.list_seeds():
        run(target, seed)
    for bomb in build_bombs(target):
        tracemalloc.start()
        try:
            run(target, bomb)
            _, peak = tracemalloc.get_traced_memory()
        finally:
            tracemalloc.stop()
        assert peak <= FREE_BYTES + target.bytes_per_byte * len(bomb), (bomb[:40], len(bomb), peak)


@ALL
def test_a_bomb_takes_no_more_steps_than_its_size_allows(target: Target) -> None:
    """Steps are calls of functions: a count that no busy machine changes."""
    for bomb in build_bombs(target):
        calls = count_calls(target, bomb)
        assert calls <= FREE_CALLS + CALLS_PER_BYTE * len(bomb), (bomb[:40], len(bomb), calls)


def count_calls(target: Target, data: bytes) -> int:
    calls = 0

    def note(_: FrameType, event: str, __: Any) -> None:  # noqa: ANN401  # as the interpreter gives it
        nonlocal calls
        calls += event in {"call", "c_call"}

    sys.setprofile(note)
    try:
        run(target, data)
    finally:
        sys.setprofile(None)
    return calls


def test_every_message_of_agreement_has_a_target() -> None:
    assert {f"message_{kind.__name__.lower()}" for kind in get_args(Message)} <= set(TARGETS)


def test_a_decoder_that_breaks_its_promise_is_found() -> None:
    """The canary: a decoder that takes a second form, and one whose exception has no name in the table."""
    transaction = TARGETS["transaction"]
    lax = Target(
        "lax",
        lambda data: transaction.decode(data.rstrip(b"\0")),
        transaction.refusals,
        transaction.list_seeds,
        transaction.follow,
    )
    with pytest.raises(AssertionError, match="another one"):
        run(lax, transaction.list_seeds()[0] + b"\0")
    rude = Target("rude", lambda data: data.decode("ascii"), (KeyError,), lambda: [b"x"])
    with pytest.raises(UnicodeDecodeError):
        run(rude, b"\xff")
