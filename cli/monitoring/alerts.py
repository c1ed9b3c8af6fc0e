"""The alert rules for Prometheus: each names a state that an operator must act on, and where the runbook says how.

Expressions name no instance and no network: they hold for every node that Prometheus scrapes under the job `gridbft`.
"""

from dataclasses import dataclass
from typing import Literal

from cli.monitoring.yaml_text import quote

GROUP = "gridbft"
RUNBOOK = "docs/operating.md"


@dataclass(frozen=True)
class Alert:
    """A rule. ``lasts`` is how long the expression must hold; ``summary`` is one line for whoever is woken."""

    name: str
    expression: str
    lasts: str
    severity: Literal["critical", "warning"]
    summary: str

    @property
    def runbook(self) -> str:
        """Return where the guide says what to do."""
        return f"{RUNBOOK}#{self.name.lower()}"


ALERTS = (
    Alert(
        "GridbftDown",
        'up{job="gridbft"} == 0',
        "2m",
        "critical",
        "{{ $labels.instance }} does not answer: the node or its machine is down",
    ),
    Alert(
        "GridbftStalled",
        "gridbft_stalled == 1",
        "1m",
        "critical",
        "{{ $labels.instance }} commits nothing",
    ),
    Alert(
        "GridbftNoCertificates",
        "gridbft_certificate_age_seconds > 3 * gridbft_heartbeat_seconds",
        "1m",
        "critical",
        "{{ $labels.instance }} has seen no certificate for {{ $value | humanizeDuration }}",
    ),
    Alert(
        "GridbftNoSpareValidator",
        "gridbft_validators_missing > 0 and gridbft_validators_missing >= floor((gridbft_validators - 1) / 3)",
        "5m",
        "warning",
        "{{ $labels.instance }} misses {{ $value }} of the validators: when one more fails, nothing is committed",
    ),
    Alert(
        "GridbftValidatorSilent",
        "gridbft_validator_silence_seconds > 60",
        "2m",
        "warning",
        "{{ $labels.validator }} has not been heard by {{ $labels.instance }} for {{ $value | humanizeDuration }}",
    ),
    Alert(
        "GridbftValidatorMissesBlocks",
        "gridbft_validator_missed_blocks > 20",
        "5m",
        "warning",
        "{{ $labels.validator }} did not sign {{ $value }} of the last 100 blocks, as {{ $labels.instance }} sees it",
    ),
    Alert(
        "GridbftBehind",
        "gridbft_blocks_behind > 2",
        "5m",
        "warning",
        "{{ $labels.instance }} is {{ $value }} blocks behind and does not catch up",
    ),
    Alert(
        "GridbftKeepsSilent",
        'gridbft_phase{phase="silent"} == 1',
        "15m",
        "warning",
        "{{ $labels.instance }} does not vote: its key has signed what its journal does not hold",
    ),
    Alert(
        "GridbftViewChanges",
        "increase(gridbft_view_changes_total[30m]) > 5",
        "1m",
        "warning",
        "{{ $labels.instance }} keeps replacing its primary",
    ),
    Alert(
        "GridbftEvidence",
        "increase(gridbft_equivocations_total[1h]) > 0",
        "0s",
        "critical",
        "{{ $labels.instance }} holds proof that a validator contradicted itself",
    ),
    Alert(
        "GridbftTransactionsWait",
        "gridbft_mempool_oldest_seconds > 30",
        "1m",
        "warning",
        "a transaction has waited at {{ $labels.instance }} for {{ $value | humanizeDuration }}",
    ),
    Alert(
        "GridbftMempoolFilling",
        "gridbft_mempool_transactions / gridbft_mempool_transactions_max > 0.5",
        "2m",
        "warning",
        "{{ $labels.instance }} holds {{ $value | humanizePercentage }} of the transactions that it takes",
    ),
    Alert(
        "GridbftCommitSlow",
        "histogram_quantile(0.99, rate(gridbft_commit_latency_seconds_bucket[10m])) > 5",
        "10m",
        "warning",
        "one transaction of a hundred takes {{ $value | humanizeDuration }} at {{ $labels.instance }}",
    ),
    Alert(
        "GridbftDiskSlow",
        "histogram_quantile(0.99, rate(gridbft_journal_sync_seconds_bucket[10m])) > 0.25",
        "10m",
        "warning",
        "a synced write takes {{ $value | humanizeDuration }} at {{ $labels.instance }}: its card may be dying",
    ),
    Alert(
        "GridbftDiskFilling",
        "gridbft_disk_free_bytes < 1e9 or predict_linear(gridbft_disk_free_bytes[6h], 4 * 86400) < 0",
        "10m",
        "warning",
        "the disk of {{ $labels.instance }} will be full within days",
    ),
    Alert(
        "GridbftDiskWear",
        "increase(gridbft_disk_written_bytes_total[1d]) > 2e9",
        "1h",
        "warning",
        "{{ $labels.instance }} wrote {{ $value | humanize1024 }}B in a day: many times what its work needs",
    ),
    Alert(
        "GridbftClockWrong",
        "abs(gridbft_clock_timestamp_seconds - timestamp(gridbft_clock_timestamp_seconds)) > 1",
        "5m",
        "warning",
        "the clock of {{ $labels.instance }} differs from Prometheus' by {{ $value | humanizeDuration }}",
    ),
    Alert(
        "GridbftForgedTransactions",
        "rate(gridbft_signatures_invalid_total[10m]) > 1",
        "10m",
        "warning",
        "{{ $labels.instance }} gets {{ $value | humanize }} wrongly signed messages a second",
    ),
    Alert(
        "GridbftApiOverloaded",
        'sum by (instance) (rate(gridbft_http_requests_total{status=~"429|503"}[10m]))'
        " > 0.05 * sum by (instance) (rate(gridbft_http_requests_total[10m]))",
        "10m",
        "warning",
        "{{ $labels.instance }} turns away {{ $value | humanize }} requests a second",
    ),
    Alert(
        "GridbftMemory",
        "gridbft_process_resident_memory_bytes > 4e8",
        "10m",
        "warning",
        "{{ $labels.instance }} uses {{ $value | humanize1024 }}B of memory",
    ),
    Alert(
        "GridbftRestarts",
        "changes(gridbft_process_start_time_seconds[1h]) > 3",
        "0s",
        "warning",
        "{{ $labels.instance }} starts again and again",
    ),
)
"""In the order in which an operator looks: does it commit, who is missing, does it keep up, does the machine last."""


def render_alerts() -> str:
    """Return the rules as a file for Prometheus' ``rule_files``."""
    lines = [
        "# Alert rules of gridbft for Prometheus (rule_files); what each means and what to do: docs/operating.md.",
        "groups:",
        f"  - name: {GROUP}",
        "    rules:",
    ]
    for alert in ALERTS:
        lines += [
            f"      - alert: {alert.name}",
            f"        expr: {quote(alert.expression)}",
            f"        for: {alert.lasts}",
            "        labels:",
            f"          severity: {alert.severity}",
            "        annotations:",
            f"          summary: {quote(alert.summary)}",
            f"          runbook: {quote(alert.runbook)}",
        ]
    return "\n".join(lines)
