"""Somebody who listens to the feed, and reads its events as a browser does."""

import json
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from typing import Any

import aiohttp


@dataclass(frozen=True)
class Event:
    """An event as it came; ``id`` is empty where it has none."""

    name: str
    id: str
    data: Any


class Listener:
    """An open feed."""

    def __init__(self, response: aiohttp.ClientResponse) -> None:
        self._response = response

    async def hear(self) -> Event | None:
        """Return the next event, or None for a comment or a setting."""
        fields: dict[str, str] = {}
        while line := (await self._response.content.readline()).decode().rstrip("\n"):
            name, _, value = line.partition(": ")
            fields[name] = value
        if "event" not in fields:
            return None
        return Event(fields["event"], fields.get("id", ""), json.loads(fields["data"]))

    async def hear_until(self, name: str, height: int) -> list[Event]:
        """Return the events up to the one of this name and height, which is the last."""
        heard: list[Event] = []
        while not heard or (heard[-1].name, heard[-1].data.get("height")) != (name, height):
            event = await self.hear()
            if event is not None:
                heard.append(event)
        return heard


@asynccontextmanager
async def listen(client: aiohttp.ClientSession, url: str, last: int | None = None) -> AsyncIterator[Listener]:
    """Open the feed, as somebody who heard everything up to height ``last``."""
    headers = {} if last is None else {"Last-Event-ID": str(last)}
    async with client.get(url, headers=headers) as response:
        assert response.status == 200, await response.text()
        assert response.content_type == "text/event-stream"
        yield Listener(response)
