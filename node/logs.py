"""The node's log: events with fields, one line each, as JSON or for a person; secrets never.

Everything goes to standard error, or to a file of bounded size. Library messages take the same way.
"""

import logging
import logging.handlers
import sys
from collections.abc import MutableMapping
from pathlib import Path
from typing import Any

import msgspec
import structlog
from structlog.typing import Processor

from node.config import ConfigError, LogConfig

LOG_FILE_BYTES_MAX = 10 * 1024 * 1024
LOG_FILES_KEPT = 3
"""A week of a quiet node; an SD card has room for it and it fills no disk."""

VALUE_CHARACTERS_MAX = 2_000
"""A field is for reading, not for keeping: longer values are cut."""

REDACTED = "[redacted]"
SECRET_WORDS = ("passphrase", "password", "secret", "seed", "private", "token", "signing_key", "key_pem")
"""A field whose name contains one of these is never written."""

Event = MutableMapping[str, Any]


def configure_logging(config: LogConfig, home: Path) -> None:
    """Send every log message of this process where ``config`` says; a relative file is below ``home``.

    Raises:
        ConfigError: the file cannot be opened.

    """
    shared: list[Processor] = [
        structlog.stdlib.add_log_level,
        structlog.stdlib.add_logger_name,
        structlog.processors.TimeStamper(fmt="iso", utc=True),
        structlog.processors.format_exc_info,
        redact,
    ]
    handler = _open_handler(config, home)
    handler.setFormatter(
        structlog.stdlib.ProcessorFormatter(
            foreign_pre_chain=[structlog.stdlib.ExtraAdder(), *shared],
            processors=[
                structlog.stdlib.ProcessorFormatter.remove_processors_meta,
                render_json if config.format == "json" else render_line,
            ],
        )
    )
    level = logging.getLevelNamesMapping()[config.level.upper()]
    root = logging.getLogger()
    for old in list(root.handlers):
        root.removeHandler(old)
        old.close()
    root.addHandler(handler)
    root.setLevel(level)
    structlog.configure(
        processors=[*shared, structlog.stdlib.ProcessorFormatter.wrap_for_formatter],
        wrapper_class=structlog.make_filtering_bound_logger(level),
        logger_factory=structlog.stdlib.LoggerFactory(),
        cache_logger_on_first_use=True,
    )


def redact(_: object, __: str, event: Event) -> Event:
    """Replace the value of every field that is named like a secret."""
    for name in event:
        if any(word in name.lower() for word in SECRET_WORDS):
            event[name] = REDACTED
    return event


def render_json(_: object, __: str, event: Event) -> str:
    """Return the event as one line of JSON; bytes are hex."""
    return msgspec.json.encode({name: _simplify(value) for name, value in event.items()}).decode()


def render_line(_: object, __: str, event: Event) -> str:
    """Return the event as one line for a person: time, level, name, event, fields."""
    head = [str(event.pop(name, "")) for name in ("timestamp", "level", "logger", "event")]
    exception = event.pop("exception", None)
    fields = [f"{name}={_to_text(_simplify(event[name]))}" for name in sorted(event)]
    line = " ".join([head[0], f"{head[1]:7}", head[2], _to_text(head[3]), *fields])
    return line if exception is None else f"{line}\n{exception}"


def _open_handler(config: LogConfig, home: Path) -> logging.Handler:
    if not config.file:
        return logging.StreamHandler(sys.stderr)
    path = home / config.file
    try:
        return logging.handlers.RotatingFileHandler(
            path, maxBytes=LOG_FILE_BYTES_MAX, backupCount=LOG_FILES_KEPT - 1, encoding="utf-8"
        )
    except OSError as error:
        raise ConfigError(
            f"log.file: {path}: {error.strerror}; name a file that the node's user may write"
        ) from None


def _simplify(value: object) -> object:
    """Return a value that JSON has: bytes as hex, long texts cut, other objects by their short form."""
    if value is None or isinstance(value, bool | int | float):
        return value
    if isinstance(value, bytes):
        return value[:VALUE_CHARACTERS_MAX].hex()
    if isinstance(value, dict):
        return {str(name): _simplify(each) for name, each in value.items()}
    if isinstance(value, list | tuple):
        return [_simplify(each) for each in value]
    text = str(value)
    return text if len(text) <= VALUE_CHARACTERS_MAX else text[:VALUE_CHARACTERS_MAX] + "…"


def _to_text(value: object) -> str:
    """Return a value in one printable word, quoted where it is none."""
    text = value if isinstance(value, str) else msgspec.json.encode(value).decode()
    plain = text.isprintable() and " " not in text and text
    return text if plain else msgspec.json.encode(text).decode()
