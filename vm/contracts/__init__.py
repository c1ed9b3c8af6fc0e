"""The native contracts: permissions, ledger and energy."""
