"""Signed readings of chargers: the Open Charge Metering Format, `OCMF|{payload}|{signature}`.

The signature is checked over the payload's original bytes, before anything in it is read, with the key that the owner
gives: a key inside a record proves nothing. Source: OCMF 1.0, sections "Data structure", "Signature" and "Reading".
"""

import base64
import binascii
import json
import re
from collections.abc import AsyncGenerator, Iterator, Mapping
from contextlib import aclosing
from dataclasses import dataclass
from datetime import datetime
from decimal import Decimal
from pathlib import Path

from cryptography.exceptions import InvalidSignature, UnsupportedAlgorithm
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.serialization import load_der_public_key, load_pem_public_key

from meter.collect.observation import (
    DropError,
    Dropped,
    DropReason,
    LinkState,
    Observation,
    Observed,
    parse_energy,
    round_register,
)
from meter.reading import MeterStatus, parse_status
from meter.sources.follow import Begun, Line, follow_lines
from primitives.ids import UnixMs, WattHours
from primitives.text import to_line

RECORD_BYTES_MAX = 64 * 1024
"""A record with all readings of a charge takes a few kB."""
KEY_BYTES_MAX = 4096
READINGS_MAX = 1000
METHOD_DEFAULT = "ECDSA-secp256r1-SHA256"
METHODS: Mapping[str, str] = {
    "ECDSA-secp192k1-SHA256": "secp192k1",
    "ECDSA-secp256k1-SHA256": "secp256k1",
    "ECDSA-secp192r1-SHA256": "secp192r1",
    "ECDSA-secp256r1-SHA256": "secp256r1",
    "ECDSA-secp384r1-SHA256": "secp384r1",
    "ECDSA-secp521r1-SHA256": "secp521r1",
    "ECDSA-brainpool256r1-SHA256": "brainpoolP256r1",
    "ECDSA-brainpoolP256r1-SHA256": "brainpoolP256r1",
    "ECDSA-brainpool384r1-SHA256": "brainpoolP384r1",
    "ECDSA-brainpoolP384r1-SHA256": "brainpoolP384r1",
}
"""Names of OCMF, and the curve of each; a charger's key must be of it."""
TRUSTED_TIMES = frozenset("SI")
"""Synchronised or informative; an unknown or relative time names no slot."""

_CODE = re.compile(r"(?:[0-9a-zA-Z]{1,3}-[0-9a-zA-Z]{1,3}:)?0?([12])\.0?8\.0{1,2}(?:\*[0-9a-fA-F]{1,3})?")
_TIME = re.compile(r"(\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d)[,.](\d{3})([+-]\d{4}) ([A-Z])")


class OcmfKeyError(ValueError):
    """No public key that signatures can be checked with; the message is one line."""


@dataclass(frozen=True, slots=True)
class Record:
    """A record whose signature was checked: its observations, in its order."""

    observations: tuple[Observation, ...]


def read_public_key(text: str) -> ec.EllipticCurvePublicKey:
    """Return a charger's key, from its DER in hexadecimal or from the name of a file with PEM or DER.

    Raises:
        OcmfKeyError: it is none, or its curve is not supported here.

    """
    try:
        content = bytes.fromhex(text)
    except ValueError:
        content = _read_key_file(Path(text))
    try:
        is_pem = content.lstrip().startswith(b"-----BEGIN")
        key = load_pem_public_key(content) if is_pem else load_der_public_key(content)
    except UnsupportedAlgorithm:
        raise OcmfKeyError("the key's curve is not supported by the cryptography of this machine") from None
    except (ValueError, TypeError):
        raise OcmfKeyError(
            "neither a file nor a public key: give its DER in hexadecimal, or a file"
        ) from None
    if not isinstance(key, ec.EllipticCurvePublicKey):
        raise OcmfKeyError("not a key of an elliptic curve")
    return key


def _read_key_file(path: Path) -> bytes:
    try:
        with path.open("rb") as file:
            return file.read(KEY_BYTES_MAX)
    except (OSError, ValueError):
        raise OcmfKeyError(
            "neither a file nor a public key: give its DER in hexadecimal, or a file"
        ) from None


def check_record(line: bytes, key: ec.EllipticCurvePublicKey) -> Record:
    """Return a record that the key signed.

    Raises:
        DropError: LINE_MALFORMED, SIGNATURE_UNSUPPORTED, SIGNATURE_WRONG; then what is wrong with its readings.

    """
    head, _, rest = line.strip().partition(b"|")
    payload, _, signature = rest.rpartition(b"|")
    if head != b"OCMF" or not payload:
        raise DropError(DropReason.LINE_MALFORMED)
    _check_signature(payload, _decode(signature), key)
    return Record(tuple(_read_observations(_decode(payload))))


