"""What a demonstration found, as one JSON object and as tables for a person. All amounts are exact integers."""

from collections.abc import Mapping
from dataclasses import asdict, dataclass

from rich.console import Console
from rich.table import Table

from cli.money import format_kwh, format_money


@dataclass(frozen=True)
class HomeBill:
    """A home's day: energy in Wh, money in nano-currency; positive: the home pays."""

    import_wh: int
    export_wh: int
    pool_bought_wh: int
    pool_sold_wh: int
    grid_bought_wh: int
    grid_sold_wh: int
    net_nano: int
    alone_nano: int
    agreed_bought_wh: int = 0
    agreed_sold_wh: int = 0


@dataclass(frozen=True)
class Community:
    """The sums over all homes; rounding is what the buyers paid and nobody received."""

    net_nano: int
    alone_nano: int
    saved_nano: int
    rounding_nano: int


@dataclass(frozen=True)
class Checks:
    """What was checked after the day; each of the receipts offline against the validators' keys."""

    state_roots_equal: bool
    conservation: bool
    receipts_verified: int
    receipts_failed: int
    caught_up: bool

    @property
    def are_good(self) -> bool:
        """Tell whether everything holds."""
        return not self.name_failed()

    def name_failed(self) -> list[str]:
        """Return what does not hold, in the words of this object's fields."""
        held = {
            "state_roots_equal": self.state_roots_equal,
            "conservation": self.conservation,
            "receipts_failed": self.receipts_failed == 0,
            "caught_up": self.caught_up,
        }
        return [name for name, holds in held.items() if not holds]


@dataclass(frozen=True)
class TransactionCounts:
    """Distinct ids; submitted = committed + refused."""

    submitted: int
    committed: int
    refused: int


@dataclass(frozen=True)
class Latency:
    """Submit to verified certificate, milliseconds."""

    p50: int
    p99: int


@dataclass(frozen=True)
class DemoResult:
    """Everything that is told at the end; ``killed`` is the validator that was killed, if any."""

    validators: int
    homes: int
    slots: int
    day: int
    transactions: TransactionCounts
    height: int
    view_changes: int
    latency_ms: Latency
    bills: Mapping[str, HomeBill]
    community: Community
    checks: Checks
    tem: Mapping[str, object] | None = None

    def to_json(self) -> dict[str, object]:
        """Return the object that --json prints; ``tem`` is there when homes agreed on trades."""
        return {name: value for name, value in asdict(self).items() if name != "tem" or value is not None}


def compute_latency(latencies_ms: list[int]) -> Latency:
    """Return the median and the 99th percentile (nearest rank); zero of an empty list."""
    ordered = sorted(latencies_ms)
    return Latency(_get_rank(ordered, 50), _get_rank(ordered, 99))


def sum_bills(bills: Mapping[str, HomeBill], rounding_nano: int) -> Community:
    """Return the community's sums."""
    net = sum(bill.net_nano for bill in bills.values())
    alone = sum(bill.alone_nano for bill in bills.values())
    return Community(net, alone, alone - net, rounding_nano)


def print_summary(console: Console, result: DemoResult, currency: str, title: str) -> None:
    """Print the tables of a finished day."""
    for table in (
        _build_bill_table(result, currency, title),
        _build_run_table(result),
        *([] if result.tem is None else [_build_tem_table(result.tem, currency)]),
        _build_check_table(result),
    ):
        console.print()
        console.print(table)


def _get_rank(ordered: list[int], percent: int) -> int:
    if not ordered:
        return 0
    return ordered[-(-len(ordered) * percent // 100) - 1]


def _build_bill_table(result: DemoResult, currency: str, title: str) -> Table:
    """Return the homes' day; it fits 80 columns."""
    table = Table(
        title=title,
        title_justify="left",
        show_footer=True,
        box=None,
        padding=(0, 1, 0, 0),
        header_style="bold",
        footer_style="bold",
    )
    bills = result.bills
    columns = [
        ("drew\nkWh", [b.import_wh for b in bills.values()]),
        ("fed in\nkWh", [b.export_wh for b in bills.values()]),
        ("from\nhomes", [b.pool_bought_wh + b.agreed_bought_wh for b in bills.values()]),
        ("to\nhomes", [b.pool_sold_wh + b.agreed_sold_wh for b in bills.values()]),
        ("from\ngrid", [b.grid_bought_wh for b in bills.values()]),
        ("to\ngrid", [b.grid_sold_wh for b in bills.values()]),
    ]
    table.add_column("home", footer="all")
    for heading, values in columns:
        table.add_column(heading, justify="right", footer=format_kwh(sum(values)), no_wrap=True)
    community = result.community
    for heading, total in (
        (f"alone\n{currency}", community.alone_nano),
        (f"together\n{currency}", community.net_nano),
        (f"saved\n{currency}", community.saved_nano),
    ):
        table.add_column(heading, justify="right", footer=format_money(total), no_wrap=True)
    for index, (home, bill) in enumerate(bills.items()):
        money = (bill.alone_nano, bill.net_nano, bill.alone_nano - bill.net_nano)
        table.add_row(home, *(format_kwh(values[index]) for _, values in columns), *map(format_money, money))
    return table


def _build_run_table(result: DemoResult) -> Table:
    table = Table(show_header=False, box=None, padding=(0, 2, 0, 0))
    counts = result.transactions
    refused = f", {counts.refused} refused" if counts.refused else ""
    table.add_row("transactions committed", f"{counts.committed} of {counts.submitted}{refused}")
    table.add_row("blocks", str(result.height))
    table.add_row("view changes", str(result.view_changes))
    table.add_row(
        "submit to verified certificate", f"p50 {result.latency_ms.p50} ms, p99 {result.latency_ms.p99} ms"
    )
    return table


def _build_tem_table(tem: Mapping[str, object], currency: str) -> Table:
    table = Table(show_header=False, box=None, padding=(0, 2, 0, 0))
    end = f"{tem['iterations']} iterations in {tem['seconds']} s"
    table.add_row("round", f"{end}, {tem['bytes_per_home']} bytes a home")
    for name in ("alone", "together", "metered"):
        table.add_row(f"cost {name}, wear and discomfort included", f"{tem[name]:.4f} {currency}")
    return table


def _build_check_table(result: DemoResult) -> Table:
    checks = result.checks
    table = Table(show_header=False, box=None, padding=(0, 2, 0, 0))
    rows = [
        (checks.state_roots_equal, f"{result.validators} equal state roots"),
        (checks.conservation, "energy and money sum to zero in every slot"),
        (
            checks.receipts_failed == 0,
            f"{checks.receipts_verified} receipts verified offline, {checks.receipts_failed} failed",
        ),
        (checks.caught_up, "every validator follows and votes"),
    ]
    for is_good, text in rows:
        table.add_row("[green]✓[/green]" if is_good else "[red]✗ FAILED[/red]", text)
    return table
