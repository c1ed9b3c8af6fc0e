"""The settings of the reference runs, as options of a simulation."""

from cli.simulate.inputs import Community
from cli.simulate.options import RunFlags, SimulationOptions, SourceFlags, TermFlags, build_options
from cli.simulate.play import DayResult, Simulation
from cli.simulate.run import Found, run_simulation

FIVE = "CL01,CL03,CL06,CL14,CL15"


def make_options(
    source: SourceFlags | None = None, terms: TermFlags | None = None, run: RunFlags | None = None
) -> SimulationOptions:
    return build_options(source or SourceFlags(), terms or TermFlags(), run or RunFlags())


def simulate(
    source: SourceFlags | None = None, terms: TermFlags | None = None, run: RunFlags | None = None
) -> Found:
    return run_simulation(make_options(source, terms, run))


def play_day(day: int = 0, terms: TermFlags | None = None) -> tuple[Simulation, DayResult]:
    options = make_options(SourceFlags(day=day), terms)
    simulation = Simulation(options, Community(options).build_day(day))
    return simulation, simulation.play()
