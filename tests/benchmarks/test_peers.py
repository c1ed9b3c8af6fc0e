"""Other systems beside gridbft: an order that says too little is refused by name, and every round has its say."""

import json
from pathlib import Path
from typing import Any

import pytest

from benchmarks.harness.load import LoadResult
from benchmarks.harness.session import BenchError
from benchmarks.peers import PeerRun, find_problems, main, read_order, render_table, rotate_systems, summarise

OWN = {"name": "gridbft", "adapter": "gridbft-stream", "not_equal": "nothing"}
PEER = {
    "name": "etcd",
    "adapter": "etcd",
    "not_equal": "nothing is signed",
    "version": "3.4",
    "urls": ["http://127.0.0.1:2379"],
    "resume": ["true"],
    "pause": ["true"],
}
ORDER: dict[str, Any] = {"systems": [OWN, PEER], "rates": [10.0, 20.0], "repeats": 3}


def write(path: Path, order: object) -> Path:
    path.write_text(json.dumps(order), encoding="utf-8")
    return path


def spoil(number: int, **fields: object) -> dict[str, Any]:
    systems = [dict(each) for each in ORDER["systems"]]
    systems[number] |= fields
    return ORDER | {"systems": systems}


def see(system: str, rate: float, p99_ms: float, lost: int = 0) -> PeerRun:
    result = LoadResult(rate, 100, 100 - lost, 0, lost, 0, rate, [], 0.1, 0.0, 0.0, {})
    return PeerRun(system, 0, result, [p99_ms] * 101, 70.0, 50.0)


def test_a_whole_order_is_taken(tmp_path: Path) -> None:
    assert [each.name for each in read_order(write(tmp_path / "order.json", ORDER)).systems] == [
        "gridbft",
        "etcd",
    ]


@pytest.mark.parametrize(
    ("order", "said"),
    [
        (ORDER | {"systems": []}, "at least one"),
        (spoil(1, name="gridbft"), "a name of its own"),
        (ORDER | {"rates": [0.0]}, "numbers above zero"),
        (ORDER | {"repeats": 0}, "are above zero"),
        (spoil(1, adapter="other"), "no adapter 'other'"),
        (spoil(1, not_equal=""), "not_equal must say"),
        (spoil(1, version=""), "a peer needs urls, version, resume and pause"),
        (spoil(1, pause=[]), "a peer needs urls, version, resume and pause"),
        (spoil(0, urls=["http://127.0.0.1:1"]), "this program starts it"),
        (spoil(1, adress="x"), "unknown field"),
        ([], "Expected"),
    ],
)
def test_an_order_that_says_too_little_ends_in_one_line_that_names_it(
    tmp_path: Path, order: object, said: str
) -> None:
    with pytest.raises(SystemExit, match=said) as raised:
        main([str(write(tmp_path / "order.json", order))])
    assert str(raised.value).count("\n") == 0


def test_an_order_that_is_not_there_is_named(tmp_path: Path) -> None:
    with pytest.raises(BenchError, match="No such file"):
        read_order(tmp_path / "order.json")


def test_each_round_begins_with_another_system_and_has_all_of_them(tmp_path: Path) -> None:
    systems = read_order(write(tmp_path / "order.json", ORDER)).systems
    rounds = [[each.name for each in rotate_systems(systems, number)] for number in range(3)]
    assert rounds == [["gridbft", "etcd"], ["etcd", "gridbft"], ["gridbft", "etcd"]]


def test_a_figure_is_the_median_of_its_rounds_with_what_is_not_equal_beside_it(tmp_path: Path) -> None:
    order = read_order(write(tmp_path / "order.json", ORDER))
    assert not list(find_problems(order))
    runs = [
        see(system, rate, p99_ms, lost)
        for system in ("gridbft", "etcd")
        for rate in (10.0, 20.0)
        for p99_ms, lost in ((40.0, 0), (60.0, 1), (1500.0, 0))
    ]
    figures = list(summarise(order, runs))
    assert [(each.system, each.offered_tx_s) for each in figures] == [
        *(("gridbft", 10.0), ("gridbft", 20.0)),
        *(("etcd", 10.0), ("etcd", 20.0)),
    ]
    assert {(each.p99_ms, each.sustained) for each in figures} == {(60.0, 1)}
    assert [each.not_equal for each in figures[1:3]] == ["nothing", "nothing is signed"]
    table = render_table(figures).splitlines()
    assert len(table) == 2 + len(figures)
    assert table[-1] == "| etcd | 20 | 20 | 60 / 60 | 1 of 3 | 70 | 50 | nothing is signed |"
