"""etcd under load: a put of the same bytes; its answer is the confirmation (crash faults only, nothing is signed)."""

import asyncio
import base64
from collections.abc import AsyncIterator, Callable, Sequence
from contextlib import asynccontextmanager
from itertools import count

import aiohttp

from benchmarks.harness.load import Adapter, LoadOrder, Outcome, Unit


@asynccontextmanager
async def open_etcd(order: LoadOrder) -> AsyncIterator[Adapter]:
    """Open connections to the members' JSON gateways."""
    connector = aiohttp.TCPConnector(limit=0)
    async with aiohttp.ClientSession(connector=connector) as session:
        yield _Etcd(session, order.urls)


class _Etcd:
    def __init__(self, session: aiohttp.ClientSession, urls: list[str]) -> None:
        self._session = session
        self._urls = urls
        self._turn = count()
        self._confirmed: asyncio.Queue[bytes] = asyncio.Queue()

    async def submit(self, units: Sequence[Unit]) -> Outcome:
        """Put each unit under its name; etcd takes one key in a request."""
        outcomes = await asyncio.gather(*(self._put(unit, next(self._turn)) for unit in units))
        return Outcome({name: why for outcome in outcomes for name, why in outcome.refused.items()})

    async def watch(self, on_confirmed: Callable[[bytes], None]) -> None:
        """Tell what was answered: etcd answers when a majority has it on disk."""
        while True:
            on_confirmed(await self._confirmed.get())

    async def _put(self, unit: Unit, turn: int) -> Outcome:
        body = {"key": base64.b64encode(unit.name).decode(), "value": base64.b64encode(unit.body).decode()}
        try:
            async with self._session.post(
                f"{self._urls[turn % len(self._urls)]}/v3/kv/put", json=body
            ) as response:
                await response.read()
                if not response.ok:
                    return Outcome({unit.name: str(response.status)})
        except (aiohttp.ClientError, TimeoutError, OSError) as error:
            return Outcome({unit.name: type(error).__name__})
        self._confirmed.put_nowait(unit.name)
        return Outcome({})
