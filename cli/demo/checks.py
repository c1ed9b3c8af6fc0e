"""What is checked after the day, from outside the validators: state roots, sums, receipts, the killed one's return."""

import asyncio
from collections.abc import Mapping, Sequence
from time import monotonic

from cli.bill_check import Bill, BillProblem, verify_bill
from cli.demo.answers import BlockAnswer
from cli.demo.play import Crash
from cli.demo.stage import POLL_S, Stage
from cli.demo.summary import HomeBill
from cli.failure import CliError
from consensus.messages import Certificate
from meter.answers import CertificateAnswer, SlotAnswer
from meter.proofs import read_certificate
from meter.validators import ClientError
from primitives.encoding import DecodeError
from vm.contracts.energy.records import Line

CATCH_UP_TIMEOUT_S = 45.0
"""A day of blocks takes a second or two; then the next heartbeat is the one to vote for."""

_SUMMED = (
    "import_wh",
    "export_wh",
    "pool_bought_wh",
    "pool_sold_wh",
    "grid_bought_wh",
    "grid_sold_wh",
    "net_nano",
    "alone_nano",
    "agreed_bought_wh",
    "agreed_sold_wh",
)


async def wait_until_back(stage: Stage, crash: Crash | None) -> bool:
    """Tell whether all validators come to follow, and the killed one's signature is in a new, verified certificate."""
    end_s = monotonic() + CATCH_UP_TIMEOUT_S
    while monotonic() < end_s:
        stage.check_processes()
        if await _do_all_follow(stage) and (crash is None or await _does_vote(stage, crash)):
            return True
        await asyncio.sleep(POLL_S)
    return False


async def are_state_roots_equal(stage: Stage) -> bool:
    """Tell whether all validators have one state root at the newest height that all of them hold certified."""
    statuses = await stage.get_statuses()
    if len(statuses) != len(stage.community.processes):
        return False
    height = min(status.certified_height for status in statuses)
    roots = [
        (await client.ask(f"/v1/blocks/{height}", BlockAnswer)).state_root for client in stage.single_clients
    ]
    return len(roots) == len(stage.community.processes) and len(set(roots)) == 1


async def fetch_bills(stage: Stage) -> dict[str, Bill]:
    """Return each home's bill of the day with every line proven against the genesis.

    Raises:
        CliError: a bill proves nothing, or a slot is missing in it.

    """
    slots_s = [slot.start_s for slot in stage.plan.slots]
    bills = {}
    for index, home in enumerate(stage.plan.homes):
        account = stage.meters[home.home].label.account
        answer = await stage.get_client(index).get_bill(
            account.hex(), slots_s[0], slots_s[-1], with_proofs=True
        )
        try:
            bill = verify_bill(stage.community.anchor, account, slots_s, answer)
        except BillProblem as error:
            raise CliError(f"the bill of {home.home} proves nothing: {error}") from None
        if list(bill.lines) != slots_s:
            raise CliError(f"the bill of {home.home} has {len(bill.lines)} lines for {len(slots_s)} slots")
        bills[home.home] = bill
    return bills


async def is_conserved(stage: Stage, bills: Mapping[str, Bill]) -> bool:
    """Tell whether energy and money sum to zero in every slot, by the slots' records and by the homes' lines."""
    for slot in stage.plan.slots:
        record = await stage.get_client(slot.index).get_slot(slot.start_s)
        if not is_slot_conserved(record, [bill.lines[slot.start_s] for bill in bills.values()]):
            return False
    return True


def is_slot_conserved(slot: SlotAnswer, lines: Sequence[Line]) -> bool:
    """Tell whether a settled slot sums to zero: energy over homes and grid, pool and money; record and lines agree."""
    total = {field: sum(getattr(line, field) for line in lines) for field in _SUMMED}
    return (
        slot.settled
        and slot.demand_wh - slot.supply_wh == slot.grid_bought_wh - slot.grid_sold_wh
        and total["agreed_bought_wh"] == total["agreed_sold_wh"]
        and total["pool_bought_wh"] == total["pool_sold_wh"] == slot.pool_wh
        and total["import_wh"] == slot.demand_wh
        and total["export_wh"] == slot.supply_wh
        and total["grid_bought_wh"] == slot.grid_bought_wh
        and total["grid_sold_wh"] == slot.grid_sold_wh
        and total["net_nano"] == slot.grid_net_nano
    )


async def compute_rounding(stage: Stage, bills: Mapping[str, Bill]) -> int:
    """Return what the homes paid in all and the grid did not get, by the slots' records."""
    grid_net = 0
    for slot in stage.plan.slots:
        record = await stage.get_client(slot.index).get_slot(slot.start_s)
        grid_net += record.grid_net_nano
    return sum(bill.sum("net_nano") for bill in bills.values()) - grid_net


def build_home_bills(bills: Mapping[str, Bill]) -> dict[str, HomeBill]:
    """Return the sums of each home's lines."""
    return {home: HomeBill(**{field: bill.sum(field) for field in _SUMMED}) for home, bill in bills.items()}


async def _do_all_follow(stage: Stage) -> bool:
    statuses = await stage.get_statuses()
    return (
        len(statuses) == len(stage.community.processes)
        and all(status.phase == "normal" for status in statuses)
        and min(status.certified_height for status in statuses) >= stage.tally.height
    )


async def _does_vote(stage: Stage, crash: Crash) -> bool:
    """Tell whether a verified certificate of a block after the restart bears the killed validator's signature."""
    restarted = crash.restarted_height or 0
    certificates = [proof.certificate for proof in stage.tally.get_proofs().values()]
    if any(_is_signed_after(stage, crash.validator, certificate, restarted) for certificate in certificates):
        return True
    for client in stage.single_clients:
        try:
            answer = await client.ask("/v1/blocks/latest", CertificateAnswer)
            certificate = None if answer.certificate is None else read_certificate(answer.certificate)
        except (ClientError, DecodeError):
            continue
        if certificate is not None and _is_signed_after(stage, crash.validator, certificate, restarted):
            return True
    return False


def _is_signed_after(stage: Stage, validator: str, certificate: Certificate, height: int) -> bool:
    """Tell whether a sound certificate of a block above ``height`` bears a validator's signature."""
    anchor = stage.community.anchor
    if certificate.header.height <= height:
        return False
    return validator in anchor.get_signers(certificate) and anchor.check_certificate(certificate) is None
