"""Whether the network commits, who is missing and what to do, is told from what the validators say together."""

import msgspec
import pytest

from cli.diagnosis import NOTHING_LOST, diagnose, find_groups, format_time
from meter.answers import MissingAnswer, StallAnswer, StatusAnswer

DRIFT_MS = 2_000
NAMES = {"http://1": "node1"}
NOON_MS = 1_767_268_800_000
WAITING = "only 2 of 4 validators are connected and 3 are needed"
STALL = StallAnswer(
    cause="quorum_missing",
    headline=WAITING,
    outlook="view 1, led by node1, attempt 1 of 1.0 s; tried again in 0.3 s, it begins when 3 validators wait for it",
    advice="bring 1 of them back: node1, node2: start it",
    missing=[
        MissingAnswer("node1", 4_000, NOON_MS - 4_000, "connection refused"),
        MissingAnswer("node2", 90_000, NOON_MS - 90_000, "connection refused"),
    ],
    attempt=1,
)


def status(index: int, *missing: int, **fields: object) -> StatusAnswer:
    """Build the status of one of four validators that has no link to the missing ones, and is well else."""
    peers: list[dict[str, object]] = [
        {"name": f"node{other}", "connected": other not in missing} for other in range(4) if other != index
    ]
    well = StatusAnswer(
        name=f"node{index}",
        chain="street",
        genesis_hash="00" * 32,
        role="validator",
        height=10,
        certified_height=10,
        view=0,
        epoch=0,
        active=True,
        primary="node0",
        phase="normal",
        block_time_ms=0,
        state_root="00" * 32,
        mempool=0,
        view_changes=0,
        peers=peers,
        clock_ms=NOON_MS,
    )
    return msgspec.structs.replace(well, **fields)


def stalled(index: int, *missing: int, **fields: object) -> StatusAnswer:
    return status(index, *missing, **{"waiting": WAITING, "stall": STALL, **fields})


def lines_of(*answers: StatusAnswer | str) -> tuple[str, ...]:
    return diagnose({f"http://{i}": answer for i, answer in enumerate(answers)}, NAMES, DRIFT_MS).lines


def test_a_network_that_follows_has_no_problems() -> None:
    assert lines_of(status(0), status(1, certified_height=8), status(2), status(3)) == ()


def test_a_stall_is_told_once_with_who_is_missing_since_when_the_view_what_to_do_and_that_nothing_is_lost() -> (
    None
):
    assert lines_of(stalled(0, 1, 2), "connection refused", "connection refused", stalled(3, 1, 2)) == (
        f"not committing: {WAITING}",
        "missing: node1 since 11:59:56 UTC (for 4 s): connection refused",
        "missing: node2 since 11:58:30 UTC (for 90 s): connection refused",
        f"agreement: {STALL.outlook}",
        f"what to do: {STALL.advice}",
        NOTHING_LOST,
        "node1 at http://1 does not answer: connection refused",
        "http://2 does not answer: connection refused",
    )


def test_the_only_validator_that_answers_speaks_for_the_network() -> None:
    told = diagnose({"http://0": stalled(0, 1, 2, 3)}, NAMES, DRIFT_MS)
    assert told.verdict == f"not committing: {WAITING}"
    assert diagnose({"http://0": status(0)}, NAMES, DRIFT_MS).lines == ()


def test_a_network_of_which_nobody_answers_is_told_as_such_with_what_to_do() -> None:
    told = diagnose({"http://0": "connection refused", "http://1": "did not answer in time"}, NAMES, DRIFT_MS)
    assert told.verdict == "not committing, as far as can be seen from here: none of 2 validators answers"
    assert told.details[:2] == (
        "http://0 does not answer: connection refused",
        "node1 at http://1 does not answer: did not answer in time",
    )
    assert told.details[2].startswith("what to do: where it does not run, read the last line of its log")
    assert told.details[3] == NOTHING_LOST


def test_a_validator_that_is_cut_off_does_not_make_the_network_a_stalled_one() -> None:
    cut_off = {"http://3": stalled(3, 0, 1, 2)}
    told = diagnose({f"http://{i}": status(i, 3) for i in range(3)} | cut_off, NAMES, DRIFT_MS)
    assert told.verdict is None
    assert f"node3 takes no part, the others commit without it: {WAITING}" in told.problems


def test_more_waiting_validators_than_may_be_missing_are_a_stall_although_some_see_none() -> None:
    assert lines_of(status(0), status(1), stalled(2), stalled(3))[0] == f"not committing: {WAITING}"
    assert not lines_of(status(0), status(1), status(2), stalled(3))[0].startswith("not committing")


