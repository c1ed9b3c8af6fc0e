"""Twins: two machines with one key and correct code split nothing, over schedules of leaders and partitions."""

import json

import pytest

from tests.simulation.twins import ENUMERATED, VALIDATORS, Schedule, get_schedule, main, play_schedule

SAMPLE = (*range(0, ENUMERATED, 331), *range(ENUMERATED, ENUMERATED + 12))


@pytest.mark.parametrize("number", SAMPLE)
def test_twins_split_nothing_and_stop_nothing(number: int) -> None:
    assert play_schedule(get_schedule(number)).violation is None


def test_every_schedule_of_two_rounds_is_enumerated_once() -> None:
    enumerated = {(each.twins, each.rounds) for each in map(get_schedule, range(ENUMERATED))}
    assert len(enumerated) == ENUMERATED
    assert {twins for twins, _ in enumerated} == {(index,) for index in range(VALIDATORS)}


def test_beyond_the_enumerated_ones_schedules_are_drawn_from_their_number() -> None:
    drawn: list[Schedule] = [get_schedule(ENUMERATED + number) for number in range(100)]
    assert drawn[7] == get_schedule(ENUMERATED + 7)
    assert all(len(each.twins) == (each.validators - 1) // 3 for each in drawn)
    assert {each.validators for each in drawn} == {4, 5, 6, 7}


def test_a_schedule_is_played_the_same_way_every_time() -> None:
    first, second = play_schedule(get_schedule(1234)), play_schedule(get_schedule(1234))
    assert first == second


def test_twins_do_contradict_themselves() -> None:
    assert play_schedule(get_schedule(ENUMERATED + 10)).hits["Equivocation"] > 0


def test_one_line_of_json_says_what_was_played(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["--schedules", "2", "--first", str(ENUMERATED - 1), "--json"]) == 0
    record = json.loads(capsys.readouterr().out)
    assert (record["schedules"], record["enumerated"], record["sampled"], record["violations"]) == (
        2,
        1,
        1,
        [],
    )


@pytest.mark.parametrize(
    ("arguments", "reason"),
    [(["--schedules", "0"], "at least 1"), (["--schedules", "1", "--first", "-1"], "at least 0")],
)
def test_wrong_usage_is_refused_by_name(
    arguments: list[str], reason: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(arguments) == 2
    assert reason in capsys.readouterr().err
