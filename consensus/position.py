"""Where a replica stands, in names and numbers: what an operator is shown. It looks and changes nothing."""

from collections.abc import Collection, Mapping
from dataclasses import dataclass

from consensus import catch_up, timers
from consensus.effects import TimerName
from consensus.events import Now, Received
from consensus.log import get_vote_digest, select_matching
from consensus.messages import PrePrepare, ViewChange
from consensus.ordering import compute_ahead_ms
from consensus.replica import describe_phase
from consensus.state import Instance, ReplicaState, Silence
from consensus.transcript import shorten
from consensus.view_change import find_complaining
from consensus.window import WINDOW
from primitives.batch import NULL_DIGEST
from primitives.ids import ReplicaId, Sequence, View

OPEN_SHOWN_MAX = 8
"""Open sequences told, the lowest first: they hold up the others, and a healthy replica has at most its depth, 4."""


@dataclass(frozen=True, slots=True)
class OpenSequence:
    """A sequence above the last executed one of which something is known. ``prepared`` and ``committed`` are who voted.

    ``stage`` is ``held`` (dated ``ahead_ms`` beyond what is accepted, or ahead of its turn), ``unproposed`` (votes
    without the proposal), ``fetching`` (its batch is missing), ``proposed``, ``prepared`` or ``committed``.
    """

    sequence: int
    stage: str
    digest: str = ""
    transactions: int = 0
    prepared: tuple[str, ...] = ()
    committed: tuple[str, ...] = ()
    ahead_ms: int = 0


@dataclass(frozen=True, slots=True)
class Quiet:
    """Why a replica does not vote although it could: it asks what its key has signed, and so many must answer; or the
    key has signed more than its journal holds, and a certificate must pass the sequence ``until`` first.
    """

    answered: tuple[str, ...]
    needed: int
    until: int | None


@dataclass(frozen=True, slots=True, kw_only=True)
class Position:
    """A replica at one moment.

    ``view_changes`` says for which view each replica left, ``complaints`` who waits for the primary now. The replica
    may vote on sequences above ``low_watermark`` and up to ``high_watermark``. ``timers_ms`` is what is left of each
    running timer, ``timeout_ms`` the time that this attempt at a view has, ``next_timeout_ms`` that of the next one.
    """

    name: str
    validators: tuple[str, ...]
    quorum: int
    weak_quorum: int
    epoch: int
    view: int
    active: bool
    phase: str
    primary: str
    next_primary: str
    attempt: int
    sequence: int
    low_watermark: int
    high_watermark: int
    executed_height: int
    certified_height: int
    claimed_height: int
    executing: bool
    open: tuple[OpenSequence, ...]
    view_changes: Mapping[str, int]
    complaints: tuple[str, ...]
    timers_ms: Mapping[str, int]
    timeout_ms: int
    next_timeout_ms: int
    silence: Quiet | None = None


def describe_position(
    state: ReplicaState, now: Now, timers_ms: Mapping[TimerName, int], name: str | None = None
) -> Position:
    """Return where a replica stands; ``timers_ms`` is what is left of each timer, as its host knows.

    ``name`` is its own: one that is not, or no more, among the validators is not named by them.
    """
    membership = state.membership
    next_view = View(state.view + 1)
    return Position(
        name=name or membership.get_name(state.own),
        validators=tuple(validator.name for validator in membership.validators),
        quorum=membership.quorum,
        weak_quorum=membership.weak_quorum,
        epoch=state.epoch,
        view=state.view,
        active=state.active,
        phase=describe_phase(state),
        primary=membership.get_name(state.primary),
        next_primary=membership.get_name(membership.get_primary(next_view)),
        attempt=state.attempt,
        sequence=state.executed_sequence,
        low_watermark=state.low_watermark,
        high_watermark=state.low_watermark + WINDOW,
        executed_height=state.executed.height,
        certified_height=state.stable_height,
        claimed_height=catch_up.find_target(state),
        executing=state.delivering is not None,
        open=_describe_open(state, now),
        view_changes=_describe_view_changes(state),
        complaints=_name_all(state, find_complaining(state, now)),
        timers_ms={n.value: max(0, timers_ms[n]) for n in TimerName if n in timers_ms and n in state.timers},
        timeout_ms=timers.compute_timeout_ms(state),
        next_timeout_ms=timers.compute_timeout_ms(state, later=1),
        silence=None if state.silence is None else _describe_silence(state, state.silence),
    )


