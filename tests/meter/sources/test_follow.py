"""An appended file is read once, line by line, whatever happens to it."""

import asyncio
import os
import random
from collections.abc import Callable
from contextlib import aclosing
from pathlib import Path

import pytest

from meter.collect.observation import Dropped, DropReason, LinkState, Observation, Observed
from meter.sources.csv_follow import read_csv
from meter.sources.follow import Begun, Line, LineFollower
from primitives.ids import UnixMs

LONG_S = 30.0
HEADING = "time_utc,import_wh,export_wh,meter,status"


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "registers.csv"


@pytest.fixture
def follower(path: Path) -> LineFollower:
    return LineFollower(path, 100)


def append(path: Path, text: str) -> None:
    with path.open("a", encoding="utf-8") as file:
        file.write(text)


def replace(path: Path, text: str) -> None:
    path.rename(path.with_suffix(".old"))
    append(path, text)


def look(follower: LineFollower) -> list[str]:
    return [step.text.decode() for step in follower.look() if isinstance(step, Line)]


def test_only_whole_lines_count_and_each_one_once(path: Path, follower: LineFollower) -> None:
    append(path, "one\ntw")
    assert look(follower) == ["one"]
    append(path, "o\r\nthree")
    assert look(follower) == ["two"]
    assert look(follower) == []
    append(path, "\n")
    assert look(follower) == ["three"]


def test_a_file_that_is_rotated_is_read_to_its_end_first(path: Path, follower: LineFollower) -> None:
    append(path, "one\n")
    assert look(follower) == ["one"]
    append(path, "two\n")
    path.rename(path.with_suffix(".1"))
    assert look(follower) == ["two"]  # the new file is still to come
    append(path.with_suffix(".1"), "three\n")
    path.write_text("four\n", encoding="utf-8")
    assert look(follower) == ["three", "four"]
    assert look(follower) == []


@pytest.mark.parametrize("rewritten", ["", "new\n", "new\nlines\nthat are longer than before\n"])
def test_a_truncated_file_is_read_from_its_beginning(
    path: Path, follower: LineFollower, rewritten: str
) -> None:
    append(path, "one\ntwo\n")
    assert look(follower) == ["one", "two"]
    path.write_text(rewritten, encoding="utf-8")
    assert look(follower) == rewritten.splitlines()
    append(path, "more\n")
    assert look(follower) == ["more"]


def test_a_line_beyond_its_bound_is_dropped_whole_and_nothing_grows(
    path: Path, follower: LineFollower
) -> None:
    append(path, "x" * 300_000)
    steps = list(follower.look())
    assert steps == [LinkState(), Begun(), Dropped(DropReason.LINE_TOO_LONG)]
    append(path, "x" * 300_000 + "\nshort\n")
    assert look(follower) == ["short"]


def test_a_file_that_is_not_there_says_so(follower: LineFollower) -> None:
    with pytest.raises(FileNotFoundError):
        list(follower.look())


@pytest.mark.parametrize("make", [os.mkfifo, os.mkdir])
def test_what_is_no_regular_file_is_told_once_and_holds_nothing_up(
    path: Path, make: Callable[[Path], None]
) -> None:
    """Opening a pipe for reading waits for who writes, and a directory opens and cannot be read."""

    async def act() -> None:
        make(path)
        async with asyncio.timeout(LONG_S), aclosing(read_csv(path, "CL01", is_followed=True)) as source:
            told = await anext(source)
            assert told == LinkState("no regular file: it cannot be read from its beginning again")
            replace(path, f"{HEADING}\n2026-01-01T00:00:00Z,5,6,CL01,G\n")
            found = [await anext(source), await anext(source)]
            assert found[0] == LinkState()
            assert isinstance(found[1], Observation)

    asyncio.run(act())


