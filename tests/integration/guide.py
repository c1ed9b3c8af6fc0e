"""Types the guide of docs/operating.md as a new operator would: every block of commands, in order, in one shell.

``python -m tests.integration.guide`` runs it against real processes, in a directory that is removed afterwards. The
ports are those of the guide's own variables; nothing else of it is changed.
"""

import argparse
import os
import re
import signal
import subprocess
import sys
import tempfile
from collections.abc import Mapping
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

from tests.architecture.source_tree import ROOT

GUIDE = ROOT / "docs" / "operating.md"
RUN = "sh"
"""Blocks of this language are typed; others are for real Pis, or show what is answered."""

PORTS = {"P2P": 21_600, "API": 21_700}
"""Below those of the other tests, and of those that the kernel gives to outgoing connections."""

DEADLINE_S = 540
"""It takes two minutes on two busy cores; a step that never ends must not."""

TOLD_LINES_MAX = 60


@dataclass(frozen=True)
class Block:
    """Commands of the guide, and the line at which they begin."""

    line: int
    language: str
    text: str


def find_blocks(text: str) -> list[Block]:
    """List the blocks of a document in order."""
    blocks = []
    begun: tuple[int, str] | None = None
    content: list[str] = []
    for number, line in enumerate(text.splitlines(), 1):
        if not line.startswith("```"):
            content.append(line)
        elif begun is None:
            begun, content = (number + 1, line.removeprefix("```").strip()), []
        else:
            blocks.append(Block(*begun, "\n".join(content)))
            begun = None
    return blocks


def build_script(blocks: list[Block], variables: Mapping[str, int]) -> str:
    """Return one script of the blocks that are typed; it ends at the first command that fails.

    Raises:
        ValueError: the guide does not set one of the variables, so that its ports cannot be chosen.

    """
    parts = ["set -euo pipefail"]
    for block in blocks:
        if block.language == RUN:
            parts += [f"echo '=== line {block.line}' >&2", block.text]
    script = "\n".join(parts) + "\n"
    for name, value in variables.items():
        script, count = re.subn(rf"^{name}=\d+", f"{name}={value}", script, flags=re.MULTILINE)
        if count != 1:
            raise ValueError(f"the guide sets {name} {count} times")
    return script


def run_script(script: str, directory: Path, deadline_s: float) -> subprocess.CompletedProcess[str]:
    """Run a script in a directory, with the command of this environment; nothing that it started is left.

    Its answers and its talk come as one text. Exit code 124 is one that did not end in time.
    """
    kept = {name: value for name, value in os.environ.items() if not name.startswith("GRIDBFT_")}
    path = os.pathsep.join((str(Path(sys.executable).parent), kept.get("PATH", "")))
    log, typed = (directory.parent / f"{directory.name}.{end}" for end in ("log", "sh"))
    typed.write_text(script, encoding="utf-8")
    with log.open("wb") as output:
        process = subprocess.Popen(
            ["bash", str(typed)],
            stdin=subprocess.DEVNULL,
            stdout=output,
            stderr=output,
            cwd=directory,
            env=kept | {"PATH": path},
            start_new_session=True,
        )
        try:
            code = process.wait(timeout=deadline_s)
        except subprocess.TimeoutExpired:
            code = 124
        finally:
            _end_group(process)
    told = log.read_text(encoding="utf-8", errors="replace")
    return subprocess.CompletedProcess(["bash"], code, told)


def _end_group(process: "subprocess.Popen[bytes]") -> None:
    """End what the script left: its session is its own, so nothing else is meant."""
    with suppress(ProcessLookupError):
        os.killpg(process.pid, signal.SIGKILL)
    process.wait()


def main() -> int:
    """Type the guide; print its last words and where it stood when it failed."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--verbose", action="store_true", help="print everything that is answered")
    is_verbose = parser.parse_args().verbose
    script = build_script(find_blocks(GUIDE.read_text(encoding="utf-8")), PORTS)
    with tempfile.TemporaryDirectory() as parent:
        directory = Path(parent) / "operator"
        directory.mkdir()
        ended = run_script(script, directory, DEADLINE_S)
        lines = ended.stdout.splitlines()
        sys.stdout.write("\n".join(lines if is_verbose else lines[-TOLD_LINES_MAX:]) + "\n")
        if ended.returncode:
            for log in sorted(directory.glob("*/*.log")):  # of the nodes; those of their stores lie deeper
                tail = log.read_text(encoding="utf-8", errors="replace").splitlines()[-3:]
                sys.stdout.write("\n".join([f"--- {log.name}", *tail]) + "\n")
    steps = sum(line.startswith("=== line ") for line in lines)
    sys.stdout.write(f"{steps} blocks typed, exit code {ended.returncode}\n")
    return ended.returncode


if __name__ == "__main__":
    sys.exit(main())
