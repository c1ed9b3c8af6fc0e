"""The token of the members: made with a network, known to its validators, and used by the command line by itself."""

import time
from collections.abc import Iterable
from pathlib import Path
from typing import TYPE_CHECKING

from cli.client_settings import TOKEN_NAME
from node.api.tokens import add_token, make_token

if TYPE_CHECKING:
    from cli.client_settings import ClientHome

MEMBERS = "members"
"""The reader whose token every validator of a new network knows."""


def write_members_token(directory: Path, homes: Iterable[Path], now_ms: int) -> None:
    """Put a new token into a members' home, and its hash into each validator's."""
    token = make_token()
    path = directory / TOKEN_NAME
    path.touch(0o600, exist_ok=False)
    path.write_text(f"{token}\n", encoding="ascii")
    for home in homes:
        add_token(home, MEMBERS, now_ms, token)


def copy_members_token(source: "ClientHome", home: Path) -> None:
    """Let a validator that joins know the token that its maker uses, if there is one."""
    token = source.read_token()
    if token:
        add_token(home, MEMBERS, time.time_ns() // 1_000_000, token)
