"""Loads on validators that are small computers: rate after rate, with what each took of line, processor and memory."""

from collections.abc import Sequence
from time import monotonic
from typing import Any

from benchmarks.confined.computers import Confinement, open_computers
from benchmarks.confined.streets import count_line_bytes
from benchmarks.harness.session import open_session
from vm.genesis import ConsensusParameters

ADAPTER = "gridbft-stream"
METERS = 75
DRAIN_S = 20.0


async def load_computers(
    validators: int,
    confinement: Confinement,
    rates: Sequence[float],
    seconds: float,
    consensus: ConsensusParameters | None = None,
) -> dict[str, Any]:
    """Return what a network of small computers did at each rate, and what registering its meters took it.

    Raises:
        BenchError: the machine cannot make such computers, or the network does not come up on them.

    """
    began_s = monotonic()
    with open_computers(validators, confinement) as places:
        async with open_session(meters=METERS, places=places, consensus=consensus) as session:
            ready_s = monotonic() - began_s
            idle = session.read_usages()
            loads = []
            for rate in rates:
                before, begun_s = _count_lines(validators, confinement), monotonic()
                run = await session.load(f"{rate:g} tx/s", ADAPTER, rate, seconds, drain_s=DRAIN_S)
                took_s = monotonic() - begun_s
                sent = [b - a for a, b in zip(before, _count_lines(validators, confinement), strict=True)]
                result = run.result
                loads.append(
                    {
                        "offered_tx_s": rate,
                        "verdict": "keeps up" if result.confirmed == result.sent else "behind",
                        "committed_tx_s": result.achieved_tx_s,
                        "sent": result.sent,
                        "confirmed": result.confirmed,
                        "refused": result.refused,
                        "p50_ms": run.latency_ms[50] if run.latency_ms else None,
                        "p99_ms": run.latency_ms[99] if run.latency_ms else None,
                        "blocks": run.blocks,
                        "view_changes": run.view_changes,
                        "cpu_us_per_tx": run.cpu_us_per_tx,
                        "anonymous_mb_max": max(run.rss_mb.values()),
                        "line_bytes_per_s": round(sum(sent) / len(sent) / took_s) if sent else None,
                        "line_bytes_per_s_max": round(max(sent) / took_s) if sent else None,
                    }
                )
    return {
        "validators": validators,
        "confinement": confinement._asdict(),
        "ready_s": round(ready_s, 1),
        "anonymous_mb_idle": max(usage.rss_mb for usage in idle.values()),
        "loads": loads,
    }


def _count_lines(validators: int, confinement: Confinement) -> list[int]:
    if confinement.bits_per_s is None:
        return []
    return [count_line_bytes(place) for place in range(validators)]
