"""Who may vote in an epoch, and who leads which view."""

from functools import cached_property

from primitives.encoding import Struct
from primitives.header import Validator, compute_membership_hash
from primitives.ids import Digest, Epoch, Height, ReplicaId, Sequence, View
from primitives.quorum import get_quorum, get_weak_quorum


class Membership(Struct, frozen=True, dict=True, gc=True):
    """The validators of one epoch in their order, which decides who leads a view.

    ``start_height`` and ``start_sequence`` are those of the block that ended the epoch before: the low watermark with
    which this one begins, without a certificate of its own.
    """

    epoch: Epoch
    validators: tuple[Validator, ...]
    start_height: Height = Height(0)
    start_sequence: Sequence = Sequence(0)

    @cached_property
    def replicas(self) -> tuple[ReplicaId, ...]:
        """Return the voting keys in order."""
        return tuple(ReplicaId(validator.public_key) for validator in self.validators)

    @cached_property
    def replica_set(self) -> frozenset[ReplicaId]:
        """Return the voting keys for membership tests; its order must never leave a function."""
        return frozenset(self.replicas)

    @cached_property
    def quorum(self) -> int:
        """Return the quorum of this membership."""
        return get_quorum(len(self.validators))

    @cached_property
    def weak_quorum(self) -> int:
        """Return the weak quorum of this membership."""
        return get_weak_quorum(len(self.validators))

    @cached_property
    def hash(self) -> Digest:
        """Return the hash by which headers name this membership."""
        return compute_membership_hash(self.validators)

    def get_primary(self, view: View) -> ReplicaId:
        """Return the leader of ``view``: views rotate through the validators in order."""
        return self.replicas[view % len(self.replicas)]

    def get_name(self, replica: ReplicaId) -> str:
        """Return the validator's name, or the head of its key when it is not a member."""
        for validator in self.validators:
            if validator.public_key == replica:
                return validator.name
        return replica.hex()[:8]
