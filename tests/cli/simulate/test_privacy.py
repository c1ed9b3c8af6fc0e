"""What a home is stays in it: everything it sent, and everything on the chain, is trades and net registers."""

from typing import Any

import msgspec
import pytest

from cli.simulate.inputs import Community
from cli.simulate.options import SourceFlags, TermFlags
from cli.simulate.play import Simulation
from primitives.encoding import Struct
from tests.cli.simulate.reference import make_options
from vm.contracts.energy.calls import SubmitReading
from vm.contracts.energy.coordination.calls import ClaimRelief, SubmitVector

MAY_LEAVE = {
    SubmitVector: ("first_slot_s", "iteration", "trades_wh"),
    SubmitReading: ("time_s", "import_wh", "export_wh", "status", "pagination"),
    ClaimRelief: ("first_slot_s", "nano"),
}
"""The calls that a home signs, with all their fields: trades, net registers, one number of relief."""

PREFIXES = {
    b"em",
    b"eq",
    b"er",
    b"el",
    b"es",
    b"et",
    b"ec",
    b"cr",
    b"cg",
    b"cs",
    b"co",
    b"pa",
    b"pk",
    b"pn",
    b"pu",
    b"lb",
}


def play(form: str) -> tuple[Simulation, list[tuple[bytes, Struct]]]:
    """Play a day and return it with everything that was sent, by whom."""
    options = make_options(SourceFlags(day=1), TermFlags(form=form))
    simulation = Simulation(options, Community(options).build_day(1))
    sent: list[tuple[bytes, Struct]] = []
    call = simulation.ledger.call

    def listen(sender: bytes, record: Struct) -> Any:  # noqa: ANN401  # what the ledger answers
        sent.append((sender, record))
        return call(sender, record)

    simulation.ledger.call = listen  # type: ignore[method-assign]  # a listener on the real ledger
    simulation.play()
    return simulation, sent


def list_integers(value: object) -> list[int]:
    if isinstance(value, list | tuple):
        return [number for each in value for number in list_integers(each)]
    return [value] if isinstance(value, int) and not isinstance(value, bool) else []


def contains(numbers: list[int], series: list[int]) -> bool:
    """Tell whether a series of private numbers stands anywhere in a row of public ones."""
    first = series[0]
    return any(
        numbers[place : place + len(series)] == series for place, each in enumerate(numbers) if each == first
    )


def list_secrets(simulation: Simulation) -> dict[str, list[list[int]]]:
    """Return series of each home that only it knows: three consecutive loads and three of the sun that are not
    nothing."""
    secrets: dict[str, list[list[int]]] = {}
    for home in simulation.homes:
        for series in (home.actual.load_kwh, home.actual.pv_kwh):
            values = [round(float(value) * 1000) for value in series]
            parts = [values[place : place + 3] for place in range(len(values) - 2)]
            secrets.setdefault(home.name, []).extend(part for part in parts if min(part) > 20)
    return secrets


@pytest.mark.parametrize("form", ["bilateral", "exchange"])
def test_a_home_sends_vectors_registers_and_one_claim_and_nothing_else(form: str) -> None:
    simulation, sent = play(form)
    homes = set(simulation.accounts)
    own = [record for sender, record in sent if sender in homes]
    assert {type(record) for record in own} <= set(MAY_LEAVE)
    for record in own:
        assert type(record).__struct_fields__ == MAY_LEAVE[type(record)]
    secrets = list_secrets(simulation)
    numbers = [list_integers(msgspec.to_builtins(record)) for record in own]
    assert min(len(parts) for parts in secrets.values()) > 10
    assert [
        (home, part)
        for home, parts in secrets.items()
        for part in parts
        for each in numbers
        if contains(each, part)
    ] == []


@pytest.mark.parametrize("form", ["bilateral", "exchange"])
def test_the_chain_holds_no_load_no_sun_and_nothing_of_a_battery(form: str) -> None:
    simulation, _ = play(form)
    state = simulation.ledger.state
    stored = {key: msgspec.msgpack.decode(value) for key, value in state.iterate(b"")}
    assert {key[:2] for key in stored} <= PREFIXES
    numbers = [list_integers(value) for value in stored.values()]
    secrets = list_secrets(simulation)
    assert [
        (home, part)
        for home, parts in secrets.items()
        for part in parts
        for each in numbers
        if contains(each, part)
    ] == []


def test_a_secret_that_leaked_would_be_found() -> None:
    simulation, _ = play("exchange")
    load = [round(float(value) * 1000) for value in simulation.homes[0].actual.load_kwh]
    leaked = [7, *load, 9]
    assert any(contains(leaked, part) for part in list_secrets(simulation)[simulation.homes[0].name])
