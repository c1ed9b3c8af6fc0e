"""A charger's signed reading counts when its key signed these very bytes, and is refused by name otherwise."""

import base64
import json
from pathlib import Path
from typing import Any

import pytest
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec, rsa
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat

from meter.collect.observation import DropError, DropReason
from meter.reading import MeterStatus
from meter.sources.ocmf import METHOD_DEFAULT, METHODS, OcmfKeyError, check_record, read_public_key
from primitives.text import LINE_CHARACTERS_MAX

KEY = ec.generate_private_key(ec.SECP256R1())
# As a charger writes it: spaces and the order of names are its own, and signed as they stand.
PAYLOAD = (
    '{"FV" : "1.0","GI":"ABL SBC-301","GS":"808829900001","PG":"T12345","MV":"Phoenix Contact","MS":"BQ27400330016",'
    '"IS":true,"ID":"a|b","RD":[{"TM":"2018-07-24T13:15:02,250+0200 S","TX":"B","RV":2935.6,"RI":"1-b:1.8.0",'
    '"RU":"kWh","RT":"AC","EF":"","ST":"G"},{"TM":"2018-07-24T13:30:01,000+0200 S","TX":"E","RV":2936.75}]}'
)


def seal(payload: str, key: ec.EllipticCurvePrivateKey = KEY, **changes: str) -> bytes:
    raw = key.sign(payload.encode(), ec.ECDSA(hashes.SHA256()))
    return b"OCMF|" + payload.encode() + b"|" + json.dumps({"SD": raw.hex(), **changes}).encode()


def get_reason(line: bytes, key: ec.EllipticCurvePrivateKey = KEY) -> DropReason:
    with pytest.raises(DropError) as raised:
        check_record(line, key.public_key())
    return raised.value.reason


def change(**changes: object) -> str:
    """The payload with its first reading, or itself, changed."""
    content: dict[str, Any] = json.loads(PAYLOAD)
    for name, value in changes.items():
        (content if name in {"RD", "MS"} else content["RD"][0])[name] = value
    return json.dumps(content)


def test_a_record_gives_the_registers_at_the_times_that_its_charger_signed() -> None:
    record = check_record(seal(PAYLOAD), KEY.public_key())
    first, second = record.observations
    assert (first.time_ms, first.import_wh, first.export_wh) == (1_532_430_902_250, 2_935_600, 0)
    assert (second.time_ms, second.import_wh) == (1_532_431_801_000, 2_936_750)
    assert first.equipment == "BQ27400330016"


def test_a_meters_number_is_one_short_printable_line_whatever_its_charger_signed() -> None:
    (first, _) = check_record(seal(change(MS="\ud800\x1b[2J" + "9" * 5_000)), KEY.public_key()).observations
    assert first.equipment == "??[2J" + "9" * (LINE_CHARACTERS_MAX - 5)


def test_no_byte_of_a_record_can_be_changed() -> None:
    line = seal(PAYLOAD)
    begin, end = len(b"OCMF|"), line.rindex(b"|")
    for place in range(begin, end):
        spoilt = bytearray(line)
        spoilt[place] ^= 1
        assert get_reason(bytes(spoilt)) in {DropReason.SIGNATURE_WRONG, DropReason.LINE_MALFORMED}
    respaced = line.replace(b'"FV" : "1.0"', b'"FV":"1.0"')
    assert get_reason(respaced) is DropReason.SIGNATURE_WRONG


def test_another_chargers_key_is_refused_by_name() -> None:
    other = ec.generate_private_key(ec.SECP256R1())
    assert get_reason(seal(PAYLOAD, other)) is DropReason.SIGNATURE_WRONG
    assert get_reason(seal(PAYLOAD), ec.generate_private_key(ec.SECP256K1())) is DropReason.SIGNATURE_WRONG


@pytest.mark.parametrize(
    ("method", "curve"),
    [
        ("ECDSA-secp192r1-SHA256", ec.SECP192R1()),
        ("ECDSA-secp256k1-SHA256", ec.SECP256K1()),
        ("ECDSA-secp256r1-SHA256", ec.SECP256R1()),
        ("ECDSA-secp384r1-SHA256", ec.SECP384R1()),
        ("ECDSA-brainpool256r1-SHA256", ec.BrainpoolP256R1()),
        ("ECDSA-brainpoolP384r1-SHA256", ec.BrainpoolP384R1()),
    ],
)
def test_every_curve_that_is_supported_verifies(method: str, curve: ec.EllipticCurve) -> None:
    key = ec.generate_private_key(curve)
    assert check_record(seal(PAYLOAD, key, SA=method), key.public_key()).observations
    wrong = next(name for name in METHODS if METHODS[name].lower() != curve.name.lower())
    assert get_reason(seal(PAYLOAD, key, SA=wrong), key) is DropReason.SIGNATURE_WRONG


