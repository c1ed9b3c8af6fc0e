"""Positions and votes are shown as the validators tell them, and cannot write on the terminal."""

import io

import msgspec
from rich.console import Console
from rich.table import Table

from cli.agreement import build_table as build_positions
from cli.agreement import tell_votes
from cli.status import build_table as build_statuses
from meter.answers import OpenSequenceAnswer, PositionAnswer
from tests.cli.test_diagnosis import status

POSITION = PositionAnswer(
    name="node3",
    epoch=0,
    view=1,
    active=False,
    phase="view_change",
    primary="node1",
    attempt=2,
    sequence=5,
    low_watermark=5,
    high_watermark=69,
    executed_height=5,
    certified_height=4,
    timers_ms={"view_change": 1_900, "resend": 30},
)


def render(table: Table) -> list[str]:
    output = io.StringIO()
    Console(file=output, width=160).print(table)
    return [line.rstrip() for line in output.getvalue().splitlines()]


def test_a_position_is_one_row_with_its_window_and_its_timers() -> None:
    row = render(build_positions([POSITION]))[1].split("  ")
    cells = [cell.strip() for cell in row if cell.strip()]
    assert cells == [
        "node3",
        "0",
        "1",
        "view change",
        "node1",
        "5",
        "6 to 69",
        "5",
        "4",
        "resend 30 ms, view_change 1900 ms",
    ]


def test_votes_view_changes_and_complaints_name_who_gave_them() -> None:
    each = OpenSequenceAnswer(6, "prepared", "abcd", 3, ["node0", "node3"], [])
    told = msgspec.structs.replace(
        POSITION, open=[each], view_changes={"node2": 1, "node3": 1}, complaints=["node2"]
    )
    assert tell_votes(told) == [
        "node3: sequence 6 is prepared, 3 transactions, digest abcd; prepared by node0, node3; committed by nobody",
        "node3: left their view: node2 for view 1, node3 for view 1 (attempt 2)",
        "node3: complain of node1: node2",
    ]
    assert tell_votes(POSITION) == []


def test_what_a_validator_says_cannot_write_on_the_terminal() -> None:
    rude = msgspec.structs.replace(POSITION, name="a\x1b[2Jb", complaints=["\r\n", "[red]x"])
    shown = [
        *tell_votes(rude),
        *render(build_positions([rude])),
        *render(build_statuses([status(0, phase="\x1b]0;x")])),
    ]
    assert all(line.isprintable() for line in shown)
    assert any("[red]x" in line for line in shown)
