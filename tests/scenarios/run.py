"""Perform scenarios: ``python -m tests.scenarios.run [--rewrite] [NAME…]``.

Without ``--rewrite`` it compares, and shows the difference; with it, the golden lines are written anew. Why they
changed belongs into the commit message.
"""

import argparse
import difflib
import sys
from pathlib import Path

from tests.scenarios.commands import COMMANDS, CommandError, open_stage
from tests.scenarios.script import Script, ScriptError, Step, read_script
from tests.scenarios.stage import Stage
from tests.simulation.checkers import ViolationError
from tests.simulation.memory import remember_signatures
from tests.simulation.timeline import StuckError

FOLDER = Path(__file__).parent


def list_scenarios() -> list[Path]:
    """Return the files of all scenarios."""
    return sorted(FOLDER.glob("*.txt"))


def perform(script: Script) -> list[list[str]]:
    """Return what is told under each command.

    Raises:
        ScriptError: a command is unknown or wrong, something expected is not so, or an invariant does not hold.

    """
    stage: Stage | None = None
    told: list[list[str]] = []
    for step in script.steps:
        try:
            stage = _perform(stage, step)
            told.append(stage.story.take())
        except (CommandError, StuckError, ViolationError) as error:
            raise script.refuse(step, str(error)) from None
    if stage is not None:
        _check(script, stage)
    return told


def _perform(stage: Stage | None, step: Step) -> Stage:
    name, *words = step.words
    if name == "cluster":
        if stage is not None:
            stage.check()
        return open_stage(words)
    if stage is None:
        raise CommandError("a scenario begins with `cluster N`")
    command = COMMANDS.get(name)
    if command is None:
        raise CommandError(f"no command {name!r}; there are cluster, {', '.join(COMMANDS)}")
    try:
        command.perform(stage, words)
    except CommandError as error:
        raise CommandError(f"{error}; write `{command.usage}`") from None
    return stage


def _check(script: Script, stage: Stage) -> None:
    try:
        stage.check()
    except ViolationError as error:
        raise ScriptError(f"{script.name}: at the end: {error}") from None


def main(arguments: list[str]) -> int:
    parser = argparse.ArgumentParser(
        prog="scenarios", description="Perform scenarios and compare what is told."
    )
    parser.add_argument("--rewrite", action="store_true", help="write the golden lines anew")
    parser.add_argument("names", nargs="*", metavar="NAME", help="scenarios without .txt; all without a name")
    options = parser.parse_args(arguments)
    paths = {path.stem: path for path in list_scenarios()}
    unknown = sorted(set(options.names) - paths.keys())
    if unknown:
        parser.error(f"no scenario {unknown[0]!r}")
    failed = False
    with remember_signatures():
        for name in options.names or paths:
            failed |= not _run(paths[name], rewrite=options.rewrite)
    return 1 if failed else 0


def _run(path: Path, *, rewrite: bool) -> bool:
    before = path.read_text(encoding="utf-8")
    try:
        script = read_script(path)
        after = script.render(perform(script))
    except ScriptError as error:
        sys.stdout.write(f"{error}\n")
        return False
    if after == before:
        return True
    if rewrite:
        path.write_text(after, encoding="utf-8")
        sys.stdout.write(f"{path.name} written\n")
        return True
    lines = difflib.unified_diff(before.splitlines(), after.splitlines(), path.name, "told now", lineterm="")
    sys.stdout.write("\n".join(lines) + "\n")
    return False


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
