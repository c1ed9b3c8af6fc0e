"""The unit of work: unique signed meter readings, made before the clock runs.

Meters report the quarter hours of past days one after the other, which the correction window allows, so that a run of
any length needs no clock of its own. Keys come from a seed.
"""

from collections.abc import Iterator
from dataclasses import dataclass

from primitives.encoding import encode
from primitives.hashing import compute_account_id
from primitives.ids import AccountId, Digest, Height, Nonce
from primitives.signing import SecretKey
from vm.contracts.energy.calls import RegisterMeter, SubmitReading
from vm.transaction import Call, SealedTransaction, sign_transaction

SLOT_S = 900
RATING_W = 43_000
STEP_WH = 250
"""What a home draws in a quarter hour."""
SLOTS_MAX = 20 * 96
"""Of one meter: below its account's quota of a slot, and inside the correction window."""
VALID_BLOCKS = 1_000_000


@dataclass(frozen=True)
class Meters:
    """So many meters whose keys come from a seed, opened at a slot boundary."""

    count: int
    opening_s: int
    genesis_hash: Digest
    seed: int = 0

    def get_key(self, index: int) -> SecretKey:
        """Return a meter's key."""
        return SecretKey(b"bench" + self.seed.to_bytes(11, "big") + index.to_bytes(16, "big"))

    def sign_registrations(
        self, utility: SecretKey, account: AccountId, first_nonce: int
    ) -> Iterator[SealedTransaction]:
        """Yield what the utility says so that the meters may report; one more is opened that never reports.

        The silent one keeps a slot from settling before its grace is over.
        """
        for index in range(self.count + 1):
            public = self.get_key(index).public
            opened = compute_account_id(public)
            record = RegisterMeter(opened, public, f"home-{index}", opened, RATING_W, self.opening_s, 0, 0)
            call = Call("energy", "register_meter", encode(record))
            yield sign_transaction(
                utility, self.genesis_hash, account, Nonce(first_nonce + index), Height(VALID_BLOCKS), call
            )

    def sign_readings(self, first: int, count: int) -> Iterator[SealedTransaction]:
        """Yield ``count`` readings from the ``first`` on: all meters of a slot, then of the next one."""
        keys = [self.get_key(index) for index in range(self.count)]
        accounts = [compute_account_id(key.public) for key in keys]
        for number in range(first, first + count):
            slot, index = divmod(number, self.count)
            register = (slot + 1) * STEP_WH
            record = SubmitReading(self.opening_s + (slot + 1) * SLOT_S, register, 0, "G", slot + 1)
            call = Call("energy", "submit_reading", encode(record))
            yield sign_transaction(
                keys[index], self.genesis_hash, accounts[index], Nonce(slot + 1), Height(VALID_BLOCKS), call
            )


def choose_opening(time_ms: int, slots: int) -> int:
    """Return the slot boundary, in UTC seconds, after which so many slots have passed at ``time_ms``."""
    now_s = time_ms // 1000
    return now_s - now_s % SLOT_S - slots * SLOT_S
