"""What the demonstration reads of a validator's answer about a block: a claim, compared with those of the others."""

import msgspec


class BlockAnswer(msgspec.Struct, frozen=True):
    """The header fields of a block that are compared between validators."""

    height: int
    state_root: str
