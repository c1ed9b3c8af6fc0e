"""The network as it answers: this node, the others' genesis and clocks, and whether their ports can be reached."""

import socket
from collections.abc import Iterable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass

from node.config import PeerConfig
from node.doctor.findings import Finding, Level

CONNECT_TIMEOUT_S = 2.0
AT_ONCE = 16
"""Eighty peers that do not answer take ten seconds."""

SHOWN_MAX = 5


@dataclass(frozen=True, slots=True)
class Answered:
    """What a validator's API said of itself, when this machine's clock showed ``asked_ms``; or why it did not."""

    where: str
    asked_ms: int
    status: Mapping[str, object] | None
    reason: str = ""

    @property
    def name(self) -> str:
        """Return the validator's name, or where it was asked."""
        return str(self.status.get("name", self.where)) if self.status is not None else self.where

    @property
    def genesis_hash(self) -> str | None:
        """Return its genesis hash, or None."""
        found = None if self.status is None else self.status.get("genesis_hash")
        return found if isinstance(found, str) else None

    def get_number(self, name: str) -> int | None:
        """Return a number of the answer, or None."""
        found = None if self.status is None else self.status.get(name)
        return found if isinstance(found, int) and not isinstance(found, bool) else None


def check_node(status: Mapping[str, object] | None) -> Finding:
    """Check this node's own word: whether it runs, and what keeps it from committing."""
    if status is None:
        return Finding("node", Level.WARNING, "the node does not run", "start it: `gridbft start`")
    waiting = status.get("waiting")
    measures = {
        name: status.get(name) for name in ("phase", "height", "certified_height", "view", "epoch", "role")
    }
    if isinstance(waiting, str):
        return Finding(
            "node", Level.WARNING, f"the node runs: {waiting}", "`gridbft consensus explain`", measures
        )
    return Finding(
        "node",
        Level.OK,
        f"the node runs: {measures['phase']}, block {measures['height']}, certified {measures['certified_height']}",
        "",
        measures,
    )


def check_same_genesis(own: str, answers: Iterable[Answered], status: Mapping[str, object] | None) -> Finding:
    """Check that everybody who answers runs the same genesis."""
    answered = [each for each in answers if each.genesis_hash is not None]
    others = [each for each in answered if each.genesis_hash != own]
    refused = [name for name, error in _list_errors(status) if "another genesis" in error]
    measures = {"asked": len(answered), "differ": [each.name for each in others] + refused}
    if others or refused:
        return Finding(
            "same_genesis",
            Level.PROBLEM,
            f"another genesis than this home's is run by {_join([*(each.name for each in others), *refused])}",
            "one of you has the wrong genesis.bin: compare `gridbft network verify-genesis`",
            measures,
        )
    if not answered:
        return Finding("same_genesis", Level.OK, "no other validator was asked for its genesis", "", measures)
    return Finding(
        "same_genesis", Level.OK, f"{len(answered)} validators answer, all with this genesis", "", measures
    )


def check_answers(answers: Sequence[Answered]) -> Finding:
    """Check that the validators that client.toml names answer."""
    silent = [f"{each.where} ({each.reason})" for each in answers if each.status is None]
    if silent:
        return Finding(
            "peers_api",
            Level.WARNING,
            f"{len(silent)} of {len(answers)} do not answer: {_join(silent)}",
            "their API is often open to their own machine alone; else start them, or look at the way there",
            {"silent": silent},
        )
    if not answers:
        return Finding("peers_api", Level.OK, "no other validator is named in client.toml, so none was asked")
    return Finding("peers_api", Level.OK, f"{len(answers)} validators were asked, all answered")


def check_reachable(peers: Sequence[PeerConfig]) -> Finding:
    """Check that somebody listens where config.toml says that the others do."""
    with ThreadPoolExecutor(AT_ONCE) as threads:
        reasons = list(threads.map(_find_unreachable_reason, peers))
    silent = [
        f"{peer.name} at {peer.host}:{peer.port} ({reason})"
        for peer, reason in zip(peers, reasons, strict=True)
        if reason is not None
    ]
    if silent:
        return Finding(
            "peers_p2p",
            Level.WARNING,
            f"{len(silent)} of {len(peers)} cannot be reached: {_join(silent)}",
            "start them; else look at the address in [[peers]] and at the firewall of their p2p port",
            {"silent": silent},
        )
    return Finding("peers_p2p", Level.OK, f"{len(peers)} peers listen where config.toml says")


def compute_offsets_ms(answers: Iterable[Answered]) -> dict[str, int]:
    """Return by validator how far this machine's clock is ahead of what it said."""
    return {
        each.name: each.asked_ms - clock_ms
        for each in answers
        if (clock_ms := each.get_number("clock_ms")) is not None
    }


def _find_unreachable_reason(peer: PeerConfig) -> str | None:
    try:
        with socket.create_connection((peer.host, peer.port), timeout=CONNECT_TIMEOUT_S):
            return None
    except OSError as error:
        return error.strerror or str(error) or type(error).__name__


def _list_errors(status: Mapping[str, object] | None) -> list[tuple[str, str]]:
    peers = [] if status is None else status.get("peers")
    if not isinstance(peers, list):
        return []
    return [
        (str(peer.get("name")), str(peer.get("last_error")))
        for peer in peers
        if isinstance(peer, Mapping) and not peer.get("connected")
    ]


def _join(names: Sequence[str]) -> str:
    shown = ", ".join(names[:SHOWN_MAX])
    return shown if len(names) <= SHOWN_MAX else f"{shown} and {len(names) - SHOWN_MAX} more"
