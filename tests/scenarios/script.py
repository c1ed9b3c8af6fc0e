"""The text of a scenario: commands at the margin, and under each, indented, what was told while it was performed.

Lines that begin with ``#`` and empty lines are the author's and stay as they are. Everything indented is golden: it is
compared with what is told now, or written anew.
"""

from dataclasses import dataclass, field
from pathlib import Path

INDENT = "  "

LINES_MAX = 400
"""A scenario is read by people."""


class ScriptError(Exception):
    """A scenario cannot be performed; the message names its line."""


@dataclass
class Step:
    """A command with the number of its line, and the lines that were told under it."""

    number: int
    command: str
    golden: list[str] = field(default_factory=list)

    @property
    def words(self) -> list[str]:
        """Return the command's words."""
        return self.command.split()


@dataclass
class Script:
    """A scenario in its order: the author's lines as they are, and steps."""

    name: str
    parts: list[str | Step]

    @property
    def steps(self) -> list[Step]:
        """Return the commands."""
        return [part for part in self.parts if isinstance(part, Step)]

    def refuse(self, step: Step, reason: str) -> ScriptError:
        """Return the refusal of a step."""
        return ScriptError(f"{self.name}:{step.number}: {reason}")

    def render(self, told: list[list[str]]) -> str:
        """Return the text with other golden lines, one list for each step."""
        lines: list[str] = []
        steps = iter(told)
        for part in self.parts:
            if isinstance(part, Step):
                lines += [part.command, *(INDENT + line for line in next(steps))]
            else:
                lines.append(part)
        return "\n".join(lines) + "\n"


def read_script(path: Path) -> Script:
    """Return the scenario of a file.

    Raises:
        ScriptError: it is not one.

    """
    return parse_script(path.name, path.read_text(encoding="utf-8"))


def parse_script(name: str, text: str) -> Script:
    """Return the scenario of a text.

    Raises:
        ScriptError: too long, or golden lines without a command above them.

    """
    lines = text.splitlines()
    if len(lines) > LINES_MAX:
        raise ScriptError(f"{name}:{LINES_MAX + 1}: a scenario has at most {LINES_MAX} lines; make two of it")
    parts: list[str | Step] = []
    for number, line in enumerate(lines, 1):
        if not line.strip() or line.startswith("#"):
            parts.append(line)
        elif not line.startswith(" "):
            parts.append(Step(number, line))
        elif parts and isinstance(parts[-1], Step) and line.startswith(INDENT):
            parts[-1].golden.append(line.removeprefix(INDENT))
        else:
            raise ScriptError(f"{name}:{number}: an indented line stands under a command, or nowhere")
    return Script(name, parts)