def test_a_divided_network_is_named_by_its_parts_and_nobody_in_it_is_called_missing() -> None:
    stall = msgspec.structs.replace(
        STALL, missing=[MissingAnswer("node2", 5_000, NOON_MS - 5_000), MissingAnswer("node3", 5_000, 0)]
    )
    halves = [stalled(i, *(j for j in range(4) if j // 2 != i // 2), stall=stall) for i in range(4)]
    told = lines_of(*halves)
    assert told[:4] == (
        f"not committing: {WAITING}",
        "divided: node0, node1 and node2, node3 run and do not reach each other",
        f"agreement: {STALL.outlook}",
        "what to do: mend the network between them: each must reach the p2p port of the others",
    )
    assert not any(line.startswith("missing") for line in told)


def test_one_direction_of_a_link_joins_two_validators() -> None:
    assert find_groups([status(0, 1), status(1)]) == [["node0", "node1"]]
    assert find_groups([status(0, 1, 2), status(1, 0, 2), status(2, 0, 1)]) == [
        ["node0"],
        ["node1"],
        ["node2"],
    ]
    chain = [status(0, 2, 3), status(1, 3), status(2, 0), status(3, 0, 1)]
    assert find_groups(chain) == [["node0", "node1", "node2", "node3"]]


def test_a_validator_that_is_behind_catches_up_halted_or_abstains_is_named() -> None:
    assert lines_of(status(0), status(1, certified_height=7)) == ("node1 is 3 blocks behind",)
    assert "node0 is catching up at block 10" in lines_of(status(0, phase="catching_up"), status(1))
    assert "node0 is halted at block 10" in lines_of(status(0, phase="halted"), status(1))
    assert "node0 is abstaining at block 10" in lines_of(status(0, phase="abstaining"), status(1))


def test_a_validator_that_does_not_answer_while_the_others_commit_is_named_with_what_to_do() -> None:
    told = diagnose({"http://0": status(0, 1), "http://1": "connection refused"}, NAMES, DRIFT_MS)
    assert told.verdict is None
    assert told.problems[:2] == (
        "node1 at http://1 does not answer: connection refused",
        "node0 has no link to node1",
    )
    assert told.problems[2].startswith("what to do: where it does not run, read the last line of its log")


def test_a_missing_link_is_named() -> None:
    assert lines_of(status(0, 3), status(1)) == ("node0 has no link to node3",)


def test_a_missing_validator_is_named_with_how_long_it_has_been_so() -> None:
    told = status(0, 2, 3)
    for peer, since_s in zip(told.peers, (1.0, 75.2, "long ago"), strict=True):
        peer["since_s"] = since_s
    assert lines_of(told, status(1)) == ("node0 has no link to node2 (for 1 min 15 s), node3",)


@pytest.mark.parametrize(
    ("clocks", "said"),
    [
        ((0, 0, DRIFT_MS, 0), ()),
        (
            (0, 0, 3_600_000, 1_000),
            ("the clock of node2 is 3600 s ahead of the others': set it (timedatectl)",),
        ),
        ((-5_000, 0, 0), ("the clock of node0 is 5 s behind the others': set it (timedatectl)",)),
        ((0, 3_600_000), ()),  # nobody knows which of two is wrong
    ],
)
def test_a_clock_that_differs_from_most_by_more_than_a_batch_may_run_ahead_is_named(
    clocks: tuple[int, ...], said: tuple[str, ...]
) -> None:
    answers = [status(i, clock_ms=NOON_MS + offset_ms) for i, offset_ms in enumerate(clocks)]
    assert lines_of(*answers) == said


def test_an_older_validator_that_tells_no_parts_is_quoted() -> None:
    assert lines_of(status(0, waiting="it waits")) == ("not committing: it waits",)


def test_what_a_validator_says_cannot_move_the_cursor_or_fill_the_screen() -> None:
    nasty = stalled(0, stall=msgspec.structs.replace(STALL, headline="\x1b[2J" + "x" * 100_000))
    told = lines_of(nasty)
    assert all(line.isprintable() and len(line) < 1_200 for line in told)


def test_a_time_has_its_date_only_on_another_day_and_nonsense_is_shown_as_its_number() -> None:
    assert format_time(NOON_MS, NOON_MS + 1_000) == "12:00:00 UTC"
    assert format_time(NOON_MS, 0) == "2026-01-01 12:00:00 UTC"
    assert format_time(2**62, NOON_MS) == f"{2**62} ms"


def test_how_many_may_be_missing_follows_from_the_validators_of_now_not_from_the_genesis() -> None:
    """Three of seven would be one too few to stop a network; of four validators they are too many."""
    told = [stalled(0), stalled(1), status(2), status(3)]
    assert lines_of(*told)[0].startswith("not committing")
    newcomers: list[dict[str, object]] = [
        {"name": f"node{other}", "connected": True} for other in range(1, 7)
    ]
    grown = [msgspec.structs.replace(each, peers=newcomers) for each in told]
    assert not lines_of(*grown)[0].startswith("not committing")


def test_an_observer_is_no_validator_and_no_problem() -> None:
    everybody: list[dict[str, object]] = [{"name": f"node{other}", "connected": True} for other in range(4)]
    observer = msgspec.structs.replace(status(4), name="node9", phase="observing", peers=everybody)
    assert lines_of(status(0), status(1), status(2), status(3), observer) == ()
