"""The grid on a small scale: its computers and lines cost what they say, and its cells tell what happened."""

import json
import sys
from pathlib import Path

import msgspec
import pytest

from benchmarks import grid, grid_processes, pi
from benchmarks.grid_lines import RECORD_BYTES, SEGMENT_BYTES, WINDOW_BYTES, Line, Lines, pack
from benchmarks.grid_processes import replace
from benchmarks.grid_world import Costs
from tests.simulation.network import Frame, Kind
from tests.simulation.timeline import Timeline

COSTS = Costs(verify=42, sign=16, wire=70, step=30, take=48, submit=50, block=1_200, execute=70, factor=4.0)
SEND_US, TAKE_US = 100.0, 500.0
SLOW, LATENCY_MS = 100_000.0, 10


class Taken:
    """What arrived, when, and from whom."""

    def __init__(self, line: Line, size: int = 3) -> None:
        self.timeline = Timeline()
        self.log: list[tuple[int, int, int, Frame]] = []
        self.lines = Lines(self.timeline, size, line, SEND_US, self._take)
        self.lines.is_free = False

    def _take(self, source: int, target: int, frame: Frame) -> float:
        self.log.append((self.timeline.now_ms, source, target, frame))
        return TAKE_US


def compute_ms(payload: int) -> float:
    size = len(pack(Frame(Kind.MESSAGE, bytes(payload)))) + RECORD_BYTES + SEGMENT_BYTES
    return 8_000 * size / SLOW


def test_a_frame_takes_both_lines_and_the_way_and_arrives_as_it_was() -> None:
    taken = Taken(Line(SLOW, LATENCY_MS))
    frame = Frame(Kind.QUESTION, b"question", 70_000, 3)
    taken.lines.carry(0, 1, frame)
    taken.timeline.run(1_000)
    ((now_ms, source, target, arrived),) = taken.log
    assert (source, target, arrived) == (0, 1, frame)
    assert 2 * compute_ms(8) + LATENCY_MS <= now_ms <= 2 * compute_ms(8) + LATENCY_MS + 4


def test_all_links_of_a_validator_share_its_line() -> None:
    taken = Taken(Line(SLOW, LATENCY_MS), size=6)
    for target in range(1, 6):
        taken.lines.carry(0, target, Frame(Kind.MESSAGE, bytes(1_000)))
    taken.timeline.run(5_000)
    assert len(taken.log) == 5
    assert max(now for now, *_ in taken.log) >= 5 * compute_ms(1_000)


def test_what_is_urgent_overtakes_what_waits_for_the_line() -> None:
    taken = Taken(Line(SLOW, LATENCY_MS))
    for _ in range(100):
        taken.lines.carry(0, 1, Frame(Kind.TRANSACTION, bytes(1_000)))
    taken.timeline.run(200)
    taken.lines.carry(0, 1, Frame(Kind.MESSAGE, b"vote"))
    taken.timeline.run(60_000)
    place = next(i for i, (*_, frame) in enumerate(taken.log) if frame.kind is Kind.MESSAGE)
    assert len(taken.log) == 101
    assert place < 100


def test_no_more_than_a_window_is_on_the_way_of_one_link() -> None:
    taken = Taken(Line(0.0, LATENCY_MS))
    for _ in range(200):
        taken.lines.carry(0, 1, Frame(Kind.MESSAGE, bytes(WINDOW_BYTES)))
    taken.timeline.run(5)
    computer = taken.lines.computers[0]
    assert 0 < computer.on_the_way[1] <= WINDOW_BYTES + 65_536
    taken.timeline.run(60_000)
    assert len(taken.log) == 200
    assert computer.on_the_way[1] == 0


def test_a_processor_does_one_thing_after_the_other() -> None:
    taken = Taken(Line(0.0, LATENCY_MS))
    for _ in range(100):
        taken.lines.carry(0, 1, Frame(Kind.MESSAGE, b"vote"))
        taken.lines.carry(2, 1, Frame(Kind.MESSAGE, b"vote"))
    taken.timeline.run(5_000)
    assert taken.lines.computers[1].cpu_used_us == 200 * TAKE_US
    assert taken.lines.computers[0].cpu_used_us == 100 * SEND_US
    assert taken.lines.computers[1].cpu_free_us >= 1000 * taken.log[0][0] + 200 * TAKE_US
    assert taken.log[-1][0] > taken.log[0][0] + 100 * TAKE_US / 1000


