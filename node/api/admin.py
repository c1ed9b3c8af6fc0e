"""The admin socket: HOME/admin.sock, HTTP for whoever may open the file, which is the node's own user."""

import asyncio
import os
import socket
import stat
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass
from pathlib import Path

import msgspec
from aiohttp import web

from node.api.app import open_server
from node.api.errors import ApiProblem
from node.api.fairness import Fairness
from node.api.gate import ConnectionGate
from node.api.requests import JSON_TYPES, BodyReader
from node.api.routes import build_json
from node.clock import Clock, ClockError, SteppedClock
from node.errors import HomeError, NodeError
from node.logs import LevelError, read_levels, set_level
from node.status import ConsensusStatus, NodeStatus
from primitives.ids import UnixMs

SOCKET_NAME = "admin.sock"
CONNECTIONS_MAX = 16
"""Operators and their scripts; one connection each."""

BODY_BYTES_MAX = 8_192


class ClockStep(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """Where the stepped clock goes on, and where it stands still; UTC milliseconds."""

    time_ms: int
    hold_ms: int


def decode_step(body: bytes) -> ClockStep:
    """Return the step of a body.

    Raises:
        ApiProblem: it is none.

    """
    try:
        return msgspec.json.decode(body, type=ClockStep)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError) as error:
        raise _refuse_step(error) from None


class LevelChange(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """What the log tells from now on; without a component, of all of them."""

    level: str
    component: str | None = None


def decode_level(body: bytes) -> LevelChange:
    """Return the change of a body.

    Raises:
        ApiProblem: it is none.

    """
    try:
        return msgspec.json.decode(body, type=LevelChange)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError) as error:
        raise _refuse_level(error) from None


def _refuse_level(error: Exception) -> ApiProblem:
    return ApiProblem(400, "LEVEL_INVALID", f"a level is {{level, component}}: {error}")


def _refuse_step(error: Exception) -> ApiProblem:
    return ApiProblem(400, "STEP_INVALID", f"a step is {{time_ms, hold_ms}}: {error}")


@dataclass(frozen=True, slots=True)
class AdminServices:
    """What an operator may do: look, step the clock, stop the node. ``on_step`` is told after the clock moved."""

    clock: Clock
    get_status: Callable[[], NodeStatus]
    get_consensus: Callable[[], ConsensusStatus]
    stop: Callable[[], None]
    on_step: Callable[[], None] = lambda: None
    find_dead_reason: Callable[[], str | None] = lambda: None


class AdminRoutes:
    """The addresses of the admin socket."""

    def __init__(self, services: AdminServices) -> None:
        self._services = services
        self._bodies = BodyReader(BODY_BYTES_MAX)

    def get_routes(self) -> list[web.RouteDef]:
        """Return the addresses."""
        return [
            web.post("/clock", self.step_clock),
            web.post("/stop", self.stop),
            web.get("/status", self.get_status),
            web.get("/livez", self.get_live),
            web.get("/consensus", self.get_consensus),
            web.get("/logs/level", self.get_levels),
            web.post("/logs/level", self.set_level),
        ]

    async def step_clock(self, request: web.Request) -> web.Response:
        """Move the stepped clock; sending the same step twice does no harm."""
        clock = self._services.clock
        with self._bodies.reserve(request, BODY_BYTES_MAX) as share:
            body = await self._bodies.read(request, share, JSON_TYPES)
        if not isinstance(clock, SteppedClock):
            raise ApiProblem(
                409, "CLOCK_NOT_STEPPED", 'this node runs on the computer\'s clock; clock.mode = "stepped"'
            )
        step = decode_step(body)
        try:
            now_ms = clock.step(UnixMs(step.time_ms), UnixMs(step.hold_ms))
        except ClockError as error:
            raise _refuse_step(error) from None
        self._services.on_step()
        return build_json({"wall_ms": now_ms})

    async def stop(self, _: web.Request) -> web.Response:
        """Begin a graceful stop; the answer comes before it."""
        asyncio.get_running_loop().call_soon(self._services.stop)
        return build_json({"stopping": True}, 202)

    async def get_status(self, _: web.Request) -> web.Response:
        """Tell how the node is."""
        return build_json(self._services.get_status())

    async def get_live(self, _: web.Request) -> web.Response:
        """Tell that the event loop turns and the disk writes."""
        reason = self._services.find_dead_reason()
        if reason is not None:
            raise ApiProblem(503, "NOT_LIVE", reason)
        return build_json({"live": True})

    async def get_consensus(self, _: web.Request) -> web.Response:
        """Tell where the replica stands in agreement, and why."""
        return build_json(self._services.get_consensus())

    async def get_levels(self, _: web.Request) -> web.Response:
        """Tell what the log tells."""
        return build_json(read_levels())

    async def set_level(self, request: web.Request) -> web.Response:
        """Change what the log tells, until the process ends; the answer is how it is now."""
        with self._bodies.reserve(request, BODY_BYTES_MAX) as share:
            body = await self._bodies.read(request, share, JSON_TYPES)
        change = decode_level(body)
        try:
            set_level(change.component, change.level)
        except LevelError as error:
            raise _refuse_level(error) from None
        return build_json(read_levels())


@asynccontextmanager
async def open_admin(services: AdminServices, home: Path) -> AsyncIterator[Path]:
    """Serve HOME/admin.sock until the end of the block.

    The caller holds the lock of the home directory, so a socket that is left there is of a process that died.

    Raises:
        HomeError: something else has its name, or the home cannot be written.

    """
    path = home / SOCKET_NAME
    link = _bind(path)
    gate = ConnectionGate(CONNECTIONS_MAX, CONNECTIONS_MAX)
    routes = AdminRoutes(services).get_routes()
    try:
        async with open_server(
            routes, gate, frozenset({"localhost"}), lambda _, __: None, Fairness()
        ) as server:
            listener = await asyncio.get_running_loop().create_unix_server(server, sock=link)
            try:
                yield path
            finally:
                listener.close()
    finally:
        link.close()
        with suppress(FileNotFoundError):
            path.unlink()


def _bind(path: Path) -> socket.socket:
    """Return a socket that only the owner may open, from its first moment on."""
    link = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
    try:
        with suppress(FileNotFoundError):
            if not stat.S_ISSOCK(path.lstat().st_mode):
                raise HomeError(f"{path}: is no socket; move it away")
            path.unlink()
        _bind_in_directory(link, path)
    except NodeError:
        link.close()
        raise
    except OSError as error:
        link.close()
        raise HomeError(f"{path}: {error.strerror}; the node's user must be able to write its home") from None
    return link


def _bind_in_directory(link: socket.socket, path: Path) -> None:
    """Bind by way of the open directory: a socket's address holds 107 bytes (unix(7)), a home's path may have more."""
    directory = os.open(path.parent, os.O_PATH | os.O_DIRECTORY)
    mask = os.umask(0o177)
    try:
        link.bind(f"/proc/self/fd/{directory}/{path.name}")
    finally:
        os.umask(mask)
        os.close(directory)
