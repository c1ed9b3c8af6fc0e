"""Where bytes of a meter come from: a serial port, a TCP bridge in front of one, a pipe, or a recorded file.

What breaks is opened again, with pauses that grow; only a recorded file has an end.
"""

import asyncio
import os
import stat
from collections.abc import AsyncGenerator, Callable, Iterator
from contextlib import AbstractContextManager, aclosing, contextmanager
from dataclasses import dataclass
from enum import Enum
from pathlib import Path
from typing import assert_never
from urllib.parse import urlsplit

from meter.collect.observation import LinkState
from primitives.text import to_line

CHUNK_BYTES = 4096
SILENCE_S = 60.0
"""The slowest meters send every ten seconds: a bridge that is silent for a minute holds a dead connection."""
PAUSE_FIRST_S = 0.5
PAUSE_MAX_S = 30.0
"""A bridge that comes back is heard within a slot of fifteen minutes many times over."""
PORT_MAX = 65_535

Opener = Callable[[], AbstractContextManager[int]]


class DeviceKind(Enum):
    """What a device is."""

    TCP = "tcp"
    SERIAL = "serial"
    PIPE = "pipe"
    FILE = "file"


class DeviceError(ValueError):
    """No such device; the message says what one looks like."""


@dataclass(frozen=True, slots=True)
class Device:
    """A place that was named; ``path`` for all but TCP."""

    kind: DeviceKind
    name: str
    host: str = ""
    port: int = 0

    @property
    def path(self) -> Path:
        """Return where it is on this machine."""
        return Path(self.name)


def parse_tcp(text: str, port_default: int | None = None) -> Device:
    """Return the end of a TCP connection from ``tcp://HOST:PORT``.

    Raises:
        DeviceError: it is none.

    """
    try:
        parts = urlsplit(text)
        port = parts.port or port_default
    except ValueError:
        port = None
        parts = urlsplit("")
    if parts.scheme != "tcp" or not parts.hostname or port is None or parts.path.strip("/"):
        raise DeviceError(f"{to_line(text)!r} is no device: write tcp://HOST:PORT")
    return Device(DeviceKind.TCP, text, parts.hostname, port)


def find_device(text: str) -> Device:
    """Return the device of a path or ``tcp://HOST:PORT``.

    Raises:
        DeviceError: nothing like it is there.

    """
    if "://" in text:
        return parse_tcp(text)
    try:
        mode = Path(text).stat().st_mode
    except OSError as error:
        raise DeviceError(
            f"{to_line(text)}: {error.strerror}; name a device, a file, or tcp://HOST:PORT"
        ) from None
    for kind, is_kind in (
        (DeviceKind.SERIAL, stat.S_ISCHR),
        (DeviceKind.PIPE, stat.S_ISFIFO),
        (DeviceKind.FILE, stat.S_ISREG),
    ):
        if is_kind(mode):
            return Device(kind, text)
    raise DeviceError(f"{to_line(text)}: neither a device nor a file")


async def read_device(device: Device, open_port: Opener) -> AsyncGenerator[bytes | LinkState, None]:
    """Yield bytes as they come, and how the link stands when that changes; ``open_port`` opens a serial device."""
    pause_s = PAUSE_FIRST_S
    while True:
        problem = "it ended"
        try:
            async with aclosing(_read_once(device, open_port)) as parts:
                async for part in parts:
                    if isinstance(
                        part, bytes
                    ):  # who answers and says nothing is not called twice a second for ever
                        pause_s = PAUSE_FIRST_S
                    yield part
        except TimeoutError:
            problem = f"silent for {SILENCE_S:.0f} s"
        except OSError as error:
            problem = to_line(_get_reason(error))
        if device.kind is DeviceKind.FILE:
            return
        yield LinkState(problem)
        await asyncio.sleep(pause_s)
        pause_s = min(2 * pause_s, PAUSE_MAX_S)


def _get_reason(error: OSError) -> str:
    """Return what the system says; asyncio and pyserial put their own words, or a tuple, in its place."""
    number = error.errno or 0
    return (
        os.strerror(number) if number > 0 else error.strerror or str(error)
    )  # of name services it is negative


def _read_once(device: Device, open_port: Opener) -> AsyncGenerator[bytes | LinkState, None]:
    match device.kind:
        case DeviceKind.TCP:
            return _read_tcp(device)
        case DeviceKind.SERIAL:
            return _read_descriptor(open_port)
        case DeviceKind.PIPE:
            return _read_descriptor(lambda: _open_pipe(device.path))
        case DeviceKind.FILE:
            return _read_file(device.path)
        case _:
            assert_never(device.kind)


async def _read_tcp(device: Device) -> AsyncGenerator[bytes | LinkState, None]:
    async with asyncio.timeout(SILENCE_S):
        reader, writer = await asyncio.open_connection(device.host, device.port, limit=CHUNK_BYTES)
    try:
        yield LinkState()
        while True:
            async with asyncio.timeout(SILENCE_S):
                data = await reader.read(CHUNK_BYTES)
            if not data:
                return
            yield data
    finally:
        writer.transport.abort()


async def _read_descriptor(open_port: Opener) -> AsyncGenerator[bytes | LinkState, None]:
    """Read what the kernel has, when it says so; no thread waits."""
    loop = asyncio.get_running_loop()
    ready = asyncio.Event()
    with open_port() as descriptor:
        os.set_blocking(descriptor, False)
        loop.add_reader(descriptor, ready.set)
        try:
            yield LinkState()
            while True:
                async with asyncio.timeout(SILENCE_S):
                    await ready.wait()
                ready.clear()
                try:
                    data = os.read(descriptor, CHUNK_BYTES)
                except BlockingIOError:
                    continue
                if not data:
                    return
                yield data
        finally:
            loop.remove_reader(descriptor)


async def _read_file(path: Path) -> AsyncGenerator[bytes | LinkState, None]:
    with path.open("rb") as file:  # a disk answers at once; what waits for a meter is above
        yield LinkState()
        while data := file.read(CHUNK_BYTES):
            yield data
            await asyncio.sleep(0)


@contextmanager
def _open_pipe(path: Path) -> Iterator[int]:
    """Open a pipe for both ends, so that it does not end when the one who writes does."""
    descriptor = os.open(path, os.O_RDWR | os.O_NONBLOCK | os.O_CLOEXEC)
    try:
        yield descriptor
    finally:
        os.close(descriptor)
