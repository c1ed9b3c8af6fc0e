"""The same bytes of the same peer are heard once in a moment; a re-send is heard."""

from node.echoes import ECHO_MS, KEPT_PER_PEER_MAX, PEERS_MAX, Echoes
from vm.genesis import ConsensusParameters


def test_what_is_said_again_at_once_is_an_echo_and_later_it_is_not() -> None:
    echoes = Echoes()
    assert not echoes.is_echo(b"a", b"a vote", 1000)
    assert echoes.is_echo(b"a", b"a vote", 1000)
    assert echoes.is_echo(b"a", b"a vote", 1000 + ECHO_MS - 1)
    assert not echoes.is_echo(b"a", b"a vote", 1000 + ECHO_MS)


def test_an_echo_does_not_lengthen_the_moment() -> None:
    """Whoever repeats without pause is heard once in each ECHO_MS: a re-send among the echoes is not lost."""
    echoes = Echoes()
    heard = [now_ms for now_ms in range(1000) if not echoes.is_echo(b"a", b"a vote", now_ms)]
    assert heard == list(range(0, 1000, ECHO_MS))


def test_another_peer_or_another_message_is_no_echo() -> None:
    echoes = Echoes()
    assert not echoes.is_echo(b"a", b"a vote", 0)
    assert not echoes.is_echo(b"b", b"a vote", 0)
    assert not echoes.is_echo(b"a", b"another vote", 0)


def test_no_resend_of_a_correct_replica_is_an_echo() -> None:
    assert ECHO_MS < 50 <= ConsensusParameters().resend_ms  # 50 is the least that a genesis may say


def test_memory_is_bounded_whatever_is_said() -> None:
    echoes = Echoes()
    for number in range(3 * KEPT_PER_PEER_MAX):
        echoes.is_echo(b"a", b"%d" % number, 0)
    for number in range(3 * PEERS_MAX):
        echoes.is_echo(b"%d" % number, b"a vote", 0)
    assert len(echoes._heard) == PEERS_MAX
    assert all(len(heard) <= KEPT_PER_PEER_MAX for heard in echoes._heard.values())
