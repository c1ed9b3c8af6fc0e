"""Clients: they submit to one validator or several, try again, say things twice and out of order, and contradict."""

from collections.abc import Callable
from dataclasses import dataclass
from random import Random
from typing import TYPE_CHECKING

from node.intake import SubmitStatus
from primitives.ids import Digest
from tests.simulation.community import COINS, MEMBERS, METERS, PAST_SLOTS
from vm.transaction import SealedTransaction

if TYPE_CHECKING:
    from tests.simulation.world import World

RETRY_MS = 900
TRIES_MAX = 12
"""A client gives up a transaction that was refused or lost so often; what was accepted it never gives up."""


@dataclass(slots=True)
class Request:
    """One transaction on its way."""

    sealed: SealedTransaction
    tries: int = 0
    is_accepted: bool = False
    """A correct validator took it."""


class Clients:
    """Everybody who submits, drawn from one seed."""

    def __init__(self, world: "World", random: Random) -> None:
        self.world = world
        self.open: dict[bytes, Request] = {}
        self._random = random
        self._slots = [0] * METERS
        self._loss = random.random() * 0.2

    def begin(self) -> None:
        """Submit what others need first: coins for members, meters for homes."""
        community = self.world.community
        for member in range(MEMBERS):
            self.submit(community.grant(member))
        for meter in range(METERS):
            self.submit(community.register(meter))

    def draw(self) -> None:
        """Submit something."""
        community, random = self.world.community, self._random
        sender, to = random.sample(range(MEMBERS), 2)
        kind = random.random()
        if kind < 0.45:
            self._read()
        elif kind < 0.8:
            self.submit(community.transfer(sender, to))
        elif kind < 0.86:  # more than there is: admission or the block refuses it
            self.submit(community.transfer(sender, to, amount=COINS * 50))
        elif kind < 0.93 and community.get_nonce(
            sender
        ):  # another payment with a nonce that was signed before
            self.world.hits["client_contradicts"] += 1
            self.submit(community.transfer(sender, to, amount=2, nonce=community.get_nonce(sender)))
        else:  # the later nonce first
            self.world.hits["client_reorders"] += 1
            first, second = community.transfer(sender, to), community.transfer(sender, to, amount=3)
            self.submit(second)
            self.world.timeline.call(random.randint(1, 500), self.submit, first)

    def submit(self, sealed: SealedTransaction) -> None:
        """Begin to submit a transaction, until it is committed."""
        request = self.open.setdefault(sealed.id, Request(sealed))
        self._try(request)
        if self._random.random() < 0.2:
            self.world.hits["client_duplicates"] += 1
            self.world.timeline.call(self._random.randint(0, 300), self._try, request)

    def submit_everywhere(self) -> None:
        """Hand everything that is open to every validator that runs."""
        for request in self.open.values():
            for machine in self.world.machines:
                self._hand(request, machine.index)

    def forget_committed(self) -> None:
        """Close what is in the chain."""
        applied = self.world.checker.applied
        self.open = {name: request for name, request in self.open.items() if name not in applied}

    def is_settled(self, request: Request) -> bool:
        """Tell whether a transaction is committed, or waits nowhere."""
        name = Digest(request.sealed.id)
        if name in self.world.checker.applied:
            return True
        waiting: list[Callable[[Digest], object]] = [
            machine.process.mempool.get for machine in self.world.get_correct() if machine.process is not None
        ]
        return all(find(name) is None for find in waiting)

    def _read(self) -> None:
        meter = self._random.randrange(METERS)
        slot = self._slots[meter]
        if slot < PAST_SLOTS:
            self._slots[meter] += 1
            self.submit(self.world.community.read_meter(meter, slot))

    def _try(self, request: Request) -> None:
        name = Digest(request.sealed.id)
        if name in self.world.checker.applied or name not in self.open:
            self.open.pop(name, None)
            return
        if request.tries >= TRIES_MAX and not request.is_accepted:
            del self.open[name]
            return
        request.tries += 1
        if request.tries > 1:
            self.world.hits["client_retries"] += 1
        count = self._random.choice((1, 1, 1, 2, self.world.size))
        for index in self._random.sample(range(self.world.size), count):
            if self._random.random() < self._loss:
                self.world.hits["client_lost"] += 1
            else:
                self._hand(request, index)
        self.world.timeline.call(RETRY_MS, self._try, request)

    def _hand(self, request: Request, index: int) -> None:
        machine = self.world.machines[index]
        process = machine.process
        if process is None:
            return
        result = process.submit(request.sealed.raw)
        if result.status is SubmitStatus.ACCEPTED and machine.is_correct:
            request.is_accepted = True
        if result.status is SubmitStatus.REFUSED:
            self.world.hits["client_refused"] += 1
