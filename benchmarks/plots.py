"""The plots of results that are kept: the grid as a heat map, cost as history and state grow, the hockey stick.

`python -m benchmarks.plots` draws `benchmarks/results/*.json` as SVG files beside them, for the docs; the page of
`gridbft bench report` has the same drawings inside. What is not there is not drawn.
"""

import argparse
import sys
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple

from benchmarks.harness.results import read_result
from cli.failure import CliError
from cli.plots import draw, import_figure

RESULTS = Path(__file__).parent / "results"
RESULT_BYTES_MAX = 16 * 1024 * 1024
"""A whole grid has less than half a megabyte."""
GENESIS_TITLES = {"default": "the genesis' default times", "slow lines": "times for slow lines"}
BATCH_COLOUR, SINGLE_COLOUR, LIMIT_COLOUR = "#1f6f8b", "#c0504d", "#8c8c8c"
HALTED_COLOUR, KEEPS_COLOURS = "#c0504d", "YlGnBu"
STATE_COLOUR, HISTORY_COLOUR = "#1f6f8b", "#c0504d"
COSTS = (
    ("start_s", "start-up, s"),
    ("anonymous_mb_after", "anonymous MB"),
    ("root_us_per_key", "root, us for each changed key"),
    ("block_query_us", "an old block, us"),
)


class Drawing(NamedTuple):
    """A drawing of one result: how many panels, and what fills them."""

    title: str
    result: str
    panels: int
    plot: Callable[[Any, Mapping[str, Any]], None]


def plot_grid(axes: Sequence[Any], found: Mapping[str, Any]) -> None:
    """Draw, for each genesis, up to how many requests a second each network keeps up with; 0 is red."""
    cells = found["cells"]
    for axis, genesis in zip(axes, GENESIS_TITLES, strict=True):
        mine = [cell for cell in cells if cell["genesis"] == genesis]
        sizes = sorted({cell["validators"] for cell in cells})
        speeds = sorted({cell["mbit_s"] for cell in cells})
        top = max((cell["offered_tx_s"] for cell in cells), default=1)
        values = [[_find_kept(mine, size, speed) for speed in speeds] for size in sizes]
        shown = [[float("nan") if value is None or value == 0 else value for value in row] for row in values]
        axis.imshow(shown, origin="lower", aspect="auto", cmap=KEEPS_COLOURS, vmin=0, vmax=1.4 * top)
        for y, row in enumerate(values):
            for x, value in enumerate(row):
                if value == 0:
                    axis.add_patch(_build_square(x, y))
                if value is not None:
                    colour = "white" if value in {0, top} else "black"
                    axis.text(x, y, f"{value:g}", ha="center", va="center", color=colour)
        axis.set_xticks(range(len(speeds)), [f"{speed:g}" for speed in speeds])
        axis.set_yticks(range(len(sizes)), [str(size) for size in sizes])
        axis.set(
            title=f"requests a second kept up with, {GENESIS_TITLES[genesis]}",
            xlabel="Mbit/s of each validator's line",
            ylabel="validators",
        )


