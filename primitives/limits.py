"""Every bound that two packages must share, with its reason. Bounds of one package stand in that package."""

TRANSACTION_BYTES_MAX = 4096
"""A reading is about 200 bytes; the largest call (a tariff of 100 slots) stays under 3 kB."""

BATCH_TRANSACTIONS_MAX = 1000
"""At 60 µs a verification a Pi needs 0.25 s for 1,000: longer blocks cost latency and win no throughput."""

BATCH_BYTES_MAX = 512 * 1024
"""1 Mbit/s links move it in 4 s, below the view time-out's cap of 16 s."""

VALIDATORS_MIN = 4
"""PBFT with one fault needs four (Castro and Liskov 1999, section 3)."""

VALIDATORS_MAX = 80
"""A new-view quotes a quorum of view changes with their prepared certificates: up to 80 validators five of them fit a
frame, more than the depth ever has open. The largest published energy chain has 72 (Quartierstrom, 2020)."""

FRAME_BYTES_MAX = 2 * 1024 * 1024
"""Holds a batch with its transactions, or a new-view of 80 validators; larger answers are paged."""

NAME_BYTES_MAX = 32
"""Names of validators, homes and accounts as shown to people."""
