"""The replica: one door, ``step``, that dispatches an event to its handler and then does what became possible.

Handlers never call each other; their order is decided here and nowhere else.
"""

from collections.abc import Iterable
from typing import assert_never

from consensus import (
    catch_up,
    checkpoints,
    epochs,
    new_view,
    ordering,
    silence,
    timers,
    view_change,
)
from consensus.effects import Broadcast, Effect, JournalRecord, Send, TimerName
from consensus.events import (
    BatchFetched,
    BlocksFetched,
    BlocksPruned,
    Event,
    Executed,
    Now,
    Overdue,
    Proposed,
    Received,
    TimerFired,
)
from consensus.log import may_answer, take_future
from consensus.membership import Membership
from consensus.messages import (
    Certificate,
    Checkpoint,
    Commit,
    Complaint,
    Envelope,
    Inquiry,
    NewView,
    Prepare,
    PrePrepare,
    Status,
    Testimony,
    ViewChange,
)
from consensus.recovery import collect_records, restore
from consensus.state import ReplicaState, Settings, Silence, sign
from consensus.watermarks import stabilise_proven
from consensus.window import is_wanted
from primitives.batch import Batch
from primitives.header import BlockHeader
from primitives.ids import Digest, ReplicaId, Sequence, View

START_GENERATION = 0
"""``TimerFired(RESEND, START_GENERATION)`` is the first event of every replica: it starts the machine."""


