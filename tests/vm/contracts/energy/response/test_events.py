"""An event is announced, homes opt in or out, and what they draw below their own days before is paid, once."""

from dataclasses import dataclass, field

import pytest

from tests.vm.contracts.energy.community import Community
from tests.vm.ledger import HOUR, Chain
from vm.contracts.energy.response import events
from vm.contracts.energy.response.calls import AnnounceEvent, CancelEvent, OptEvent
from vm.contracts.energy.response.events import (
    AHEAD_S,
    BASELINE_DAYS_MAX,
    EVENTS_MAX,
    REWARD_MAX,
    SLOTS_MAX,
    Phase,
    get_phase,
)
from vm.contracts.energy.response.records import Choice, Event, Status, get_choice_key, get_event_key
from vm.contracts.ledger import GRID, Asset
from vm.receipt import Rejection
from vm.state import read_record

DAY = 24
REWARD = 300_000
RETAIL = 220_000


@dataclass
class Neighbourhood:
    """Homes a and b that draw 1,000 and 500 Wh in each hour, and an event over two hours of their third day."""

    community: Community = field(default_factory=lambda: Community(homes=("a", "b")))
    drawn: dict[str, int] = field(default_factory=lambda: {"a": 0, "b": 0})
    slot: int = 0

    @property
    def chain(self) -> Chain:
        return self.community.chain

    @property
    def first_slot_s(self) -> int:
        return self.community.start_of(2 * DAY)

    def announce(self, **changes: int) -> str | None:
        values = {"first_slot_s": self.first_slot_s, "slots": 2, "reward": REWARD, "baseline_days": 5}
        return self.chain.call(self.chain.utility, AnnounceEvent(**{**values, **changes}))

    def opt(self, name: str, *, is_in: bool = True, reason: str = "") -> str | None:
        record = OptEvent(self.first_slot_s, is_in, reason)
        return self.chain.call(self.community.home[name].wallet, record)

    def live(self, slots: int, **usual: int) -> None:
        """Let the homes draw their usual energy for some hours, or what is said here; nothing said: no reading."""
        energies = {"a": 1000, "b": 500} | usual
        for _ in range(slots):
            readings = []
            for name, energy in energies.items():
                if energy < 0:
                    continue
                self.drawn[name] += energy
                reading = self.community.reading(name, self.slot, self.drawn[name], 0)
                readings.append(self.community.sign(name, reading))
            self.chain.execute(*readings, at_s=self.community.end_of(self.slot))
            self.slot += 1

    def end_event(self) -> None:
        self.community.pass_grace(self.slot - 1)

    def event(self) -> Event:
        found = read_record(self.chain.state, get_event_key(self.first_slot_s), Event)
        assert found is not None
        return found

    def choice(self, name: str) -> Choice:
        key = get_choice_key(self.first_slot_s, self.community.home[name].account)
        found = read_record(self.chain.state, key, Choice)
        assert found is not None
        return found

    def bill(self, name: str) -> int:
        return self.drawn[name] * RETAIL


def test_what_is_drawn_below_the_baseline_is_paid_by_the_grid() -> None:
    homes = Neighbourhood()
    assert homes.announce() is None
    assert homes.opt("a", reason="the battery is full") is None
    homes.live(2 * DAY)
    homes.live(2, a=400)
    homes.end_event()
    choice = homes.choice("a")
    assert (choice.baseline_wh, choice.import_wh, choice.saved_wh) == (2000, 800, 1200)
    assert choice.paid_nano == 1200 * REWARD
    assert homes.community.net("a") == homes.bill("a") - 1200 * REWARD
    assert homes.community.net("b") == homes.bill("b")
    assert (homes.event().status, homes.event().saved_wh) == (Status.COMPLETED, 1200)
    assert homes.chain.sum_of_asset(Asset.SETTLEMENT) == 0
    assert homes.chain.balance(GRID).amount == homes.bill("a") + homes.bill("b") - 1200 * REWARD


