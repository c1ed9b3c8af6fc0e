"""An MQTT broker as a source: subscribed to a map's topics for as long as it takes."""

import asyncio
import ssl
from collections.abc import AsyncGenerator, Callable
from dataclasses import dataclass, field
from urllib.parse import unquote, urlsplit

import aiomqtt

from meter.collect.collector import read_clock
from meter.collect.observation import LinkState, Observed
from meter.sources.devices import PAUSE_FIRST_S, PAUSE_MAX_S
from meter.sources.mqtt_maps import MessageReader
from primitives.ids import UnixMs
from primitives.text import to_line

PORTS = {"mqtt": 1883, "mqtts": 8883}
WAITING_MAX = 1000
"""Messages that came and were not looked at; more are dropped, and the next registers contain them."""
ANSWER_S = 10.0
KEEP_ALIVE_S = 30
REFUSED_MIN = 128


class BrokerError(ValueError):
    """No address of a broker; the message says what one looks like."""


@dataclass(frozen=True, slots=True)
class Broker:
    """Where a broker is and who asks it; ``tls`` is None for plain MQTT."""

    host: str
    port: int
    user: str | None = None
    password: str | None = field(default=None, repr=False)
    tls: ssl.SSLContext | None = None


def parse_broker(url: str, password: str | None, authority: str | None = None) -> Broker:
    """Return the broker of ``mqtt[s]://[USER@]HOST[:PORT]``; ``authority`` is a file of certificates to trust.

    Raises:
        BrokerError: it is none, or the file of certificates is none.

    """
    try:
        parts = urlsplit(url)
        port = parts.port
    except ValueError:
        parts, port = urlsplit(""), None
    if parts.scheme not in PORTS or not parts.hostname or parts.path.strip("/") or parts.password is not None:
        raise BrokerError("write mqtt[s]://[USER@]HOST[:PORT]; a password never stands in it")
    tls = None
    if parts.scheme == "mqtts":
        try:
            tls = ssl.create_default_context(cafile=authority)
        except OSError as error:
            raise BrokerError(f"{authority}: no certificates: {error.strerror or error}") from None
    user = None if parts.username is None else unquote(parts.username)
    return Broker(parts.hostname, port or PORTS[parts.scheme], user, password, tls)


async def read_mqtt(
    broker: Broker, reader: MessageReader, clock: Callable[[], UnixMs] = read_clock
) -> AsyncGenerator[Observed, None]:
    """Yield what messages say; connect and subscribe again when the link breaks."""
    pause_s = PAUSE_FIRST_S
    while True:
        problem = "it ended"
        try:
            async with aiomqtt.Client(
                broker.host,
                broker.port,
                username=broker.user,
                password=broker.password,
                tls_context=broker.tls,
                timeout=ANSWER_S,
                keepalive=KEEP_ALIVE_S,
                max_queued_incoming_messages=WAITING_MAX,
            ) as client:
                await _subscribe(client, reader.map.topics)
                reader.forget()
                yield LinkState()
                async for message in client.messages:
                    pause_s = PAUSE_FIRST_S
                    if isinstance(message.payload, bytes | bytearray):
                        for observed in reader.take(
                            str(message.topic),
                            bytes(message.payload),
                            retained=message.retain,
                            now_ms=clock(),
                        ):
                            yield observed
        except (aiomqtt.MqttError, OSError) as error:
            problem = to_line(str(error))
        yield LinkState(problem)
        await asyncio.sleep(pause_s)
        pause_s = min(2 * pause_s, PAUSE_MAX_S)


async def _subscribe(client: aiomqtt.Client, topics: tuple[str, ...]) -> None:
    for topic in topics:
        for code in await client.subscribe(topic, qos=1):
            if (code if isinstance(code, int) else code.value) >= REFUSED_MIN:
                raise aiomqtt.MqttError(f"the broker refuses the topic {topic}")
