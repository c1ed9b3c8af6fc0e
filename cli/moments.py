"""Times as people write them on the command line, and as a slot is named to them."""

from datetime import UTC, datetime

from cli.failure import build_usage_error

EPOCH = datetime(1970, 1, 1, tzinfo=UTC)


def parse_boundary(text: str, slot_s: int) -> int:
    """Return the UTC second of a boundary between slots.

    Raises:
        CliError: usage; no time, no offset, or not a boundary.

    """
    try:
        moment = datetime.fromisoformat(text)
    except ValueError:
        raise build_usage_error(f"{text!r} is no time; write it as 2026-01-01T00:00:00Z") from None
    if moment.tzinfo is None:
        raise build_usage_error(f"{text}: add the offset, as 2026-01-01T00:00:00Z")
    seconds = int(moment.timestamp())
    if moment < EPOCH or moment.microsecond or seconds % slot_s:
        raise build_usage_error(f"{text} is not a boundary between slots of {slot_s // 60} minutes")
    return seconds


def parse_day(text: str, opening_s: int) -> tuple[int, int]:
    """Return the UTC seconds [begin, end) of a day: a date, or its number from 0 in 24 hours from ``opening_s``.

    Raises:
        CliError: usage; neither.

    """
    if text.isascii() and text.isdigit() and len(text) < len("10000000"):
        begin_s = opening_s + int(text) * 86_400
        return begin_s, begin_s + 86_400
    try:
        date = datetime.fromisoformat(text).replace(tzinfo=UTC) if len(text) == len("2026-01-01") else None
    except ValueError:
        date = None
    if date is None or date < EPOCH:
        raise build_usage_error(f"--day {text!r}: a number from 0, or a date as 2026-01-01 (UTC)")
    return int(date.timestamp()), int(date.timestamp()) + 86_400


def parse_moment(text: str, flag: str) -> int:
    """Return the UTC second of a date (its midnight) or of a time with its offset.

    Raises:
        CliError: usage; neither.

    """
    try:
        moment = datetime.fromisoformat(text)
    except ValueError:
        moment = None
    if moment is not None and len(text) == len("2026-01-01"):
        moment = moment.replace(tzinfo=UTC)
    if moment is None or moment.tzinfo is None or moment < EPOCH:
        raise build_usage_error(
            f"{flag} {text!r}: a date as 2026-01-01 (UTC), or a time as 2026-01-01T00:00:00Z"
        )
    return int(moment.timestamp())


def format_moment(seconds: int) -> str:
    """Return a UTC second as 2026-01-01 00:00."""
    return datetime.fromtimestamp(seconds, UTC).strftime("%Y-%m-%d %H:%M")
