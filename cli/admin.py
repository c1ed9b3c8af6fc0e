"""A node's admin socket: HTTP over HOME/admin.sock, which only the node's own user may open."""

import http.client
import json
import os
import socket
from collections.abc import Mapping
from pathlib import Path

from cli.failure import CliError

ADMIN_TIMEOUT_S = 5
ANSWER_BYTES_MAX = 1024 * 1024
"""A status of 80 validators takes 60 kB."""


class _UnixConnection(http.client.HTTPConnection):
    """HTTP/1.1 over a unix socket."""

    def __init__(self, path: Path) -> None:
        super().__init__("localhost", timeout=ADMIN_TIMEOUT_S)
        self._path = path

    def connect(self) -> None:
        self.sock = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
        self.sock.settimeout(ADMIN_TIMEOUT_S)
        # by way of the open directory: a socket's address holds 107 bytes (unix(7)), a home's path may have more
        directory = os.open(self._path.parent, os.O_PATH | os.O_DIRECTORY)
        try:
            self.sock.connect(f"/proc/self/fd/{directory}/{self._path.name}")
        finally:
            os.close(directory)


def ask_admin(
    home: Path, method: str, path: str, body: Mapping[str, object] | None = None
) -> Mapping[str, object]:
    """Return what the node of ``home`` answers; blocks at most a few seconds.

    Raises:
        CliError: no node runs there, or it refuses.

    """
    connection = _UnixConnection(home / "admin.sock")
    try:
        content = None if body is None else json.dumps(body)
        headers = {} if body is None else {"Content-Type": "application/json"}
        connection.request(method, path, body=content, headers=headers)
        response = connection.getresponse()
        answer = response.read(ANSWER_BYTES_MAX)
    except (OSError, http.client.HTTPException) as error:
        reason = getattr(error, "strerror", None) or str(error) or type(error).__name__
        raise CliError(f"no node answers at {home / 'admin.sock'} ({reason}): is it running?") from None
    finally:
        connection.close()
    try:
        value = json.loads(answer) if answer else {}
    except ValueError:
        raise CliError(f"the node of {home} answered something that is no JSON") from None
    if response.status >= http.client.BAD_REQUEST:
        detail = value.get("detail") or value.get("error") or f"status {response.status}"
        raise CliError(f"the node of {home} refused {path}: {detail}")
    return dict(value)
