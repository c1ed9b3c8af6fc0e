"""What must not be written down: the values of fields that are named like secrets, and secrets inside sentences."""

import re
from collections.abc import Mapping

REDACTED = "[redacted]"
SECRET_WORDS = (
    "passphrase",
    "password",
    "secret",
    "seed",
    "private",
    "token",
    "credential",
    "authorization",
    "cookie",
    "signing_key",
    "key_pem",
)
"""A value whose name contains one of these is never written."""

PLAIN_NAMES = frozenset({"private_reads"})
"""Names that sound like a secret's and are none: a setting."""

_WORDS = "|".join(SECRET_WORDS)
_KEY = re.compile(r"-----BEGIN [A-Z ]*PRIVATE KEY-----.*?(?:-----END [A-Z ]*PRIVATE KEY-----|\Z)", re.DOTALL)
_USER = re.compile(r"(://)[^/\s@]+@")
_AUTHORIZATION = re.compile(r"(\b(?:bearer|basic)\s+)[\w.~+/=-]{8,}", re.IGNORECASE)
_NAMED = re.compile(
    rf"((?:{_WORDS})[\w-]{{0,64}}[\"']?\s{{0,8}}[=:]\s{{0,8}}[\"']?)[^\s\"'&,;}}]+", re.IGNORECASE
)
"""A key in PEM, a user in an address, an HTTP authorization, a value behind its name. None of them begins with a run of
any length, and what follows a word is bounded: a long line must not be searched again from every place in it."""


def is_secret_name(name: str) -> bool:
    """Tell whether a field's name is one of a secret."""
    lowered = name.lower()
    return lowered not in PLAIN_NAMES and any(word in lowered for word in SECRET_WORDS)


def redact_value(name: str, value: object) -> object:
    """Return what may be written of a named value: tables and lists are searched, texts as ``redact_text``."""
    if is_secret_name(name):
        return REDACTED
    if isinstance(value, str):
        return redact_text(value)
    if isinstance(value, Mapping):
        return {str(key): redact_value(str(key), each) for key, each in value.items()}
    if isinstance(value, list | tuple):
        return [redact_value("", each) for each in value]
    return value


def redact_text(text: str) -> str:
    """Return a text without the secrets that stand in it behind their names."""
    text = _KEY.sub(REDACTED, text)
    for pattern in (_USER, _AUTHORIZATION, _NAMED):
        text = pattern.sub(rf"\1{REDACTED}", text)
    return text
