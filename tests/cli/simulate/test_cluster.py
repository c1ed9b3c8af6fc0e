"""Homes on the workers of a Dask cluster say what they would say here; a cluster that is not there is named."""

from collections.abc import Iterator
from typing import Any

import pytest
from distributed import LocalCluster

from cli.demo.processes import find_free_ports
from cli.failure import CliError, ExitCode
from cli.simulate.options import RunFlags, SourceFlags, TermFlags
from tests.cli.simulate.reference import FIVE, simulate


@pytest.fixture(scope="module")
def scheduler() -> Iterator[str]:
    """The address of a scheduler with two workers, each a process."""
    with LocalCluster(n_workers=2, threads_per_worker=1, dashboard_address=None) as cluster:
        yield cluster.scheduler_address


@pytest.mark.slow
@pytest.mark.parametrize("form", ["bilateral", "exchange"])
def test_workers_of_a_cluster_say_the_same(scheduler: str, form: str) -> None:
    source, terms = SourceFlags(only=FIVE), TermFlags(form=form)
    here: dict[str, Any] = simulate(source, terms).to_json()
    spread: dict[str, Any] = simulate(source, terms, RunFlags(scheduler=scheduler)).to_json()
    assert {**here, "seconds": 0} == {**spread, "seconds": 0}


@pytest.mark.slow
def test_a_home_that_cannot_plan_is_named_from_afar(scheduler: str, tmp_path: Any) -> None:  # noqa: ANN401  # a path
    spec = tmp_path / "homes.toml"
    spec.write_text("[default]\n[home.CL14]\ngrid_w = 300\n", encoding="utf-8")
    with pytest.raises(CliError, match="DAY_INFEASIBLE: home CL14"):
        simulate(SourceFlags(only=FIVE, spec=spec), run=RunFlags(scheduler=scheduler))


@pytest.mark.parametrize("address", ["nonsense", "tcp://"])
def test_an_address_that_is_none_is_named(address: str) -> None:
    with pytest.raises(CliError, match=f"--scheduler {address}"):
        simulate(SourceFlags(only=FIVE), run=RunFlags(scheduler=address))


@pytest.mark.slow
def test_a_scheduler_that_is_not_there_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("cli.simulate.crew.DASK_TIMEOUT_S", 1)
    (port,) = find_free_ports(1)
    with pytest.raises(CliError, match=r"--scheduler tcp://127\.0\.0\.1") as caught:
        simulate(SourceFlags(only=FIVE), run=RunFlags(scheduler=f"tcp://127.0.0.1:{port}"))
    assert caught.value.code == ExitCode.ERROR
