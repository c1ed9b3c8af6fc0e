"""A P1 or D0 port as a source: bytes in, observations out."""

from collections.abc import AsyncGenerator, Callable
from contextlib import aclosing

from meter.collect.collector import read_clock
from meter.collect.observation import DropError, Dropped, LinkState, Observed
from meter.sources.devices import Device, Opener, read_device
from meter.sources.p1 import TelegramReader
from primitives.ids import UnixMs


async def read_p1(
    device: Device, open_port: Opener, clock: Callable[[], UnixMs | None] = read_clock
) -> AsyncGenerator[Observed, None]:
    """Yield what telegrams say; where ``clock`` gives no time, the meter's own time counts."""
    reader = TelegramReader()
    async with aclosing(read_device(device, open_port)) as parts:
        async for part in parts:
            if isinstance(part, LinkState):
                for cut in reader.leave_link():
                    yield cut
                yield part
                continue
            for found in reader.feed(part):
                if isinstance(found, Dropped):
                    yield found
                    continue
                try:
                    yield found.observe(clock())
                except DropError as error:
                    yield Dropped(error.reason)
