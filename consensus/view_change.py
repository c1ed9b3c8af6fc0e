"""Leaving a view: complaints, view changes, joining f + 1 others, a capped time-out (Castro and Liskov 1999, 4.4).

A replica that only waits complains and stays; f + 1 complaints show that a correct replica waits too. So a single
replica with a bad link never leaves its view, and a stalled view is left by all.
"""

from consensus import timers
from consensus.effects import (
    Broadcast,
    Effect,
    OwnMessage,
    Persist,
    Report,
    Send,
    TimerName,
    ViewChangeStarted,
    ViewEntered,
)
from consensus.events import Now, Received
from consensus.log import clear_view, drop_unnamed_batches, may_answer
from consensus.messages import Complaint, ViewChange
from consensus.state import ReplicaState, sign
from consensus.window import is_in_window
from primitives.ids import Epoch, ReplicaId, View


def complain(state: ReplicaState, now: Now) -> list[Effect]:
    """Tell everybody that the primary owes something, and count the own complaint."""
    if not state.active or not state.may_vote:
        return []
    state.complaints[state.own] = (state.view, now.monotonic_ms)
    return [Broadcast(sign(state, Complaint(state.epoch, state.view))), *check_complaints(state, now)]


def on_complaint(state: ReplicaState, event: Received, message: Complaint) -> list[Effect]:
    """Count a complaint about the current view."""
    if message.epoch != state.epoch or message.view != state.view or not state.active:
        return []
    state.complaints[ReplicaId(event.envelope.sender)] = (state.view, event.now.monotonic_ms)
    return check_complaints(state, event.now)


def on_view_change(state: ReplicaState, event: Received, message: ViewChange) -> list[Effect]:
    """Keep the latest view change of each replica.

    In this order: of this epoch; one for a view that this replica already works in is answered with its new-view;
    an older one than the sender's last is ignored; then join, complain or wait as the collected ones demand.
    """
    sender = ReplicaId(event.envelope.sender)
    if message.epoch != state.epoch:
        return []
    if message.view < state.view or (message.view == state.view and state.active):
        if state.new_view is None or not may_answer(state, sender, "new-view", event.now):
            return []
        return [Send(sender, state.new_view)]
    known = state.view_changes.get(sender)
    if known is not None and _get_view(known.message) >= message.view:
        return []
    state.view_changes[sender] = event.envelope
    reached = find_joined_view(state)
    if reached > state.view:
        return begin_view_change(state, event.now, reached, "f + 1 replicas left for it")
    return check_complaints(state, event.now) + watch_new_view(state)


def check_complaints(state: ReplicaState, now: Now) -> list[Effect]:
    """Leave the view when f + 1 replicas complain of it or have left it."""
    if not state.active:
        return []
    waiting = find_complaining(state, now)
    left = {
        replica
        for replica, envelope in state.view_changes.items()
        if _get_view(envelope.message) > state.view
    }
    if len(waiting | left) < state.membership.weak_quorum:
        return []
    return begin_view_change(state, now, View(state.view + 1), "f + 1 replicas wait for the primary")


def find_complaining(state: ReplicaState, now: Now) -> frozenset[ReplicaId]:
    """Return who has complained of the current view within COMPLAINT_PERIODS."""
    oldest = now.monotonic_ms - timers.COMPLAINT_PERIODS * state.settings.resend_ms
    return frozenset(
        replica
        for replica, (view, since_ms) in state.complaints.items()
        if view == state.view and since_ms >= oldest
    )


def begin_view_change(state: ReplicaState, now: Now, view: View, reason: str) -> list[Effect]:
    """Stop working in the current view and say what was prepared; from here on nothing is voted in lower views."""
    _ = now
    state.view = view
    state.active = False
    state.attempt += 1
    state.new_view = None
    clear_view(state)
    drop_unnamed_batches(state)
    return [
        *timers.stop(state, TimerName.PROGRESS),
        *timers.stop(state, TimerName.VIEW_CHANGE),
        Report(ViewChangeStarted(Epoch(state.epoch), view, reason)),
        Persist(ViewEntered(state.epoch, view, active=False)),
        *say_view_change(state),
        *watch_new_view(state),
    ]


def say_view_change(state: ReplicaState) -> list[Effect]:
    """Sign the view change for the view this replica waits for: its latest certificate, what it prepared above."""
    if not state.may_vote:
        return []
    prepared = tuple(
        instance.prepared
        for sequence, instance in sorted(state.instances.items())
        if instance.prepared is not None and is_in_window(state, sequence)
    )
    envelope = sign(state, ViewChange(state.epoch, state.view, state.quotable_certificate, prepared))
    state.own_view_change = envelope
    state.view_changes[state.own] = envelope
    return [Persist(OwnMessage(envelope)), Broadcast(envelope)]


def watch_new_view(state: ReplicaState) -> list[Effect]:
    """Give the next primary its time from the moment that a quorum waits for it."""
    if state.active:
        return []
    waiting = [e for e in state.view_changes.values() if _get_view(e.message) >= state.view]
    if len(waiting) < state.membership.quorum:
        return []
    return timers.start_if_stopped(state, TimerName.VIEW_CHANGE, timers.compute_timeout_ms(state))


def on_view_change_timer(state: ReplicaState, now: Now) -> list[Effect]:
    """The next primary did not send its new-view in time: try the one after it."""
    if state.active:
        return []
    state.timers.pop(TimerName.VIEW_CHANGE, None)
    return begin_view_change(state, now, View(state.view + 1), "no new-view in time")


def find_joined_view(state: ReplicaState) -> View:
    """Return the highest view that f + 1 replicas have left for: at least one correct replica is there."""
    views = sorted((_get_view(e.message) for e in state.view_changes.values()), reverse=True)
    weak = state.membership.weak_quorum
    return View(views[weak - 1]) if len(views) >= weak else View(0)


def join_lonely(state: ReplicaState, now: Now) -> list[Effect]:
    """Complain for a replica that has waited in the next view for a whole capped time-out.

    It missed this view's new-view, left alone, and may vote in no lower view: without a view change of all it would
    never vote again. A faulty replica gains one view change per capped time-out by it.
    """
    waits = state.active and any(_get_view(e.message) == state.view + 1 for e in state.view_changes.values())
    if not waits:
        state.lonely_since_ms = None
        return []
    if state.lonely_since_ms is None:
        state.lonely_since_ms = now.monotonic_ms
    if now.monotonic_ms - state.lonely_since_ms < state.settings.view_timeout_max_ms:
        return []
    return complain(state, now)


def resend(state: ReplicaState) -> list[Effect]:
    """Repeat the own view change while its new-view is missing; say it if a restart came before it was durable."""
    if state.active:
        return []
    if state.own_view_change is None or _get_view(state.own_view_change.message) != state.view:
        return say_view_change(state) + watch_new_view(state)
    return [Broadcast(state.own_view_change)]


def _get_view(message: object) -> int:
    return message.view if isinstance(message, ViewChange) else -1
