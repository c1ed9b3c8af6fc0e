"""How long the parts of a node run: until it is asked to stop, or until it must be opened again."""

import asyncio
from collections.abc import Coroutine, Iterable

from node.supervisor import Supervisor


class Lifetime:
    """Runs the parts of one opening of a node."""

    def __init__(self, supervisor: Supervisor) -> None:
        self.is_reopening = False
        """Whether the node is to be opened again, with another store or another key."""
        self._supervisor = supervisor
        self._over = asyncio.Event()

    def stop(self) -> None:
        """End ``run``."""
        self._over.set()

    def reopen(self) -> None:
        """End ``run``, for the node to be opened again."""
        self.is_reopening = True
        self._over.set()

    async def run(self, parts: Iterable[Coroutine[object, object, None]]) -> None:
        """Run the parts until stopped or cancelled; what one of them raises ends all, in an exception group."""
        try:
            async with asyncio.TaskGroup() as tasks:
                running = [tasks.create_task(part) for part in parts]
                await self._over.wait()
                for task in running:
                    task.cancel()
        finally:
            if not self.is_reopening:
                self._supervisor.tell_stopping()
