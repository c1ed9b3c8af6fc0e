"""A key whose memory is older than its votes is silent until everything it can have signed is decided."""

from copy import deepcopy

from consensus.codec import encode_record
from consensus.effects import Broadcast, Effect, Send, Silenced
from consensus.events import Event
from consensus.messages import Checkpoint, Commit, NewView, Prepare, PrePrepare, ViewChange
from consensus.replica import describe_phase
from consensus.silence import SILENT_WINDOWS
from consensus.window import WINDOW
from node.storage.journal import open_journal
from tests.simulation.disk import JOURNAL, Disk
from tests.simulation.world import World

BINDING = (PrePrepare, Prepare, Commit, Checkpoint, ViewChange, NewView)
SILENT_SEQUENCES = SILENT_WINDOWS * WINDOW


class Ear:
    """Counts what a machine says that binds its key."""

    def __init__(self, world: World, index: int) -> None:
        self.index = index
        self.key = world.machines[index].key.public
        self.said = 0
        world.told = self.hear

    def hear(self, _now_ms: int, index: int, _event: Event, effects: list[Effect]) -> None:
        if index == self.index:
            envelopes = [effect.envelope for effect in effects if isinstance(effect, Broadcast | Send)]
            own = [e for e in envelopes if isinstance(e.message, BINDING) and e.sender == self.key]
            self.said += len(own)


def commit(world: World, count: int, at: list[int] | None = None) -> None:
    """Let so many blocks be made, each of one payment."""
    for _ in range(count):
        sealed = world.community.grant(0, 1)
        world.submit(sealed)
        world.run_until(lambda sealed=sealed: world.is_committed(sealed, at), 20_000)  # type: ignore[misc]


def bring_back(world: World, index: int, disk: Disk) -> Ear:
    """Start a validator from another disk than the one it had."""
    machine = world.machines[index]
    machine.is_damaged = True  # its disk lost what no crash may take
    machine.disk = disk
    ear = Ear(world, index)
    assert world.restart(index), machine.refused_start
    return ear


def check_silence_ends_in_time(world: World, index: int, ear: Ear) -> None:
    """Let blocks come: it may not vote before it is past what it can have signed, and then it must."""
    world.run_until(
        lambda: (silence := world.machines[index].state.silence) is not None and silence.until is not None,
        5000,
    )
    silence = world.machines[index].state.silence
    assert silence is not None
    assert silence.until is not None
    assert silence.until >= world.machines[0].state.low_watermark + SILENT_SEQUENCES
    while world.machines[index].state.stable_sequence < silence.until - 1:
        commit(world, 1)
        assert ear.said == 0
        assert describe_phase(world.machines[index].state) in {"silent", "catching_up"}
    commit(world, 2)
    world.run_until(lambda: world.machines[index].state.silence is None, 5000)
    commit(world, 1)
    assert ear.said > 0
    world.kill(0 if index else 1)
    commit(world, 3)  # a quorum of four needs its vote now
    world.check()


def test_a_normal_restart_costs_one_round_trip() -> None:
    world = World(4)
    commit(world, 3)
    world.run(500)
    world.kill(2)
    world.restart(2)
    ear = Ear(world, 2)
    assert world.machines[2].state.silence is not None
    world.run(100)
    assert world.machines[2].state.silence is None
    commit(world, 1)
    assert ear.said > 0


def test_a_validator_that_starts_alone_says_nothing_until_a_quorum_is_there() -> None:
    world = World(4, is_started=False)
    ear = Ear(world, 0)
    world.restart(0)
    world.restart(1)
    world.submit(world.community.grant(0))
    world.run(20_000)
    assert ear.said == 0
    world.restart(2)
    commit(world, 1)
    assert ear.said > 0


def test_a_restored_backup_is_silent_until_it_is_past_what_it_signed() -> None:
    world = World(4)
    commit(world, 3)
    world.kill(2)
    backup = deepcopy(world.machines[2].disk)
    world.restart(2)
    world.run(1000)
    commit(world, 5)
    world.kill(2)
    ear = bring_back(world, 2, backup)
    check_silence_ends_in_time(world, 2, ear)


def test_a_lost_disk_is_recovered_in_silence() -> None:
    world = World(4)
    commit(world, 3)
    world.kill(1)
    disk = Disk()
    with open_journal(JOURNAL, world.constitution.genesis_hash, disk.files) as journal:
        journal.append(encode_record(Silenced(is_over=False)), twice=True)
        journal.sync()
    ear = bring_back(world, 1, disk)
    check_silence_ends_in_time(world, 1, ear)


def test_silence_outlives_a_restart_although_the_witnesses_forgot() -> None:
    world = World(4)
    commit(world, 3)
    world.kill(2)
    backup = deepcopy(world.machines[2].disk)
    world.restart(2)
    world.run(1000)
    commit(world, 2)
    world.kill(2)
    bring_back(world, 2, backup)
    commit(world, 3)
    for index in range(4):
        world.kill(index)
    for index in range(4):
        world.restart(index)
    world.run(1000)
    assert describe_phase(world.machines[2].state) == "silent"
    commit(world, 1)


def test_a_cloned_home_does_not_vote_beside_the_first_and_stops_when_it_could() -> None:
    world = World(4, twins=(3,), is_started=False)
    for index in range(4):
        world.restart(index)
    commit(world, 2, at=[0, 1, 2])
    world.stop(3)  # a copy of a running home is torn somewhere; this one is not
    world.machines[4].disk = deepcopy(world.machines[3].disk)
    world.restart(3)
    world.run(1000)
    commit(world, 2, at=[0, 1, 2])
    ear = Ear(world, 4)
    world.restart(4)
    commit(world, SILENT_SEQUENCES + 5, at=[0, 1, 2])
    world.run(2000)
    assert ear.said == 0
    assert not world.machines[4].is_alive
    assert world.machines[3].is_alive
    assert world.hits["KeyInUse"] == 1


def test_a_new_epoch_ends_the_silence_because_no_old_vote_counts_in_it() -> None:
    world = World(4, candidates=1)
    commit(world, 3, at=[0, 1, 2, 3])
    world.kill(2)
    backup = deepcopy(world.machines[2].disk)
    world.restart(2)
    world.run(1000)
    commit(world, 2, at=[0, 1, 2, 3])
    world.kill(2)
    ear = bring_back(world, 2, backup)
    world.run(1000)
    assert describe_phase(world.machines[2].state) == "silent"
    world.cast(world.community.add(4))
    world.run_until(lambda: world.machines[2].state.epoch == 1, 20_000)
    assert ear.said == 0
    world.run_until(lambda: world.machines[2].state.silence is None, 20_000)
    commit(world, 1)
