"""Scenes in which one replica has committed, or believes so, and the others leave the view without it."""

from consensus.codec import encode_record, is_vote_record
from consensus.messages import Commit, Envelope, Prepare
from primitives.ids import ReplicaId, Sequence
from tests.simulation.network import Frame, Kind
from tests.simulation.world import World

ALONE = 1
"""The replica that is ahead of the others; it leads the next view, too, which nobody hears of."""

OTHERS = (0, 2, 3)


def play_committed_at_one(seed: int) -> str | None:
    """What one replica committed before it was cut off is what the others commit in a later view."""
    return _play(World(4, seed), alone=(Commit,), nowhere=(), is_restarted=False)


def play_committed_at_one_restarted(seed: int) -> str | None:
    """The same, when all the others lose their power meanwhile."""
    return _play(World(4, seed), alone=(Commit,), nowhere=(), is_restarted=True)


def play_prepared_at_one(seed: int) -> str | None:
    """What only one replica prepared is not committed there."""
    return _play(World(4, seed), alone=(Prepare,), nowhere=(Commit,), is_restarted=False)


def _play(
    world: World, alone: tuple[type, ...], nowhere: tuple[type, ...], *, is_restarted: bool
) -> str | None:
    """Let one kind of vote of view 0 reach ALONE only and another nobody, cut it off, and let the others go on."""
    world.run(100)

    def may_pass(_source: int, target: int, frame: Frame) -> bool:
        envelope = world.memory.decode(frame.payload) if frame.kind is Kind.MESSAGE else None
        message = envelope.message if isinstance(envelope, Envelope) else None
        if not isinstance(message, Prepare | Commit) or message.view > 0:
            return True
        return not isinstance(message, nowhere) and (target == ALONE or not isinstance(message, alone))

    world.network.may_pass = may_pass
    first, second = world.community.grant(0), world.community.grant(1)
    world.submit(first)
    world.run(200)
    world.network.isolate(ALONE)
    if is_restarted:
        for index in OTHERS:
            world.kill(index)
        for index in OTHERS:
            world.restart(index)
        world.run(50)
    world.submit(second, to=list(OTHERS))
    world.run_until(lambda: world.is_committed(second, list(OTHERS)), 20_000)
    world.network.heal()
    world.run_until(lambda: world.is_committed(second), 20_000)
    world.check()
    return None


def play_rewritten_journal(seed: int) -> str | None:
    """A shorter journal still holds the votes of what is open."""
    world = World(4, seed)
    world.run(100)
    world.network.may_pass = lambda _source, _target, frame: not _is(world, frame, Commit)
    world.submit(world.community.grant(0))
    world.run(100)
    machine = world.machines[2]
    process = machine.get_process()
    kept = process.host.replica.get_journal_records()
    process.storage.journal.rewrite([(encode_record(record), is_vote_record(record)) for record in kept])
    world.kill(2)
    world.restart(2)
    votes = machine.state.instances[Sequence(1)].prepares
    return None if ReplicaId(machine.key.public) in votes else "a rewritten journal forgot a vote"


def _is(world: World, frame: Frame, kind: type) -> bool:
    envelope = world.memory.decode(frame.payload) if frame.kind is Kind.MESSAGE else None
    return isinstance(envelope, Envelope) and isinstance(envelope.message, kind)


SPLITS = {
    "rewritten_journal": play_rewritten_journal,
    "committed_at_one": play_committed_at_one,
    "committed_at_one_restarted": play_committed_at_one_restarted,
    "prepared_at_one": play_prepared_at_one,
}
"""By name."""
