"""Distinct names for the numbers and byte strings of the system; the unit is part of the name."""

from typing import NewType

# Agreement
Epoch = NewType("Epoch", int)
"""Counts membership sets, from 0 at genesis."""
View = NewType("View", int)
"""Counts primaries inside one epoch, from 0."""
Sequence = NewType("Sequence", int)
"""Position of a batch in the agreed order, from 1; null batches use a sequence and make no block."""
Height = NewType("Height", int)
"""Position of an executed block, from 0 (genesis)."""
ReplicaId = NewType("ReplicaId", bytes)
"""A validator's Ed25519 public key, 32 bytes: the name under which it votes."""

# Ledger
AccountId = NewType("AccountId", bytes)
"""Stable 16-byte name of an account; its key may change, the id does not."""
Nonce = NewType("Nonce", int)
WattHours = NewType("WattHours", int)
MicroPerKwh = NewType("MicroPerKwh", int)
"""Price in micro-currency per kWh; times WattHours it is exactly NanoMoney."""
NanoMoney = NewType("NanoMoney", int)

# Time
UnixMs = NewType("UnixMs", int)
"""UTC wall time in milliseconds; in the core always an argument."""
UnixSeconds = NewType("UnixSeconds", int)
"""UTC wall time in seconds; names a slot by its start."""
MonotonicMs = NewType("MonotonicMs", int)
"""The host's monotonic time in milliseconds; only differences mean anything."""

Digest = NewType("Digest", bytes)
"""A BLAKE2b-256 hash, 32 bytes."""

DIGEST_BYTES = 32
PUBLIC_KEY_BYTES = 32
SIGNATURE_BYTES = 64
ACCOUNT_BYTES = 16
CHAIN_ID_BYTES = 8
