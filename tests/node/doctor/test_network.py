"""The others run the same genesis and can be reached, or they are named."""

import socket
from collections.abc import Mapping

import pytest

from node.config import PeerConfig
from node.doctor.findings import Level
from node.doctor.network import (
    Answered,
    check_answers,
    check_node,
    check_reachable,
    check_same_genesis,
    compute_offsets_ms,
)

OWN = "ab" * 32


def answer(name: str, genesis_hash: object = OWN, clock_ms: object = 1000) -> Answered:
    return Answered(
        f"http://{name}", 1500, {"name": name, "genesis_hash": genesis_hash, "clock_ms": clock_ms}
    )


def test_one_genesis_is_well_and_another_is_named() -> None:
    assert check_same_genesis(OWN, [], None).level is Level.OK
    assert check_same_genesis(OWN, [answer("a"), answer("b")], None).said.startswith("2 validators answer")
    found = check_same_genesis(OWN, [answer("a"), answer("b", "cd" * 32)], None)
    assert found.level is Level.PROBLEM
    assert found.measures["differ"] == ["b"]


def test_a_peer_whose_link_was_refused_for_its_genesis_is_named() -> None:
    peers = [
        {"name": "a", "connected": True, "last_error": "the peer runs another genesis"},
        {"name": "b", "connected": False, "last_error": "the peer runs another genesis: 12"},
    ]
    assert check_same_genesis(OWN, [], {"peers": peers}).measures["differ"] == ["b"]
    assert check_same_genesis(OWN, [], {"peers": "none"}).level is Level.OK


@pytest.mark.parametrize(
    "odd", [{"name": 5}, {"genesis_hash": 7, "clock_ms": "late"}, {"clock_ms": True}, {}]
)
def test_an_answer_of_another_shape_is_no_answer(odd: Mapping[str, object]) -> None:
    answers = [Answered("http://a", 5, odd)]
    assert compute_offsets_ms(answers) == {}
    assert check_same_genesis(OWN, answers, None).level is Level.OK


def test_offsets_are_how_far_this_clock_is_ahead() -> None:
    assert compute_offsets_ms([answer("a"), answer("b", clock_ms=1600)]) == {"a": 500, "b": -100}


def test_who_does_not_answer_is_named_with_the_reason() -> None:
    silent = Answered("http://b", 5, None, "connection refused")
    assert check_answers([answer("a")]).level is Level.OK
    assert "none was asked" in check_answers([]).said
    found = check_answers([answer("a"), silent])
    assert found.level is Level.WARNING
    assert "1 of 2 do not answer: http://b (connection refused)" in found.said


def test_a_peer_that_nobody_listens_for_is_named() -> None:
    with (
        socket.create_server(("127.0.0.1", 0)) as listening,
        socket.create_server(("127.0.0.1", 0)) as closed,
    ):
        ports = [each.getsockname()[1] for each in (listening, closed)]
        closed.close()
        peers = [PeerConfig("a", "127.0.0.1", ports[0]), PeerConfig("b", "127.0.0.1", ports[1])]
        assert check_reachable(peers[:1]).level is Level.OK
        found = check_reachable(peers)
    assert found.level is Level.WARNING
    assert f"1 of 2 cannot be reached: b at 127.0.0.1:{ports[1]} (Connection refused)" in found.said


def test_the_nodes_own_word_is_told() -> None:
    assert check_node(None).level is Level.WARNING
    assert (
        check_node({"waiting": None, "phase": "normal", "height": 5, "certified_height": 5}).level is Level.OK
    )
    stalled = check_node({"waiting": "not committing: nobody is there"})
    assert stalled.level is Level.WARNING
    assert "nobody is there" in stalled.said
