"""From one membership to the next: a block that names other validators is the last of its epoch.

What was agreed on above it is void. Its certificate, signed by those who leave as well, begins the next epoch at
view 0.
"""

from consensus import timers
from consensus.effects import (
    Effect,
    EpochStarted,
    KnownCertificate,
    Persist,
    Report,
    Silenced,
    TimerName,
    ViewEntered,
)
from consensus.log import drop_unnamed_batches
from consensus.membership import Membership
from consensus.messages import Handover
from consensus.state import ReplicaState, Silence
from primitives.ids import View


def end_epoch(state: ReplicaState, following: Membership) -> None:
    """Take note that the executed block is the last of its epoch; everything above it is void."""
    if state.executed.next_membership != following.hash or state.executed.height != following.start_height:
        message = f"the block at height {state.executed.height} does not name the membership that follows it"
        raise AssertionError(message)
    last = state.executed.sequence
    state.following = following
    state.instances = {s: instance for s, instance in state.instances.items() if s <= last}
    state.held.clear()
    state.wanted = None
    drop_unnamed_batches(state)


def begin_epoch(state: ReplicaState) -> list[Effect]:
    """Begin the next epoch as soon as the last block of this one has its certificate.

    The certificate is durable before anything is said in the new epoch, because the store does not sync it.
    """
    following, certificate = state.following, state.stable
    if following is None or certificate is None or certificate.header.height != following.start_height:
        return []
    was_epoch = state.epoch
    state.membership, state.following, state.proven = following, None, None
    state.view, state.active, state.attempt = View(0), True, 0
    state.new_view, state.own_view_change, state.lonely_since_ms = None, None, None
    for collected in (
        state.view_changes,
        state.complaints,
        state.instances,
        state.batches,
        state.held,
        state.future,
        state.checkpoints,
        state.answered,
        state.newest,
    ):
        collected.clear()
    state.wanted = None
    state.statuses = {
        replica: status
        for replica, status in state.statuses.items()
        if status.epoch > was_epoch and replica in following.replica_set
    }
    return [
        *_restart_silence(state, following),
        *timers.stop(state, TimerName.PROGRESS),
        *timers.stop(state, TimerName.VIEW_CHANGE),
        *timers.stop(state, TimerName.CATCH_UP),
        Persist(KnownCertificate(certificate)),
        Persist(ViewEntered(state.epoch, state.view, active=True)),
        Report(EpochStarted(following, Handover(certificate, following.validators))),
    ]


def _restart_silence(state: ReplicaState, following: Membership) -> list[Effect]:
    """Ask anew. If a quorum testified to the epoch before, the key cannot have signed anything in this one."""
    before = state.silence
    if before is None:
        return []
    is_past_unknown = before.is_past_unknown and before.until is None
    state.silence = Silence(before.nonce, is_past_unknown, height=following.start_height)
    state.silence.sequence = following.start_sequence
    return [] if is_past_unknown == before.is_past_unknown else [Persist(Silenced(is_over=True))]
