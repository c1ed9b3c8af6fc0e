"""The gate: strangers are bounded in number, per address and in rate, and an honest one still gets in."""

import pytest

from p2p.gate import (
    ADDRESSES_MAX,
    ALL_HANDSHAKES_BURST,
    ALL_HANDSHAKES_PER_S,
    CONNECTIONS_MAX,
    HANDSHAKES_BURST,
    HANDSHAKES_OPEN_MAX,
    HANDSHAKES_OPEN_PER_ADDRESS_MAX,
    HANDSHAKES_PER_S,
    MEMBERS_ADDRESSES_MAX,
    Admission,
    Gate,
)


def admit(gate: Gate, address: str, now_s: float = 0.0) -> Admission:
    admission = gate.admit(address, now_s)
    assert isinstance(admission, Admission)
    return admission


def test_of_too_many_strangers_at_one_address_the_oldest_gives_way() -> None:
    gate = Gate(0.0)
    admissions = [admit(gate, "a") for _ in range(HANDSHAKES_OPEN_PER_ADDRESS_MAX)]
    assert all(admission.evicted is None for admission in admissions)
    admit(gate, "b")
    assert admit(gate, "a").evicted == admissions[0].ticket
    assert admit(gate, "a").evicted == admissions[1].ticket


def test_of_too_many_strangers_in_all_the_oldest_gives_way() -> None:
    gate = Gate(0.0)
    first = admit(gate, "address 0")
    for index in range(1, HANDSHAKES_OPEN_MAX):
        assert admit(gate, f"address {index}").evicted is None
    assert admit(gate, "honest").evicted == first.ticket


def test_a_member_is_no_stranger_and_never_gives_way() -> None:
    gate = Gate(0.0)
    member = admit(gate, "a")
    gate.welcome(member.ticket)
    evicted = [admit(gate, "a").evicted for _ in range(3 * HANDSHAKES_OPEN_PER_ADDRESS_MAX)]
    assert member.ticket not in evicted


def test_an_ended_connection_makes_room() -> None:
    gate = Gate(0.0)
    for _ in range(HANDSHAKES_BURST - 1):
        gate.release(admit(gate, "a").ticket)
    assert admit(gate, "a").evicted is None


def test_connections_are_bounded_in_all() -> None:
    gate = Gate(0.0)
    tickets = []
    for index in range(CONNECTIONS_MAX):
        ticket = admit(gate, f"address {index}", index / ALL_HANDSHAKES_PER_S).ticket
        gate.welcome(ticket)
        tickets.append(ticket)
    assert gate.admit("one more", 1e6) == "too many connections"
    assert gate.refused == 1
    gate.release(tickets[0])
    admit(gate, "one more", 1e6)


def test_an_address_that_hurries_is_refused_until_time_has_passed_and_others_are_not() -> None:
    gate = Gate(0.0)
    for _ in range(HANDSHAKES_BURST):
        gate.release(admit(gate, "hasty").ticket)
    assert gate.admit("hasty", 0.0) == "too many handshakes from this address"
    admit(gate, "patient")
    admit(gate, "hasty", 1 / HANDSHAKES_PER_S)
    assert gate.admit("hasty", 1 / HANDSHAKES_PER_S) == "too many handshakes from this address"


def test_many_addresses_together_do_not_make_more_work_than_the_common_bound() -> None:
    gate = Gate(0.0)
    for index in range(ALL_HANDSHAKES_BURST):
        gate.release(admit(gate, f"address {index}").ticket)
    assert gate.admit("another", 0.0) == "too many handshakes"
    admit(gate, "another", 1 / ALL_HANDSHAKES_PER_S)


def test_strangers_who_use_up_the_common_bound_do_not_keep_out_an_address_that_members_came_from() -> None:
    gate = Gate(0.0)
    gate.welcome(admit(gate, "member").ticket)
    for index in range(ALL_HANDSHAKES_BURST - 1):
        gate.release(admit(gate, f"address {index}").ticket)
    assert gate.admit("another", 0.0) == "too many handshakes"
    for _ in range(HANDSHAKES_BURST - 1):
        gate.release(admit(gate, "member").ticket)
    assert gate.admit("member", 0.0) == "too many handshakes from this address"


def test_what_is_remembered_of_members_addresses_is_bounded() -> None:
    gate = Gate(0.0)
    for index in range(2 * MEMBERS_ADDRESSES_MAX):
        ticket = admit(gate, f"address {index}", index).ticket
        gate.welcome(ticket)
        gate.release(ticket)
    assert len(gate._members) == MEMBERS_ADDRESSES_MAX


@pytest.mark.parametrize("seconds", [1.0, 1e9])
def test_what_is_remembered_of_addresses_is_bounded(seconds: float) -> None:
    gate = Gate(0.0)
    for index in range(2 * ADDRESSES_MAX):
        admission = gate.admit(f"address {index}", index * seconds)
        assert isinstance(admission, Admission)
        gate.release(admission.ticket)
    assert len(gate._buckets) == ADDRESSES_MAX
    assert not gate._open
    assert not gate._strangers
