"""`python -m benchmarks.reliability render` writes the page; `… record METHOD -- COMMAND` runs a campaign for it."""

import argparse
import sys
from pathlib import Path

from benchmarks.reliability.methods import METHODS
from benchmarks.reliability.page import render
from benchmarks.reliability.recorder import record, save
from benchmarks.reliability.records import (
    RECORDS,
    ROOT,
    RecordError,
    load_bugs,
    load_cases,
    load_goals,
    load_records,
)

PAGE = ROOT / "docs" / "reliability.md"


def build_page() -> str:
    """Return the page of the records in the checkout.

    Raises:
        RecordError: one of them is none.

    """
    return render(load_records(), load_bugs(), load_cases(), load_goals())


def main(arguments: list[str]) -> int:
    """Do what the arguments say; return the exit code: a campaign's own, or 2 for a wrong question."""
    options = _build_parser().parse_args(arguments)
    try:
        if options.action == "render":
            PAGE.write_text(build_page(), encoding="utf-8")
            return 0
        made = record(options.method, options.command)
    except RecordError as error:
        sys.stderr.write(f"{error}\n")
        return 2
    save(made, _name_file(options.method, options.name, options.folder))
    return made.exit_code


def _name_file(method: str, name: str, folder: Path) -> Path:
    return folder / (f"{method}-{name}.json" if name else f"{method}.json")


def _build_parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="python -m benchmarks.reliability", description=__doc__)
    actions = parser.add_subparsers(dest="action", required=True)
    actions.add_parser("render", help="write docs/reliability.md from the records")
    recording = actions.add_parser("record", help="run a campaign and keep the line that it ends with")
    recording.add_argument("method", choices=sorted(METHODS))
    recording.add_argument(
        "--name", default="", help="where a method has several records: part of the file's name"
    )
    recording.add_argument("--folder", type=Path, default=RECORDS, help="where the record is kept")
    recording.add_argument(
        "command", nargs="+", help="after --, without absolute paths; `python` is this one"
    )
    return parser


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
