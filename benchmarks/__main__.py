"""`gridbft bench` in its own process: run a profile, compare two runs, or draw one."""

import argparse
import asyncio
import json
import sys
from pathlib import Path

import msgspec

from benchmarks.comparison import REGRESSION_PERCENT, compare, find_regressions
from benchmarks.harness.results import read_result
from benchmarks.harness.session import BenchError
from benchmarks.page import write_bench_page
from benchmarks.plots import RESULTS
from benchmarks.throughput import PROFILES, measure
from cli.console import print_json, talk
from cli.failure import CliError, ExitCode


def main(arguments: list[str] | None = None) -> int:
    """Do what the arguments say and return the exit code."""
    given = _build_parser().parse_args(arguments)
    try:
        match given.command:
            case "run":
                return _run(given.profile, given.output)
            case "compare":
                return _compare(given.before, given.after, given.fail_if)
            case _:
                return _report(given.run, given.output, given.results)
    except (BenchError, CliError) as error:
        talk(f"gridbft: {error}")
        return int(ExitCode.ERROR)


def _build_parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="gridbft bench", description=__doc__)
    commands = parser.add_subparsers(dest="command", required=True)
    run = commands.add_parser("run", help="load a network of this machine and say what it takes")
    run.add_argument("profile", choices=sorted(PROFILES))
    run.add_argument("-o", "--output", type=Path, metavar="FILE")
    comparing = commands.add_parser("compare", help="two runs by their ratios")
    comparing.add_argument("before", type=Path)
    comparing.add_argument("after", type=Path)
    comparing.add_argument(
        "--fail-if", type=float, metavar="PERCENT", default=REGRESSION_PERCENT, help="worse by more than this"
    )
    report = commands.add_parser("report", help="one run as an HTML page")
    report.add_argument("run", type=Path)
    report.add_argument("-o", "--output", type=Path, metavar="FILE", required=True)
    report.add_argument(
        "--results", type=Path, metavar="DIR", default=RESULTS, help="kept results: the grid, growth"
    )
    return parser


def _run(profile: str, output: Path | None) -> int:
    report = asyncio.run(measure(PROFILES[profile], talk))
    content = msgspec.json.encode(report)
    if output is not None:
        try:
            output.write_bytes(content + b"\n")
        except OSError as error:
            raise CliError(f"-o {output}: {error.strerror or error}") from None
    print_json(
        {name: value for name, value in json.loads(content).items() if name != "runs" or output is None}
    )
    return int(ExitCode.OK)


def _compare(before: Path, after: Path, percent: float) -> int:
    try:
        figures = compare(read_result(before), read_result(after))
    except ValueError as error:
        raise CliError(str(error)) from None
    for figure in figures:
        print(f"{figure.name:36} {figure.before:12.4f} {figure.after:12.4f} {figure.change_percent:+8.1f} %")
    worse = find_regressions(figures, percent)
    if worse:
        names = ", ".join(figure.name for figure in worse)
        raise CliError(f"worse by more than {percent:g} %: {names}")
    return int(ExitCode.OK)


def _report(run: Path, output: Path, results: Path) -> int:
    found = read_result(run)
    if results != RESULTS and not results.is_dir():
        raise CliError(f"--results {results}: this is no directory")
    try:
        write_bench_page(output, found, results)
    except KeyError as error:
        raise CliError(f"{run}: this is no run of the suite: it has no {error.args[0]}") from None
    return int(ExitCode.OK)


if __name__ == "__main__":
    sys.exit(main())
