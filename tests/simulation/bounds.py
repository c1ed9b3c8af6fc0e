"""I10: what a replica keeps stays under the bounds that the code names, whatever others send."""

from collections.abc import Iterable
from typing import TYPE_CHECKING

from consensus.events import Received
from consensus.log import ACCEPTED_KEPT, FUTURE_PROPOSALS_MAX, FUTURE_VOTES_MAX
from consensus.messages import PrePrepare
from consensus.window import CHECKPOINT_AHEAD, WINDOW
from node.exchange import BLOCKS_PER_ANSWER_MAX
from node.host import RECEIVED_WAITING_MAX
from node.inbox import RESOLVING_MAX

if TYPE_CHECKING:
    from tests.simulation.process import Process

ANSWER_KINDS = 4
"""Kinds of answers that a replica remembers having given."""


def find_excess(process: "Process") -> str | None:
    """Return what is beyond its bound, or None."""
    state = process.host.replica.view
    replicas = len(state.membership.replicas)
    sizes = {
        "instances": (len(state.instances), 2 * WINDOW),
        "batches": (len(state.batches), (ACCEPTED_KEPT + 2) * 2 * WINDOW),
        "held proposals": (len(state.held), WINDOW),
        "heights with checkpoints": (len(state.checkpoints), CHECKPOINT_AHEAD + 2 * WINDOW),
        "checkpoints of one height": (max(map(len, state.checkpoints.values()), default=0), replicas),
        "signed headers": (len(state.signed_headers), 2 * WINDOW),
        "statuses": (len(state.statuses), replicas),
        "complaints": (len(state.complaints), replicas),
        "view changes": (len(state.view_changes), replicas),
        "answers remembered": (len(state.answered), ANSWER_KINDS * replicas),
        "senders of later views": (len(state.future), replicas),
        "messages of later views": (max(map(len, state.future.values()), default=0), FUTURE_VOTES_MAX),
        "proposals of later views": (
            max(
                (
                    sum(isinstance(e.envelope.message, PrePrepare) for e in kept)
                    for kept in state.future.values()
                ),
                default=0,
            ),
            FUTURE_PROPOSALS_MAX,
        ),
        "fetched blocks": (len(state.fetched), BLOCKS_PER_ANSWER_MAX),
        "events that wait": (process.host.waiting, RECEIVED_WAITING_MAX + 64),
        "errands": (process.fetcher.running, RESOLVING_MAX),
        "running timers": (len(state.timers), 4),
        "bytes of the journal": (process.storage.journal.size, 8 * process.world.rewrite_above),
    }
    for name, (size, bound) in sizes.items():
        if size > bound:
            return f"{name}: {size} are more than {bound}"
    return None


def _count_proposals(kept: Iterable[Received]) -> int:
    return sum(isinstance(event.envelope.message, PrePrepare) for event in kept)
