"""I4 in every detail: the books of a chain, looked at with the auditor of the contract's own tests."""

from typing import cast

from node.storage.chain import ChainStore
from tests.simulation.community import SLOT_S
from tests.vm.contracts.energy.audit import audit
from tests.vm.ledger import MemoryState


def find_imbalance(chain: ChainStore) -> str | None:
    """Return what does not add up, or None."""
    try:
        audit(
            cast("MemoryState", chain), SLOT_S
        )  # it reads by ``get`` and ``iterate``, as a chain's state does
    except AssertionError as error:
        return f"the books do not add up: {error}"
    return None
