"""The simulated network of a scenario, with what a script may do to it and the story that it tells."""

from dataclasses import dataclass

from consensus.effects import Effect
from consensus.events import Event
from consensus.messages import Envelope
from consensus.transcript import describe_message
from primitives.ids import ReplicaId
from tests.scenarios.story import Story
from tests.simulation.behaviour import Behaviour
from tests.simulation.community import MEMBERS
from tests.simulation.disk import Disk
from tests.simulation.network import Frame, Kind, Weather
from tests.simulation.world import Machine, World
from vm.genesis import ConsensusParameters
from vm.transaction import SealedTransaction

CALM = Weather(delay_ms=2, jitter_ms=0)
"""Every message takes the same time, so that a story does not hang on what was drawn before."""


@dataclass(frozen=True, slots=True)
class LossRule:
    """Messages that are lost: their words (kind, key=value), and the links."""

    words: frozenset[str]
    sources: frozenset[int]
    targets: frozenset[int]

    def takes(self, source: int, target: int, envelope: Envelope) -> bool:
        """Tell whether the message is lost."""
        if source not in self.sources or target not in self.targets:
            return False
        return self.words <= set(describe_message(envelope.message).split())


class Stage(World):
    """A World whose links may lose chosen messages, whose disks may be copied, and which tells its story."""

    def __init__(self, validators: int, seed: int, candidates: int, parameters: ConsensusParameters) -> None:
        super().__init__(validators, seed, candidates=candidates, parameters=parameters, is_started=False)
        self.network.weather = CALM
        self.story = Story(len(self.machines))
        self.told = self._tell
        self.rules: list[LossRule] = []
        self.transactions: dict[str, SealedTransaction] = {}
        self.copies: dict[int, Disk] = {}
        for machine in self.machines:
            self.restart(machine.index)

    def vote(self, word: str, index: int) -> None:
        """Let every validator vote for a machine to join or to leave."""
        self.cast(self.community.add(index) if word == "add" else self.community.remove(index))

    def submit_named(self, name: str, to: list[int], member: str | None) -> None:
        """Let a client send a transaction, unless it was sent before a new one: the utility's gift, or a payment."""
        sealed = self.transactions.get(name)
        if sealed is None:
            count = len(self.transactions) % MEMBERS
            payer = None if member is None else int(member.removeprefix("member"))
            sealed = self.community.grant(count) if payer is None else self.community.transfer(payer, count)
            self.transactions[name] = sealed
        self.submit(sealed, to)

    def make_faulty(self, index: int) -> None:
        """Let a machine count as Byzantine, though it keeps to the protocol until a script makes it lie."""
        if self.machines[index].is_correct:
            self.set_behaviour(index, Behaviour())

    def inject(self, source: int, target: int, envelope: Envelope) -> None:
        """Let a faulty machine say a message that the script made; tell when its position alone makes it unwanted."""
        process = self.machines[target].get_process()
        if not process.host.replica.is_wanted(envelope):
            self.story.add(
                self.now_ms, target, f"not_wanted from=v{source} {describe_message(envelope.message)}"
            )
        self.say_as(self.machines[source], target, envelope)

    def heal(self) -> None:
        """Let links, losses and clocks be as at the beginning."""
        self.rules.clear()
        self.network.heal()
        self.network.weather = CALM
        for machine in self.machines:
            machine.wall_offset_ms = 0

    def save_disk(self, index: int) -> None:
        """Make a copy of what a machine's disk holds durably, as a backup does."""
        self.copies[index] = Disk()
        self.copies[index].files.clone_from(self.machines[index].disk.files)
        self.copies[index].store.clone_from(self.machines[index].disk.store)

    def restore_disk(self, index: int) -> None:
        """Put the copy in the place of the disk: the machine forgot what it did since."""
        self.machines[index].disk = self.copies[index]
        self.machines[index].is_damaged = True
        self.save_disk(index)

    def note_penalty(self, machine: Machine, peer: ReplicaId, reason: str) -> None:
        name = self.constitution.membership.get_name(peer)
        self.story.add(self.now_ms, machine.index, f"penalised {name} reason={reason}")
        super().note_penalty(machine, peer, reason)

    def _tell(self, now_ms: int, index: int, event: Event, effects: list[Effect]) -> None:
        self.story.tell(self.machines[index].state.membership, now_ms, index, event, effects)

    def _carry(self, machine: Machine, target: int, frame: Frame) -> None:
        if self.rules and frame.kind is Kind.MESSAGE:
            envelope = self.memory.decode(frame.payload)
            if isinstance(envelope, Envelope) and any(
                rule.takes(machine.index, target, envelope) for rule in self.rules
            ):
                self.hits["chosen_loss"] += 1
                return
        super()._carry(machine, target, frame)
