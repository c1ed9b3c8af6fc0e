"""Falling behind, and coming back by itself: certified blocks from any peer, and no peer's word believed.

A claimed height only decides whom to ask. What is executed is linked to a certificate that the host has checked.
"""

from itertools import pairwise

from consensus import timers
from consensus.effects import Deliver, Effect, FetchBlocks, FetchSnapshot, TimerName
from consensus.events import BlocksFetched, Now, Received
from consensus.log import may_answer
from consensus.messages import Checkpoint, Status
from consensus.state import ReplicaState
from consensus.watermarks import find_certified_height, halt, stabilise
from primitives.header import BlockHeader
from primitives.ids import Epoch, Height, ReplicaId, Sequence

SNAPSHOT_BEYOND = 4096
"""Blocks behind beyond which a snapshot costs less than executing them; nodes keep at least as many."""

FOLLOW_MS = 2000
"""How often a replica without a vote asks for the next blocks although nobody it knows has told of any."""

SNAPSHOT_PATIENCE_MS = 60_000
"""So long a snapshot may be on its way before it is asked for again: 7 MB over 1 Mbit/s."""


def on_status(state: ReplicaState, event: Received, message: Status) -> None:
    """Remember where a replica says it stands; one status per replica."""
    if message.epoch >= state.epoch:
        state.statuses[ReplicaId(event.envelope.sender)] = message


def check_behind(state: ReplicaState) -> list[Effect]:
    """Watch the gap to the others: a small one is given time to close, a large one is fetched at once."""
    if state.fetched:
        return []
    target = find_target(state)
    reached = Height(state.executed.height + (0 if state.delivering is None else 1))
    if target <= reached and not is_epoch_over(state):
        return timers.stop(state, TimerName.CATCH_UP)
    if TimerName.CATCH_UP in state.timers:
        return []
    state.catch_up_target = target
    if target > reached + state.settings.depth + 1:
        return _fetch(state, target)
    return timers.start(state, TimerName.CATCH_UP, timers.CATCH_UP_DELAY_MS)


def on_timer(state: ReplicaState) -> list[Effect]:
    """Fetch if the height that was missing when the timer started is still missing; otherwise look anew."""
    state.timers.pop(TimerName.CATCH_UP, None)
    if state.fetched:
        return []
    target = find_target(state)
    if state.delivering is not None:
        return check_behind(state)
    if is_epoch_over(state):
        return _fetch(state, target)
    if state.executed.height >= state.catch_up_target:
        return check_behind(state)
    return _fetch(state, target) if target > state.executed.height else []


def follow(state: ReplicaState, now: Now) -> list[Effect]:
    """Without a vote, ask whoever is linked for the next blocks: all members that this replica knows may have left.

    Nobody's claim is needed for it, because the blocks prove themselves.
    """
    if state.is_member or state.fetched or state.delivering is not None:
        return []
    if not may_answer(state, state.own, "follow", now, FOLLOW_MS):
        return []
    return [FetchBlocks(_find_first(state), ())]


def on_blocks_pruned(state: ReplicaState) -> list[Effect]:
    """Turn to a snapshot when the peers have the next blocks no more; whoever does have them is asked on."""
    if state.fetched or state.delivering is not None:
        return []
    return _fetch_snapshot(state, _find_peers(state, find_target(state)))


def on_blocks_fetched(state: ReplicaState, event: BlocksFetched) -> list[Effect]:
    """Take certified blocks that continue the own chain.

    In this order: nothing fetched is still being executed; the blocks are of this epoch, consecutive, linked, each
    with its own batch, and the last is the certificate's; they begin at or below the next height. A chain that does
    not continue the own executed block proves that this replica diverged. Blocks that end where this replica stands
    bring the certificate that it misses.
    """
    if state.fetched or not event.blocks:
        return []
    headers = [block.header for block in event.blocks]
    if headers[-1] != event.certificate.header or not _are_linked(headers):
        return []
    if any(block.batch.header.compute_digest() != block.header.batch_digest for block in event.blocks):
        return []
    if headers[0].epoch != state.epoch or headers[-1].epoch != state.epoch:
        return []
    if headers[-1].height == state.executed.height:
        return stabilise(state, event.certificate)
    if headers[0].height > state.executed.height + 1 or headers[-1].height < state.executed.height:
        return []
    if state.following is not None:
        return []
    blocks = [block for block in event.blocks if block.header.height > state.executed.height]
    if blocks[0].header.parent != state.executed.compute_digest():
        own = state.executed.compute_digest()
        return halt(state, Height(state.executed.height), own, blocks[0].header.parent)  # type: ignore[arg-type]
    state.fetched.extend(blocks)
    state.fetched_certificate = event.certificate
    return timers.stop(state, TimerName.CATCH_UP)


