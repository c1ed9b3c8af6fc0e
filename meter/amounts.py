"""The amounts of a bill's line, computed again by the contract's own rule."""

from vm.contracts.energy.coordination.positions import Position
from vm.contracts.energy.records import Line, Tariff
from vm.contracts.energy.settlement import build_line


def find_line_problem(line: Line) -> str | None:
    """Return why a line does not follow from its energy, pool parts and prices, or None."""
    recomputed = build_line(
        line.import_wh,
        line.export_wh,
        (line.pool_bought_wh, line.pool_sold_wh),
        Tariff(line.retail_price, line.feed_in_price),
        line.pool_price,
        line.flags,
        Position(line.agreed_bought_wh, line.agreed_sold_wh, line.agreed_nano, line.penalty_price),
    )
    for field in line.__struct_fields__:
        shown, right = getattr(line, field), getattr(recomputed, field)
        if shown != right:
            return f"{field} is {shown}, the energy and the prices give {right}"
    return None
