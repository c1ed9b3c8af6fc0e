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

_PATTERNS = (
    (
        re.compile(
            r"-----BEGIN [A-Z ]*PRIVATE KEY-----.*?(?:-----END [A-Z ]*PRIVATE KEY-----|\Z)", re.DOTALL
        ),
        "",
    ),
    (re.compile(r"(\b[a-z][a-z0-9+.-]*://)[^/\s@]+@", re.IGNORECASE), r"\1"),
    (re.compile(r"(\b(?:bearer|basic)\s+)[\w.~+/=-]{8,}", re.IGNORECASE), r"\1"),
    (
        re.compile(
            rf"([\w-]*(?:{'|'.join(SECRET_WORDS)})[\w-]*[\"']?\s*[=:]\s*[\"']?)[^\s\"'&,;}}]+", re.IGNORECASE
        ),
        r"\1",
    ),
)
"""Each with what of it stays: a key in PEM, a user in an address, an HTTP authorization, a named value."""


def is_secret_name(name: str) -> bool:
    """Tell whether a field's name is one of a secret."""
    lowered = name.lower()
    return any(word in lowered for word in SECRET_WORDS)


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
    for pattern, kept in _PATTERNS:
        text = pattern.sub(kept + REDACTED, text)
    return text