class Replica:
    """One replica of the agreement; everything it will ever know comes as an argument or an event."""

    def __init__(
        self,
        settings: Settings,
        executed: BlockHeader,
        stable: Certificate | None,
        records: Iterable[JournalRecord] = (),
        *,
        following: Membership | None = None,
        nonce: bytes | None = None,
    ) -> None:
        """Resume from the last executed header, the latest certificate at or below it, and the journal.

        ``following`` is the next membership when that header ends its epoch. With a ``nonce``, never used before, the
        replica first asks the others what its key has signed; without one the journal is taken for all of it.
        """
        self._state = ReplicaState(
            settings, settings.membership, executed, Sequence(executed.sequence), stable, following=following
        )
        self._state.silence = None if nonce is None else Silence(nonce)
        restore(self._state, records)
        if self._state.silence is not None:
            silence.note_start(self._state, self._state.silence)

    def step(self, event: Event) -> list[Effect]:
        """Return what the host must do about ``event``, in order; after divergence, nothing ever again."""
        state = self._state
        if state.halted:
            return []
        if state.parent_seen_ms is None:
            state.parent_seen_ms = event.now.monotonic_ms
        before, stable = (state.view, state.active), state.stable
        was_silent = state.silence is not None
        effects = self._dispatch(event)
        effects += [] if state.halted else stabilise_proven(state)
        if state.halted:
            return effects
        if state.stable is not stable:
            state.stable_since_ms = event.now.monotonic_ms
        effects += epochs.begin_epoch(state) + silence.ask_again(state)
        if was_silent and state.silence is None:
            effects += self._resend(event.now)
        return effects + self._advance(event.now, before)

    def is_wanted(self, envelope: Envelope) -> bool:
        """Tell by position alone whether a message is worth its signature check."""
        return not self._state.halted and is_wanted(self._state, envelope)

    def get_batch(self, digest: Digest) -> Batch | None:
        """Return a batch of the window by its digest, for a peer that must re-propose it."""
        return self._state.batches.get(digest)

    def get_journal_records(self) -> list[JournalRecord]:
        """Return the records that a rewritten journal must hold to restore this replica's promises."""
        return collect_records(self._state)

    @property
    def view(self) -> ReplicaState:
        """Return the state for reading: status pages and checkers look, only ``step`` changes."""
        return self._state

    def _dispatch(self, event: Event) -> list[Effect]:
        state = self._state
        match event:
            case Received():
                return self._on_received(event)
            case Proposed():
                return ordering.on_proposed(state, event)
            case Executed():
                return self._on_executed(event)
            case Overdue():
                return view_change.complain(state, event.now)
            case TimerFired():
                return self._on_timer(event)
            case BatchFetched():
                return ordering.on_batch_fetched(state, event)
            case BlocksFetched():
                return catch_up.on_blocks_fetched(state, event)
            case BlocksPruned():
                return catch_up.on_blocks_pruned(state)
            case _:
                assert_never(event)

    def _on_received(self, event: Received) -> list[Effect]:
        state = self._state
        message = event.envelope.message
        if not is_wanted(state, event.envelope):
            return []
        silence.remember(state, event.envelope)
        match message:
            case PrePrepare():
                return ordering.on_pre_prepare(state, event, message)
            case Prepare():
                return ordering.on_prepare(state, event, message)
            case Commit():
                return ordering.on_commit(state, event, message)
            case Checkpoint():
                return checkpoints.on_checkpoint(state, event, message) + catch_up.check_behind(state)
            case ViewChange():
                return view_change.on_view_change(state, event, message)
            case NewView():
                return new_view.on_new_view(state, event, message)
            case Complaint():
                return view_change.on_complaint(state, event, message)
            case Status():
                catch_up.on_status(state, event, message)
                return self._answer_status(event, message) + (catch_up.check_behind(state))
            case Inquiry():
                return silence.on_inquiry(state, event, message)
            case Testimony():
                return silence.on_testimony(state, event, message)
            case _:
                assert_never(message)

    def _on_executed(self, event: Executed) -> list[Effect]:
        state = self._state
        checkpoints.take_over(state, event)
        if event.following is not None:
            epochs.end_epoch(state, event.following)
        if state.active:
            state.attempt = 0
        effects = timers.stop(state, TimerName.PROGRESS)
        if state.fetched:
            effects += catch_up.on_executed(state, event.header)
        else:
            effects += checkpoints.sign_checkpoint(state, event.header)
        if state.halted:
            return effects
        return effects + ordering.release_held(state, event.now) + catch_up.check_behind(state)

    def _on_timer(self, event: TimerFired) -> list[Effect]:
        state = self._state
        is_start = event.name == TimerName.RESEND and event.generation == START_GENERATION
        if not is_start and not timers.is_current(state, event.name, event.generation):
            return []
        match TimerName(event.name):
            case TimerName.RESEND:
                return self._resend(event.now)
            case TimerName.PROGRESS:
                repeat = timers.start(state, TimerName.PROGRESS, state.settings.resend_ms)
                return repeat + view_change.complain(state, event.now)
            case TimerName.VIEW_CHANGE:
                return view_change.on_view_change_timer(state, event.now)
            case TimerName.CATCH_UP:
                return catch_up.on_timer(state)
            case TimerName.SNAPSHOT:
                state.timers.pop(TimerName.SNAPSHOT, None)
                return []

    def _resend(self, now: Now) -> list[Effect]:
        """Say again what others may have missed, so that one lost message never stalls the chain.

        The more validators there are, the seldomer a status is said while all is well: votes tell as much.
        """
        state = self._state
        effects = timers.start(state, TimerName.RESEND, state.settings.resend_ms)
        periods = 1 + len(state.membership.validators) // STATUS_VALIDATORS if state.active else 1
        is_due = state.resends % periods == 0
        state.resends += 1
        if state.is_member and is_due:
            status = Status(state.epoch, state.view, state.executed.height, state.executed_sequence)
            effects += [Broadcast(sign(state, status))]
        effects += silence.ask(state) + catch_up.follow(state, now)
        effects += view_change.resend(state)
        effects += view_change.join_lonely(state, now)
        effects += checkpoints.resend(state)
        if state.halted:
            return effects
        effects += ordering.resend(state, now)
        effects += new_view.fetch_missing(state)
        return effects + ordering.release_held(state, now) + catch_up.check_behind(state)

    def _answer_status(self, event: Received, status: Status) -> list[Effect]:
        """Give a replica of an earlier view the proof that this one has begun."""
        state = self._state
        if status.epoch != state.epoch or status.view > state.view or not state.active:
            return []
        sender = ReplicaId(event.envelope.sender)
        if status.view == state.view or state.new_view is None:
            return []
        if not may_answer(state, sender, "new-view", event.now):
            return []
        return [Send(sender, state.new_view)]

    def _advance(self, now: Now, before: tuple[View, bool]) -> list[Effect]:
        """Do what the event made possible: enter a view, hear what came early, deliver, propose, watch."""
        state = self._state
        effects = new_view.build_if_due(state, now)
        if state.active and (state.view, state.active) != before:
            effects += catch_up.check_behind(state)
            for early in take_future(state):
                effects += self._on_received(early)
                if state.halted:
                    return effects
        if effects or state.delivering is None:
            for sequence in sorted(state.instances):
                effects += ordering.check_instance(state, state.instances[sequence])
        effects += catch_up.deliver_fetched(state)
        effects += ordering.deliver_next(state)
        effects += ordering.want_batch(state)
        return effects + self._watch_primary()

    def _watch_primary(self) -> list[Effect]:
        state = self._state
        if state.active and ordering.has_uncommitted(state):
            timeout = timers.compute_timeout_ms(state)
            return timers.start_if_stopped(state, TimerName.PROGRESS, timeout)
        return timers.stop(state, TimerName.PROGRESS)


STATUS_VALIDATORS = 24
"""So many validators may say a status in every re-send period, twice as many in every other one, and so on. With 72 on
lines of 1 Mbit/s it would fill a third of each line."""

PHASES = ("normal", "view_change", "catching_up", "silent", "observing", "halted")
"""What ``describe_phase`` may return."""


def describe_phase(state: ReplicaState) -> str:
    """Return one word for where a replica is: halted, observing, catching_up, silent, view_change or normal."""
    if state.halted:
        return "halted"
    if not state.is_member:
        return "observing"
    if state.fetched or catch_up.find_target(state) > state.executed.height + state.settings.depth + 1:
        return "catching_up"
    if state.silence is not None:
        return "silent"
    return "normal" if state.active else "view_change"
