"""A silent replica asks a last time before it votes: whatever its key signed in the meantime was signed by another."""

import pytest

from consensus import messages
from consensus.codec import encode_envelope
from consensus.effects import Effect, KeyInUse, VoiceFound
from consensus.events import Received
from consensus.messages import Checkpoint, Commit, Envelope, Message, Prepare, ViewChange
from consensus.silence import FORGOTTEN_WINDOWS, SILENT_WINDOWS, ask_again, on_testimony
from consensus.state import ReplicaState, Silence
from consensus.window import WINDOW
from primitives.ids import Sequence
from tests.consensus.builders import (
    Desk,
    batch_of,
    certificate,
    digest_of,
    found,
    header_chain,
    now,
    pre_prepare,
    say,
)

HIGHEST = 10
"""The highest certificate testified when the silence began."""
FORGOTTEN = HIGHEST + FORGOTTEN_WINDOWS * WINDOW
"""Up to here the key may have signed before."""
UNTIL = HIGHEST + SILENT_WINDOWS * WINDOW
HEADERS = header_chain(UNTIL + 1)


def begin_last_question(own: int = 0) -> ReplicaState:
    """Return a replica that has followed in silence up to its end, and asks once more."""
    desk = Desk(own)
    state = desk.replica.view
    state.executed = HEADERS[UNTIL]
    state.executed_sequence = Sequence(UNTIL)
    state.stable = certificate(HEADERS[UNTIL])
    state.silence = Silence(b"first", is_past_unknown=True, until=Sequence(UNTIL))
    assert ask_again(state) != []
    return state


def bear_witness(state: ReplicaState, witness: int, *newest: Envelope) -> list[Effect]:
    assert state.silence is not None
    said = tuple(encode_envelope(envelope) for envelope in newest)
    testimony = messages.Testimony(0, state.own, state.silence.nonce, None, said)
    return on_testimony(state, Received(now(), say(witness, testimony), None), testimony)


def build_messages(sequence: int) -> list[Message]:
    """Return one message of each kind that binds its sender, about this sequence."""
    digest = digest_of(batch_of())
    return [
        Prepare(0, 0, sequence, digest),
        Commit(0, 0, sequence, digest),
        Checkpoint(HEADERS[sequence]),
        ViewChange(0, 1, certificate(HEADERS[sequence - WINDOW]), ()),
        pre_prepare(batch_of(), sequence).message,
    ]


@pytest.mark.parametrize("kind", range(5))
def test_one_message_beyond_what_was_forgotten_shows_another_with_the_same_key_however_old_it_is(
    kind: int,
) -> None:
    state = begin_last_question()
    effects = bear_witness(state, 1, say(0, build_messages(FORGOTTEN + 1)[kind]))
    assert len(found(effects, KeyInUse)) == 1
    assert state.halted


@pytest.mark.parametrize("kind", range(5))
def test_what_may_have_been_signed_before_the_silence_is_no_news(kind: int) -> None:
    state = begin_last_question()
    effects: list[Effect] = []
    for witness in (1, 2, 3):
        assert found(effects, VoiceFound) == []
        effects += bear_witness(state, witness, say(0, build_messages(FORGOTTEN)[kind]))
    assert len(found(effects, VoiceFound)) == 1
    assert not state.halted
