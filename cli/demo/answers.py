"""What the demonstration reads of a validator's answers about blocks and slots: claims, checked against each other."""

import msgspec


class BlockAnswer(msgspec.Struct, frozen=True):
    """The header fields of a block that are compared between validators."""

    height: int
    state_root: str


class SlotAnswer(msgspec.Struct, frozen=True):
    """A slot's record: energy in Wh, money in nano-currency."""

    settled: bool
    supply_wh: int
    demand_wh: int
    pool_wh: int
    grid_bought_wh: int
    grid_sold_wh: int
    grid_net_nano: int
    missing: int
    adjusted: int
