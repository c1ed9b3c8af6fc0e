"""Which metrics there are: name, what it means, labels and bounds. docs/operating.md is held to these tables."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Literal

PREFIX = "gridbft_"

GAUGES: Mapping[str, str] = {
    "chain_height": "Height of the last executed block",
    "certified_height": "Height of the last block with a certificate",
    "certificate_age_seconds": "Since the last certificate came, or since the start",
    "heartbeat_seconds": "How often a block is due when nothing happens, as the genesis says",
    "pruned_height": "Height up to which blocks and receipts are gone",
    "blocks_behind": "Blocks that others are known to have beyond the last executed one",
    "view": "View of agreement",
    "epoch": "Epoch of the membership",
    "active": "1 while the replica takes part in agreement on its view",
    "stalled": "1 while something keeps this validator from committing",
    "view_attempt": "Views tried since the last block",
    "validators": "Validators of the current epoch",
    "validators_missing": "Validators that are not heard",
    "mempool_transactions": "Transactions that wait to be ordered",
    "mempool_transactions_max": "How many may wait",
    "mempool_bytes": "Memory of the transactions that wait",
    "mempool_oldest_seconds": "How long the transaction that came first has waited",
    "peers_connected": "Validators with an open link",
    "observers_connected": "Observers with an open link to this validator",
    "evidence_stored": "Pairs of contradicting messages on the disk: each convicts a validator",
    "journal_bytes": "Size of the journal",
    "store_bytes": "Size of the store, looked at once a minute at most",
    "disk_free_bytes": "What is left for this user on the disk of the home",
    "clock_timestamp_seconds": "This computer's clock, to be compared with others'",
    "api_connections": "Open connections of the HTTP API",
    "api_streams": "Open streams of the HTTP API",
    "api_waiters": "Requests that wait for a certificate",
}
"""Gauges by name, without the prefix; the host sets them, and an unknown name is refused."""

COUNTERS: Mapping[str, str] = {
    "transactions_accepted": "Transactions taken into the mempool",
    "transactions_refused": "Transactions refused before the mempool",
    "transactions_committed": "Transactions executed and applied",
    "transactions_rejected": "Transactions executed and refused by the ledger",
    "blocks_executed": "Blocks executed",
    "view_changes": "View changes this replica took part in",
    "equivocations": "Pairs of contradicting messages seen",
    "signatures_valid": "Signatures that were checked and valid",
    "signatures_invalid": "Signatures that were checked and invalid",
    "signatures_spared": "Checks spared because the transaction was known",
    "messages_dropped": "Messages dropped because the replica's queue was full",
    "journal_syncs": "Synced writes of the journal",
    "disk_written_bytes": "Bytes that this process sent to the disk, as the kernel counts them",
}
"""Counters by name, without the prefix and the suffix ``_total``."""

HISTOGRAMS: Mapping[str, tuple[str, tuple[float, ...]]] = {
    "commit_latency_seconds": (
        "From a transaction's arrival at this node to its certificate",
        (0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 30.0),
    ),
    "block_interval_seconds": (
        "Between two blocks as they were executed here",
        (0.01, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 30.0, 60.0, 120.0),
    ),
    "journal_sync_seconds": (
        "A synced write of the journal: every vote waits for one",
        (0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 5.0),
    ),
    "block_execution_seconds": (
        "Executing a block and storing it with a synced write",
        (0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 10.0),
    ),
}
"""Histograms by name: meaning and upper bounds."""


@dataclass(frozen=True, slots=True)
class Family:
    """A metric with labels. What bounds the number of its series stands in the comment beside it."""

    kind: Literal["gauge", "counter"]
    text: str
    labels: tuple[str, ...]


LABELLED: Mapping[str, Family] = {
    # Validators of the current epoch, at most VALIDATORS_MAX; those who left are forgotten.
    "validator_last_signed_height": Family(
        "gauge", "Highest certified block signed by a validator, as seen here", ("validator",)
    ),
    "validator_signed_blocks": Family(
        "gauge", "Of the last hundred certified blocks those it signed, as seen here", ("validator",)
    ),
    "validator_missed_blocks": Family(
        "gauge", "Of the last hundred certified blocks those it did not sign, as seen here", ("validator",)
    ),
    "validator_silence_seconds": Family(
        "gauge", "Since the last message of a validator, or since the start", ("validator",)
    ),
    "peer_connected": Family("gauge", "1 while the link to a validator is up", ("validator",)),
    "peer_received_bytes": Family("counter", "Bytes that came from a validator", ("validator",)),
    "peer_sent_bytes": Family("counter", "Bytes that went to a validator", ("validator",)),
    "peer_dropped_frames": Family(
        "counter", "Frames for a validator that its slow link had no room for", ("validator",)
    ),
    # One series for each phase that agreement knows; exactly one is 1.
    "phase": Family("gauge", "1 for what this validator does now", ("phase",)),
    "node_info": Family(
        "gauge", "Always 1; who this is, and of which network", ("validator", "chain", "role")
    ),
    # Two stages times the closed list of rejections; only those that happened.
    "rejections": Family(
        "counter",
        "Refused transactions by reason, before the mempool or by the ledger",
        ("stage", "rejection"),
    ),
    # Patterns of addresses, never what clients send; status codes that the API answers with.
    "http_requests": Family("counter", "HTTP answers by route and status", ("method", "route", "status")),
}
"""Metrics with labels by name, without the prefix and, for counters, without the suffix ``_total``."""
