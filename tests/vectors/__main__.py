"""Write the files anew: ``python -m tests.vectors``. A change of theirs is a change of the format, or of the ledger."""

from tests.vectors.collection import PROOFS, build_collection

if __name__ == "__main__":
    for path in PROOFS.iterdir():
        path.unlink()
    for name, content in build_collection().items():
        (PROOFS / name).write_bytes(content)