def test_an_event_is_paid_once() -> None:
    homes = Neighbourhood()
    homes.announce()
    homes.opt("a")
    homes.live(2 * DAY)
    homes.live(2, a=400)
    homes.end_event()
    paid = homes.community.net("a")
    homes.chain.execute(at_s=homes.chain.time_s + DAY * HOUR)
    assert homes.event().paid_nano == 1200 * REWARD
    assert homes.community.net("a") == paid


def test_drawing_more_than_the_baseline_costs_nothing() -> None:
    homes = Neighbourhood()
    homes.announce()
    homes.opt("a")
    homes.live(2 * DAY)
    homes.live(1, a=400)
    homes.live(1, a=5000)
    homes.end_event()
    assert (homes.choice("a").saved_wh, homes.choice("a").paid_nano) == (600, 600 * REWARD)


def test_who_opted_out_is_not_measured() -> None:
    homes = Neighbourhood()
    homes.announce()
    homes.opt("a")
    homes.opt("b")
    assert homes.event().opted_in == 2
    assert homes.opt("a", is_in=False, reason="guests") is None
    assert homes.event().opted_in == 1
    homes.live(2 * DAY)
    homes.live(2, a=0, b=100)
    homes.end_event()
    assert homes.choice("a") == Choice(False, "guests", 0, 0, 0, 0)
    assert homes.event().paid_nano == homes.choice("b").paid_nano == 800 * REWARD


def test_a_slot_without_a_reading_saves_nothing() -> None:
    homes = Neighbourhood()
    homes.announce()
    homes.opt("a")
    homes.live(2 * DAY)
    homes.live(2, a=-1)
    homes.end_event()
    homes.chain.execute(at_s=homes.chain.time_s + HOUR)
    assert homes.event().status == Status.COMPLETED
    assert homes.choice("a").paid_nano == 0


def test_days_without_a_reading_are_left_out_of_the_baseline() -> None:
    homes = Neighbourhood()
    homes.announce()
    homes.opt("a")
    homes.live(DAY)
    homes.live(1, a=-1)
    homes.live(1, a=9000)  # it carries the energy of the silent hour too: no baseline for that hour either
    homes.live(DAY - 2)
    homes.live(2, a=300)
    homes.end_event()
    assert homes.choice("a").baseline_wh == 2000


def test_a_home_without_a_past_has_no_baseline() -> None:
    homes = Neighbourhood()
    homes.announce(first_slot_s=homes.community.start_of(1), slots=1)
    record = OptEvent(homes.community.start_of(1), is_in=True, reason="")
    assert homes.chain.call(homes.community.home["a"].wallet, record) is None
    homes.live(2, a=0)
    homes.end_event()
    key = get_choice_key(homes.community.start_of(1), homes.community.home["a"].account)
    found = read_record(homes.chain.state, key, Choice)
    assert found is not None
    assert (found.baseline_wh, found.paid_nano) == (0, 0)


