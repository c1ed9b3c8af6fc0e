"""From validator sets of the ledger to memberships of agreement."""

from consensus.membership import Membership
from node.storage.chain import ChainStore
from node.storage.store import StoreCorrupt
from primitives.header import BlockHeader
from primitives.ids import Epoch, Height, Sequence
from vm.contracts.validators import ValidatorSet, read_validator_set
from vm.executor import BlockResult
from vm.genesis import Genesis


def build_membership(validators: ValidatorSet, start: BlockHeader | None) -> Membership:
    """Return the membership of a validator set; ``start`` is the last header before it, None for the genesis."""
    if start is None:
        return Membership(Epoch(0), validators.validators)
    return Membership(
        Epoch(validators.epoch), validators.validators, Height(start.height), Sequence(start.sequence)
    )


def find_following(result: BlockResult) -> Membership | None:
    """Return the membership that follows a block, or None unless the block is the last of its epoch."""
    if result.next_validators is None:
        return None
    return build_membership(result.next_validators, result.header)


def read_memberships(chain: ChainStore, genesis: Genesis) -> tuple[Membership, Membership | None]:
    """Return the membership that agreed on the last block, and the one that follows it if that block ends its epoch.

    Raises:
        StoreCorrupt: the state and the headers do not belong together.

    """
    header = chain.get_latest_header()
    latest = read_validator_set(chain, genesis)
    if latest is None:
        raise StoreCorrupt("the store has no validators of the current epoch")
    if latest.epoch == 0 or latest.since_height < header.height:
        return _read_membership(chain, latest), None
    before = read_validator_set(chain, genesis, latest.epoch - 1)
    if before is None:
        raise StoreCorrupt(f"the store has no validators of epoch {latest.epoch - 1}")
    return _read_membership(chain, before), build_membership(latest, header)


def _read_membership(chain: ChainStore, validators: ValidatorSet) -> Membership:
    if validators.epoch == 0:
        return build_membership(validators, None)
    start = chain.get_header(Height(validators.since_height))
    handover = chain.get_handover(Epoch(validators.epoch - 1)) if start is None else None
    if handover is not None:
        start = handover.certificate.header  # the block itself is pruned, or came in a snapshot
    if start is None:
        raise StoreCorrupt(
            f"the store has no header of height {validators.since_height}, which began its epoch"
        )
    return build_membership(validators, start)
