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
from node.redaction import redact_value

LOG_FILE_BYTES_MAX = 10 * 1024 * 1024
LOG_FILES_KEPT = 3
"""A week of a quiet node; an SD card has room for it and it fills no disk."""

VALUE_CHARACTERS_MAX = 2_000
"""A field is for reading, not for keeping: longer values are cut."""

COMPONENTS = ("api", "consensus", "inbox", "node", "observer", "p2p", "snapshots")
"""The loggers of a node, below ``gridbft.``; each may have a level of its own while the node runs."""

OTHERS = "others"
"""The name under which the level of everything else is shown: libraries."""

LEVELS = ("debug", "info", "warning", "error")
PREFIX = "gridbft."

_OF_STRUCTLOG = frozenset({"_record", "_from_structlog", "_logger", "_name", "exc_info", "stack_info"})
"""What structlog keeps among the fields for itself; it is taken out before the line is written."""

Event = MutableMapping[str, Any]


class LevelError(Exception):
    """No such component or level; one line says which there are."""


class GatedLogger(structlog.stdlib.BoundLogger):
    """Asks for the level at each message, so that it may change; a debug message that is not wanted costs little."""

    def debug(self, event: str | None = None, *args: object, **fields: object) -> None:
        """Say something that only a search for a fault wants to know."""
        if self._logger.isEnabledFor(logging.DEBUG):
            super().debug(event, *args, **fields)


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
    root = logging.getLogger()
    for old in list(root.handlers):
        root.removeHandler(old)
        old.close()
    root.addHandler(handler)
    set_level(None, config.level)
    structlog.configure(
        processors=[
            structlog.stdlib.filter_by_level,
            *shared,
            structlog.stdlib.ProcessorFormatter.wrap_for_formatter,
        ],
        wrapper_class=GatedLogger,
        logger_factory=structlog.stdlib.LoggerFactory(),
        cache_logger_on_first_use=True,
    )


def read_levels() -> dict[str, str]:
    """Return the level of each component, and that of everything else."""
    names = {each: PREFIX + each for each in COMPONENTS} | {OTHERS: None}
    return {
        name: logging.getLevelName(logging.getLogger(logger).getEffectiveLevel()).lower()
        for name, logger in names.items()
    }


def set_level(component: str | None, level: str) -> None:
    """Set the level of one component, or of all and everything else; it holds until the process ends.

    Raises:
        LevelError: there is no such component or level.

    """
    if level not in LEVELS:
        raise LevelError(f"{level!r} is no level; there are {', '.join(LEVELS)}")
    if component is not None and component not in COMPONENTS:
        raise LevelError(f"{component!r} is no component; there are {', '.join(COMPONENTS)}")
    number = logging.getLevelNamesMapping()[level.upper()]
    if component is not None:
        logging.getLogger(PREFIX + component).setLevel(number)
        return
    logging.getLogger().setLevel(number)
    for each in COMPONENTS:
        logging.getLogger(PREFIX + each).setLevel(logging.NOTSET)


def redact(_: object, __: str, event: Event) -> Event:
    """Replace the value of every field that is named like a secret, and what a text says of one."""
    return {
        name: value if name in _OF_STRUCTLOG else redact_value(name, value) for name, value in event.items()
    }


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
