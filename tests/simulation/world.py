"""A whole network that a test drives by hand."""

from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from random import Random

from consensus.codec import encode_envelope
from consensus.effects import (
    Certified,
    Deliver,
    Diverged,
    Effect,
    EpochStarted,
    Equivocation,
    Notice,
    Report,
    StartTimer,
    ViewChangeStarted,
    ViewStarted,
    VoiceLost,
)
from consensus.events import Event, Executed
from consensus.messages import Envelope
from consensus.state import ReplicaState
from consensus.transcript import describe_effect, describe_event
from node.errors import NodeError
from node.intake import SubmitResult
from node.packing import Packing
from node.storage.chain import ChainStore
from node.storage.journal import JournalError
from node.storage.memory import MemoryStore
from node.storage.store import StoreError
from primitives.encoding import Struct
from primitives.ids import Digest, Height, ReplicaId
from primitives.signing import SecretKey
from tests.simulation.behaviour import Behaviour
from tests.simulation.checkers import Checker, ViolationError
from tests.simulation.community import PARAMETERS, Community, build_constitution, get_validator_key
from tests.simulation.disk import Disk, PowerCutError
from tests.simulation.memory import Memory
from tests.simulation.network import Frame, Kind, Network
from tests.simulation.process import Process
from tests.simulation.timeline import Timeline
from vm.genesis import ConsensusParameters
from vm.transaction import SealedTransaction

Told = Callable[[int, int, Event, list[Effect]], object]
"""Hears the time, the machine, what its replica was told and what it asked for."""

Noted = Callable[[int, str], object]
"""Hears the time, and what happened to the machines."""

EXECUTION_MS = 1

REWRITE_ABOVE_BYTES = 256 * 1024
"""The journal is rewritten beyond this, so that it happens in runs of seconds; production waits for megabytes."""


@dataclass
class Machine:
    """Where a validator lives: what of it survives its process."""

    index: int
    key: SecretKey
    disk: Disk = field(default_factory=Disk)
    behaviour: Behaviour | None = None
    is_damaged: bool = False
    """Its disk lost something that no crash may take: it counts as faulty, though it keeps to the protocol."""
    is_asking: bool = True
    """A start asks what the key has signed. Whoever runs one key twice on purpose leaves that out."""
    wall_offset_ms: int = 0
    monotonic_offset_ms: int = 0
    process: Process | None = None
    lives: int = 0
    refused_start: str | None = None
    """Why the last start was refused."""
    attempts: int = 0
    """Views left since the last block that was executed in a view at work."""
    is_view_active: bool = True
    drift_ms: int = 0
    """How far a batch's time may run before its clock."""
    packing: Packing = Packing.ROUND_ROBIN

    @property
    def is_correct(self) -> bool:
        """Tell whether it keeps to the protocol."""
        return self.behaviour is None

    @property
    def is_alive(self) -> bool:
        """Tell whether its validator runs."""
        return self.process is not None

    @property
    def state(self) -> ReplicaState:
        """Return the running replica's state, for reading."""
        return self.get_process().host.replica.view

    def get_process(self) -> Process:
        """Return the running process."""
        assert self.process is not None, f"v{self.index} is not running"
        return self.process

    def get_chain(self) -> ChainStore:
        """Return the chain on its disk, whether or not it runs."""
        return ChainStore(self.disk.store)


