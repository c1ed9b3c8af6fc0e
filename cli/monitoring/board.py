"""The board for Grafana: does it commit, who signs, what waits, and does the machine last."""

import json
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

RATE = "$__rate_interval"
COLUMNS = 24
"""Of Grafana's grid."""

SCHEMA_VERSION = 39
"""Of Grafana 10; later ones read and migrate it."""

SOURCE = {"type": "prometheus", "uid": "${source}"}


@dataclass(frozen=True)
class Panel:
    """One picture: what is asked of Prometheus, and how it is told. ``width`` is in columns."""

    title: str
    unit: str
    targets: tuple[tuple[str, str], ...]
    text: str
    kind: Literal["stat", "timeseries", "table"] = "timeseries"
    width: int = 8
    height: int = 7
    red_above: float | None = None


@dataclass(frozen=True)
class Row:
    """Panels under one heading."""

    title: str
    panels: tuple[Panel, ...]


def _quantiles(metric: str) -> tuple[tuple[str, str], ...]:
    """Return the median and the hundredth of a histogram, for each node."""
    rate = f"rate(gridbft_{metric}_bucket[{RATE}])"
    return tuple(
        (f"histogram_quantile({q}, {rate})", f"{{{{instance}}}} {name}")
        for q, name in (("0.5", "p50"), ("0.99", "p99"))
    )


NODE = "{{instance}}"
PAIR = "{{instance}} of {{validator}}"

ROWS = (
    Row(
        "Does it commit?",
        (
            Panel(
                *("Stalled", "none", (("gridbft_stalled", NODE),)),
                "1 while something keeps a validator from committing: `gridbft status` says what",
                kind="stat",
                width=6,
                height=5,
                red_above=1,
            ),
            Panel(
                *("Since the last certificate", "s", (("gridbft_certificate_age_seconds", NODE),)),
                "An idle network certifies a block every heartbeat",
                kind="stat",
                width=6,
                height=5,
                red_above=90,
            ),
            Panel(
                *("Validators missing", "none", (("gridbft_validators_missing", NODE),)),
                "Without a link, or silent on it",
                kind="stat",
                width=6,
                height=5,
                red_above=1,
            ),
            Panel(
                *("View", "none", (("gridbft_view", NODE),)),
                "How often the primary changed since the epoch began",
                kind="stat",
                width=6,
                height=5,
            ),
            Panel(
                *("Height", "none"),
                (("gridbft_chain_height", NODE), ("gridbft_certified_height", f"{NODE} certified")),
                "All lines together is a network in step",
            ),
            Panel(
                *("Block interval", "s", _quantiles("block_interval_seconds")),
                "Between two blocks as each node executed them",
            ),
            Panel(
                *("From submission to certificate", "s", _quantiles("commit_latency_seconds")),
                "Of the transactions that were submitted to each node",
            ),
        ),
    ),
    Row(
        "Who takes part?",
        (
            Panel(
                *("Phase", "none", (("gridbft_phase == 1", "{{instance}} {{phase}}"),)),
                "normal is the only one that should last",
                kind="stat",
            ),
            Panel(
                *("Missed of the last 100 blocks", "none", (("gridbft_validator_missed_blocks", PAIR),)),
                "As each node saw it; one that only one node accuses has a bad link to that one",
                red_above=20,
            ),
            Panel(
                *("Silence", "s", (("gridbft_validator_silence_seconds", PAIR),)),
                "Since the last message of a validator",
            ),
            Panel(
                *("View changes", "none", ((f"increase(gridbft_view_changes_total[{RATE}])", NODE),)),
                "Some at a restart; a series of them is a primary that is too slow, or a clock that is wrong",
            ),
            Panel(
                *("Blocks behind", "none", (("gridbft_blocks_behind", NODE),)),
                "What others are known to have and this node has not",
            ),
            Panel(
                *("Traffic between validators", "Bps"),
                (
                    (f"sum by (instance) (rate(gridbft_peer_received_bytes_total[{RATE}]))", f"{NODE} in"),
                    (f"sum by (instance) (rate(gridbft_peer_sent_bytes_total[{RATE}]))", f"{NODE} out"),
                ),
                "Over all links of a node",
            ),
            Panel(
                *("Evidence", "none", (("gridbft_evidence_stored", NODE),)),
                "Pairs of contradicting messages on the disk: each convicts a validator",
                kind="stat",
                red_above=1,
            ),
        ),
    ),
    Row(
        "What waits, and what is refused?",
        (
            Panel(
                *("Transactions", "ops"),
                (
                    (f"rate(gridbft_transactions_committed_total[{RATE}])", f"{NODE} applied"),
                    (f"rate(gridbft_transactions_rejected_total[{RATE}])", f"{NODE} rejected"),
                ),
                "Executed in blocks",
            ),
            Panel(
                *("Mempool", "none", (("gridbft_mempool_transactions", NODE),)),
                "Transactions that wait to be ordered",
            ),
            Panel(
                *("Oldest waiting transaction", "s", (("gridbft_mempool_oldest_seconds", NODE),)),
                "Above the request deadline the primary is complained of",
            ),
            Panel(
                *("Rejections by reason", "ops"),
                (
                    (
                        f"sum by (stage, rejection) (rate(gridbft_rejections_total[{RATE}]))",
                        "{{stage}} {{rejection}}",
                    ),
                ),
                "What each means: docs/ledger.md",
            ),
            Panel(
                *("HTTP answers", "reqps"),
                (
                    (
                        f"sum by (instance, status) (rate(gridbft_http_requests_total[{RATE}]))",
                        f"{NODE} {{{{status}}}}",
                    ),
                ),
                "429 and 503 are requests turned away",
            ),
            Panel(
                *("Signatures", "ops"),
                (
                    (f"rate(gridbft_signatures_valid_total[{RATE}])", f"{NODE} valid"),
                    (f"rate(gridbft_signatures_invalid_total[{RATE}])", f"{NODE} invalid"),
                ),
                "Invalid ones come from nobody honest",
            ),
        ),
    ),
    Row(
        "Does the machine last?",
        (
            Panel(
                *("Synced write of the journal", "s", _quantiles("journal_sync_seconds")),
                "Every vote waits for one; a card that gets slower is dying",
                red_above=0.25,
            ),
            Panel(
                *("Block executed and stored", "s", _quantiles("block_execution_seconds")),
                "Grows with the number of transactions in a block",
            ),
            Panel(
                *(
                    "Written to the disk",
                    "bytes",
                    (("increase(gridbft_disk_written_bytes_total[1d])", NODE),),
                ),
                "In the last day; a quiet network writes some 80 MB",
            ),
            Panel(
                *("On the disk", "bytes"),
                (("gridbft_store_bytes", f"{NODE} store"), ("gridbft_journal_bytes", f"{NODE} journal")),
                "The store grows by what is kept: storage.keep_blocks bounds it",
            ),
            Panel(
                *("Free on the disk", "bytes", (("gridbft_disk_free_bytes", NODE),)),
                "Of the disk that holds the home",
            ),
            Panel(
                *("Memory", "bytes", (("gridbft_process_resident_memory_bytes", NODE),)),
                "Resident memory of the process",
            ),
            Panel(
                *("Processor", "percentunit", ((f"rate(gridbft_process_cpu_seconds_total[{RATE}])", NODE),)),
                "1 is one core",
            ),
            Panel(
                *("Clock against Prometheus", "s"),
                (("gridbft_clock_timestamp_seconds - timestamp(gridbft_clock_timestamp_seconds)", NODE),),
                "Beyond drift_ms a primary's batches are held",
            ),
            Panel(
                *(
                    "API connections",
                    "none",
                    (("gridbft_api_connections", NODE), ("gridbft_api_waiters", f"{NODE} waiting")),
                ),
                "Bounded by api.connections_max",
            ),
        ),
    ),
)
"""A page is read from above: what is urgent stands first."""


