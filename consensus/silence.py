"""Not contradicting a forgotten vote: a replica that starts asks what its key has signed before it signs again.

A journal may be an older copy, or gone; the same key may run twice. Every start asks (``Inquiry``), and the others
answer with the newest messages they hold of the asker (``Testimony``). With nothing that its journal does not explain,
it votes. Otherwise it is silent: it follows and executes, and votes for nothing until a certificate has passed all that
its key can have signed. Then it asks once more; a message that lies beyond what it can have signed before is of
somebody else.

A witness remembers what it wanted when it came. What it did not want was decided, of a view that it had left, or one
vote more than a quorum for what it had prepared or committed itself, so that it votes for nothing else there; what no
witness wanted can count for nothing any more, so forgetting it harms nobody.

How far that is: a quorum of others testifies. The asker's latest certificate covered what a quorum had executed, so a
correct witness is among both, and its own latest certificate is at most a window behind. With W the window and C the
highest certificate testified, the asker signed no vote above C + 2 W and no view change that quotes more than C + W.
A new-view may quote one of those beside fresh ones within a window only, so it begins at most at C + 2 W. Whoever voted
beside the asker above C + 4 W has executed beyond C + 3 W, and refuses such a new-view (``new_view.on_new_view``).
"""

from consensus.codec import NONCE_BYTES, decode_envelope, encode_envelope
from consensus.effects import (
    Broadcast,
    Effect,
    KeyInUse,
    Persist,
    Report,
    Send,
    Silenced,
    VoiceFound,
    VoiceLost,
)
from consensus.events import Received
from consensus.log import may_answer
from consensus.messages import (
    Checkpoint,
    Commit,
    Envelope,
    Inquiry,
    Prepare,
    PrePrepare,
    Testimony,
    ViewChange,
)
from consensus.state import ReplicaState, Silence, sign
from consensus.window import WINDOW
from primitives.hashing import HashDomain, compute_hash
from primitives.ids import Height, ReplicaId, Sequence

SILENT_WINDOWS = 4
"""Windows above the highest certificate testified; the module's docstring says why."""

FORGOTTEN_WINDOWS = 2
"""Windows above the highest certificate testified in which a forgotten vote may stand; above them none does."""

TESTIMONY_PERIOD_MS = 200
"""Shorter than a re-send: a validator that starts twice in a row waits for its voice, and so may all others."""

TESTIMONY_BYTES_MAX = 1024 * 1024
"""A vote, a checkpoint and a view change take a few kB; with 80 validators a view change may not fit and stays out."""


def note_start(state: ReplicaState, silence: Silence) -> None:
    """Take note of what the replica knows of itself before it hears from others."""
    silence.view = state.view
    silence.height = Height(state.executed.height)
    silence.sequence = Sequence(max(state.low_watermark, state.executed_sequence))
    # The store may have lost blocks whose headers the journal knows as signed.
    known: set[tuple[str, int, bytes]] = {("Checkpoint", *signed) for signed in state.signed_headers.items()}
    for sequence, instance in state.instances.items():
        if instance.proposal is not None and state.is_primary:
            known.add(("PrePrepare", sequence, instance.proposal.digest))
        for votes in (instance.prepares, instance.commits):
            own = votes.get(state.own)
            if own is not None and isinstance(own.message, Prepare | Commit):
                known.add((type(own.message).__name__, sequence, own.message.digest))
    silence.votes = frozenset(known)


def ask(state: ReplicaState) -> list[Effect]:
    """Ask everybody, again with every re-send, until enough have testified."""
    silence = state.silence
    if silence is None or silence.until is not None or not state.is_member:
        return []
    return [Broadcast(sign(state, Inquiry(state.epoch, silence.nonce)))]


def on_inquiry(state: ReplicaState, event: Received, message: Inquiry) -> list[Effect]:
    """Testify, at most once per TESTIMONY_PERIOD_MS."""
    asker = ReplicaId(event.envelope.sender)
    period_ms = min(state.settings.resend_ms, TESTIMONY_PERIOD_MS)
    if not state.is_member or not may_answer(state, asker, "testimony", event.now, period_ms):
        return []
    newest: list[bytes] = []
    size = 0
    for envelope in _find_newest(state, asker):
        data = encode_envelope(envelope)
        size += len(data)
        if size <= TESTIMONY_BYTES_MAX:
            newest.append(data)
    testimony = Testimony(state.epoch, asker, message.nonce, state.quotable_certificate, tuple(newest))
    return [Send(asker, sign(state, testimony))]


def on_testimony(state: ReplicaState, event: Received, message: Testimony) -> list[Effect]:
    """Collect an answer to the open inquiry: of this epoch, asked by this replica, with its nonce."""
    silence = state.silence
    if silence is None or silence.until is not None or message.nonce != silence.nonce:
        return []
    if message.epoch != state.epoch or message.asker != state.own:
        return []
    witness = ReplicaId(event.envelope.sender)
    silence.testimonies[witness] = message
    return conclude(state, silence)


