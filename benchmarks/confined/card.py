"""A card: every sync of a validator takes some milliseconds longer. A preloaded library waits, then syncs for real."""

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from tempfile import TemporaryDirectory

from benchmarks.confined.commands import need, run

SOURCE = Path(__file__).parent / "slow_card.c"


@contextmanager
def build_card(sync_ms: int) -> Iterator[dict[str, str]]:
    """Give the environment in which a process' syncs take so much longer.

    Raises:
        BenchError: there is no C compiler.

    """
    need(("cc",), "a card with slow syncs")
    with TemporaryDirectory(prefix="gridbft-card-") as name:
        library = Path(name) / "slow_card.so"
        run("cc", "-shared", "-fPIC", "-O1", f"-DMS={sync_ms}", "-o", str(library), str(SOURCE), "-ldl")
        yield {"LD_PRELOAD": str(library)}
