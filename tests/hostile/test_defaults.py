"""aiohttp's defaults are not made for an open port: each one that is unsafe is another here, on both ports."""

import asyncio
import inspect
from collections.abc import Callable
from typing import Any

import pytest
from aiohttp import web

from node.api.gate import ConnectionGate
from node.api.server import HEADERS_MAX, KEEP_ALIVE_S, LINGERING_S, ApiConnection, ApiServer
from p2p.listener import _Incoming

UNSAFE = {"keepalive_timeout": 3630, "auto_decompress": True, "max_headers": 128, "lingering_time": 10.0}


async def refuse(_: web.BaseRequest) -> web.StreamResponse:
    return web.Response(status=404)


def build_api_connection() -> web.RequestHandler:
    server = ApiServer(refuse, web.BaseRequest, ConnectionGate(1, 1))
    return ApiConnection(server)


def build_link_connection() -> web.RequestHandler:
    return _Incoming(web.Server(refuse), asyncio.get_running_loop())


def read_setting(connection: web.RequestHandler, name: str) -> Any:  # noqa: ANN401  # of any kind
    """Return what a connection was made with, wherever aiohttp keeps it."""
    return getattr(connection, name, None) or getattr(connection, f"_{name}")


def test_the_defaults_are_still_what_they_were_when_they_were_found_unsafe() -> None:
    """Where aiohttp mends one, what stands here against it can be looked at again."""
    defaults = inspect.signature(web.RequestHandler.__init__).parameters
    assert {name: defaults[name].default for name in UNSAFE} == UNSAFE


@pytest.mark.parametrize(
    ("build", "expected"),
    [
        (
            build_api_connection,
            {"keepalive_timeout": KEEP_ALIVE_S, "max_headers": HEADERS_MAX, "lingering_time": LINGERING_S},
        ),
        (build_link_connection, {"keepalive_timeout": 0, "lingering_time": 0.0}),
    ],
)
def test_both_ports_have_bounds_of_their_own(
    build: Callable[[], web.RequestHandler], expected: dict[str, float]
) -> None:
    async def look() -> None:
        connection = build()
        assert {name: read_setting(connection, name) for name in expected} == expected

    asyncio.run(look())


def test_an_idle_client_keeps_its_connection_for_a_quarter_of_a_minute() -> None:
    assert KEEP_ALIVE_S == 15
