"""Where there is no room, whoever only holds a place gives way; whose request is being answered stays."""

from node.api.gate import ConnectionGate


class Caller:
    """A connection that remembers whether it had to go."""

    def __init__(self) -> None:
        self.is_gone = False

    def give_way(self) -> None:
        self.is_gone = True


def fill(gate: ConnectionGate, address: str, count: int) -> list[Caller]:
    callers = [Caller() for _ in range(count)]
    assert all(gate.enter(address, caller) for caller in callers)
    return callers


def rest(gate: ConnectionGate, *callers: Caller) -> None:
    """Let each ask something, and get its answer."""
    for caller in callers:
        gate.begin(caller)
        gate.finish(caller)


def test_below_the_bounds_nobody_gives_way() -> None:
    gate = ConnectionGate(10, 5)
    callers = fill(gate, "a", 5) + fill(gate, "b", 5)
    assert gate.connections == 10
    assert not any(caller.is_gone for caller in callers)


def test_the_oldest_stranger_of_a_full_address_gives_way() -> None:
    gate = ConnectionGate(10, 3)
    (other,), callers = fill(gate, "b", 1), fill(gate, "a", 3)
    assert gate.enter("a", Caller())
    assert [caller.is_gone for caller in (other, *callers)] == [False, True, False, False]
    assert gate.connections == 4


def test_an_address_full_of_those_who_asked_takes_no_more() -> None:
    gate = ConnectionGate(10, 3)
    callers = fill(gate, "a", 3)
    rest(gate, *callers)
    assert not gate.enter("a", Caller())
    gate.leave(callers[0])
    assert gate.enter("a", Caller())


def test_the_oldest_stranger_of_all_gives_way_where_there_is_no_room_at_all() -> None:
    gate = ConnectionGate(4, 4)
    first, second = fill(gate, "a", 2)
    fill(gate, "b", 2)
    rest(gate, first)
    assert gate.enter("c", Caller())
    assert (first.is_gone, second.is_gone) == (False, True)


def test_who_rests_at_the_most_crowded_address_gives_way_to_a_rarer_one_only() -> None:
    gate = ConnectionGate(4, 4)
    crowd, few = fill(gate, "a", 3), fill(gate, "b", 1)
    rest(gate, *few, *crowd)
    assert not gate.enter("a", Caller())
    newcomer = Caller()
    assert gate.enter("b", newcomer)
    assert [caller.is_gone for caller in crowd] == [True, False, False]
    rest(gate, newcomer)
    assert not gate.enter("b", Caller())


def test_whose_request_is_being_answered_stays() -> None:
    gate = ConnectionGate(2, 2)
    callers = fill(gate, "a", 2)
    for caller in callers:
        gate.begin(caller)
    assert not gate.enter("b", Caller())
    gate.finish(callers[1])
    assert gate.enter("b", Caller())
    assert [caller.is_gone for caller in callers] == [False, True]


def test_what_is_forgotten_is_forgotten_once_and_leaves_nothing() -> None:
    gate = ConnectionGate(3, 3)
    callers = fill(gate, "a", 3)
    rest(gate, callers[0])
    for caller in callers * 2:
        gate.leave(caller)
        gate.finish(caller)  # an answer that ends after its connection
    assert gate.connections == 0
    assert len(fill(gate, "b", 3)) == 3
