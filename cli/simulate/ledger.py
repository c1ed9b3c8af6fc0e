"""The contracts without a network: calls applied in blocks over a state in memory.

The same ``apply`` and ``begin_block`` as a validator's. Left out is what the network adds: signatures, nonces, quotas,
agreement, the state root. Every call's transaction is still built, to know its size.
"""

from bisect import bisect_left
from collections.abc import Iterator

from primitives.encoding import Struct, encode
from primitives.hashing import compute_account_id
from primitives.ids import (
    CHAIN_ID_BYTES,
    DIGEST_BYTES,
    PUBLIC_KEY_BYTES,
    SIGNATURE_BYTES,
    AccountId,
    Digest,
    Height,
)
from vm.contract import BlockContext, CallContext, LedgerContext, execute_call
from vm.contracts.permissions import open_genesis_accounts
from vm.genesis import Genesis
from vm.receipt import Rejection
from vm.registry import CONTRACTS
from vm.state import Overlay
from vm.transaction import TRANSACTION_VERSION, Call, Transaction

METHODS = {
    record: (contract.name, method)
    for contract in CONTRACTS.values()
    for method, record in contract.methods.items()
}
NONCE_USUAL = 70_000
"""A nonce of a few bytes, as a meter has after some months: it counts into the size of a transaction."""


class MemoryState:
    """Values in the order of their keys."""

    def __init__(self) -> None:
        self._values: dict[bytes, bytes] = {}
        self._sorted: list[bytes] = []
        self._is_sorted = True

    def get(self, key: bytes) -> bytes | None:
        """Return the value of ``key``, or None."""
        return self._values.get(key)

    def iterate(self, prefix: bytes) -> Iterator[tuple[bytes, bytes]]:
        """Yield (key, value) of all keys with ``prefix`` in byte order."""
        if not self._is_sorted:
            self._sorted = sorted(self._values)
            self._is_sorted = True
        keys = self._sorted
        for position in range(bisect_left(keys, prefix), len(keys)):
            if not keys[position].startswith(prefix):
                return
            yield keys[position], self._values[keys[position]]

    def commit(self, changes: dict[bytes, tuple[bytes | None, bytes | None]]) -> None:
        """Take the changes of a block."""
        for key, (_, new) in changes.items():
            if new is None:
                del self._values[key]
                self._is_sorted = False
            else:
                self._is_sorted = self._is_sorted and key in self._values
                self._values[key] = new


class LocalLedger:
    """The contracts over a state in memory. ``transactions`` and ``bytes`` count what was applied."""

    def __init__(self, genesis: Genesis) -> None:
        self.context = LedgerContext(genesis, genesis.compute_hash())
        self.state = MemoryState()
        self.time_ms = genesis.time_ms
        self.height = 0
        self.transactions = 0
        self.sent_bytes: dict[bytes, int] = {}
        self._overlay = Overlay(self.state)
        open_genesis_accounts(self._overlay, genesis.accounts)
        self._commit()

    @property
    def overlay(self) -> Overlay:
        """Return the state as the running block sees it."""
        return self._overlay

    def begin_block(self, time_ms: int) -> None:
        """End the running block and begin the next, at a time that is not before it."""
        self._commit()
        self.time_ms = max(self.time_ms, time_ms)
        self.height += 1
        block = BlockContext(self.context, self._overlay, Height(self.height), self.time_ms)
        for contract in CONTRACTS.values():
            if contract.begin_block is not None:
                contract.begin_block(block)
        self._overlay.mark()

    def call(self, sender: bytes, record: Struct) -> Rejection | None:
        """Apply a call of an account in the running block; return why it was refused, or None."""
        name, method = METHODS[type(record)]
        self.transactions += 1
        size = measure_transaction(name, method, record)
        self.sent_bytes[sender] = self.sent_bytes.get(sender, 0) + size
        transaction_id = Digest(self.transactions.to_bytes(DIGEST_BYTES, "big"))
        context = CallContext(
            self.context, self._overlay, AccountId(sender), transaction_id, Height(self.height), self.time_ms
        )
        return execute_call(CONTRACTS[name], context, record)

    def _commit(self) -> None:
        self.state.commit(self._overlay.collect_changes())
        self._overlay = Overlay(self.state)


def measure_transaction(contract: str, method: str, record: Struct) -> int:
    """Return how many bytes the signed transaction of a call has."""
    return len(
        encode(
            Transaction(
                TRANSACTION_VERSION,
                bytes(CHAIN_ID_BYTES),
                bytes(len(compute_account_id(b""))),
                bytes(PUBLIC_KEY_BYTES),
                NONCE_USUAL,
                NONCE_USUAL,
                Call(contract, method, encode(record)),
                bytes(SIGNATURE_BYTES),
            )
        )
    )