class World:
    """Validators v0 … v(n-1), their disks and links, and what happens to them.

    A test builds it, and everything runs without faults. Then, by hand::

        world = World(4, seed=7)
        sealed = world.community.grant(0)
        world.submit(sealed)                   # to all; or world.submit(sealed, to=[0])
        world.run(500)                         # milliseconds of virtual time
        world.run_until(lambda: world.is_committed(sealed), 5_000)
        world.kill(2); world.restart(2)        # or world.crash_at(2, 3): the power goes at its 4th disk operation
        world.network.cut(0, 1)                # one direction; isolate(i), cut_between(a, b), clog, heal()
        world.set_behaviour(3, Silent())       # Byzantine from now on
        world.tell(lines.append)               # every event and effect as transcript lines
        world.check()                          # what is checked on the way, once more for all

    Every violation raises ``ViolationError`` at once, out of ``run``. Twins are machines n, n+1, … that share the key
    of the validators named in ``twins``; those count as Byzantine, though each runs the correct code. Candidates are
    machines n, n+1, … with keys of their own, which are no validators until ballots let them in::

        world = World(4, candidates=3)
        world.cast(world.community.add(4))     # every current validator's ballot for v4
    """

    def __init__(
        self,
        validators: int = 4,
        seed: int = 0,
        *,
        twins: tuple[int, ...] = (),
        candidates: int = 0,
        parameters: ConsensusParameters = PARAMETERS,
        is_started: bool = True,
        keep_blocks: int = 0,
    ) -> None:
        self.size = validators
        self.keep_blocks = keep_blocks
        self.constitution = build_constitution(validators, parameters)
        self.parameters = parameters
        self.community = Community(self.constitution.genesis_hash)
        self.random = Random(seed)
        self.hits: Counter[str] = Counter()
        self.timeline = Timeline()
        owners = [*range(validators), *(twins or range(validators, validators + candidates))]
        self.machines = [
            Machine(i, get_validator_key(owner), drift_ms=parameters.drift_ms)
            for i, owner in enumerate(owners)
        ]
        for index in {*twins, *range(validators, validators + len(twins))}:
            self.set_behaviour(index, Behaviour())
        self.network = Network(self.timeline, self.random, self.hits, self._deliver, len(owners))
        self.memory = Memory(self.constitution.genesis_hash)
        self.checker = Checker(self.constitution.membership, self.constitution.genesis_hash)
        self._is_membership_fixed = not candidates
        self.told: Told | None = None
        self.noted: Noted | None = None
        self.rewrite_above = REWRITE_ABOVE_BYTES
        self.worth_a_block = 1
        """The handful of transactions of a world must fill the depth, or nothing would ever be on its way together."""
        self._homes: dict[bytes, list[int]] = {}
        for machine in self.machines:
            self._homes.setdefault(machine.key.public, []).append(machine.index)
        if is_started:
            for machine in self.machines:
                self.restart(machine.index)

    # what a test does

    @property
    def now_ms(self) -> int:
        """Return virtual time."""
        return self.timeline.now_ms

    def submit(self, sealed: SealedTransaction, to: list[int] | None = None) -> list[SubmitResult]:
        """Hand a transaction to running validators, to all of them by default; return their answers."""
        chosen = range(len(self.machines)) if to is None else to
        running = [process for index in chosen if (process := self.machines[index].process) is not None]
        return [process.submit(sealed.raw) for process in running]

    def cast(self, change: Struct) -> list[SealedTransaction]:
        """Let every current validator vote for a change of the validators; return the transactions."""
        membership = max(
            (m.state.membership for m in self.get_correct() if m.is_alive), key=lambda m: m.epoch
        )
        voters = [index for index, m in enumerate(self.machines) if m.key.public in membership.replica_set]
        ballots = [self.community.cast(voter, change) for voter in voters]
        for sealed in ballots:
            self.submit(sealed)
        return ballots

    def run(self, duration_ms: int) -> None:
        """Let virtual time pass."""
        self.timeline.run(duration_ms)

    def run_until(self, condition: Callable[[], bool], limit_ms: int) -> int:
        """Let virtual time pass until the condition holds; return how long it took.

        Raises:
            StuckError: it did not within ``limit_ms``.

        """
        return self.timeline.run_until(condition, limit_ms, self.describe)

    def kill(self, index: int) -> None:
        """Cut a machine's power: its process is gone, and with it what its disk had not on the medium."""
        machine = self.machines[index]
        self._end(machine)
        if machine.disk.lose_power(self.random):
            self.hits["unsynced_lost"] += 1

    def stop(self, index: int) -> None:
        """End a process and leave its machine running: the disk loses nothing."""
        self._end(self.machines[index])

    def restart(self, index: int) -> bool:
        """Start a validator from its disk; tell whether it runs. Why it does not is its machine's ``refused_start``."""
        machine = self.machines[index]
        assert machine.process is None, f"v{index} runs already"
        machine.monotonic_offset_ms = self.random.randrange(10**9)
        machine.refused_start = None
        machine.attempts, machine.is_view_active = 0, True
        self.note(f"start v{index}")
        try:
            process = Process(self, machine)
        except (NodeError, JournalError, StoreError) as error:
            machine.refused_start = f"{type(error).__name__}: {error}"
            self.note(f"refused {machine.refused_start}")
            return False
        except PowerCutError:
            self.note_power_cut(machine)
            return False
        self._take_checked(lambda: self.checker.check_recovered(machine, process.storage.chain.get_height()))
        machine.process = process
        machine.is_view_active = machine.state.active
        process.start()
        return True

    def crash_at(self, index: int, operations: int) -> None:
        """Let a machine's power go at its next disk operation after so many more."""
        self.machines[index].disk.cut_in = operations

    def set_behaviour(self, index: int, behaviour: Behaviour) -> None:
        """Make a machine Byzantine from now on."""
        behaviour.begin(self, self.machines[index])
        self.machines[index].behaviour = behaviour

    def tell(self, write: Callable[[str], object]) -> None:
        """Tell every event and effect from now on, one transcript line each."""

        def told(now_ms: int, index: int, event: Event, effects: list[Effect]) -> None:
            membership = self.machines[index].state.membership
            write(f"{now_ms:>7} v{index} < {describe_event(membership, event)}")
            for effect in effects:
                write(f"{now_ms:>7} v{index}   {describe_effect(membership, effect)}")

        self.told = told
        self.noted = lambda now_ms, text: write(f"{now_ms:>7} # {text}")

    def is_committed(self, sealed: SealedTransaction, at: list[int] | None = None) -> bool:
        """Tell whether a transaction is in the chain of all running correct machines, or of those named."""
        chosen = self.get_correct() if at is None else [self.machines[index] for index in at]
        return all(
            machine.get_chain().find_transaction(Digest(sealed.id)) is not None
            for machine in chosen
            if machine.is_alive
        )

    def get_correct(self) -> list[Machine]:
        """Return the machines that keep to the protocol."""
        return [machine for machine in self.machines if machine.is_correct]

    def get_heights(self) -> list[int]:
        """Return the height of every machine's chain."""
        return [machine.get_chain().get_height() for machine in self.machines]

    def check(self) -> None:
        """Check what is on all disks: equal chains, and what is certified on a quorum."""
        for machine in self.get_correct():
            chain = machine.get_chain()
            for height in range(chain.get_pruned_height() + 1, chain.get_height() + 1):
                if chain.get_header(Height(height)) != self.checker.chain.get(height):
                    raise ViolationError("I1", machine.index, self.now_ms, f"another block {height} on disk")
        self._take_checked(lambda: self.checker.check_all_durable(self.machines))

    def describe(self) -> str:
        """Return where everybody stands."""
        parts = []
        for machine in self.machines:
            if machine.process is None:
                parts.append(f"v{machine.index} is down")
                continue
            state = machine.state
            waits = "" if state.active else "?"
            parts.append(f"v{machine.index}: height {state.executed.height} view {state.view}{waits}")
        return ", ".join(parts)

    def get_trace(self) -> str:
        """Return a hash over everything that happened."""
        return self.network.trace.hexdigest()

    # what the parts of the world tell

    def note(self, text: str) -> None:
        """Add to the trace what is not a message."""
        self.network.trace.update(f"{self.now_ms} {text} ".encode())
        if self.noted is not None:
            self.noted(self.now_ms, text)

    def broadcast(self, machine: Machine, frame: Frame) -> None:
        """Send a frame to every machine of another member."""
        for target in self.machines:
            if target.key is not machine.key and self._is_linked(machine, target):
                self._carry(machine, target.index, frame)

    def send(self, machine: Machine, peer: ReplicaId, frame: Frame) -> None:
        """Send a frame to every machine that holds a member's key."""
        for target in self._homes.get(peer, ()):
            if self._is_linked(machine, self.machines[target]):
                self._carry(machine, target, frame)

    def install_snapshot(self, machine: Machine, store: MemoryStore) -> None:
        """Let a validator open again with what it downloaded; it must be the state of a block that all agree on."""
        chain = ChainStore(store)
        header = chain.get_latest_header()
        self.note(f"snapshot v{machine.index} {header.height}")
        self._take_checked(lambda: self.checker.check_snapshot(machine, chain))
        self._end(machine)
        machine.disk.install_store(dict(store.iterate(b"")))
        self.hits["snapshot_installed"] += 1
        self.timeline.call(1, self._open_again, machine)

    def _open_again(self, machine: Machine) -> None:
        if machine.process is None:
            self.restart(machine.index)

    def compute_execution_ms(self, machine: Machine, deliver: Deliver) -> int:
        """Return how long a machine executes a block, its sync not counted."""
        del machine, deliver  # here all are alike
        return EXECUTION_MS

    def note_power_cut(self, machine: Machine) -> None:
        """Take note that the power went in the middle of a disk operation."""
        self.hits["power_cut_in_write"] += 1
        self.note(f"power cut v{machine.index}")
        self.kill(machine.index)

    def note_failure(self, machine: Machine, error: Exception) -> None:
        """Take note that a validator stopped because its disk refused."""
        self.hits[f"stopped_{type(error).__name__}"] += 1
        self.note(f"stopped v{machine.index} {type(error).__name__}")
        self._end(machine)

    def note_bug(self, machine: Machine, invariant: str, text: str) -> None:
        """Refuse that a correct machine stopped by itself; a faulty one may."""
        self._end(machine)
        if machine.is_correct:
            raise ViolationError(invariant, machine.index, self.now_ms, text)
        self.hits["byzantine_stopped"] += 1

    def note_penalty(self, machine: Machine, peer: ReplicaId, reason: str) -> None:
        """Refuse that a correct machine finds fault with another correct one."""
        self.hits["penalty"] += 1
        accused = [self.machines[index] for index in self._homes[peer]]
        if machine.is_correct and all(each.is_correct for each in accused):
            raise ViolationError(
                "penalty", machine.index, self.now_ms, f"v{accused[0].index} is accused: {reason}"
            )

    def note_step(self, machine: Machine, event: Event, effects: Sequence[Effect]) -> None:
        """Count the attempts at a view as the replica does, in the order of its steps, and check its time-outs."""
        if isinstance(event, Executed) and machine.is_view_active:
            machine.attempts = 0
        for effect in effects:
            match effect:
                case Report(notice=ViewChangeStarted()):
                    machine.attempts += 1
                    machine.is_view_active = False
                case Report(notice=ViewStarted()):
                    machine.is_view_active = True
                case Report(notice=EpochStarted()):
                    machine.attempts, machine.is_view_active = 0, True
                case StartTimer(name=name, delay_ms=delay_ms):
                    self._take_checked(
                        lambda name=name, delay_ms=delay_ms: self.checker.check_timer(  # type: ignore[misc]
                            machine, name, delay_ms, self.parameters
                        )
                    )
                case _:
                    pass

    def note_notice(self, machine: Machine, notice: Notice) -> None:
        """Look at what a replica reports."""
        self.hits[type(notice).__name__] += 1
        match notice:
            case ViewStarted():
                proof = machine.state.new_view
                if proof is not None:
                    self._take_checked(lambda: self.checker.check_new_view(machine, proof))
            case VoiceLost(until=until) if machine.is_correct and not machine.is_damaged:
                text = f"silent up to sequence {until} although its journal holds all that it signed"
                raise ViolationError("voice", machine.index, self.now_ms, text)
            case Certified(certificate=certificate):
                self._take_checked(
                    lambda: self.checker.check_certificate(machine, certificate, self.machines)
                )
            case Equivocation(first=first):
                accused = [self.machines[index] for index in self._homes[first.sender]]
                if machine.is_correct and all(each.is_correct for each in accused):
                    text = f"v{accused[0].index} was seen to contradict itself"
                    raise ViolationError("I3", machine.index, self.now_ms, text)
            case EpochStarted(membership=membership):
                self.checker.memberships[membership.epoch] = membership
            case Diverged(height=height) if machine.is_correct:
                raise ViolationError("I7", machine.index, self.now_ms, f"diverged at height {height}")
            case _:
                pass

    def say_as(self, machine: Machine, target: int, envelope: Envelope, delay_ms: int = 0) -> None:
        """Send a message that a faulty machine made up."""
        self.network.carry(machine.index, target, Frame(Kind.MESSAGE, encode_envelope(envelope)), delay_ms)

    def get_linked(self, machine: Machine) -> tuple[ReplicaId, ...]:
        """Return whom a machine has links to."""
        others = [other for other in self.machines if other.is_alive and other.key is not machine.key]
        return tuple(ReplicaId(o.key.public) for o in others if self._is_linked(machine, o))

    def _is_linked(self, one: Machine, other: Machine) -> bool:
        """Tell whether two machines let each other in: members of what each takes for the current validators, or of the
        epoch before; who is no member itself lets everybody in.
        """
        if self._is_membership_fixed:
            return True
        return self._lets_in(one, other.key.public) and self._lets_in(other, one.key.public)

    def _lets_in(self, machine: Machine, key: bytes) -> bool:
        if machine.process is None:
            return True
        state = machine.state
        before = self.checker.memberships[max(state.epoch - 1, 0)]
        return not state.is_member or key in state.membership.replica_set or key in before.replica_set

    def _carry(self, machine: Machine, target: int, frame: Frame) -> None:
        behaviour = machine.behaviour
        if behaviour is None:
            self.network.carry(machine.index, target, frame)
        elif frame.kind is Kind.MESSAGE:
            envelope = self.memory.decode(frame.payload)
            assert isinstance(envelope, Envelope)
            delay_ms = behaviour.get_delay_ms(envelope)
            for said in behaviour.say(target, envelope):
                if said is envelope:
                    self.network.carry(machine.index, target, frame, delay_ms)
                else:
                    self.say_as(machine, target, said, delay_ms)
        elif frame.kind is not Kind.TRANSACTION or behaviour.gossips(frame.payload):
            self.network.carry(machine.index, target, frame)

    def _deliver(self, source: int, target: int, frame: Frame) -> None:
        process = self.machines[target].process
        if process is not None:
            self.checker.now_ms = self.timeline.now_ms
            process.guard(process.take_frame, ReplicaId(self.machines[source].key.public), frame)

    def _end(self, machine: Machine) -> None:
        self.note(f"end v{machine.index}")
        if machine.process is not None:
            machine.process.end()
            machine.process = None

    def _take_checked(self, check: Callable[[], None]) -> None:
        self.checker.now_ms = self.timeline.now_ms
        check()
