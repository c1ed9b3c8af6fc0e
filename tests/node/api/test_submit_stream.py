import asyncio
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from socket import SO_RCVBUF, SOL_SOCKET

import aiohttp
import msgspec
import pytest
import uvloop

import node.api.submit_stream as stream_module
from node.api.stream_messages import Forgotten, Proven, Taken
from node.api.submit_stream import FORGET_BLOCKS, PATH
from tests.hostile.stream_attacks import PART, PING, UPGRADE, build_frame
from tests.node.api.rim import CONFIG, Rim, open_rim, run
from tests.node.transactions import spoil_signature
from vm.receipt import ReceiptProof, is_receipt_included
from vm.transaction import SealedTransaction

Said = Taken | Proven | Forgotten
SAID = msgspec.msgpack.Decoder(Said)
Socket = aiohttp.ClientWebSocketResponse


@asynccontextmanager
async def open_stream(rim: Rim) -> AsyncIterator[Socket]:
    async with rim.client.ws_connect(rim.url(PATH)) as socket:
        yield socket


async def submit(socket: Socket, *transactions: SealedTransaction) -> None:
    await socket.send_bytes(msgspec.msgpack.encode([each.raw for each in transactions]))


async def hear(socket: Socket) -> Said:
    said: Said = SAID.decode(await socket.receive_bytes(timeout=20))
    return said


def test_a_message_is_answered_by_its_number_and_its_proofs_come_with_the_certificate() -> None:
    async def scenario() -> None:
        async with open_rim() as rim, open_stream(rim) as socket:
            first, second = rim.community.grant(), rim.community.grant()
            bad = spoil_signature(rim.community.grant())
            await submit(socket, first, bad)
            taken = await hear(socket)
            assert isinstance(taken, Taken)
            assert (taken.number, taken.error) == (0, "")
            assert [(each.index, each.error) for each in taken.refused] == [(1, "SIGNATURE_INVALID")]
            await submit(socket, second)
            assert await hear(socket) == Taken(1, (), "", "")
            rim.community.execute(first, second)
            certificate = rim.community.certify()
            proven = await hear(socket)
            assert isinstance(proven, Proven)
            assert proven.certificate == certificate
            assert [each.receipt.transaction_id for each in proven.receipts] == [first.id, second.id]
            for each in proven.receipts:
                assert is_receipt_included(ReceiptProof(each.receipt, each.inclusion, proven.headers))

    run(scenario())


def test_what_is_nobody_elses_is_not_told() -> None:
    async def scenario() -> None:
        async with open_rim() as rim, open_stream(rim) as socket:
            own, other = rim.community.grant(), rim.community.grant()
            await submit(socket, own)
            await hear(socket)
            rim.community.commit(other)
            rim.community.commit(own)
            proven = await hear(socket)
            assert isinstance(proven, Proven)
            assert [each.receipt.transaction_id for each in proven.receipts] == [own.id]

    run(scenario())


def test_what_the_pool_let_go_is_told_as_forgotten() -> None:
    async def scenario() -> None:
        async with open_rim() as rim, open_stream(rim) as socket:
            sealed = rim.community.grant()
            await submit(socket, sealed)
            await hear(socket)
            rim.community.mempool.remove([sealed.id])
            for _ in range(FORGET_BLOCKS):
                rim.community.commit()
            assert await hear(socket) == Forgotten((sealed.id,))

    run(scenario())


@pytest.mark.parametrize("bound", ["AWAITED_MAX", "AWAITED_IN_ALL_MAX"])
def test_a_stream_with_too_much_underway_is_told_to_wait(monkeypatch: pytest.MonkeyPatch, bound: str) -> None:
    monkeypatch.setattr(stream_module, bound, 2)

    async def scenario() -> None:
        async with open_rim() as rim, open_stream(rim) as socket:
            transactions = [rim.community.grant() for _ in range(3)]
            await submit(socket, *transactions[:2])
            assert isinstance(await hear(socket), Taken)
            await submit(socket, transactions[2])
            busy = await hear(socket)
            assert isinstance(busy, Taken)
            assert (busy.number, busy.error) == (1, "BUSY")
            rim.community.commit(*transactions[:2])
            assert isinstance(await hear(socket), Proven)
            await submit(socket, transactions[2])
            assert await hear(socket) == Taken(2, (), "", "")

    run(scenario())


