"""The native contracts by name, in the order in which they begin a block."""

from vm.contract import Contract
from vm.contracts import ledger, permissions, validators
from vm.contracts.energy.contract import CONTRACT as ENERGY
from vm.contracts.energy.coordination.contract import CONTRACT as COORDINATION
from vm.contracts.energy.response.contract import CONTRACT as RESPONSE

CONTRACTS: dict[str, Contract] = {
    contract.name: contract
    for contract in (
        permissions.CONTRACT,
        ledger.CONTRACT,
        validators.CONTRACT,
        COORDINATION,
        ENERGY,
        RESPONSE,
    )
}
"""Coordination stands before energy: what was agreed for a slot is fixed before the slot settles. Response stands after
it: an event is measured by lines that have just settled."""