def _check_signature(payload: bytes, signature: Mapping[str, object], key: ec.EllipticCurvePublicKey) -> None:
    curve = METHODS.get(_get_text(signature, "SA", METHOD_DEFAULT))
    if curve is None or _get_text(signature, "SM", "application/x-der") != "application/x-der":
        raise DropError(DropReason.SIGNATURE_UNSUPPORTED)
    encoding, data = _get_text(signature, "SE", "hex"), _get_text(signature, "SD", "")
    try:
        raw = bytes.fromhex(data) if encoding == "hex" else base64.b64decode(data, validate=True)
    except (ValueError, binascii.Error):
        raise DropError(DropReason.SIGNATURE_WRONG) from None
    if encoding not in {"hex", "base64"}:
        raise DropError(DropReason.SIGNATURE_UNSUPPORTED)
    if key.curve.name.lower() != curve.lower():
        raise DropError(DropReason.SIGNATURE_WRONG)
    try:
        key.verify(raw, payload, ec.ECDSA(hashes.SHA256()))
    except InvalidSignature:
        raise DropError(DropReason.SIGNATURE_WRONG) from None


def _decode(data: bytes) -> Mapping[str, object]:
    try:
        found = json.loads(data.decode("utf-8"), parse_float=str, parse_int=str, parse_constant=str)
    except (ValueError, RecursionError):
        raise DropError(DropReason.LINE_MALFORMED) from None
    if not isinstance(found, dict):
        raise DropError(DropReason.LINE_MALFORMED)
    return found


def _get_text(content: Mapping[str, object], name: str, default: str) -> str:
    value = content.get(name, default)
    if not isinstance(value, str):
        raise DropError(DropReason.LINE_MALFORMED)
    return value


def _read_observations(payload: Mapping[str, object]) -> Iterator[Observation]:
    """Yield one observation for each time that has an import register; what a reading leaves out is as before it."""
    readings = payload.get("RD")
    if not isinstance(readings, list) or not 1 <= len(readings) <= READINGS_MAX:
        raise DropError(DropReason.LINE_MALFORMED)
    equipment = to_line(_get_text(payload, "MS", ""))  # it is kept and shown
    known: dict[str, object] = {}
    registers: dict[str, dict[str, Decimal]] = {}
    statuses: dict[str, MeterStatus] = {}
    for reading in readings:
        if not isinstance(reading, dict):
            raise DropError(DropReason.LINE_MALFORMED)
        known = {**known, "EF": "", "RV": "", **reading}
        time = _get_text(known, "TM", "")
        code = _CODE.fullmatch(_get_text(known, "RI", ""))
        if code is None:
            continue
        value = parse_energy(_get_text(known, "RV", ""), _get_text(known, "RU", ""))
        registers.setdefault(time, {})[code[1]] = value
        statuses[time] = _read_status(known)
    found = [(time, values) for time, values in registers.items() if "1" in values]
    if not found:
        raise DropError(DropReason.REGISTER_MISSING)
    for time, values in found:
        imported, exported = (round_register(values.get(name, Decimal(0))) for name in "12")
        yield Observation(
            _read_time(time), WattHours(imported), WattHours(exported), statuses[time], equipment
        )


def _read_status(reading: Mapping[str, object]) -> MeterStatus:
    status = parse_status(_get_text(reading, "ST", "G"))
    flags = _get_text(reading, "EF", "")
    if status is None or "t" in flags:
        raise DropError(DropReason.TIME_INVALID if status is not None else DropReason.LINE_MALFORMED)
    return MeterStatus.OTHER_ERROR if "E" in flags and status is MeterStatus.GOOD else status


def _read_time(text: str) -> UnixMs:
    found = _TIME.fullmatch(text)
    if found is None or found[4] not in TRUSTED_TIMES:
        raise DropError(DropReason.TIME_INVALID)
    try:
        moment = datetime.strptime(found[1] + found[3], "%Y-%m-%dT%H:%M:%S%z")
    except ValueError:
        raise DropError(DropReason.TIME_INVALID) from None
    return UnixMs(int(moment.timestamp()) * 1000 + int(found[2]))


async def read_ocmf(
    path: Path, key: ec.EllipticCurvePublicKey, *, is_followed: bool
) -> AsyncGenerator[Observed, None]:
    """Yield what the records of a file say, a record in each line."""
    async with aclosing(follow_lines(path, RECORD_BYTES_MAX, is_followed=is_followed)) as steps:
        async for step in steps:
            match step:
                case Begun():
                    continue
                case LinkState() | Dropped():
                    yield step
                case Line(text=text):
                    if not text.strip():
                        continue
                    try:
                        record = check_record(text, key)
                    except DropError as error:
                        yield Dropped(error.reason)
                        continue
                    for observation in record.observations:
                        yield observation