def conclude(state: ReplicaState, silence: Silence) -> list[Effect]:
    """Vote, stay silent up to a sequence, or halt, as soon as enough have testified.

    quorum - 1 others do when nothing is missing in the journal, quorum others when something is.
    """
    said = [decode_envelope(data) for _, each in sorted(silence.testimonies.items()) for data in each.newest]
    is_new = is_of_another if silence.is_last else is_beyond
    unknown = next((envelope for envelope in said if is_new(state, silence, envelope)), None)
    effects: list[Effect] = []
    if unknown is not None and silence.is_last:
        state.halted = True
        return [Report(KeyInUse(unknown))]
    if unknown is not None and not silence.is_past_unknown:
        silence.is_past_unknown = True
        effects.append(Persist(Silenced(is_over=False)))
    quorum = state.membership.quorum
    if len(silence.testimonies) < (quorum if silence.is_past_unknown else quorum - 1):
        return effects
    if silence.is_past_unknown and not silence.is_last:
        certified = [each.stable.header.sequence for each in silence.testimonies.values() if each.stable]
        silence.until = Sequence(max([state.low_watermark, *certified]) + SILENT_WINDOWS * WINDOW)
        return [*effects, Report(VoiceLost(silence.until))]
    state.silence = None
    effects += [Persist(Silenced(is_over=True))] if silence.is_past_unknown else []
    return [*effects, Report(VoiceFound())]


def ask_again(state: ReplicaState) -> list[Effect]:
    """Ask a last time when a certificate has passed all that the key can have signed before."""
    silence = state.silence
    if silence is None or silence.until is None or state.stable_sequence < silence.until:
        return []
    nonce = compute_hash(HashDomain.STATE_NODE, b"ask again" + silence.nonce)[:NONCE_BYTES]
    signed_below = Sequence(silence.until - (SILENT_WINDOWS - FORGOTTEN_WINDOWS) * WINDOW)
    state.silence = Silence(nonce, is_past_unknown=True, is_last=True, signed_below=signed_below)
    note_start(state, state.silence)
    return ask(state)


def is_beyond(state: ReplicaState, silence: Silence, envelope: Envelope) -> bool:
    """Tell whether an own message was signed after everything that this replica knew of itself when it asked."""
    message = envelope.message
    match message:
        case Checkpoint(header=header):
            is_known = ("Checkpoint", header.height, header.compute_digest()) in silence.votes
            return header.height > silence.height and not is_known
        case ViewChange(view=view):
            return message.epoch == state.epoch and view > silence.view
        case PrePrepare(proposal=position) | ((Prepare() | Commit()) as position):
            if position.epoch != state.epoch or position.view < silence.view:
                return False
            if position.sequence <= silence.sequence:
                return False
            vote = (type(message).__name__, position.sequence, position.digest)
            return position.view > silence.view or vote not in silence.votes
        case _:
            return False


def is_of_another(state: ReplicaState, silence: Silence, envelope: Envelope) -> bool:
    """Tell whether an own message lies where this replica cannot have signed any: above what it forgot, while silent.

    Where it stands now does not matter: it has followed meanwhile, and a twin whose links it takes over lags behind.
    """
    message = envelope.message
    match message:
        case Checkpoint(header=header):
            return header.sequence > silence.signed_below
        case ViewChange(stable=stable):
            return stable is not None and stable.header.sequence > silence.signed_below - WINDOW
        case PrePrepare(proposal=position) | ((Prepare() | Commit()) as position):
            return position.epoch == state.epoch and position.sequence > silence.signed_below
        case _:
            return False


def remember(state: ReplicaState, envelope: Envelope) -> None:
    """Keep the newest vote and the newest checkpoint of each replica; its view change is kept already."""
    position = _get_position(envelope)
    if position is None:
        return
    kind, place = position
    known = state.newest.get((ReplicaId(envelope.sender), kind))
    before = None if known is None else _get_position(known)
    if before is None or before[1] < place:
        state.newest[ReplicaId(envelope.sender), kind] = envelope


def _get_position(envelope: Envelope) -> tuple[str, tuple[int, ...]] | None:
    match envelope.message:
        case Checkpoint(header=header):
            return "checkpoint", (header.height,)
        case PrePrepare(proposal=proposal):
            return "vote", (proposal.view, proposal.sequence, 0)
        case Prepare(view=view, sequence=sequence):
            return "vote", (view, sequence, 1)
        case Commit(view=view, sequence=sequence):
            return "vote", (view, sequence, 2)
        case _:
            return None


def _find_newest(state: ReplicaState, asker: ReplicaId) -> list[Envelope]:
    found = [state.newest.get((asker, kind)) for kind in ("checkpoint", "vote")]
    found.append(state.view_changes.get(asker))
    return [envelope for envelope in found if envelope is not None]