def render_board() -> str:
    """Return the board as JSON, to be imported in Grafana; it asks for the Prometheus that it reads from."""
    panels: list[dict[str, object]] = []
    top = 0
    for row in ROWS:
        place = {"x": 0, "y": top, "w": COLUMNS, "h": 1}
        panels.append(
            {"id": len(panels) + 1, "type": "row", "title": row.title, "gridPos": place, "collapsed": False}
        )
        top = _place(panels, row.panels, top + 1)
    board = {
        "uid": "gridbft",
        "title": "gridbft",
        "tags": ["gridbft"],
        "schemaVersion": SCHEMA_VERSION,
        "editable": True,
        "refresh": "30s",
        "time": {"from": "now-6h", "to": "now"},
        "templating": {
            "list": [{"name": "source", "label": "Prometheus", "type": "datasource", "query": "prometheus"}]
        },
        "panels": panels,
    }
    return json.dumps(board, indent=2)


def _place(panels: list[dict[str, object]], added: Sequence[Panel], top: int) -> int:
    """Append panels from left to right, line by line; return where the next row begins."""
    left = height = 0
    for panel in added:
        if left + panel.width > COLUMNS:
            left, top, height = 0, top + height, 0
        place = {"x": left, "y": top, "w": panel.width, "h": panel.height}
        panels.append(_build_panel(len(panels) + 1, panel, place))
        left, height = left + panel.width, max(height, panel.height)
    return top + height


def _build_panel(number: int, panel: Panel, place: dict[str, int]) -> dict[str, object]:
    steps: list[dict[str, object]] = [{"color": "green", "value": None}]
    if panel.red_above is not None:
        steps.append({"color": "red", "value": panel.red_above})
    return {
        "id": number,
        "type": panel.kind,
        "title": panel.title,
        "description": panel.text,
        "gridPos": place,
        "datasource": SOURCE,
        "fieldConfig": {
            "defaults": {"unit": panel.unit, "thresholds": {"mode": "absolute", "steps": steps}},
            "overrides": [],
        },
        "targets": [
            {"refId": chr(ord("A") + index), "datasource": SOURCE, "expr": expression, "legendFormat": legend}
            for index, (expression, legend) in enumerate(panel.targets)
        ],
    }
