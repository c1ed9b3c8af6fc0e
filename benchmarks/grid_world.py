"""A network of simulated computers that run the real core: what each does costs its processor, its disk and its line.

Every validator runs the replica, mempool, executor, journal and store of production on virtual time, as the campaigns
of `tests/simulation` do, and their checkers look at every message and block here, too. A signature is checked once for
all, because the answer follows from the bytes; each computer is charged for it all the same.
"""

import math
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field
from typing import NamedTuple

import consensus.authentication
import consensus.certificates
import vm.transaction
from benchmarks.grid_lines import Line, Lines
from consensus.effects import Certified, Deliver, Notice, ViewStarted
from consensus.membership import Membership
from consensus.messages import Envelope
from node.batching import WORTH_A_BLOCK
from node.intake import SubmitStatus
from primitives import signing
from primitives.ids import Digest, ReplicaId
from primitives.signing import SignatureDomain
from tests.simulation.memory import Memory
from tests.simulation.network import Frame, Kind
from tests.simulation.patches import replaced
from tests.simulation.world import Machine, World
from vm.genesis import ConsensusParameters
from vm.transaction import SealedTransaction

REMEMBERED_MAX = 200_000


class Costs(NamedTuple):
    """Microseconds of one core of the machine that measured them, and how much longer the simulated ones take.

    ``wire`` is one end's share of a message on an encrypted websocket; ``step`` decodes a message and steps the
    replica; ``take`` decodes a transaction and puts it into the pool; ``submit`` is the API's share of it.
    """

    verify: float
    sign: float
    wire: float
    step: float
    take: float
    submit: float
    block: float
    execute: float
    factor: float


@dataclass
class _Meter:
    """Signature checks of the handler that runs, whether or not somebody did them before."""

    checks: int = 0
    known: dict[tuple[bytes, bytes, bytes, bytes, bytes], bool] = field(default_factory=dict)


METER = _Meter()


@contextmanager
def counting_signatures() -> Iterator[None]:
    """Check each signature once while this holds, and count every time that somebody wants to know."""
    real = signing.is_signature_valid

    def is_signature_valid(
        public_key: bytes, signature: bytes, domain: SignatureDomain, genesis_hash: Digest, payload: bytes
    ) -> bool:
        METER.checks += 1
        name = (public_key, signature, domain.value, genesis_hash, payload)
        answer = METER.known.get(name)
        if answer is None:
            if len(METER.known) > REMEMBERED_MAX:
                METER.known.clear()
            answer = METER.known[name] = real(public_key, signature, domain, genesis_hash, payload)
        return answer

    with ExitStack() as stack:
        for module in (consensus.authentication, consensus.certificates, vm.transaction):
            stack.enter_context(replaced(module, "is_signature_valid", is_signature_valid))
        yield
    METER.known.clear()


class _CountingMemory(Memory):
    """Answers by content, and charges whoever asks for the checks behind the answer."""

    def __init__(self, genesis_hash: Digest) -> None:
        super().__init__(genesis_hash)
        self._checks: dict[bytes, int] = {}

    def check(self, membership: Membership, payload: bytes, envelope: Envelope) -> str | None:
        before = METER.checks
        problem = super().check(membership, payload, envelope)
        if METER.checks > before:
            if len(self._checks) > REMEMBERED_MAX:
                self._checks.clear()
            self._checks[payload] = METER.checks - before
        METER.checks = before + self._checks.get(payload, 1)
        return problem


@dataclass(slots=True)
class Sent:
    """A transaction that a client gave to a validator: when it was due, and when its certificate was there."""

    due_ms: int
    validator: int
    confirmed_ms: int | None = None
    is_refused: bool = False


class GridWorld(World):
    """A world whose machines are computers at the ends of lines."""

    def __init__(
        self, validators: int, line: Line, costs: Costs, sync_ms: int, parameters: ConsensusParameters
    ) -> None:
        super().__init__(validators, parameters=parameters, is_started=False)
        self.worth_a_block = WORTH_A_BLOCK  # as production has it
        self.costs = costs
        self.memory = _CountingMemory(self.constitution.genesis_hash)
        self.lines = Lines(self.timeline, validators, line, costs.factor * costs.wire, self._handle)
        self.network = self.lines  # type: ignore[assignment]  # what a world asks of its network
        self.sent: dict[bytes, Sent] = {}
        self.view_starts = 0
        self.last_block_ms = 0
        self._waiting: list[set[bytes]] = [set() for _ in range(validators)]
        for machine in self.machines:
            machine.disk.sync_ms = sync_ms
            self.restart(machine.index)

    def begin_counting(self) -> None:
        """Let everything cost something from now on."""
        self.lines.is_free = False

    @property
    def is_waiting(self) -> bool:
        """Tell whether a client waits for what a validator took."""
        return any(self._waiting)

    def give(self, sealed: SealedTransaction, validator: int) -> None:
        """Let a client hand a transaction to a validator now."""
        sent = self.sent[sealed.id] = Sent(self.now_ms, validator)
        before = METER.checks
        result = self.machines[validator].get_process().submit(sealed.raw)
        self._charge(validator, self.costs.submit + self.costs.take, METER.checks - before)
        if result.status in {SubmitStatus.REFUSED, SubmitStatus.BUSY}:
            sent.is_refused = True
        else:
            self._waiting[validator].add(sealed.id)

    def broadcast(self, machine: Machine, frame: Frame) -> None:
        """Send to all; a message of agreement is signed before."""
        if frame.kind is Kind.MESSAGE and not self.lines.is_free:
            self._charge(machine.index, self.costs.sign, 0)
        super().broadcast(machine, frame)

    def compute_execution_ms(self, machine: Machine, deliver: Deliver) -> int:
        """Return when the processor is done with a block."""
        if self.lines.is_free:
            return super().compute_execution_ms(machine, deliver)
        work_us = self.costs.block + self.costs.execute * len(deliver.batch.transactions)
        done_us = self.lines.computers[machine.index].spend(self.costs.factor * work_us, 1000.0 * self.now_ms)
        return max(1, math.ceil(done_us / 1000) - self.now_ms)

    def note_notice(self, machine: Machine, notice: Notice) -> None:
        """Hear of certificates: a client of this validator now believes what is in the blocks below."""
        super().note_notice(machine, notice)
        if isinstance(notice, ViewStarted):
            self.view_starts += 1
        if not isinstance(notice, Certified):
            return
        self.last_block_ms = self.now_ms
        waiting, applied = self._waiting[machine.index], self.checker.applied
        height = notice.certificate.header.height
        done = [name for name in waiting if applied.get(name, height + 1) <= height]
        waiting.difference_update(done)
        for name in done:
            self.sent[name].confirmed_ms = self.now_ms

    def _handle(self, source: int, target: int, frame: Frame) -> float:
        """Let a validator take a frame; return the processor's microseconds."""
        costs, process = self.costs, self.machines[target].process
        if process is None:
            return 0.0
        METER.checks = 0
        process.guard(process.take_frame, ReplicaId(self.machines[source].key.public), frame)
        own = costs.take if frame.kind is Kind.TRANSACTION and METER.checks else costs.step
        return costs.factor * (costs.wire + own + METER.checks * costs.verify)

    def _charge(self, index: int, work_us: float, checks: int) -> None:
        total_us = self.costs.factor * (work_us + checks * self.costs.verify)
        self.lines.computers[index].spend(total_us, 1000.0 * self.now_ms)
