"""The outbox: urgent first, in order, bounded, together when there is company and at once when there is none."""

from hypothesis import given
from hypothesis import strategies as st

from p2p.frames import FRAMES_PER_MESSAGE_MAX, Channel, decode_frames, encode_frame
from p2p.gossip import (
    GOSSIP_BYTES_ENOUGH,
    GOSSIP_PAUSE_MAX_S,
    GOSSIP_PAUSE_S,
    MESSAGE_BYTES_GOAL,
    QUEUED_BYTES_MAX,
    QUEUED_FRAMES_MAX,
    Outbox,
)
from primitives.limits import FRAME_BYTES_MAX

PUTS = st.lists(st.tuples(st.sampled_from(Channel), st.integers(0, 40_000)), max_size=60)


def put(outbox: Outbox, channel: Channel, payload: bytes) -> bool:
    return outbox.put_frame(channel, encode_frame(channel, payload))


def drain(outbox: Outbox) -> list[tuple[Channel, bytes]]:
    frames = []
    while outbox.queued_frames:
        frames += decode_frames(outbox.take(0.0))
    return frames


@given(PUTS)
def test_everything_leaves_once_and_each_channel_in_order(puts: list[tuple[Channel, int]]) -> None:
    outbox = Outbox()
    sent = [(channel, index.to_bytes(4, "big") + bytes(size)) for index, (channel, size) in enumerate(puts)]
    for channel, payload in sent:
        assert put(outbox, channel, payload)
    assert outbox.queued_bytes == sum(outbox.get_queued_bytes(channel) for channel in Channel)
    assert drain(outbox) == [frame for channel in Channel for frame in sent if frame[0] is channel]
    assert (outbox.queued_bytes, outbox.queued_frames, outbox.dropped) == (0, 0, 0)
    assert all(outbox.get_queued_bytes(channel) == 0 for channel in Channel)


@given(PUTS)
def test_a_message_keeps_to_its_goal_unless_one_frame_alone_is_larger(
    puts: list[tuple[Channel, int]],
) -> None:
    outbox = Outbox()
    for channel, size in [*puts, (Channel.CONSENSUS, 3 * MESSAGE_BYTES_GOAL)]:
        put(outbox, channel, bytes(size))
    while outbox.queued_frames:
        message = outbox.take(0.0)
        frames = decode_frames(message)
        assert len(frames) <= FRAMES_PER_MESSAGE_MAX
        assert len(message) <= MESSAGE_BYTES_GOAL or len(frames) == 1


def test_consensus_overtakes_whatever_waits() -> None:
    outbox = Outbox()
    for _ in range(1000):
        put(outbox, Channel.TRANSACTIONS, bytes(200))
    put(outbox, Channel.RESPONSE, bytes(200))
    put(outbox, Channel.CONSENSUS, b"vote")
    frames = decode_frames(outbox.take(0.0))
    assert frames[0] == (Channel.CONSENSUS, b"vote")
    assert frames[1][0] is Channel.RESPONSE
    assert frames[2][0] is Channel.TRANSACTIONS


def test_a_large_frame_is_not_overtaken_by_less_urgent_ones() -> None:
    outbox = Outbox()
    put(outbox, Channel.CONSENSUS, b"first")
    put(outbox, Channel.CONSENSUS, bytes(MESSAGE_BYTES_GOAL))
    put(outbox, Channel.TRANSACTIONS, b"patient")
    assert decode_frames(outbox.take(0.0)) == [(Channel.CONSENSUS, b"first")]
    assert decode_frames(outbox.take(0.0)) == [(Channel.CONSENSUS, bytes(MESSAGE_BYTES_GOAL))]
    assert decode_frames(outbox.take(0.0)) == [(Channel.TRANSACTIONS, b"patient")]
    assert outbox.take(0.0) == b""


def test_beyond_the_bound_in_bytes_the_oldest_gossip_goes_first_and_agreement_last() -> None:
    outbox = Outbox()
    for number in range(300):
        put(outbox, Channel.TRANSACTIONS, number.to_bytes(4, "big") + bytes(20_000))
    assert outbox.queued_bytes <= QUEUED_BYTES_MAX
    assert outbox.dropped > 0
    first = decode_frames(outbox.take(0.0))[0][1]
    assert int.from_bytes(first[:4], "big") == outbox.dropped
    for _ in range(2):
        assert put(outbox, Channel.CONSENSUS, bytes(FRAME_BYTES_MAX - 5))
    assert outbox.get_queued_bytes(Channel.TRANSACTIONS) == 0
    assert not put(outbox, Channel.CONSENSUS, b"the oldest vote gives way")
    assert outbox.queued_bytes <= QUEUED_BYTES_MAX


def test_the_number_of_waiting_frames_is_bounded_too() -> None:
    outbox = Outbox()
    for _ in range(QUEUED_FRAMES_MAX):
        assert put(outbox, Channel.TRANSACTIONS, b"")
    assert not put(outbox, Channel.TRANSACTIONS, b"")
    assert put(outbox, Channel.CONSENSUS, b"")
    assert (outbox.queued_frames, outbox.dropped) == (QUEUED_FRAMES_MAX, 2)


def test_an_idle_link_sends_at_once() -> None:
    outbox = Outbox()
    assert outbox.compute_delay_s(10.0) is None
    put(outbox, Channel.TRANSACTIONS, b"alone")
    assert outbox.compute_delay_s(10.0) == 0.0


def test_what_follows_a_transaction_waits_for_company_and_no_longer_than_the_pause() -> None:
    outbox = Outbox()
    put(outbox, Channel.TRANSACTIONS, b"first")
    outbox.take(0.0)
    put(outbox, Channel.TRANSACTIONS, b"second")
    assert outbox.compute_delay_s(0.0) == GOSSIP_PAUSE_S
    assert outbox.compute_delay_s(0.0 + GOSSIP_PAUSE_S) == 0.0


def test_enough_company_does_not_wait() -> None:
    outbox = Outbox()
    put(outbox, Channel.TRANSACTIONS, b"first")
    outbox.take(10.0)
    put(outbox, Channel.TRANSACTIONS, bytes(GOSSIP_BYTES_ENOUGH))
    assert outbox.compute_delay_s(10.0) == 0.0


def test_something_urgent_leaves_at_once_and_takes_the_waiting_along() -> None:
    outbox = Outbox()
    put(outbox, Channel.TRANSACTIONS, b"first")
    outbox.take(10.0)
    put(outbox, Channel.TRANSACTIONS, b"second")
    put(outbox, Channel.CONSENSUS, b"vote")
    assert outbox.compute_delay_s(10.0) == 0.0
    assert decode_frames(outbox.take(10.0)) == [
        (Channel.CONSENSUS, b"vote"),
        (Channel.TRANSACTIONS, b"second"),
    ]


def test_a_busy_link_waits_longer_for_company_up_to_the_bound_and_a_quiet_one_no_more() -> None:
    outbox = Outbox()
    pauses = []
    for count in (1, 3, 4, 9, 2, 1, 1, 1):
        for _ in range(count):
            put(outbox, Channel.TRANSACTIONS, bytes(200))
        pauses.append(outbox.compute_delay_s(0.0))
        outbox.take(0.0)
    least, most = GOSSIP_PAUSE_S, GOSSIP_PAUSE_MAX_S
    assert pauses == [0.0, least, 2 * least, most, most, most, most / 2, least]
