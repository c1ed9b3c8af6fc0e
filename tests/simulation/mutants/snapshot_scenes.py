"""Scenes in which the first peer that is asked for a snapshot lies as well as it can."""

from collections.abc import Callable

from msgspec.structs import replace

from node.exchange import RequestKind
from node.snapshots.parts import (
    Manifest,
    cut_buckets,
    decode_buckets_question,
    decode_manifest,
)
from primitives.encoding import encode
from tests.simulation.behaviour import Behaviour
from tests.simulation.returning import KEEP, LIMIT_MS, commit, fall_behind, is_following
from tests.simulation.world import World
from vm.state_root import build_tree, collect_group_digests

SLEEPER = 3


class EmptyState(Behaviour):
    """Gives a whole snapshot of a state without anything, under a header that nobody signed."""

    def answer(self, question: int, payload: bytes, honest: bytes) -> bytes | None:
        if question == RequestKind.SNAPSHOT and honest:
            tree = build_tree(())
            certificate = decode_manifest(honest).certificate
            header = replace(certificate.header, state_root=tree.root)
            return encode(Manifest(replace(certificate, header=header), collect_group_digests(tree)))
        if question == RequestKind.SNAPSHOT_BUCKETS:
            return encode(cut_buckets(decode_buckets_question(payload).first, ()))
        return honest


def build_return(make_liar: Callable[[], Behaviour] | None) -> Callable[[int], str | None]:
    """Return a scene: one comes back by a snapshot while the first one it asks lies; it must be right in the end."""

    def play(seed: int) -> str | None:
        world = World(4, seed=seed, keep_blocks=KEEP)
        others = fall_behind(world, SLEEPER)
        liar = min(others, key=lambda index: world.machines[index].key.public)
        if make_liar is not None:
            world.set_behaviour(liar, make_liar())
            others.remove(liar)
        world.restart(SLEEPER)
        world.run_until(lambda: is_following(world, SLEEPER), LIMIT_MS)
        commit(world, [*others, SLEEPER])
        world.check()
        return None

    return play


SNAPSHOT_SCENES = {
    "snapshot": build_return(None),
    "snapshot_of_nothing": build_return(EmptyState),
}
