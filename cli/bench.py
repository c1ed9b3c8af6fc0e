"""`gridbft bench`: the benchmark suite, in a process of its own, because it stands above the command line."""

import os
import sys
from pathlib import Path
from typing import Annotated

import typer

from cli.failure import build_usage_error

app = typer.Typer(no_args_is_help=True, help="Load a network on this machine, and compare what it took.")

PROFILES = ("short", "standard", "smoke")

ProfileArgument = Annotated[
    str, typer.Argument(metavar="PROFILE", help="short (under ten minutes), standard, or smoke.")
]
OutputOption = Annotated[
    Path | None, typer.Option("-o", "--output", metavar="FILE", help="Every run as JSON.", show_default=False)
]
BeforeArgument = Annotated[Path, typer.Argument(metavar="A.json", help="The run before.")]
AfterArgument = Annotated[Path, typer.Argument(metavar="B.json", help="The run after.")]
FailOption = Annotated[
    float, typer.Option("--fail-if", metavar="PERCENT", help="Fail when a ratio is worse by more than this.")
]
RunArgument = Annotated[Path, typer.Argument(metavar="RUN.json", help="A run of the suite.")]
ResultsOption = Annotated[
    Path | None,
    typer.Option(
        "--results",
        metavar="DIR",
        help="Kept results whose plots follow: grid.json, growth.json. Default: those of this release.",
        show_default=False,
    ),
]
PageOption = Annotated[Path, typer.Option("-o", "--output", metavar="FILE", help="The HTML page to write.")]


@app.command()
def run(profile: ProfileArgument, output: OutputOption = None) -> None:
    """Load a network on this machine; the figures as one JSON object."""
    if profile not in PROFILES:
        raise build_usage_error(f"{profile!r} is no profile; there are {', '.join(PROFILES)}")
    _become("run", profile, *_build_output(output))


@app.command()
def compare(before: BeforeArgument, after: AfterArgument, fail_if: FailOption = 10.0) -> None:
    """Show two runs by the ratios that do not depend on the machine's speed."""
    _become("compare", str(before), str(after), "--fail-if", str(fail_if))


@app.command()
def report(run_file: RunArgument, output: PageOption, results: ResultsOption = None) -> None:
    """Draw a run as one HTML page, and the kept results of the grid and of growth with it."""
    kept = [] if results is None else ["--results", str(results)]
    _become("report", str(run_file), *_build_output(output), *kept)


def _build_output(output: Path | None) -> list[str]:
    return [] if output is None else ["-o", str(output)]


def _become(*arguments: str) -> None:
    """Replace this process by the suite."""
    sys.stdout.flush()
    sys.stderr.flush()
    os.execv(sys.executable, [sys.executable, "-m", "benchmarks", *arguments])  # noqa: S606  # this program
