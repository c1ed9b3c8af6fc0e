"""The reckoning: what was acknowledged stands on every validator, once, in one order; energy and money sum to zero."""

import asyncio
from collections.abc import Collection, Iterator, Mapping, Sequence
from typing import Any

from cli.bill_check import verify_bill
from cli.demo.checks import is_slot_conserved
from tests.integration.chaos.load import Load
from tests.integration.community import Community
from tests.integration.validator import Validator

Blocks = Sequence[Mapping[str, Any]]

LOUD = (
    *("equivocation", "diverged", "key_in_use"),
    *("message_refused", "request_failed", "peer_banned"),
)
"""Events that no fault of processes, links, disks or clocks excuses."""


async def find_violations(
    community: Community, load: Load, forgetful: Collection[str] = ()
) -> tuple[list[str], Blocks]:
    """Return what must never have happened and did, and the chain; the validators run and their links are whole.

    ``forgetful`` are those whose disk was replaced or set back: nobody else may have lost a vote.
    """
    await community.wait_agreed()
    chains = {each.name: await community.read_blocks(each) for each in community.validators}
    longest = max(chains.values(), key=len)
    heights = {name: outcome.height for name, outcome in community.acknowledged.items()}
    found = [*find_forks(chains), *find_lost(heights, load.refused, longest)]
    for validator in community.validators:
        coins = await community.read_coins(validator)
        if coins != len(load.granted):
            found.append(f"{validator.name} holds {coins} coins of {len(load.granted)} acknowledged")
        found += [f"{validator.name} logged {name}" for name in LOUD if validator.count_events(name)]
        if validator.count_events("voice_lost") and validator.name not in forgetful:
            found.append(f"{validator.name} has lost votes that were durable")
        if "Traceback" in validator.log:
            found.append(
                f"{validator.name} left a traceback: {validator.log.partition('Traceback')[2][:2000]}"
            )
    return [*found, *await find_imbalances(community, load)], longest


def find_forks(chains: Mapping[str, Blocks]) -> Iterator[str]:
    """Yield where two validators show different blocks for one height: other transactions, order or state root."""
    first, *others = sorted(chains)
    for other in others:
        for one, two in zip(chains[first], chains[other], strict=False):
            shown = [{key: block[key] for key in KEPT} for block in (one, two)]
            if shown[0] != shown[1]:
                yield f"{first} and {other} differ in block {one['height']}"
                break


KEPT = ("height", "digest", "parent", "state_root", "receipts_root", "transactions")


def find_lost(
    acknowledged: Mapping[bytes, int], refused: Mapping[bytes, str], blocks: Blocks
) -> Iterator[str]:
    """Yield transactions that do not stand at the height of their receipt, were applied twice, or although refused."""
    places: dict[str, int] = {}
    for number, block in enumerate(blocks, 1):
        if block["height"] != number:
            yield f"block {block['height']} stands at {number}"
        for entry in block["transactions"]:
            if entry["rejection"] is not None:
                continue
            if entry["id"] in places:
                yield f"{entry['id']} is applied in blocks {places[entry['id']]} and {number}"
            places[entry["id"]] = number
    for name, height in acknowledged.items():
        if places.get(name.hex()) != height:
            yield f"{name.hex()}, acknowledged in {height}, stands in {places.get(name.hex())}"
    for name, reason in refused.items():
        if name.hex() in places:
            yield f"{name.hex()}, refused with {reason}, is applied in {places[name.hex()]}"


async def find_imbalances(community: Community, load: Load) -> list[str]:
    """Return the reported slots whose energy or money does not sum to zero, by proven lines of one validator."""
    if not load.slots_s:
        return []
    found = []
    async with community.open_client(load.chance.choice(community.validators), alone=True) as client:
        lines: dict[int, list[Any]] = {slot_s: [] for slot_s in load.slots_s}
        for signer in load.homes.signers:
            meter = signer.account
            answer = await client.get_bill(meter.hex(), load.slots_s[0], load.slots_s[-1], with_proofs=True)
            bill = await asyncio.to_thread(verify_bill, community.anchor, meter, load.slots_s, answer)
            for slot_s, line in bill.lines.items():
                lines[slot_s].append(line)
        for slot_s in load.slots_s:
            slot = await client.get_slot(slot_s)
            if not slot.settled:
                found.append(f"the slot {slot_s}, of which all readings are in, did not settle")
            elif not is_slot_conserved(slot, lines[slot_s]):
                found.append(f"the slot {slot_s} does not sum to zero")
    return found


def count_view_changes(validators: Sequence[Validator]) -> int:
    """Return how often validators left a view, all together."""
    return sum(validator.count_events("view_change_started") for validator in validators)
