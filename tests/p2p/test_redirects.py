"""A member that answers a dial with the address of another machine."""

import asyncio

from p2p.tls import build_contexts
from tests.p2p.members import HOST, build_settings, make_members, open_station, wait_until


def test_a_member_cannot_make_the_dialler_ask_another_machine() -> None:
    asked: list[bytes] = []

    async def be_asked(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        asked.append(await reader.readline())
        writer.close()

    async def play() -> None:
        one, two = make_members(2)
        context, _ = build_contexts(two.certificate, two.key_pem, [one.certificate])
        async with await asyncio.start_server(be_asked, HOST, 0) as other:
            location = f"http://{HOST}:{other.sockets[0].getsockname()[1]}/v1/status"

            async def redirect(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
                await reader.readuntil(b"\r\n\r\n")
                head = f"HTTP/1.1 302 Found\r\nLocation: {location}\r\nContent-Length: 0\r\n\r\n"
                writer.write(head.encode())
                writer.close()

            async with await asyncio.start_server(redirect, HOST, 0, ssl=context) as lying:
                port = lying.sockets[0].getsockname()[1]
                async with open_station(build_settings(one, [two.build_address(port)]), one) as station:
                    await wait_until(lambda: "redirects" in station.get_peer(two).last_error, "refused")
                    assert asked == []

    asyncio.run(play())