def deliver_fetched(state: ReplicaState) -> list[Effect]:
    """Hand the next fetched block to the host."""
    if state.delivering is not None or not state.fetched:
        return []
    header = state.fetched[0].header
    state.delivering = Sequence(header.sequence)
    return [
        Deliver(Epoch(state.epoch), Sequence(header.sequence), Height(header.height), state.fetched[0].batch)
    ]


def on_executed(state: ReplicaState, header: BlockHeader) -> list[Effect]:
    """Compare an executed block with the certified one and with what was signed for its height before a store lost it.

    At the certificate's height the watermarks move.
    """
    if not state.fetched or state.fetched_certificate is None:
        return []
    certified = state.fetched[0].header
    if header.height != certified.height:
        return []
    height, digest = Height(header.height), certified.compute_digest()
    if header != certified:
        return halt(state, height, header.compute_digest(), digest)
    signed = state.signed_headers.get(height, digest)
    if signed != digest:
        return halt(state, height, signed, digest)
    state.fetched.popleft()
    if state.fetched:
        return []
    certificate = state.fetched_certificate
    state.fetched_certificate = None
    state.answered.pop((state.own, "follow"), None)  # there may be more at once
    return stabilise(state, certificate)


def find_target(state: ReplicaState) -> Height:
    """Return the height that a correct replica has reached: f + 1 claim it, or a quorum signed it."""
    proven = 0 if state.proven is None else state.proven.header.height
    claims = _collect_claims(state)
    heights = sorted(claims.values(), reverse=True)
    weak = state.membership.weak_quorum
    claimed = heights[weak - 1] if len(heights) >= weak else 0
    return Height(max(claimed, proven, find_certified_height(state)))


def is_epoch_over(state: ReplicaState) -> bool:
    """Tell whether a member says that a later epoch has begun: one word is enough to ask, since blocks prove it."""
    return any(status.epoch > state.epoch for status in state.statuses.values())


def _fetch(state: ReplicaState, target: Height) -> list[Effect]:
    peers = _find_peers(state, target)
    state.catch_up_target = target
    is_far = target > state.executed.height + SNAPSHOT_BEYOND
    return [
        *(_fetch_snapshot(state, peers) if is_far else [FetchBlocks(_find_first(state), peers)]),
        *timers.start(state, TimerName.CATCH_UP, state.settings.resend_ms),
    ]


def _find_first(state: ReplicaState) -> Height:
    """Return the next height, or the executed one again when it ends its epoch and its certificate is missing."""
    return Height(state.executed.height + (1 if state.following is None else 0))


def _fetch_snapshot(state: ReplicaState, peers: tuple[ReplicaId, ...]) -> list[Effect]:
    """Ask once in SNAPSHOT_PATIENCE_MS. A timer of its own, so that a liar who calls blocks pruned holds up none."""
    if TimerName.SNAPSHOT in state.timers:
        return []
    return [FetchSnapshot(peers), *timers.start(state, TimerName.SNAPSHOT, SNAPSHOT_PATIENCE_MS)]


def _find_peers(state: ReplicaState, target: Height) -> tuple[ReplicaId, ...]:
    """Return who claims to have what is missing; when nobody does, every member, and nobody by name for a replica that
    has no vote.
    """
    claims = _collect_claims(state)
    later = {replica for replica, status in state.statuses.items() if status.epoch > state.epoch}
    peers = tuple(
        replica
        for replica in sorted(claims)
        if replica in later or claims[replica] >= max(target, state.executed.height + 1)
    )
    if peers or not state.is_member:
        return peers
    return tuple(sorted(state.membership.replica_set - {state.own}))


def _collect_claims(state: ReplicaState) -> dict[ReplicaId, int]:
    claims = {replica: status.height for replica, status in state.statuses.items() if replica != state.own}
    for height, votes in sorted(state.checkpoints.items()):
        if height <= state.executed.height:
            continue
        for replica, envelope in votes.items():
            if replica != state.own and isinstance(envelope.message, Checkpoint):
                claims[replica] = max(claims.get(replica, 0), height)
    return claims


def _are_linked(headers: list[BlockHeader]) -> bool:
    return all(
        later.height == earlier.height + 1 and later.parent == earlier.compute_digest()
        for earlier, later in pairwise(headers)
    )
