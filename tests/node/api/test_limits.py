"""What an open port meets: too much, too slow, too clever. Each gets a name, and honest clients go on."""

import asyncio
import gzip
import json
from collections.abc import Callable
from contextlib import suppress

import msgspec
import pytest
import uvloop

import node.api.requests as requests_module
import node.api.server as server_module
from node.config import ApiConfig
from tests.node.api.rim import CONFIG, Rim, open_rim, run
from tests.node.community import Community

HEAD = b"POST /v1/transactions HTTP/1.1\r\nHost: localhost\r\nContent-Type: application/octet-stream\r\n"


async def is_answering(rim: Rim) -> bool:
    return (await rim.get("/livez"))[0] == 200


def test_a_body_that_stalls_is_given_up_by_name(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(requests_module.BodyReader.__init__, "__defaults__", (5.0, 0.1))

    async def scenario() -> None:
        async with open_rim() as rim:
            status, body = await rim.exchange(HEAD + b"Content-Length: 100\r\nConnection: close\r\n\r\nabc")
            assert (status, json.loads(body)["error"]) == (408, "BODY_TOO_SLOW")
            assert await is_answering(rim)

    run(scenario())


def test_headers_that_never_end_are_cut_off(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(server_module, "KEEP_ALIVE_S", 0.3)

    async def scenario() -> None:
        async with open_rim() as rim:
            reader, writer = await asyncio.open_connection("127.0.0.1", rim.port)
            writer.write(b"GET /livez HTTP/1.1\r\n")
            dribbling, answer = asyncio.ensure_future(dribble(writer)), b""
            async with asyncio.timeout(10):
                with suppress(ConnectionError):  # cut while a header was on its way
                    answer = await reader.read()
            assert answer == b""
            dribbling.cancel()
            writer.close()
            assert await is_answering(rim)

    async def dribble(writer: asyncio.StreamWriter) -> None:
        while True:
            writer.write(b"X-Slow: 1\r\n")
            await asyncio.sleep(0.02)

    run(scenario())


def test_a_connection_that_says_nothing_is_closed(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(server_module, "KEEP_ALIVE_S", 0.2)

    async def scenario() -> None:
        async with open_rim() as rim:
            reader, writer = await asyncio.open_connection("127.0.0.1", rim.port)
            async with asyncio.timeout(10):
                assert await reader.read() == b""
            writer.close()

    run(scenario())


def test_a_client_that_does_not_read_is_cut_off(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(server_module, "WRITE_STALL_S", 0.15)

    async def scenario() -> None:
        community = Community()
        async with open_rim(community) as rim:
            community.commit(*(community.grant() for _ in range(300)))
            _, writer = await asyncio.open_connection("127.0.0.1", rim.port, limit=1024)
            async with asyncio.timeout(20):
                with pytest.raises(ConnectionError):
                    await ask_for_ever(writer)
            writer.close()
            assert await is_answering(rim)

    async def ask_for_ever(writer: asyncio.StreamWriter) -> None:
        while True:  # each answer has 30 kB: soon more than the kernel keeps for a reader that is away
            writer.write(b"GET /v1/blocks/1 HTTP/1.1\r\nHost: localhost\r\n\r\n" * 10)
            await asyncio.sleep(0.001)
            await writer.drain()

    run(scenario())


def test_a_compressed_body_is_not_inflated() -> None:
    async def scenario() -> None:
        async with open_rim() as rim:
            bomb = gzip.compress(bytes(10_000_000))
            for encoding in ("gzip", "deflate", "br", "zstd", "nonsense"):
                for path in ("/v1/transactions", "/v1/transactions/batch", "/v1/proofs"):
                    headers = {"Content-Encoding": encoding}
                    status, answer = await rim.post(path, bomb[:4_000], **headers)
                    assert (status, answer["error"]) == (415, "ENCODING_UNSUPPORTED")

    run(scenario())


@pytest.mark.parametrize("kind", ["text/plain", "application/x-www-form-urlencoded", "application/json", ""])
def test_a_body_that_a_browser_could_send_is_refused(kind: str) -> None:
    async def scenario() -> None:
        async with open_rim() as rim:
            headers = {"Content-Type": kind} if kind else {"Content-Type": "nonsense"}
            status, answer = await rim.post("/v1/transactions", b"x", **headers)
            assert (status, answer["error"]) == (415, "TYPE_UNSUPPORTED")

    run(scenario())


def test_a_body_without_a_length_is_read_to_its_bound_only() -> None:
    async def scenario() -> None:
        async with open_rim() as rim:
            chunk = b"1000\r\n" + bytes(4096) + b"\r\n"
            status, body = await rim.exchange(
                HEAD + b"Transfer-Encoding: chunked\r\nConnection: close\r\n\r\n" + chunk * 3 + b"0\r\n\r\n"
            )
            assert (status, json.loads(body)["error"]) == (413, "BODY_TOO_LARGE")

    run(scenario())


def test_a_length_that_is_a_lie_is_refused_before_anything_is_kept() -> None:
    async def scenario() -> None:
        async with open_rim() as rim:
            status, body = await rim.exchange(
                HEAD + b"Content-Length: 999999999999\r\nConnection: close\r\n\r\n"
            )
            assert (status, json.loads(body)["error"]) == (413, "BODY_TOO_LARGE")

    run(scenario())


BATCH_HEAD = (
    b"POST /v1/transactions/batch HTTP/1.1\r\nHost: localhost\r\nContent-Type: application/msgpack\r\n"
)


def test_a_body_that_dribbles_is_given_up_however_long_it_goes_on(monkeypatch: pytest.MonkeyPatch) -> None:
    """Bytes give time by BODY_BYTES_PER_S: a few of them give none."""
    monkeypatch.setattr(requests_module.BodyReader.__init__, "__defaults__", (15.0, 0.2))

    async def scenario() -> None:
        async with open_rim() as rim:
            reader, writer = await asyncio.open_connection("127.0.0.1", rim.port)
            writer.write(HEAD + b"Content-Length: 4000\r\nConnection: close\r\n\r\n")
            dribbling = asyncio.ensure_future(dribble(writer))
            async with asyncio.timeout(10):
                await reader.readuntil(b"BODY_TOO_SLOW")
            dribbling.cancel()
            writer.close()

    async def dribble(writer: asyncio.StreamWriter) -> None:
        while True:
            writer.write(b"x")
            await asyncio.sleep(0.01)

    run(scenario())


def test_a_body_that_comes_steadily_has_the_time_that_its_bytes_give(monkeypatch: pytest.MonkeyPatch) -> None:
    """Each part that comes gives time for ten more: what is late on a busy machine is not too late."""
    stall_s, pause_s = 0.5, 0.15
    monkeypatch.setattr(requests_module.BodyReader.__init__, "__defaults__", (60.0, stall_s))
    monkeypatch.setattr(requests_module, "BODY_BYTES_PER_S", 50)

    async def scenario() -> None:
        async with open_rim() as rim:
            reader, writer = await asyncio.open_connection("127.0.0.1", rim.port)
            writer.write(BATCH_HEAD + b"Content-Length: 4000\r\nConnection: close\r\n\r\n")
            for _ in range(8):
                writer.write(bytes(500))
                await asyncio.sleep(pause_s)
            assert 8 * pause_s > 2 * stall_s
            assert b"BODY_MALFORMED" in await reader.read()
            writer.close()

    run(scenario())


def test_bodies_that_are_announced_and_do_not_come_take_no_room() -> None:
    async def scenario() -> None:
        config = ApiConfig(port=0, body_bytes_max=8 * 1024 * 1024)
        async with open_rim(config=config) as rim:
            links = []
            for _ in range(8):  # each announces 4 MB, and sends nothing
                reader, writer = await asyncio.open_connection("127.0.0.1", rim.port)
                writer.write(BATCH_HEAD + b"Content-Length: 4000000\r\nExpect: 100-continue\r\n\r\n")
                assert await reader.readline() == b"HTTP/1.1 100 Continue\r\n"
                links.append(writer)
            status, answer = await rim.post("/v1/transactions/batch", bytes(1_000_000))
            assert (status, answer["error"]) == (400, "BODY_MALFORMED")
            for writer in links:
                writer.close()

    run(scenario())


def test_bodies_in_progress_share_one_bound_of_which_an_address_takes_half() -> None:
    async def fill(rim: Rim, source: str) -> list[asyncio.StreamWriter]:
        """Send 7 of the 8 MB that an address may have at the same time, and stall."""
        links = []
        for _ in range(2):
            _, writer = await asyncio.open_connection("127.0.0.1", rim.port, local_addr=(source, 0))
            writer.write(BATCH_HEAD + b"Content-Length: 4000000\r\n\r\n" + bytes(3_500_000))
            await writer.drain()
            links.append(writer)
        return links

    async def post_until(rim: Rim, wanted: int) -> None:
        status = 0
        while status != wanted:
            status, answer = await rim.post("/v1/transactions/batch", bytes(2_000_000))
            assert (status, answer["error"]) in {(503, "BUSY"), (400, "BODY_MALFORMED")}

    async def scenario() -> None:
        config = ApiConfig(port=0, body_bytes_max=8 * 1024 * 1024)
        async with open_rim(config=config) as rim:
            others = await fill(rim, "127.0.0.9")
            await post_until(rim, 400)  # another address: there is room
            own = await fill(rim, "127.0.0.1")
            await post_until(rim, 503)
            for writer in own:
                writer.close()
            await post_until(rim, 400)
            for writer in others:
                writer.close()

    run(scenario())


def test_a_connection_that_asks_nothing_is_closed_before_one_that_has_asked(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(server_module, "FIRST_REQUEST_S", 0.3)

    async def scenario() -> None:
        async with open_rim() as rim:
            asked_reader, asked = await asyncio.open_connection("127.0.0.1", rim.port)
            asked.write(b"GET /livez HTTP/1.1\r\nHost: localhost\r\n\r\n")
            assert b"200 OK" in await asked_reader.readline()
            reader, writer = await asyncio.open_connection("127.0.0.1", rim.port)
            writer.write(b"GET /livez HTTP/1.1\r\nHost: local")
            async with asyncio.timeout(10):
                assert await reader.read() == b""
            asked.write(b"GET /livez HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n")
            assert (await asked_reader.read()).endswith(b'{"live":true}')
            writer.close()
            asked.close()

    run(scenario())


def test_who_has_asked_nothing_gives_way_and_who_is_answered_stays() -> None:
    async def scenario() -> None:
        config = ApiConfig(port=0, connections_max=4, connections_per_address_max=4)
        async with open_rim(config=config) as rim:
            polled = rim.community.grant()
            await rim.post("/v1/transactions", polled.raw)
            poll = asyncio.ensure_future(rim.get(f"/v1/transactions/{polled.id.hex()}/proof?wait_ms=20000"))
            while not rim.community.queries.signal.waiters:  # noqa: ASYNC110  # the server tells nobody
                await asyncio.sleep(0.001)
            idle = [
                await asyncio.open_connection("127.0.0.1", rim.port, local_addr=("127.0.0.9", 0))
                for _ in range(12)
            ]
            request = b"GET /livez HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n"
            for _ in range(5):
                assert (await rim.exchange(request))[0] == 200
            rim.community.commit(polled)
            assert (await poll)[0] == 200
            for _, writer in idle:
                writer.close()

    run(scenario())


@pytest.mark.parametrize("loop", [asyncio.new_event_loop, uvloop.new_event_loop])
def test_connections_are_bounded_per_address_and_a_place_that_is_left_is_free(
    loop: Callable[[], asyncio.AbstractEventLoop],
) -> None:
    async def scenario() -> None:
        config = ApiConfig(port=0, connections_max=10, connections_per_address_max=3)
        async with open_rim(config=config) as rim:
            links = [await asyncio.open_connection("127.0.0.1", rim.port) for _ in range(3)]
            for reader, writer in links:
                writer.write(b"GET /livez HTTP/1.1\r\nHost: localhost\r\n\r\n")
                assert b"200 OK" in await reader.readline()
            reader, writer = await asyncio.open_connection("127.0.0.1", rim.port)
            answer = await reader.read()
            assert answer.startswith(b"HTTP/1.1 503")
            head, _, body = answer.partition(b"\r\n\r\n")
            assert json.loads(body)["error"] == "TOO_MANY_CONNECTIONS"
            assert head.endswith(b"Content-Length: %d" % len(body))
            writer.close()
            links[0][1].close()
            request = b"GET /livez HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n"
            status = 503
            while status == 503:
                with suppress(ConnectionError):  # refused while the request was on its way
                    status, _ = await rim.exchange(request)
            assert status == 200
            for _, link in links:
                link.close()

    run(scenario(), loop)


@pytest.mark.parametrize(
    "host", ["evil.example", "localhost.evil.example", "127.0.0.1.evil.example:80", "[::2]", ""]
)
def test_a_name_that_is_not_the_nodes_is_refused(host: str) -> None:
    async def scenario() -> None:
        async with open_rim() as rim:
            request = f"GET /v1/status HTTP/1.1\r\nHost: {host}\r\nConnection: close\r\n\r\n"
            status, body = await rim.exchange(request.encode())
            assert (status, json.loads(body)["error"]) == (403, "HOST_NOT_ALLOWED")

    run(scenario())


@pytest.mark.parametrize("host", ["localhost", "LOCALHOST:8100", "127.0.0.1:1", "[::1]:8100", "node.example"])
def test_the_nodes_own_names_are_taken(host: str) -> None:
    async def scenario() -> None:
        async with open_rim(config=ApiConfig(port=0, allowed_hosts=("Node.example",))) as rim:
            assert (await rim.get("/livez", Host=host))[0] == 200

    run(scenario())


def test_a_request_without_a_host_is_refused() -> None:
    async def scenario() -> None:
        async with open_rim() as rim:
            status, body = await rim.exchange(b"GET /livez HTTP/1.0\r\n\r\n")
            assert (status, json.loads(body)["error"]) == (400, "HOST_MISSING")

    run(scenario())


@pytest.mark.parametrize(
    "request_bytes",
    [
        b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03" + bytes(100) + b"\r\n\r\n",
        b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n",
        b"GET /" + b"a" * 20_000 + b" HTTP/1.1\r\nHost: localhost\r\n\r\n",
        b"GET / HTTP/1.1\r\nHost: localhost\r\nX: " + b"a" * 20_000 + b"\r\n\r\n",
        b"GET / HTTP/1.1\r\nHost: localhost\r\n" + b"X: 1\r\n" * 200 + b"\r\n",
        b"GET / HTTP/9.9\r\nHost: localhost\r\n\r\n",
        b"GET http://[::1 HTTP/1.1\r\nHost: localhost\r\n\r\n",
        b"POST / HTTP/1.1\r\nHost: localhost\r\nContent-Length: -5\r\n\r\n",
        b"POST / HTTP/1.1\r\nHost: localhost\r\nContent-Length: 5\r\nTransfer-Encoding: chunked\r\n\r\n",
        b"POST / HTTP/1.1\r\nHost: a\r\nHost: b\r\nContent-Length: 5\r\nContent-Length: 6\r\n\r\n",
        b"\x00\x01\x02\r\n\r\n",
    ],
)
def test_what_is_no_http_is_refused_in_json(request_bytes: bytes) -> None:
    async def scenario() -> None:
        async with open_rim() as rim:
            status, body = await rim.exchange(request_bytes)
            assert (status, json.loads(body)["error"]) == (400, "BAD_REQUEST")
            assert await is_answering(rim)

    run(scenario())


def test_a_refusal_of_what_is_no_http_does_not_tell_which_program_answers() -> None:
    async def scenario() -> None:
        async with open_rim() as rim:
            reader, writer = await asyncio.open_connection("127.0.0.1", rim.port)
            writer.write(b"\x00\r\n\r\n")
            head = (await reader.read()).partition(b"\r\n\r\n")[0]
            writer.close()
            assert b"\r\nServer: gridbft\r\n" in head
            assert b"aiohttp" not in head

    run(scenario())


@pytest.mark.parametrize("odd", [b"\xff\xfe", b"\xed\xb3\xbf"])
@pytest.mark.parametrize("header", [b"Authorization: Bearer ", b"Expect: ", b"Upgrade: ", b"X: "])
def test_a_header_that_is_no_text_is_refused_before_anybody_repeats_it(header: bytes, odd: bytes) -> None:
    async def scenario() -> None:
        async with open_rim(config=msgspec.structs.replace(CONFIG, private_reads="token")) as rim:
            for path in (b"/v1/meters", b"/v1/stream/transactions"):
                head = b"GET " + path + b" HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n"
                status, body = await rim.exchange(head + header + odd + b"\r\n\r\n")
                assert (status, json.loads(body)["error"]) == (400, "BAD_REQUEST")

    run(scenario())


@pytest.mark.parametrize(
    ("method", "path", "status", "name"),
    [
        ("GET", "/", 404, "NOT_FOUND"),
        ("GET", "/v1", 404, "NOT_FOUND"),
        ("GET", "/v2/status", 404, "NOT_FOUND"),
        ("GET", "/v1/../etc/passwd", 404, "NOT_FOUND"),
        ("GET", "/v1/transactions/%2e%2e%2f", 404, "NOT_FOUND"),
        ("DELETE", "/v1/status", 405, "METHOD_NOT_ALLOWED"),
        ("GET", "/v1/proofs", 405, "METHOD_NOT_ALLOWED"),
        ("CONNECT", "localhost:80", 404, "NOT_FOUND"),
    ],
)
def test_an_address_or_method_that_is_none_is_refused_in_json(
    method: str, path: str, status: int, name: str
) -> None:
    async def scenario() -> None:
        async with open_rim() as rim:
            request = f"{method} {path} HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n"
            found, body = await rim.exchange(request.encode())
            assert found in {status, 400}
            assert json.loads(body)["error"] in {name, "BAD_PARAMETER", "BAD_REQUEST"}

    run(scenario())


def test_an_expectation_that_is_not_met_is_refused_in_json() -> None:
    async def scenario() -> None:
        async with open_rim() as rim:
            status, body = await rim.exchange(
                HEAD + b"Expect: magic\r\nContent-Length: 1\r\nConnection: close\r\n\r\nx"
            )
            assert (status, json.loads(body)["error"]) == (417, "EXPECTATION_FAILED")

    run(scenario())


def test_a_bug_of_the_node_is_answered_without_its_traceback() -> None:
    async def scenario() -> None:
        def fail() -> str | None:
            raise ZeroDivisionError("secret detail")

        async with open_rim(find_unready_reason=fail) as rim:
            status, answer = await rim.get("/readyz")
            assert (status, answer["error"]) == (500, "INTERNAL")
            assert "secret" not in json.dumps(answer)
            assert await is_answering(rim)

    run(scenario())


def test_requests_that_are_pipelined_are_answered_in_order() -> None:
    async def scenario() -> None:
        async with open_rim() as rim:
            many = b"GET /livez HTTP/1.1\r\nHost: localhost\r\n\r\n" * 200
            last = b"GET /readyz HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n"
            reader, writer = await asyncio.open_connection("127.0.0.1", rim.port)
            writer.write(many + last)
            answer = await reader.read()
            writer.close()
            assert answer.count(b'{"live":true}') == 200
            assert answer.endswith(b'{"ready":true}')

    run(scenario())


def test_a_stop_does_not_wait_for_long_polls(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("node.api.app.SHUTDOWN_S", 0.2)

    async def scenario() -> None:
        async with open_rim(config=CONFIG) as rim:
            sealed = rim.community.grant()
            await rim.post("/v1/transactions", sealed.raw)
            _, writer = await asyncio.open_connection("127.0.0.1", rim.port)
            path = f"/v1/transactions/{sealed.id.hex()}/proof?wait_ms=30000"
            writer.write(f"GET {path} HTTP/1.1\r\nHost: localhost\r\n\r\n".encode())
            while not rim.community.queries.signal.waiters:  # noqa: ASYNC110  # the server tells nobody
                await asyncio.sleep(0.001)
            started = asyncio.get_running_loop().time()
        assert asyncio.get_running_loop().time() - started < 5
        writer.close()

    run(scenario())