@pytest.fixture(scope="module")
def calm() -> grid.Cell:
    return grid.play(grid.Place("slow lines", 4, 16.0, 5.0), COSTS, duration_s=2)


def test_a_network_with_room_keeps_up_and_loses_nothing(calm: grid.Cell) -> None:
    assert (calm.verdict, calm.sent, calm.confirmed, calm.refused) == ("keeps up", 10, 10, 0)
    assert calm.p50_ms is not None
    assert calm.p50_ms > 4 * grid.LATENCY_MS
    assert 0 < calm.cpu_share <= calm.cpu_share_max < 1
    assert calm.line_bytes_per_s == pytest.approx(3 * calm.link_bytes_per_s, abs=3)


def test_the_same_cell_comes_out_the_same(calm: grid.Cell) -> None:
    again = grid.play(calm.place, COSTS, duration_s=2)
    assert msgspec.structs.replace(again, took_cpu_s=calm.took_cpu_s) == calm


def test_a_line_that_carries_less_than_agreement_needs_does_not_keep_up() -> None:
    cell = grid.play(grid.Place("default", 4, 0.01, 5.0), COSTS, duration_s=2, drain_s=2)
    assert cell.verdict in {"behind", "halted"}
    assert cell.confirmed < cell.sent
    assert cell.line_bytes_per_s > 0.01e6 / 8


def run_command(monkeypatch: pytest.MonkeyPatch, output: Path, *words: str) -> None:
    command = ["grid", "--validators", "4", "--mbit", "16", "--genesis", "default", "--seconds", "1"]
    monkeypatch.setattr(sys, "argv", [*command, *words, "-o", str(output)])
    grid.main()


def test_the_command_goes_on_where_its_file_ends_with_the_costs_of_its_beginning(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    output = tmp_path / "grid.json"
    run_command(monkeypatch, output, "--rates", "1")
    first = json.loads(output.read_text())
    run_command(monkeypatch, output, "--rates", "1", "2")
    then = json.loads(output.read_text())
    assert then["set_up"] == first["set_up"]
    assert [cell["offered_tx_s"] for cell in then["cells"]] == [1, 2]
    assert then["cells"][0] == first["cells"][0]
    assert len(capsys.readouterr().out.splitlines()) == 2
    with pytest.raises(SystemExit, match="another set-up"):
        run_command(monkeypatch, output, "--rates", "1", "--seconds", "2")


@pytest.mark.parametrize(
    "content", ["[]", "no json", "{}", '{"cells": [{}]}', '{"cells": [], "processes": 1, "x": ']
)
def test_a_file_that_is_no_grid_is_not_written_over(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, content: str
) -> None:
    output = tmp_path / "other.json"
    output.write_text(content)
    with pytest.raises(SystemExit, match="no grid to go on with"):
        run_command(monkeypatch, output)
    assert output.read_text() == content


def test_a_file_that_cannot_be_made_is_named_before_anything_is_played(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with pytest.raises(SystemExit, match="there is no directory"):
        run_command(monkeypatch, tmp_path / "nowhere" / "grid.json")


@pytest.mark.parametrize(
    ("words", "refusal"),
    [
        (["--validators", "3"], "4 to 80 validators"),
        (["--validators", "81"], "4 to 80 validators"),
        (["--mbit", "0"], "above 0"),
        (["--rates", "-1"], "above 0"),
        (["--seconds", "0"], "above 0"),
        (["--factor", "nan"], "above 0"),
        (["--rates", "1801"], "1800 readings"),
    ],
)
def test_networks_and_loads_that_cannot_be_are_refused(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, words: list[str], refusal: str
) -> None:
    with pytest.raises(SystemExit, match=refusal):
        run_command(monkeypatch, tmp_path / "grid.json", *words)


def test_a_network_of_processes_takes_the_place_of_an_earlier_run_of_the_same() -> None:
    other: dict[str, object] = {"genesis": "default", "validators": 4, "confinement": {}, "loads": []}
    old = {**other, "validators": 16}
    new = {**old, "loads": [1]}
    assert replace([old, other], new) == [other, new]


def test_what_is_measured_without_being_told_otherwise_can_be() -> None:
    grid.check(grid.VALIDATORS, grid.MBIT, grid.RATES, grid.DURATION_S)
    grid.check([pi.VALIDATORS], [1.0], pi.RATES, pi.SECONDS)
    grid.check([16], [grid_processes.MBIT], grid_processes.RATES, grid_processes.SECONDS)
