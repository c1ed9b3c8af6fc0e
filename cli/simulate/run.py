"""A simulation from the first file to the last line."""

from dataclasses import dataclass
from time import monotonic

from cli.console import talk
from cli.failure import CliError, build_usage_error
from cli.simulate.inputs import Community, DayInput
from cli.simulate.options import SimulationOptions
from cli.simulate.play import RoundError, Simulation
from cli.simulate.pooled import POOLED_MAX, compute_pooled_optimum
from cli.simulate.result import Simulated, build_json, build_lines, compute_unmanaged
from meter.home.participant import MICRO
from meter.sources.csv import DAY_S
from vm.contracts.energy.coordination.calls import Form
from vm.contracts.energy.coordination.rounds import PAIR_CELLS_MAX


@dataclass(frozen=True)
class Found:
    """What a simulation found."""

    options: SimulationOptions
    days: list[Simulated]
    seconds: float

    def to_json(self) -> dict[str, object]:
        """Return the object that --json prints."""
        return build_json(self.days, self.options.form.name.lower(), self.seconds)

    def build_lines(self) -> list[str]:
        """Return the summary for a person."""
        return build_lines(self.days, self.options.form.name.lower(), self.seconds)


def run_simulation(options: SimulationOptions) -> Found:
    """Run it and write the report where one is asked for.

    Raises:
        CliError: a file, a home or a flag that cannot be used: named.

    """
    begin_s = monotonic()
    community = Community(options)
    days = []
    for number in range(options.day, options.day + options.days):
        day = community.build_day(number)
        _check_size(options, day)
        if len(day.starts_s) * day.slot_s != DAY_S:
            talk(f"the day has {len(day.starts_s)} slots: the clocks change")
        try:
            result = Simulation(options, day).play()
        except RoundError as error:
            raise CliError(str(error)) from None
        pooled = compute_pooled_optimum(day.homes) if result.bound is None else result.bound
        days.append(Simulated(day, result, pooled, compute_unmanaged(day, options.feed_in / MICRO)))
    found = Found(options, days, monotonic() - begin_s)
    if options.output is not None:
        from cli.simulate.report import write_report

        write_report(options.output, found.to_json(), days, options)
    return found


def _check_size(options: SimulationOptions, day: DayInput) -> None:
    """Refuse a bilateral round whose vectors fit no transaction."""
    homes, slots = len(day.homes), len(day.starts_s)
    if homes < 2:  # noqa: PLR2004  # a trade takes two
        raise build_usage_error("a community has at least two homes")
    most = PAIR_CELLS_MAX // slots + 1
    if options.form == Form.BILATERAL and homes > min(most, POOLED_MAX):
        raise build_usage_error(
            f"--form bilateral: {homes} homes and {slots} slots; at most {most} homes fit; use --form exchange"
        )