def test_payment_spreads_over_blocks_and_forgets_nobody(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(events, "HOMES_PER_BLOCK_MAX", 1)
    homes = Neighbourhood()
    homes.announce()
    homes.opt("a")
    homes.opt("b")
    homes.live(2 * DAY)
    homes.live(2, a=400, b=400)
    homes.end_event()
    assert homes.event().status == Status.ANNOUNCED
    first = homes.event().paid_nano
    assert first in {1200 * REWARD, 200 * REWARD}
    homes.chain.execute()
    assert (homes.event().status, homes.event().paid_nano) == (Status.COMPLETED, 1400 * REWARD)


def test_a_cancelled_event_is_forgotten_and_its_slots_are_free() -> None:
    homes = Neighbourhood()
    homes.announce()
    homes.opt("a")
    cancel = CancelEvent(homes.first_slot_s)
    assert homes.chain.call(homes.community.home["a"].wallet, cancel) == Rejection.NOT_ALLOWED
    assert homes.chain.call(homes.chain.utility, cancel) is None
    assert homes.chain.call(homes.chain.utility, cancel) == Rejection.EVENT_CLOSED
    assert homes.opt("a") == Rejection.EVENT_CLOSED
    assert homes.announce() is None
    homes.live(2 * DAY)
    homes.live(2, a=0)
    homes.end_event()
    assert homes.event().paid_nano == 0


@pytest.mark.parametrize(
    ("changes", "rejection"),
    [
        ({"slots": 0}, Rejection.ARGUMENTS_INVALID),
        ({"slots": SLOTS_MAX + 1}, Rejection.ARGUMENTS_INVALID),
        ({"baseline_days": 0}, Rejection.ARGUMENTS_INVALID),
        ({"baseline_days": BASELINE_DAYS_MAX + 1}, Rejection.ARGUMENTS_INVALID),
        ({"reward": -1}, Rejection.PRICE_INVALID),
        ({"reward": REWARD_MAX + 1}, Rejection.PRICE_INVALID),
        ({"first_slot_s": 1}, Rejection.SLOT_MISALIGNED),
        ({"first_slot_s": 0}, Rejection.SLOT_STARTED),
        ({"first_slot_s": 2**62 - 2**62 % HOUR}, Rejection.EVENT_TOO_FAR),
    ],
)
def test_an_announcement_with_one_thing_wrong_is_refused(changes: dict[str, int], rejection: str) -> None:
    assert Neighbourhood().announce(**changes) == rejection


def test_two_events_never_cover_one_slot() -> None:
    homes = Neighbourhood()
    homes.announce()
    assert homes.announce(first_slot_s=homes.first_slot_s + HOUR) == Rejection.EVENT_OVERLAPS
    assert homes.announce(first_slot_s=homes.first_slot_s + 2 * HOUR) is None


def test_so_many_events_are_announced_and_no_more() -> None:
    homes = Neighbourhood()
    starts = [homes.first_slot_s + 2 * HOUR * number for number in range(EVENTS_MAX + 1)]
    results = [homes.announce(first_slot_s=start_s) for start_s in starts]
    assert results == [None] * EVENTS_MAX + [Rejection.EVENT_LIMIT]
    assert starts[-1] - homes.chain.time_s < AHEAD_S


def test_words_on_an_event_out_of_place_are_refused() -> None:
    homes = Neighbourhood()
    assert homes.opt("a") == Rejection.EVENT_UNKNOWN
    assert homes.chain.call(homes.chain.utility, CancelEvent(homes.first_slot_s)) == Rejection.EVENT_UNKNOWN
    homes.announce()
    assert homes.opt("a", reason="x" * 121) == Rejection.ARGUMENTS_INVALID
    stranger = homes.chain.open_account("stranger")
    record = OptEvent(homes.first_slot_s, is_in=True, reason="")
    assert homes.chain.call(stranger, record) == Rejection.METER_UNKNOWN
    assert homes.chain.call(stranger, AnnounceEvent(homes.first_slot_s, 1, 1, 1)) == Rejection.NOT_ALLOWED
    homes.chain.execute(at_s=homes.first_slot_s)
    assert homes.opt("a") == Rejection.EVENT_CLOSED


def test_the_phases_of_an_event() -> None:
    homes = Neighbourhood()
    homes.announce()
    event, first_s = homes.event(), homes.first_slot_s
    phases = [get_phase(event, first_s, first_s + shift_s) for shift_s in (-7200, -3600, -1, 0, 9000)]
    assert phases == [Phase.FAR, Phase.NEAR, Phase.NEAR, Phase.ACTIVE, Phase.ACTIVE]
    homes.chain.call(homes.chain.utility, CancelEvent(first_s))
    assert get_phase(homes.event(), first_s, first_s) == Phase.CANCELLED