def test_what_a_stream_waited_for_takes_no_room_when_it_has_ended(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(stream_module, "AWAITED_IN_ALL_MAX", 2)

    async def scenario() -> None:
        async with open_rim() as rim, open_stream(rim) as socket:
            own = rim.community.grant()
            async with open_stream(rim) as gone:
                other = rim.community.grant()
                await submit(gone, other, other)  # the same twice is one
                assert await hear(gone) == Taken(0, (), "", "")
            pair = (own, rim.community.grant())
            await submit(socket, *pair)
            while (said := await hear(socket)) and isinstance(said, Taken) and said.error == "BUSY":
                await submit(socket, *pair)
            rim.community.commit(*pair)
            assert isinstance(await hear(socket), Proven)
            await submit(socket, rim.community.grant(), rim.community.grant())
            taken = await hear(socket)
            assert isinstance(taken, Taken)
            assert taken.error == ""

    run(scenario())


def test_beyond_their_number_streams_are_refused_and_the_next_one_gets_a_freed_place() -> None:
    async def scenario() -> None:
        async with open_rim(config=msgspec.structs.replace(CONFIG, streams_max=1)) as rim:
            async with open_stream(rim):
                with pytest.raises(aiohttp.WSServerHandshakeError) as refused:
                    await rim.client.ws_connect(rim.url(PATH))
                assert refused.value.status == 503
                assert refused.value.headers is not None
                assert refused.value.headers["Retry-After"] == "1"
            while True:
                try:
                    async with open_stream(rim):
                        return
                except aiohttp.WSServerHandshakeError:
                    await asyncio.sleep(0.01)

    run(scenario())


def test_who_asks_without_an_upgrade_is_told_so() -> None:
    async def scenario() -> None:
        async with open_rim() as rim:
            async with rim.client.get(rim.url(PATH)) as response:
                assert response.status == 426
                assert response.headers["Upgrade"] == "websocket"
            _, answer = await rim.get(PATH)
            assert answer["error"] == "UPGRADE_NEEDED"

    run(scenario())


def test_a_reader_that_takes_nothing_is_cut_off(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(stream_module, "SEND_S", 0.3)

    async def send_without_end(socket: Socket) -> None:
        while True:
            await socket.send_bytes(msgspec.msgpack.encode([b"x"] * 1000))

    async def scenario() -> None:
        async with open_rim() as rim, open_stream(rim) as socket:
            link = socket.get_extra_info("socket")
            link.setsockopt(SOL_SOCKET, SO_RCVBUF, 4096)
            transport = socket._writer.transport
            transport.pause_reading()
            async with asyncio.timeout(30):
                with pytest.raises((ConnectionError, aiohttp.ClientError)):
                    await send_without_end(socket)

    run(scenario())


def test_a_ping_is_answered_and_an_idle_stream_ends(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(stream_module, "IDLE_S", 0.2)

    async def scenario() -> None:
        async with open_rim() as rim, rim.client.ws_connect(rim.url(PATH), autoping=False) as socket:
            await socket.ping(b"there?")
            pong = await socket.receive(timeout=20)
            assert (pong.type, pong.data) == (aiohttp.WSMsgType.PONG, b"there?")
            closed = await socket.receive(timeout=20)
            assert (closed.type, closed.extra) == (aiohttp.WSMsgType.CLOSE, "IDLE")

    run(scenario())


@pytest.mark.parametrize("loop", [asyncio.new_event_loop, uvloop.new_event_loop])
def test_who_breaks_the_protocol_and_goes_on_sending_is_held_up(
    monkeypatch: pytest.MonkeyPatch, loop: Callable[[], asyncio.AbstractEventLoop]
) -> None:
    monkeypatch.setattr(stream_module, "PING_S", 5.0)

    async def scenario() -> None:
        async with open_rim() as rim:
            source = ("127.0.0.77", 0)  # not this machine's own address: it has a pace
            reader, writer = await asyncio.open_connection("127.0.0.1", rim.port, local_addr=source)
            writer.write(UPGRADE)
            assert (await reader.readline()).startswith(b"HTTP/1.1 101")
            writer.write(build_frame(PING, b"") * 3 + build_frame(PART, b"x") * 2)
            with pytest.raises(TimeoutError):
                await send_a_gigabyte(writer)
            writer.transport.abort()

    run(scenario(), loop)


async def send_a_gigabyte(writer: asyncio.StreamWriter) -> None:
    """Send it, as long as a second brings it further.

    Raises:
        TimeoutError: the other side takes no more.

    """
    for _ in range(2**10):
        writer.write(bytes(2**20))
        await asyncio.wait_for(writer.drain(), 1)