def plot_growth(axes: Sequence[Any], found: Mapping[str, Any]) -> None:
    """Draw costs over the length of history and over the number of accounts; medians where there are several runs."""
    for axis, (field, label) in zip(axes, COSTS, strict=True):
        for grows, of, colour in (("history", "blocks", HISTORY_COLOUR), ("state", "accounts", STATE_COLOUR)):
            points: dict[int, list[float]] = {}
            for run in found["runs"]:
                if run["grows"] == grows:
                    points.setdefault(run[of], []).append(run[field])
            sizes = sorted(points)
            axis.plot(
                sizes,
                [sorted(points[size])[len(points[size]) // 2] for size in sizes],
                "o-",
                color=colour,
                label=f"by {of}",
            )
        axis.set(xscale="log", ylabel=label, ylim=(0, None), xlabel="blocks of history, or accounts")
        axis.legend()


def select(run: Mapping[str, Any], adapter: str) -> list[Mapping[str, Any]]:
    """Return the runs of an adapter in which something was confirmed."""
    return [each for each in run["runs"] if each["adapter"] == adapter and each["latency_ms"]]


def plot_stick(axes: Sequence[Any], run: Mapping[str, Any]) -> None:
    """Draw what was confirmed, and how late, against what was offered."""
    confirmed, latency = axes
    everything = sorted(each["result"]["offered_tx_s"] for each in run["runs"])
    confirmed.loglog(
        everything, everything, "-", color=LIMIT_COLOUR, linewidth=0.8, label="all that is offered"
    )
    for adapter, colour in (("gridbft-stream", BATCH_COLOUR), ("gridbft-single", SINGLE_COLOUR)):
        runs = select(run, adapter)
        offered = [each["result"]["offered_tx_s"] for each in runs]
        label = adapter.removeprefix("gridbft-")
        confirmed.plot(
            offered, [each["result"]["achieved_tx_s"] for each in runs], "o", color=colour, label=label
        )
        for percent, mark in ((50, "o"), (99, "^")):
            values = [each["latency_ms"][percent] for each in runs]
            latency.loglog(offered, values, mark, color=colour, label=f"{label} p{percent}")
    confirmed.axhline(run["limit_tx_s"], color=LIMIT_COLOUR, linestyle=":", label="limit of the machine")
    confirmed.set(xlabel="offered, tx/s", ylabel="confirmed, tx/s")
    latency.set(xlabel="offered, tx/s", ylabel="ms to a verified certificate")
    for each in axes:
        each.legend()


DRAWINGS = (
    Drawing("The grid: validators, lines and requests", "grid", len(GENESIS_TITLES), plot_grid),
    Drawing("Cost as history and state grow", "growth", len(COSTS), plot_growth),
    Drawing("What is confirmed against what is offered", "throughput", 2, plot_stick),
)


def iterate_kept(directory: Path) -> Iterator[tuple[Drawing, Path, dict[str, Any]]]:
    """Yield what there is to draw of the results kept in a directory; what is not there is passed over.

    Raises:
        CliError: one cannot be read.

    """
    for drawing in DRAWINGS:
        path = directory / f"{drawing.result}.json"
        if path.exists():
            yield drawing, path, read_result(path)


def draw_result(figure: Callable[..., Any], drawing: Drawing, found: Mapping[str, Any], name: Path) -> str:
    """Return the SVG of a result.

    Raises:
        CliError: the result has not what the drawing shows.

    """
    try:
        return draw(figure, drawing.panels, lambda axes: drawing.plot(axes, found))
    except (KeyError, TypeError) as error:
        raise CliError(f"{name}: this is no result of {drawing.result!r}: it has no {error}") from None


def main(arguments: Sequence[str] | None = None) -> int:
    """Draw what there is beside it."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--results", type=Path, default=RESULTS, metavar="DIR")
    directory = parser.parse_args(arguments).results
    try:
        figure = import_figure()
        _make_repeatable()
        for drawing, path, found in iterate_kept(directory):
            target = path.with_suffix(".svg")
            target.write_text(draw_result(figure, drawing, found, path), encoding="utf-8")
            print(target)
    except (CliError, OSError) as error:
        print(f"plots: {error}", file=sys.stderr)
        return 1
    return 0


def _make_repeatable() -> None:
    """Let the same result give the same file, with its words as words."""
    import matplotlib as mpl

    mpl.rcParams["svg.hashsalt"] = "gridbft"
    mpl.rcParams["svg.fonttype"] = "none"


def _find_kept(cells: Sequence[Mapping[str, Any]], size: int, speed: float) -> float | None:
    """Return the highest rate below which every measured one was kept up with; None where nothing was measured."""
    mine = sorted(
        (cell["offered_tx_s"], cell["verdict"] == "keeps up")
        for cell in cells
        if (cell["validators"], cell["mbit_s"]) == (size, speed)
    )
    if not mine:
        return None
    kept = 0.0
    for rate, is_kept in mine:
        if not is_kept:
            break
        kept = rate
    return kept


def _build_square(x: int, y: int) -> Any:  # noqa: ANN401  # patches have no public type here
    from matplotlib.patches import Rectangle

    return Rectangle((x - 0.5, y - 0.5), 1, 1, color=HALTED_COLOUR)


if __name__ == "__main__":
    sys.exit(main())
