"""What the validators say of each other is shown as it is, and a ban is named with its reason."""

import pytest

from cli.peers import find_banned, format_duration, read_peers
from meter.answers import StatusAnswer
from tests.cli.test_diagnosis import status

LIAR: dict[str, object] = {
    "name": "node3",
    "connected": False,
    "since_s": 4.0,
    "score": 0,
    "banned_for_s": 56.2,
    "last_error": "the signature is not valid",
    "newer_field": [1],
}


def test_a_banned_peer_is_named_with_the_time_and_the_reason() -> None:
    answers: dict[str, StatusAnswer | str] = {
        "a": status(0, peers=[LIAR, {"name": "node1", "connected": True}]),
        "b": "did not answer in time",
    }
    assert find_banned(answers) == ("node0 does not talk to node3 for 56 s: the signature is not valid",)


def test_nobody_is_named_where_nobody_is_banned() -> None:
    assert find_banned({"a": status(0)}) == ()


def test_fields_of_a_newer_validator_are_passed_over_and_what_is_no_peer_is_left_out() -> None:
    answer = status(0, peers=[LIAR, {"name": 3}, {}])
    assert [(peer.name, peer.banned_for_s) for peer in read_peers(answer)] == [("node3", 56.2)]


def test_what_a_validator_says_cannot_write_on_the_terminal() -> None:
    rude = status(0, peers=[{**LIAR, "name": "no\x1b[2Jde", "last_error": "a\nb\x07"}])
    assert [(peer.name, peer.last_error) for peer in read_peers(rude)] == [("no?[2Jde", "a?b?")]


@pytest.mark.parametrize(
    ("seconds", "shown"),
    [(0.4, "0 s"), (59.4, "59 s"), (61, "1 min 1 s"), (3600, "1 h 0 min"), (90_061, "25 h 1 min")],
)
def test_a_duration_is_shown_in_its_two_largest_units(seconds: float, shown: str) -> None:
    assert format_duration(seconds) == shown
