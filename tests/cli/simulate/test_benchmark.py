"""The benchmark of coordination measures what it says, on rounds that are real."""

from benchmarks.coordination import measure
from vm.contracts.energy.coordination.calls import Form


def test_the_figures_of_a_small_round_are_those_of_the_round() -> None:
    found = measure(5, Form.EXCHANGE)
    assert (found["homes"], found["form"], found["converged"]) == (5, "exchange", True)
    assert 0 <= float(str(found["gap_percent"])) < 0.5
    assert float(str(found["saving_percent"])) > 25
    assert int(str(found["bytes_per_home"])) > int(str(found["iterations"])) * 200