def test_random_appends_rotations_and_truncations_lose_and_double_nothing(path: Path) -> None:
    for seed in range(8):
        chance = random.Random(seed)
        path.unlink(missing_ok=True)
        follower = LineFollower(path, 100)
        written = 0
        path.touch()
        seen: list[str] = []
        for _ in range(200):
            match chance.randrange(8):
                case 0:
                    os.rename(path, path.with_suffix(f".{seed}"))  # noqa: PTH104  # as a rotation does
                    path.touch()
                case 1:
                    seen += look(follower)  # a truncation loses what nobody had read
                    os.truncate(path, 0)
                case _:
                    append(path, f"line {written}\n")
                    written += 1
            seen += look(follower)
        follower.close()
        assert seen == [f"line {number}" for number in range(written)], seed


async def take(path: Path, count: int, meter: str = "alder") -> list[Observed]:
    found: list[Observed] = []
    async with asyncio.timeout(30), aclosing(read_csv(path, meter, is_followed=True)) as source:
        async for observed in source:
            found.append(observed)
            if len(found) == count:
                break
    return found


def test_rows_become_observations_at_the_times_that_they_say(path: Path) -> None:
    rows = ["2017-06-12T09:00:00Z,1010,500,alder,G", "2017-06-12T09:15:00Z,1011,501,birch,", ""]
    path.write_text(
        "\ufeff" + "\n".join([HEADING, *rows, "2017-06-12T09:15:00Z,1030,501,alder,S"]), encoding="utf-8"
    )

    async def act() -> list[Observed]:
        return [each async for each in read_csv(path, "alder", is_followed=False)]

    state, first, second = asyncio.run(act())
    assert state == LinkState()
    assert isinstance(first, Observation)
    assert isinstance(second, Observation)
    assert (first.time_ms, first.import_wh, first.export_wh) == (UnixMs(1_497_258_000_000), 1010, 500)
    assert (second.import_wh, second.status.value) == (1030, "S")


@pytest.mark.parametrize(
    ("row", "reason"),
    [
        ("2017-06-12T09:00:00Z,1.5,500,alder,G", DropReason.NUMBER_INVALID),
        ("2017-06-12T09:00:00Z,-1,500,alder,G", DropReason.NUMBER_INVALID),
        (f"2017-06-12T09:00:00Z,{2**48 + 1},500,alder,G", DropReason.NUMBER_INVALID),
        ("2017-06-12T09:00:00,1,500,alder,G", DropReason.TIME_INVALID),
        ("2017-06-12T09:00:00Z,1,500", DropReason.LINE_MALFORMED),
        ("2017-06-12T09:00:00Z,1,500,alder,good?", DropReason.LINE_MALFORMED),
        ('"2017', DropReason.LINE_MALFORMED),
    ],
)
def test_a_row_that_is_none_is_dropped_by_name_and_the_next_one_is_read(
    path: Path, row: str, reason: DropReason
) -> None:
    path.write_text(f"{HEADING}\n{row}\n2017-06-12T09:15:00Z,7,8,alder,\n", encoding="utf-8")
    _, dropped, observation = asyncio.run(take(path, 3))
    assert dropped == Dropped(reason)
    assert isinstance(observation, Observation)


def test_a_file_without_its_heading_is_told_by_name(path: Path) -> None:
    path.write_text("2017-06-12T09:00:00Z,1,2\n2017-06-12T09:15:00Z,1,2\n", encoding="utf-8")
    assert asyncio.run(take(path, 3))[1:] == [Dropped(DropReason.HEADING_MISSING)] * 2


def test_a_followed_file_may_come_later(path: Path) -> None:
    async def act() -> list[Observed]:
        source = read_csv(path, "alder", is_followed=True)
        async with asyncio.timeout(30), aclosing(source):
            missing = await anext(source)
            append(path, f"{HEADING}\n2017-06-12T09:00:00Z,1,2,alder,\n")
            return [missing, await anext(source), await anext(source)]

    missing, state, observation = asyncio.run(act())
    assert missing == LinkState("No such file or directory")
    assert state == LinkState()
    assert isinstance(observation, Observation)
