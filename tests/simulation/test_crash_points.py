"""No crash and no error at any operation of a disk breaks a promise, or stops the network for good."""

import json
from collections.abc import Iterator

import pytest

from tests.simulation.checkers import ViolationError
from tests.simulation.crash_disk import GROWING, CrashDisk, Moment, NamedFiles, Point
from tests.simulation.crash_points import (
    OPERATIONS_MAX,
    PHASES,
    Tally,
    break_everywhere,
    count_operations,
    list_points,
    main,
    play,
)
from tests.simulation.memory import remember_signatures
from tests.simulation.patches import replaced

CHANGING = {"write", "fsync", "truncate", "open", "rename", "fsync_directory", "store_write", "install"}


@pytest.fixture(autouse=True, scope="module")
def _signatures() -> Iterator[None]:
    with remember_signatures():
        yield


@pytest.mark.parametrize("name", PHASES)
def test_every_point_of_a_phase_is_survived(name: str) -> None:
    tally = Tally()
    break_everywhere(name, 1, tally)
    assert tally.violations == []
    assert set(tally.moments) == set(Moment) - (set() if GROWING & set(tally.operations) else {Moment.FULL})
    assert sum(tally.points.values()) >= 5 * sum(tally.operations.values())


def test_the_phases_take_every_kind_of_operation_and_end() -> None:
    seen: set[str] = set()
    for phase in PHASES.values():
        operations = count_operations(phase)
        assert 0 < len(operations) < OPERATIONS_MAX
        seen |= set(operations)
    assert seen == CHANGING


def test_a_phase_is_played_the_same_every_time() -> None:
    phase = PHASES["view change, backup"]
    point = Point(7, Moment.DURING)
    assert play(phase, point).get_trace() == play(phase, point).get_trace()
    assert play(phase, point).get_trace() != play(phase, None).get_trace()


def test_a_full_disk_is_tried_only_where_something_grows() -> None:
    points = list(list_points(["fsync", "write"], 3))
    assert Point(0, Moment.FULL) not in points
    assert Point(1, Moment.FULL) in points
    assert Point(1, Moment.DURING, 2) in points
    assert Point(1, Moment.BEFORE, 1) not in points


def test_a_validator_that_does_not_sync_its_journal_is_caught() -> None:
    def forget(files: NamedFiles, descriptor: int) -> None:
        del files, descriptor

    with (
        replaced(NamedFiles, "fsync", forget),
        pytest.raises(ViolationError, match="left before it was durable"),
    ):
        count_operations(PHASES["agreement, backup"])


def test_a_power_cut_that_takes_what_was_synced_is_caught() -> None:
    def lose(disk: CrashDisk, random: object) -> int:
        del random
        disk.replace_store()
        return 1

    tally = Tally()
    with replaced(CrashDisk, "lose_power", lose):
        break_everywhere("agreement, primary", 1, tally)
    assert any("I6" in line for line in tally.violations)


def test_the_command_tells_its_figures_on_one_line(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("tests.simulation.crash_points.PHASES", {"shutdown": PHASES["shutdown"]})
    assert main(["--json"]) == 0
    said = capsys.readouterr().out
    assert said.count("\n") == 1
    told = json.loads(said)
    assert told["points"] == told["survived"] == sum(told["phases"].values()) > 0
    assert told["violations"] == []


@pytest.mark.parametrize("arguments", [["--fates", "0"], ["--fates", "x"], ["--what"]])
def test_wrong_usage_is_refused_by_name(arguments: list[str], capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as ended:
        main(arguments)
    assert ended.value.code == 2
    assert "crash_points: error:" in capsys.readouterr().err
