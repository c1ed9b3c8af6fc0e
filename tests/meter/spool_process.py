"""A process that spools transactions until it is killed: `python -m tests.meter.spool_process PATH`.

Writes one line for each step that it has finished; the test kills it between any two of them.
"""

import sys
from pathlib import Path

from meter.spool import Spool, SpoolRequest, open_spool
from primitives.ids import Nonce
from tests.meter.networks import ANCHOR, METER, sign_call
from vm.transaction import SealedTransaction


def tell(*words: object) -> None:
    sys.stdout.write(" ".join(map(str, words)) + "\n")
    sys.stdout.flush()


def sign(nonce: Nonce) -> SealedTransaction:
    tell("signing", nonce)
    return sign_call(nonce)


def work(spool: Spool) -> None:
    for number in range(spool.get_next_nonce(METER) - 1, 1_000_000):
        entry = spool.add(SpoolRequest(METER, f"reading {number}", sign))
        tell("stored", entry.number, entry.transaction.id.hex())
        spool.mark_sent([entry])
        tell("sent", entry.number, entry.transaction.id.hex())


if __name__ == "__main__":
    with open_spool(Path(sys.argv[1]), ANCHOR.genesis_hash) as opened:
        work(opened)
