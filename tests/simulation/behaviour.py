"""What a faulty machine may do: a correct replica runs on it, and this decides what of it leaves, and what else."""

from typing import TYPE_CHECKING

from consensus.messages import Envelope
from vm.transaction import SealedTransaction

if TYPE_CHECKING:
    from tests.simulation.world import Machine, World


class Behaviour:
    """The behaviour of a correct machine; a faulty one overrides what it does otherwise."""

    name = "correct"

    def begin(self, world: "World", machine: "Machine") -> None:
        """Take a machine over."""
        self.world = world
        self.machine = machine

    def say(self, target: int, envelope: Envelope) -> list[Envelope]:
        """Return what is said to a machine instead of a message."""
        return [envelope]

    def get_delay_ms(self, envelope: Envelope) -> int:
        """Return how much later a message leaves."""
        return 0

    def answer(self, question: int, payload: bytes, honest: bytes) -> bytes | None:
        """Return what is answered instead; None is silence."""
        return honest

    def hides(self, sealed: SealedTransaction) -> bool:
        """Tell whether a transaction is kept from the own replica."""
        return False

    def gossips(self, raw: bytes) -> bool:
        """Tell whether a transaction is passed on."""
        return True
