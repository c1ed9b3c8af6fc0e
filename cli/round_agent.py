"""A home's part in a round from the command line: its day from files that stay here, and the agent."""

from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from cli.client_settings import ClientHome
from cli.console import talk
from cli.failure import CliError, build_usage_error
from cli.session import ask_validators
from meter.home.agent import Agent, AgentError
from meter.home.model import WH_PER_KWH, DayInputs
from meter.home.participant import MICRO, HomeDay, Outcome
from meter.home.spec import HomeError, HomeSpec, read_homes
from meter.keystore import OpenedKey
from meter.signer import Signer
from meter.sources.household import HouseholdFile, read_households, read_surroundings
from meter.sources.table import SourceError, format_time
from meter.validators import ClientSettings
from primitives.ids import UnixSeconds
from vm.genesis import Genesis

if TYPE_CHECKING:
    from meter.client import Client

PATIENCE = ClientSettings(request_timeout_s=5.0, rounds=8, resend_after_s=2.0)
CENTI = 100.0


def build_home_day(
    genesis: Genesis, meter: str, first_slot_s: int, expect: Path, context: Path | None, spec: Path | None
) -> HomeDay:
    """Return a home's day from the round's first slot on, as far as the file goes, at most 24 hours.

    Raises:
        CliError: usage; a file is missing or malformed, or does not have the slots.

    """
    try:
        file = read_households(expect)
        home_spec = HomeSpec() if spec is None else read_homes(spec).get(meter)
        starts_s, part = _find_slots(file, first_slot_s, genesis.energy.slot_s)
        around = read_surroundings(context, starts_s, genesis.energy.retail_price)
    except SourceError as error:
        raise build_usage_error(str(error)) from None
    except HomeError as error:
        raise build_usage_error(f"--spec: {error}") from None
    name = meter if meter in file.homes else file.homes[0]
    if meter not in file.homes and len(file.homes) > 1:
        raise build_usage_error(f"--expect {expect}: it has several homes and none is called {meter}")
    load, pv = file.series[name]
    inputs = DayInputs(
        load_kwh=np.array(load[part]) / WH_PER_KWH,
        pv_kwh=np.array(pv[part]) / WH_PER_KWH,
        retail=np.array(around.retail, dtype=np.float64) / MICRO,
        feed_in=np.full(len(starts_s), genesis.energy.feed_in_price / MICRO),
        outdoor_c=np.array(around.outdoor_centi_c, dtype=np.float64) / CENTI,
        slot_hours=genesis.energy.slot_s / 3600,
    )
    return HomeDay(meter, home_spec, inputs, inputs)


def take_part(home: ClientHome, key: OpenedKey, first_slot_s: int, day: HomeDay, wait_s: float) -> Outcome:
    """Take part in a round until its trades are fixed, and return the home's day with them.

    Raises:
        CliError: the home cannot take part, or no validator answers.

    """
    signer = Signer(key.key, key.label.account, home.read_genesis().compute_hash())

    async def work(client: "Client") -> Outcome:
        agent = Agent(client, signer, first_slot_s, day, tell=talk)
        view = await agent.take_part(wait_s)
        talk(
            f"{len(agent.sent.transactions)} vectors, {agent.sent.size} bytes; block {view.height}, verified"
        )
        return await agent.conclude(view, day.expected.retail, day.expected.feed_in)

    try:
        return ask_validators(home, work, PATIENCE)
    except (AgentError, HomeError) as error:
        raise CliError(str(error)) from None


def _find_slots(file: HouseholdFile, first_slot_s: int, slot_s: int) -> tuple[tuple[UnixSeconds, ...], slice]:
    """Return the file's slots of the round's day, and where they stand in its series."""
    if file.slot_s != slot_s:
        raise build_usage_error(f"--expect {file.path}: slots of {file.slot_s} s, the network has {slot_s}")
    index = (first_slot_s - file.first_s) // slot_s
    if not 0 <= index < file.slot_count:
        raise build_usage_error(
            f"--expect {file.path}: it has no row for the slot {format_time(first_slot_s)}"
        )
    end = min(index + 86_400 // slot_s, file.slot_count)
    starts = tuple(UnixSeconds(first_slot_s + number * slot_s) for number in range(end - index))
    return starts, slice(index, end)
