"""Messages of a real broker are heard, retained ones are known as old, and a broker that restarts is found again."""

import asyncio
from collections.abc import AsyncGenerator
from contextlib import aclosing

import pytest

from meter.collect.observation import Dropped, DropReason, LinkState, Observation, Observed
from meter.sources.mqtt import Broker, BrokerError, parse_broker, read_mqtt
from meter.sources.mqtt_maps import MessageReader, build_map
from primitives.ids import UnixMs
from tests.meter.sources.gadgets import HOST, find_port, open_broker, publish

LONG_S = 60.0
TOPIC = "tele/grid/SENSOR"


def read_now() -> UnixMs:
    return UnixMs(1_000)


async def find(source: AsyncGenerator[Observed, None], kind: type[Observed]) -> Observed:
    async for observed in source:
        if isinstance(observed, kind):
            return observed
    raise AssertionError("a broker has no end")


def test_live_messages_count_retained_ones_do_not_and_a_new_broker_is_found() -> None:
    async def act() -> None:
        port = find_port()
        reader = MessageReader(build_map("tasmota", "grid"))
        source = read_mqtt(Broker(HOST, port), reader, read_now)
        async with asyncio.timeout(LONG_S), aclosing(source):
            refused = await anext(source)
            assert isinstance(refused, LinkState)
            assert refused.problem
            async with open_broker(port):
                await publish(port, TOPIC, '{"ENERGY": {"Total": 1.0}}', retain=True)
                assert await find(source, LinkState) == LinkState()
                assert await find(source, Dropped) == Dropped(DropReason.MESSAGE_OLD)
                await publish(port, TOPIC, '{"ENERGY": {"Total": 1.25, "ExportActive": 0.5}}', retain=True)
                assert await find(source, Observation) == Observation(UnixMs(1000), 1250, 500)  # type: ignore[arg-type]
            broken = await find(source, LinkState)
            assert broken != LinkState()
            async with open_broker(port):
                while await find(source, LinkState) != LinkState():
                    pass
                await publish(port, TOPIC, '{"ENERGY": {"Total": 1.5}}')
                assert await find(source, Observation) == Observation(UnixMs(1000), 1500, 0)  # type: ignore[arg-type]

    asyncio.run(act())


@pytest.mark.parametrize(
    "url",
    [
        "",
        "localhost",
        "http://h",
        "mqtt://",
        "mqtt://h:0x",
        "mqtt://h:99999",
        "mqtt://u:secret@h",
        "mqtt://h/p",
    ],
)
def test_what_is_no_broker_is_refused_and_a_password_is_not_repeated(url: str) -> None:
    with pytest.raises(BrokerError) as raised:
        parse_broker(url, None)
    assert "secret" not in str(raised.value)
    assert "\n" not in str(raised.value)


def test_an_address_gives_host_port_user_and_whether_it_is_sealed() -> None:
    assert parse_broker("mqtt://h", None) == Broker("h", 1883)
    sealed = parse_broker("mqtts://anna%40home@h:1234", "pw")
    assert (sealed.host, sealed.port, sealed.user, sealed.password) == ("h", 1234, "anna@home", "pw")
    assert sealed.tls is not None
    assert sealed.tls.check_hostname
    assert "pw" not in repr(sealed)
