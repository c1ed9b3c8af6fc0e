"""What happened to every transaction of a demonstration: counted by distinct id, timed, and kept with its proof."""

from dataclasses import dataclass, field

from cli.demo.summary import Latency, TransactionCounts, compute_latency
from meter.outcomes import Committed, Outcome, OutcomeUnknown, RefusedByNetwork, RefusedByNode
from meter.proofs import CertifiedReceipt, TrustAnchor, check_receipt
from primitives.ids import Digest


@dataclass
class Tally:
    """Grows while the day is played; latencies are milliseconds from submission to the verified certificate."""

    outcomes: dict[Digest, Outcome] = field(default_factory=dict)
    latencies_ms: list[int] = field(default_factory=list)
    height: int = 0

    def record(self, outcome: Outcome, elapsed_ms: int) -> None:
        """Keep what became of a transaction."""
        self.outcomes[outcome.transaction_id] = outcome
        if isinstance(outcome, Committed | RefusedByNetwork):
            self.latencies_ms.append(elapsed_ms)
            self.height = max(self.height, outcome.height)

    def count(self) -> TransactionCounts:
        """Return how many distinct transactions were submitted, applied and refused."""
        committed = sum(isinstance(outcome, Committed) for outcome in self.outcomes.values())
        refused = sum(
            isinstance(outcome, RefusedByNetwork | RefusedByNode) for outcome in self.outcomes.values()
        )
        return TransactionCounts(len(self.outcomes), committed, refused)

    def compute_latency(self) -> Latency:
        """Return the percentiles over all proven transactions."""
        return compute_latency(self.latencies_ms)

    def get_proofs(self) -> dict[Digest, CertifiedReceipt]:
        """Return the proof of each proven transaction."""
        return {
            name: outcome.proof
            for name, outcome in self.outcomes.items()
            if isinstance(outcome, Committed | RefusedByNetwork)
        }

    def verify_receipts(self, anchor: TrustAnchor) -> tuple[int, int]:
        """Return how many receipts prove their transaction's result to a holder of the genesis, and how many do not.

        A transaction that may be applied and has no receipt counts as failed; one that no validator took has none.
        """
        proofs = self.get_proofs()
        failed = sum(check_receipt(anchor, name, proof) is not None for name, proof in proofs.items())
        unknown = sum(isinstance(outcome, OutcomeUnknown) for outcome in self.outcomes.values())
        return len(proofs) - failed, failed + unknown
