"""How questions and answers look on the wire."""

import asyncio
import contextlib
from collections.abc import Awaitable, Callable

import pytest
from hypothesis import given
from hypothesis import strategies as st

from p2p.frames import FrameError
from p2p.transfer import (
    ANSWER_BYTES_MAX,
    PART_BYTES,
    REASON_BYTES_MAX,
    REQUEST_BYTES_MAX,
    PartKind,
    RequestFailed,
    Requests,
    decode_request,
    decode_response,
    encode_answer,
    encode_refusal,
    encode_request,
)

NUMBERS = st.integers(0, 2**64 - 1)


@given(NUMBERS, st.integers(0, 255), st.binary(max_size=500))
def test_a_request_comes_back_as_it_was(number: int, kind: int, payload: bytes) -> None:
    assert decode_request(encode_request(number, kind, payload)) == (number, kind, payload)


@given(NUMBERS, st.integers(0, 5 * PART_BYTES))
def test_the_parts_of_an_answer_make_the_answer(number: int, size: int) -> None:
    answer = bytes(size)
    parts = [decode_response(part) for part in encode_answer(number, answer)]
    assert b"".join(content for _, _, _, content in parts) == answer
    assert [index for _, _, index, _ in parts] == list(range(len(parts)))
    assert [kind for _, kind, _, _ in parts] == [PartKind.MORE] * (len(parts) - 1) + [PartKind.LAST]


@given(NUMBERS, st.text())
def test_a_refusal_is_one_bounded_part(number: int, reason: str) -> None:
    decoded, kind, _, content = decode_response(encode_refusal(number, reason))
    assert (decoded, kind) == (number, PartKind.REFUSED)
    assert len(content) <= REASON_BYTES_MAX


@given(st.binary(max_size=100))
def test_arbitrary_bytes_are_requests_or_responses_or_named_nonsense(payload: bytes) -> None:
    for decode in (decode_request, decode_response):
        with contextlib.suppress(FrameError):
            decode(payload)


def test_a_request_beyond_its_bound_is_nonsense() -> None:
    with pytest.raises(FrameError, match="longer than 65536 bytes"):
        decode_request(encode_request(1, 1, bytes(REQUEST_BYTES_MAX + 1)))


def ask_and_hear(hear: Callable[[Requests], None]) -> bytes:
    """The answer to a first question, when ``hear`` is what comes back for it."""

    async def play() -> bytes:
        requests = Requests(lambda _: True)
        async with asyncio.TaskGroup() as tasks:
            asking = tasks.create_task(catch(requests.ask(1, b"?", 5)))
            await asyncio.sleep(0)
            hear(requests)
        result = asking.result()
        if isinstance(result, RequestFailed):
            raise result
        return result

    async def catch(asking: Awaitable[bytes]) -> bytes | RequestFailed:
        try:
            return await asking
        except RequestFailed as error:
            return error

    return asyncio.run(play())


def hear_all(parts: list[bytes]) -> Callable[[Requests], None]:
    def hear(requests: Requests) -> None:
        for part in parts:
            requests.on_response(part)

    return hear


def test_an_answer_in_parts_is_put_together() -> None:
    answer = bytes(range(256)) * 1000
    assert ask_and_hear(hear_all(encode_answer(1, answer))) == answer


def test_an_answer_to_another_question_or_a_second_one_changes_nothing() -> None:
    parts = [*encode_answer(2, b"other"), *encode_answer(1, b"this"), *encode_answer(1, b"late")]
    assert ask_and_hear(hear_all(parts)) == b"this"


def test_a_lost_part_fails_the_question() -> None:
    with pytest.raises(RequestFailed, match="a part of the answer was lost"):
        ask_and_hear(hear_all(encode_answer(1, bytes(3 * PART_BYTES))[1:]))


def test_an_answer_without_end_fails_the_question() -> None:
    with pytest.raises(RequestFailed, match="the answer has more than 2097152 bytes"):
        ask_and_hear(hear_all(encode_answer(1, bytes(ANSWER_BYTES_MAX + 1))))


def test_a_link_that_is_full_fails_the_question_at_once() -> None:
    async def play() -> None:
        with pytest.raises(RequestFailed, match="full or gone"):
            await Requests(lambda _: False).ask(1, b"?", 5)

    asyncio.run(play())