def test_a_signature_may_be_written_in_base64() -> None:
    raw = KEY.sign(PAYLOAD.encode(), ec.ECDSA(hashes.SHA256()))
    line = seal(PAYLOAD, SE="base64", SD=base64.b64encode(raw).decode(), SA=METHOD_DEFAULT)
    assert check_record(line, KEY.public_key()).observations


@pytest.mark.parametrize(
    ("line", "reason"),
    [
        (b"", DropReason.LINE_MALFORMED),
        (b"OCMF|{}", DropReason.LINE_MALFORMED),
        (b"OCPP|{}|{}", DropReason.LINE_MALFORMED),
        (b"OCMF|{}|[]", DropReason.LINE_MALFORMED),
        (b"OCMF|{}|" + b"[" * 50_000, DropReason.LINE_MALFORMED),
        (b"OCMF|{}|{}", DropReason.SIGNATURE_WRONG),
        (b'OCMF|{}|{"SD":"xy"}', DropReason.SIGNATURE_WRONG),
        (b'OCMF|{}|{"SD":[]}', DropReason.LINE_MALFORMED),
        (seal(PAYLOAD, SA="ECDSA-secp256r1-MD5"), DropReason.SIGNATURE_UNSUPPORTED),
        (seal(PAYLOAD, SM="text/plain"), DropReason.SIGNATURE_UNSUPPORTED),
        (seal(PAYLOAD, SE="base32", SD="AAAA"), DropReason.SIGNATURE_UNSUPPORTED),
        (seal("[]"), DropReason.LINE_MALFORMED),
        (seal(change(RD=[])), DropReason.LINE_MALFORMED),
        (seal(change(RD=[5])), DropReason.LINE_MALFORMED),
        (seal(change(RI="1-b:16.7.0")), DropReason.REGISTER_MISSING),
        (seal(change(RU="A")), DropReason.UNIT_UNKNOWN),
        (seal(change(RV="much")), DropReason.NUMBER_INVALID),
        (seal(change(RV=-3)), DropReason.NUMBER_INVALID),
        (seal(change(TM="2018-07-24T13:15:02,250+0200 U")), DropReason.TIME_INVALID),
        (seal(change(TM="2018-99-24T13:15:02,250+0200 S")), DropReason.TIME_INVALID),
        (seal(change(EF="t")), DropReason.TIME_INVALID),
        (seal(change(ST="?")), DropReason.LINE_MALFORMED),
    ],
)
def test_what_is_no_signed_reading_is_refused_by_name(line: bytes, reason: DropReason) -> None:
    assert get_reason(line) is reason


def test_the_chargers_own_doubts_about_its_energy_reach_the_reading() -> None:
    first, _ = check_record(seal(change(EF="E")), KEY.public_key()).observations
    assert first.status is MeterStatus.OTHER_ERROR
    first, _ = check_record(seal(change(ST="T")), KEY.public_key()).observations
    assert first.status is MeterStatus.TIMEOUT


def test_the_owner_gives_the_key_in_hexadecimal_or_as_a_file(tmp_path: Path) -> None:
    public = KEY.public_key()
    der = public.public_bytes(Encoding.DER, PublicFormat.SubjectPublicKeyInfo)
    pem = public.public_bytes(Encoding.PEM, PublicFormat.SubjectPublicKeyInfo)
    (tmp_path / "der").write_bytes(der)
    (tmp_path / "pem").write_bytes(pem)
    for text in (der.hex(), str(tmp_path / "der"), str(tmp_path / "pem")):
        assert read_public_key(text) == public


def test_what_is_no_key_is_refused_in_one_line(tmp_path: Path) -> None:
    other = rsa.generate_private_key(65_537, 2048).public_key()
    (tmp_path / "rsa").write_bytes(other.public_bytes(Encoding.PEM, PublicFormat.SubjectPublicKeyInfo))
    for text in ("", "abcd", "no such file", "\x00", str(tmp_path), str(tmp_path / "rsa")):
        with pytest.raises(OcmfKeyError) as raised:
            read_public_key(text)
        assert "\n" not in str(raised.value)
