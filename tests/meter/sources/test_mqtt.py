"""Messages of a real broker are heard, retained ones are known as old, and a broker that restarts is found again."""

import asyncio
from collections.abc import AsyncGenerator
from contextlib import aclosing
from datetime import UTC, datetime, timedelta
from ipaddress import ip_address
from pathlib import Path

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat
from cryptography.x509.oid import NameOID

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


def make_certificate(directory: Path) -> tuple[Path, Path]:
    """A certificate of this machine's address that nobody but itself has signed, and its key."""
    key = ec.generate_private_key(ec.SECP256R1())
    name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "broker")])
    now = datetime.now(UTC)
    certificate = (
        x509.CertificateBuilder()
        .subject_name(name)
        .issuer_name(name)
        .public_key(key.public_key())
        .serial_number(1)
        .not_valid_before(now - timedelta(days=1))
        .not_valid_after(now + timedelta(days=1))
        .add_extension(x509.SubjectAlternativeName([x509.IPAddress(ip_address(HOST))]), critical=False)
        .sign(key, hashes.SHA256())
    )
    paths = directory / "broker.pem", directory / "broker.key"
    paths[0].write_bytes(certificate.public_bytes(Encoding.PEM))
    paths[1].write_bytes(key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption()))
    return paths


def test_a_sealed_broker_is_heard_when_its_certificate_is_trusted_and_not_otherwise(tmp_path: Path) -> None:
    files = make_certificate(tmp_path)

    async def act() -> None:
        port = find_port()
        url = f"mqtts://{HOST}:{port}"
        async with asyncio.timeout(LONG_S), open_broker(port, *files):
            strange = parse_broker(url, None)
            async with aclosing(
                read_mqtt(strange, MessageReader(build_map("tasmota", "grid")), read_now)
            ) as source:
                refused = await anext(source)
                assert isinstance(refused, LinkState)
                assert "certificate verify failed" in refused.problem
            trusted = parse_broker(url, None, str(files[0]))
            async with aclosing(
                read_mqtt(trusted, MessageReader(build_map("tasmota", "grid")), read_now)
            ) as source:
                assert await anext(source) == LinkState()
                await publish(port, TOPIC, '{"ENERGY": {"Total": 2.0}}', tls=trusted.tls)
                assert await anext(source) == Observation(UnixMs(1000), 2000, 0)  # type: ignore[arg-type]

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
