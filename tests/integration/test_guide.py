"""The guide of docs/operating.md is made of commands that exist; `make guide` types them and notices one that fails."""

import re
import shlex
import subprocess
from pathlib import Path

import pytest

from tests.architecture.test_docs import is_command
from tests.cli.processes import find_processes, wait_until
from tests.integration.guide import GUIDE, PORTS, RUN, Block, build_script, find_blocks, run_script

BLOCKS = find_blocks(GUIDE.read_text(encoding="utf-8"))
SHELLS = [block for block in BLOCKS if block.language in {RUN, "bash"}]
COMMAND = re.compile(r"(?:^|[;|&{(] *|sudo |\bdo |until )gridbft ([^;|&>#\n]*)", re.MULTILINE)
ORDER = (
    "network new",
    "start",
    "meter register",
    "metrics alerts",
    "keys backup",
    "snapshot create",
    "network join",
    "validators add",
    "keys restore",
    "recover",
    "network rotate",
    "validators replace",
    "validators remove",
)
"""What a new operator must be led through, in the order in which it is told."""


def find_typed(text: str) -> list[list[str]]:
    """List the commands of gridbft in a block as words; what the shell computes is one of them."""
    plain = re.sub(r"\$\(\([^()]*\)\)|\$\([^()]*\)", "X", text)
    return [shlex.split(found) for found in COMMAND.findall(plain)]


def find_wrong(text: str) -> list[str]:
    return [" ".join(words) for words in find_typed(text) if not is_command(words)]


@pytest.mark.parametrize("block", SHELLS, ids=lambda block: f"line{block.line}")
def test_every_command_of_the_guide_exists_with_its_options(block: Block) -> None:
    assert find_wrong(block.text) == []


@pytest.mark.parametrize(
    "text",
    [
        "gridbft dance",
        "for n in 1; do gridbft status --dance; done",
        "sudo gridbft keys lose",
        "a && gridbft x",
    ],
)
def test_a_command_that_does_not_exist_is_found(text: str) -> None:
    assert len(find_wrong(text)) == 1


def test_the_guide_leads_from_nothing_through_what_happens_in_years() -> None:
    typed = "\n".join(block.text for block in BLOCKS if block.language == RUN)
    places = [typed.find(f"gridbft {command}") for command in ORDER]
    assert -1 not in places
    assert places[0] < places[1]
    later = places[2:]
    assert later == sorted(later)


def test_the_shell_understands_every_block() -> None:
    for block in SHELLS:
        ended = subprocess.run(["bash", "-n"], input=block.text, capture_output=True, text=True, check=False)
        assert ended.stderr == "", f"line {block.line}"


def test_what_is_for_pis_alone_says_so_and_is_not_typed() -> None:
    for block in BLOCKS:
        assert (block.language == "bash") == block.text.startswith("# on the Pi")
    assert "sudo" not in re.sub("#.*", "", build_script(BLOCKS, PORTS))


def test_the_ports_are_the_guides_own_variables() -> None:
    script = build_script(BLOCKS, PORTS)
    assert dict(re.findall(r"^(P2P|API)=(\d+)", script, re.MULTILINE)) == {
        k: str(v) for k, v in PORTS.items()
    }
    assert "systemctl enable" not in script
    with pytest.raises(ValueError, match="sets OTHER 0 times"):
        build_script(BLOCKS, {"OTHER": 1})


TEXT = """\
P2P=1
```sh
P2P=1; echo "port $P2P"
sleep 300 & echo left
```
```bash
exit 9
```
```sh
{last}
```
"""


def type_text(last: str, tmp_path: Path, deadline_s: float = 60) -> tuple[int, str]:
    directory = tmp_path / "operator"
    directory.mkdir()
    script = build_script(find_blocks(TEXT.replace("{last}", last)), {"P2P": 77})
    script = script.replace("sleep 300", f"tail -f {directory}/kept")
    (directory / "kept").touch()
    ended = run_script(script, directory, deadline_s)
    wait_until(lambda: find_processes(directory / "kept") == [], "what was started has ended")
    return ended.returncode, ended.stdout


def test_blocks_are_typed_in_one_shell_and_nothing_is_left(tmp_path: Path) -> None:
    code, told = type_text('echo "still $P2P"', tmp_path)
    assert (code, told.splitlines()) == (0, ["=== line 3", "port 77", "left", "=== line 10", "still 77"])


@pytest.mark.parametrize(
    ("last", "code"), [("false; echo on", 1), ("gridbft dance", 2), ("echo $NOWHERE", 1)]
)
def test_the_first_command_that_fails_ends_it_and_its_line_is_told(
    last: str, code: int, tmp_path: Path
) -> None:
    ended, told = type_text(last, tmp_path)
    assert ended == code
    assert "=== line 10" in told
    assert "\non\n" not in told


def test_a_command_that_never_ends_is_ended(tmp_path: Path) -> None:
    assert type_text("tail -f kept", tmp_path, deadline_s=1.0)[0] == 124
