"""In one plain sentence: why is nothing being committed, who is missing, and what to do."""

from collections.abc import Sequence

from consensus.replica import describe_phase
from consensus.state import ReplicaState
from p2p.peers import PeerStatus


def explain_waiting(
    state: ReplicaState, peers: Sequence[PeerStatus], pending: int, silence_ms: int
) -> str | None:
    """Return why nothing is committed although something waits; None when all is well."""
    membership = state.settings.membership
    missing = [_describe_missing(peer) for peer in peers if not peer.connected]
    reached = len(membership.replicas) - len(missing)
    phase = describe_phase(state)
    leader = membership.get_name(state.primary)
    if phase == "halted":
        return "this node computed another block than a certified quorum and stopped voting; see its log"
    if reached < membership.quorum:
        return (
            f"only {reached} of {len(membership.replicas)} validators are connected and {membership.quorum}"
            f" are needed; missing: {', '.join(missing)}; start them, nothing accepted is lost"
        )
    if phase == "catching_up":
        return "this node fetches blocks that it missed; it votes again when it is up to date"
    if phase == "view_change":
        return f"the validators change to view {state.view}, led by {leader}; nothing accepted is lost"
    if pending and silence_ms > 2 * state.settings.view_timeout_ms:
        return f"{leader}, who leads, has made no block for {silence_ms // 1000} s; it will be replaced by itself"
    return None


def _describe_missing(peer: PeerStatus) -> str:
    return f"{peer.name} (for {peer.since_s:.0f} s: {peer.last_error})"
