"""Keys are their owner's alone, and certificates are valid by the clock; else the first is named with what to do."""

from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

from node.doctor.findings import Finding, Level, find_worst
from node.doctor.home import check_certificates, check_owner, check_permissions
from primitives.header import Validator

NOON = datetime(2026, 6, 1, 12, tzinfo=UTC)


def build_validator(name: str, begin: datetime, end: datetime) -> Validator:
    key = Ed25519PrivateKey.generate()
    subject = x509.Name([x509.NameAttribute(x509.NameOID.COMMON_NAME, name)])
    certificate = (
        x509.CertificateBuilder()
        .subject_name(subject)
        .issuer_name(subject)
        .public_key(key.public_key())
        .serial_number(1)
        .not_valid_before(begin)
        .not_valid_after(end)
        .sign(key, algorithm=None)
    )
    return Validator(name, bytes(32), certificate.public_bytes(serialization.Encoding.DER))


YEAR = timedelta(days=365)


@pytest.mark.parametrize(
    ("begin", "end", "level", "said"),
    [
        (NOON - YEAR, NOON + YEAR, Level.OK, "2 certificates are valid"),
        (NOON + YEAR, NOON + 2 * YEAR, Level.PROBLEM, "not valid yet by this clock of late"),
        (NOON - 2 * YEAR, NOON - YEAR, Level.PROBLEM, "has expired of late (until 2025-06-01)"),
        (NOON - YEAR, NOON + timedelta(days=9), Level.WARNING, "expires soon of late (until 2026-06-10)"),
    ],
)
def test_certificates_are_judged_by_their_dates(
    begin: datetime, end: datetime, level: Level, said: str
) -> None:
    validators = [build_validator("v0", NOON - YEAR, NOON + YEAR), build_validator("late", begin, end)]
    found = check_certificates(validators, NOON)
    assert found.level is level
    assert said in found.said


def test_what_is_no_certificate_is_named() -> None:
    found = check_certificates([Validator("v7", bytes(32), b"nonsense")], NOON)
    assert found.level is Level.PROBLEM
    assert "no certificate can be read of v7" in found.said


def test_a_home_that_others_may_look_into_is_worth_a_warning_and_an_open_key_is_a_problem(
    tmp_path: Path,
) -> None:
    home = tmp_path / "home"
    (home / "keys").mkdir(parents=True, mode=0o700)
    (home / "keys/node.key").touch(mode=0o600)
    home.chmod(0o700)
    assert check_permissions(home).level is Level.OK
    assert check_owner(home).level is Level.OK
    home.chmod(0o755)
    assert check_permissions(home).level is Level.WARNING
    (home / "keys/node.key").chmod(0o640)
    found = check_permissions(home)
    assert found.level is Level.PROBLEM
    assert f"chmod go-rwx {home / 'keys/node.key'}" in found.advice
    (home / "keys/node.key").chmod(0o600)
    (home / "api_tokens.json").touch(mode=0o600)
    assert check_permissions(home).level is Level.WARNING
    (home / "api_tokens.json").chmod(0o644)
    assert check_permissions(home).level is Level.PROBLEM


def test_the_worst_of_findings_counts() -> None:
    levels = [Level.OK, Level.WARNING, Level.PROBLEM]
    found = [Finding("a", level, "so") for level in levels]
    assert [find_worst(found[:count]) for count in range(4)] == [Level.OK, *levels]
