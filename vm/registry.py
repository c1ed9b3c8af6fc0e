"""The native contracts by name, in the order in which they begin a block."""

from vm.contract import Contract
from vm.contracts import ledger, permissions, validators
from vm.contracts.energy.contract import CONTRACT as ENERGY
from vm.contracts.energy.coordination.contract import CONTRACT as COORDINATION

CONTRACTS: dict[str, Contract] = {
    contract.name: contract
    for contract in (permissions.CONTRACT, ledger.CONTRACT, validators.CONTRACT, COORDINATION, ENERGY)
}
"""Coordination stands before energy: what was agreed for a slot is fixed before the slot settles."""
