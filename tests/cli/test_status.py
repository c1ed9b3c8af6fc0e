"""Whether the validators are well is told from what they say, the gravest first."""

import msgspec

from cli.status import find_problems
from meter.answers import StatusAnswer

PEERS: list[dict[str, object]] = [{"name": f"node{n}", "connected": True} for n in (1, 2, 3)]
WELL = StatusAnswer(
    name="node0",
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
    peers=PEERS,
)


def changed(**fields: object) -> StatusAnswer:
    return msgspec.structs.replace(WELL, **fields)


def test_a_network_that_follows_has_no_problems() -> None:
    assert find_problems({"a": WELL, "b": changed(name="node1", certified_height=8)}) == ()


def test_why_nothing_commits_comes_first_and_once() -> None:
    waiting = changed(waiting="only 2 of 4 validators are connected")
    problems = find_problems({"a": "did not answer in time", "b": waiting, "c": waiting})
    assert problems[0] == "not committing: only 2 of 4 validators are connected"
    assert problems[1] == "a does not answer: did not answer in time"
    assert len(problems) == 2


def test_a_validator_that_is_behind_catches_up_or_halted_is_named() -> None:
    assert find_problems({"a": WELL, "b": changed(name="node1", certified_height=7)}) == (
        "node1 is 3 blocks behind",
    )
    assert find_problems({"a": changed(phase="catching_up")}) == ("node0 is catching up at block 10",)
    assert find_problems({"a": changed(phase="halted")}) == ("node0 is halted at block 10",)


def test_a_missing_link_is_named() -> None:
    alone = changed(peers=[*PEERS[:2], {"name": "node3", "connected": False}])
    assert find_problems({"a": alone}) == ("node0 has no link to node3",)
