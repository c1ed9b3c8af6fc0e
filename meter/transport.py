"""The HTTP session under every client of validators: its limits, and how a question becomes an answer.

Both ``meter.client`` and ``meter.stream`` ask over it; nothing above it knows of HTTP.
"""

import asyncio
import os
import ssl
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import aiohttp

from meter.validators import Answer, ClientSettings, Request, ValidatorFailedError, build_headers
from primitives.text import to_line

ANSWER_BYTES_MAX = 4 * 1024 * 1024
"""100 proofs with certificates of 80 validators take 2.5 MB in base64; over a stream 250 proofs of one block take
100 kB, with a thousand linked headers 300 kB."""

CONNECTIONS_MAX = 16
"""Open at once, to all validators together."""


@asynccontextmanager
async def open_session(settings: ClientSettings) -> AsyncIterator[aiohttp.ClientSession]:
    """Open a session that keeps no cookies, takes no compressed answers and leaves time to whoever asks."""
    async with aiohttp.ClientSession(
        auto_decompress=False,  # a small answer must not become a large one
        connector=aiohttp.TCPConnector(limit=CONNECTIONS_MAX),
        cookie_jar=aiohttp.DummyCookieJar(),
        headers=build_headers(settings),
        timeout=aiohttp.ClientTimeout(total=None),  # the transport limits each exchange as a whole
    ) as session:
        yield session


class HttpTransport:
    """Carries questions over HTTP, with limits of time and size; follows no redirect."""

    def __init__(self, session: aiohttp.ClientSession, timeout_s: float) -> None:
        """Take an open session and the time that an exchange may last beyond the wait it asks for."""
        self._session = session
        self._timeout_s = timeout_s

    async def exchange(self, url: str, request: Request) -> Answer:
        """Return the answer of the validator at ``url``.

        Raises:
            ValidatorFailedError: unreachable, too slow, or an answer beyond the limit of size.

        """
        try:
            async with (
                asyncio.timeout(self._timeout_s + request.wait_s),
                self._session.request(
                    request.method,
                    url + request.path,
                    params=request.query,
                    data=request.body,
                    headers={"Content-Type": "application/octet-stream"}
                    if request.body is not None
                    else None,
                    allow_redirects=False,
                ) as response,
            ):
                body = await _read_bounded(response)
                return Answer(response.status, body, _read_retry_after(response))
        except TimeoutError:
            raise ValidatorFailedError("did not answer in time") from None
        except (aiohttp.ClientError, OSError, ValueError) as error:
            raise ValidatorFailedError(to_line(_describe(error))) from None


def _describe(error: Exception) -> str:
    """Return why an exchange failed; of a refused connection the reason only, the address is told beside it."""
    cause = getattr(error, "os_error", error)
    if isinstance(cause, ssl.SSLError):
        return f"TLS failed: {(cause.reason or str(cause)).lower().replace('_', ' ')}"
    if isinstance(cause, OSError) and cause.errno is not None and cause.errno > 0:
        return os.strerror(cause.errno).lower()
    if isinstance(cause, OSError) and cause.strerror:  # a name that cannot be resolved
        return cause.strerror.lower()
    return str(error) or type(error).__name__


async def _read_bounded(response: aiohttp.ClientResponse) -> bytes:
    body = bytearray()
    async for chunk in response.content.iter_any():
        body += chunk
        if len(body) > ANSWER_BYTES_MAX:
            raise ValidatorFailedError(f"answered with more than {ANSWER_BYTES_MAX} bytes")
    return bytes(body)


def _read_retry_after(response: aiohttp.ClientResponse) -> float:
    text = response.headers.get("Retry-After", "")
    return float(text) if text.isascii() and text.isdigit() and len(text) <= len("3600") else 0.0