def _describe_silence(state: ReplicaState, silence: Silence) -> Quiet:
    quorum = state.membership.quorum
    return Quiet(
        answered=_name_all(state, silence.testimonies),
        needed=quorum if silence.is_past_unknown else quorum - 1,
        until=silence.until,
    )


def _describe_open(state: ReplicaState, now: Now) -> tuple[OpenSequence, ...]:
    above = sorted(s for s in {*state.instances, *state.held} if s > state.executed_sequence)
    told = [_describe_sequence(state, now, sequence) for sequence in above]
    return tuple(each for each in told if each is not None)[:OPEN_SHOWN_MAX]


def _describe_sequence(state: ReplicaState, now: Now, sequence: Sequence) -> OpenSequence | None:
    """Return what is known of a sequence in this view; None when that is nothing."""
    instance = state.instances.get(sequence)
    held = state.held.get(sequence)
    if instance is not None and instance.proposal is not None:
        return _describe_instance(state, instance)
    if held is not None:
        return _describe_held(state, now, sequence, held)
    if instance is None or not (instance.prepares or instance.commits or instance.committed):
        return None
    return OpenSequence(
        sequence=sequence,
        stage="unproposed" if instance.committed is None else "committed",
        prepared=_name_all(state, instance.prepares),
        committed=_name_all(state, instance.commits),
    )


def _describe_instance(state: ReplicaState, instance: Instance) -> OpenSequence:
    proposal = instance.proposal
    digest = b"" if proposal is None else proposal.digest
    if instance.committed is not None:
        stage = "committed"
    elif not instance.is_batch_known:
        stage = "fetching"
    else:
        stage = "prepared" if state.own in instance.commits else "proposed"
    prepares = select_matching(instance.prepares, digest)
    return OpenSequence(
        sequence=instance.sequence,
        stage=stage,
        digest="null" if digest == NULL_DIGEST else shorten(digest),
        transactions=0 if instance.batch is None else len(instance.batch.transactions),
        prepared=_name_all(
            state, {state.primary: None, **dict.fromkeys(prepares)}
        ),  # a proposal counts as prepare
        committed=_name_all(state, select_matching(instance.commits, digest)),
    )


def _describe_held(state: ReplicaState, now: Now, sequence: Sequence, held: Received) -> OpenSequence:
    is_dated = held.batch is not None and isinstance(held.envelope.message, PrePrepare)
    return OpenSequence(
        sequence=sequence,
        stage="held",
        digest=shorten(get_vote_digest(held.envelope)),
        transactions=0 if held.batch is None else len(held.batch.transactions),
        ahead_ms=compute_ahead_ms(state, now, held.batch) if is_dated and held.batch is not None else 0,
    )


def _describe_view_changes(state: ReplicaState) -> dict[str, int]:
    """Return for which view each replica left; what a replica said before this view means nothing any more."""
    left = {
        replica: envelope.message.view
        for replica, envelope in state.view_changes.items()
        if isinstance(envelope.message, ViewChange)
    }
    since = state.view + 1 if state.active else state.view
    return {name: left[replica] for replica, name in _sort(state, left) if left[replica] >= since}


def _name_all(state: ReplicaState, replicas: Collection[ReplicaId]) -> tuple[str, ...]:
    return tuple(name for _, name in _sort(state, replicas))


def _sort(state: ReplicaState, replicas: Collection[ReplicaId]) -> list[tuple[ReplicaId, str]]:
    """Return replicas with their names, in the order of the membership."""
    membership = state.membership
    return [(replica, membership.get_name(replica)) for replica in membership.replicas if replica in replicas]
