"""All published files with their verdicts, as they must stand on disk."""

import json
from pathlib import Path

from cli.verify import describe
from meter.verification import Verifier
from primitives.encoding import encode
from tests.vectors.spoiled import build_spoiled
from tests.vectors.street import Street, build_good, encode_proof

PROOFS = Path(__file__).with_name("proofs")
GENESIS_NAME = "genesis.bin"
VERDICTS_NAME = "verdicts.json"
SUFFIX = ".proof"


def build_collection() -> dict[str, bytes]:
    """Return every file by name: the genesis, the proofs, and the verdict on each."""
    street = Street()
    town = street.town
    genesis = encode(town.genesis)
    good = build_good(street)
    proofs = {name: encode_proof(content) for name, content in good.items()}
    proofs |= build_spoiled(good, town.genesis_hash)
    verifier = Verifier(town.genesis)
    verdicts = {}
    for name, data in sorted(proofs.items()):
        verdict = describe(verifier.verify(data))
        verdict.pop("detail", None)  # said to people; the name is what implementations share
        verdicts[name + SUFFIX] = verdict
    return {
        GENESIS_NAME: genesis,
        VERDICTS_NAME: (json.dumps(verdicts, indent=1) + "\n").encode(),
        **{name + SUFFIX: data for name, data in proofs.items()},
    }
