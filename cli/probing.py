"""Asking validators how they are, all at once and briefly, without the libraries of a client."""

import http.client
import json
import time
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import TYPE_CHECKING
from urllib.parse import urlsplit

if TYPE_CHECKING:
    from node.doctor.network import Answered

TIMEOUT_S = 3.0
AT_ONCE = 16
ANSWER_BYTES_MAX = 2 * 1024 * 1024
"""Metrics of 80 validators take 100 kB."""


class NoAnswerError(Exception):
    """Nobody answered as asked; a few words say why."""


def ask_statuses(urls: Sequence[str]) -> "list[Answered]":
    """Return what each validator's API says of itself, or why it does not."""
    with ThreadPoolExecutor(AT_ONCE) as threads:
        return list(threads.map(_ask_status, urls))


def fetch(url: str, path: str) -> bytes:
    """Return what an address answers to a GET.

    Raises:
        NoAnswerError: nobody, too late, too much, or not with 200.

    """
    parts = urlsplit(url)
    kind = http.client.HTTPSConnection if parts.scheme == "https" else http.client.HTTPConnection
    connection = kind(parts.hostname or "", parts.port, timeout=TIMEOUT_S)
    try:
        connection.request("GET", parts.path.rstrip("/") + path)
        response = connection.getresponse()
        content = response.read(ANSWER_BYTES_MAX + 1)
    except (OSError, http.client.HTTPException) as error:
        raise NoAnswerError(getattr(error, "strerror", None) or str(error) or type(error).__name__) from None
    finally:
        connection.close()
    if response.status != http.client.OK:
        raise NoAnswerError(f"status {response.status}")
    if len(content) > ANSWER_BYTES_MAX:
        raise NoAnswerError(f"more than {ANSWER_BYTES_MAX} bytes")
    return content


def _ask_status(url: str) -> "Answered":
    from node.doctor.network import Answered

    begin_ms = time.time_ns() // 1_000_000
    try:
        told = json.loads(fetch(url, "/v1/status"))
    except NoAnswerError as error:
        return Answered(url, begin_ms, None, str(error))
    except ValueError:
        return Answered(url, begin_ms, None, "no JSON")
    middle_ms = (begin_ms + time.time_ns() // 1_000_000) // 2
    if not isinstance(told, dict):
        return Answered(url, middle_ms, None, "no status")
    return Answered(url, middle_ms, told)
