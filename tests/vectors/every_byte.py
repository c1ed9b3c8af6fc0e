"""A campaign: every other value of every byte of every published file that proves something must be refused.

``python -m tests.vectors.every_byte [--files a.proof,b.proof]``: about ten minutes of one core for all. The tests try
one other value of each byte; this tries all 255.
"""

import argparse
import json
import sys
import time
from collections import Counter

from meter.verification import Problem, Verifier
from tests.vectors.collection import GENESIS_NAME, PROOFS, VERDICTS_NAME
from vm.genesis import decode_genesis


def try_every_byte(verifier: Verifier, content: bytes) -> Counter[str]:
    """Return how often each refusal was given; ``BELIEVED`` counts what was not refused."""
    found: Counter[str] = Counter()
    changed = bytearray(content)
    for place, value in enumerate(content):
        for other in range(256):
            if other != value:
                changed[place] = other
                answer = verifier.verify(bytes(changed))
                found[answer.name if isinstance(answer, Problem) else "BELIEVED"] += 1
        changed[place] = value
    return found


def main() -> int:
    """Try them all; 1 when a changed file was believed."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--files", default="", help="only these, by comma")
    arguments = parser.parse_args()
    verdicts = json.loads((PROOFS / VERDICTS_NAME).read_bytes())
    good = [name for name, verdict in verdicts.items() if verdict["verified"]]
    names = [name for name in arguments.files.split(",") if name] or good
    verifier = Verifier(decode_genesis((PROOFS / GENESIS_NAME).read_bytes()))
    total: Counter[str] = Counter()
    for name in names:
        began_s = time.monotonic()
        found = try_every_byte(verifier, (PROOFS / name).read_bytes())
        total += found
        took_s = time.monotonic() - began_s
        told = f"{name}: {found.total()} changes, {found['BELIEVED']} believed, {took_s:.0f} s\n"
        sys.stdout.write(told)
        sys.stdout.flush()
    sys.stdout.write(json.dumps({"files": len(names), "changes": total.total(), **total}) + "\n")
    return 1 if total["BELIEVED"] else 0


if __name__ == "__main__":
    sys.exit(main())
