"""Who opens a meter, when, and that a slot always knows its meters."""

import pytest
from msgspec.structs import replace

from primitives.signing import SecretKey
from tests.vm.contracts.energy.audit import audit
from tests.vm.contracts.energy.community import Community, Home, make_registration
from tests.vm.ledger import HOUR, START_S, Chain, make_wallet
from vm.contracts.energy import metering, queries
from vm.contracts.energy.metering import RATING_W_MAX, REGISTER_WH_MAX
from vm.contracts.ledger import GRID
from vm.contracts.permissions import read_account
from vm.receipt import Rejection


def register(chain: Chain, **changes: object) -> str | None:
    return chain.call(chain.utility, replace(make_registration("m"), **changes))


def test_the_utility_opens_a_meter_with_its_account() -> None:
    chain = Chain()
    assert register(chain) is None
    view = queries.get_meter(chain.state, make_wallet("m").account)
    assert view is not None
    assert (view.meter.home, view.latest.time_s, view.latest.pagination) == ("m", START_S, 0)
    account = read_account(chain.state, make_wallet("m").account)
    assert account is not None
    assert account.role == "prosumer"


@pytest.mark.parametrize("role", ["prosumer", "validator", "auditor"])
def test_nobody_else_opens_one(role: str) -> None:
    chain = Chain()
    wallet = chain.open_account("other", role)
    assert chain.call(wallet, make_registration("m")) == Rejection.NOT_ALLOWED


@pytest.mark.parametrize(
    ("changes", "expected"),
    [
        ({"rating_w": 0}, Rejection.ARGUMENTS_INVALID),
        ({"rating_w": -1}, Rejection.ARGUMENTS_INVALID),
        ({"rating_w": RATING_W_MAX}, None),
        ({"rating_w": RATING_W_MAX + 1}, Rejection.ARGUMENTS_INVALID),
        ({"owner": b""}, Rejection.ARGUMENTS_INVALID),
        ({"owner": bytes(16)}, Rejection.ACCOUNT_UNKNOWN),
        ({"owner": bytes(GRID)}, Rejection.ACCOUNT_UNKNOWN),
        ({"opening_import_wh": -1}, Rejection.ARGUMENTS_INVALID),
        ({"opening_export_wh": -1}, Rejection.ARGUMENTS_INVALID),
        ({"opening_import_wh": REGISTER_WH_MAX}, None),
        ({"opening_import_wh": REGISTER_WH_MAX + 1}, Rejection.ARGUMENTS_INVALID),
        ({"opening_export_wh": REGISTER_WH_MAX + 1}, Rejection.ARGUMENTS_INVALID),
        ({"opening_s": START_S + 1}, Rejection.SLOT_MISALIGNED),
        ({"opening_s": START_S + 900}, Rejection.SLOT_MISALIGNED),
        ({"opening_s": -HOUR}, Rejection.SLOT_MISALIGNED),
        ({"home": ""}, Rejection.ARGUMENTS_INVALID),
        ({"home": "a b"}, Rejection.ARGUMENTS_INVALID),
        ({"home": "grid"}, Rejection.NAME_TAKEN),
        ({"home": "utility"}, Rejection.NAME_TAKEN),
        ({"public_key": bytes(32)}, Rejection.KEY_UNSOUND),
        ({"public_key": b""}, Rejection.KEY_UNSOUND),
        ({"account": bytes(15)}, Rejection.ARGUMENTS_INVALID),
    ],
)
def test_each_field_has_its_bounds(changes: dict[str, object], expected: Rejection | None) -> None:
    if "account" in changes:
        changes = {**changes, "owner": make_wallet("utility").account}
    assert register(Chain(), **changes) == expected


def test_a_meter_is_opened_once() -> None:
    chain = Chain()
    assert register(chain) is None
    other_key = SecretKey(b"o" * 32).public
    assert register(chain, public_key=other_key, home="n") == Rejection.METER_EXISTS


def test_an_account_that_is_no_meter_cannot_become_one() -> None:
    chain = Chain()
    chain.open_account("m")
    other_key = SecretKey(b"o" * 32).public
    assert register(chain, public_key=other_key, home="n") == Rejection.ACCOUNT_EXISTS


def test_the_owner_is_billed_for_its_meters() -> None:
    community = Community(homes=())
    landlord = community.chain.open_account("landlord")
    for name in ("m", "n"):
        assert register(community.chain, **_fields(name), owner=landlord.account) is None
        community.home[name] = _home(name)
    community.submit("m", 0, 1000)
    community.submit("n", 0, 0, 400)
    assert community.chain.balance(landlord.account).amount == -(600 * 220_000)
    assert community.net("m") == community.net("n") == 0
    audit(community.chain.state, HOUR)


def test_there_is_room_for_a_bounded_number_of_meters(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(metering, "METERS_MAX", 2)
    community = Community(homes=("a", "b"))
    assert register(community.chain) == Rejection.METER_LIMIT


def test_a_meter_may_open_in_a_slot_that_has_begun_while_no_reading_of_it_came() -> None:
    community = Community(homes=("a",), grace_s=5 * HOUR, correction_s=5 * HOUR)
    community.chain.time_s = START_S + HOUR + 1800
    assert register(community.chain, opening_s=START_S) is None


def test_a_meter_cannot_open_further_back_than_the_correction_window() -> None:
    chain = Chain()
    chain.time_s = START_S + 7 * 86400
    assert register(chain, opening_s=START_S - HOUR) == Rejection.SLOT_STARTED
    assert register(chain, opening_s=START_S) is None


def test_a_meter_cannot_open_in_a_slot_that_has_a_reading_or_has_settled() -> None:
    community = Community(homes=("a", "b"))
    community.submit("a", 0, 100)
    assert not community.is_settled(0)
    assert register(community.chain, opening_s=START_S) == Rejection.SLOT_STARTED
    community.pass_grace(0)
    assert community.is_settled(0)
    assert register(community.chain, opening_s=START_S) == Rejection.SLOT_STARTED
    assert register(community.chain, opening_s=START_S + HOUR) is None


def test_a_meter_cannot_open_before_a_slot_that_settled_without_it() -> None:
    # Slot 0 waits for its silent meter while slot 1 has everything and settles at once.
    community = Community(homes=("a",), grace_s=5 * HOUR)
    assert community.submit("a", 1, 100) is None
    assert community.is_settled(1)
    assert not community.is_settled(0)
    assert register(community.chain, opening_s=START_S) == Rejection.SLOT_STARTED
    assert register(community.chain, opening_s=START_S + HOUR) == Rejection.SLOT_STARTED
    assert register(community.chain, opening_s=START_S + 2 * HOUR) is None
    audit(community.chain.state, HOUR)


def test_a_meter_may_open_before_one_that_was_registered_for_later() -> None:
    community = Community(homes=())
    community.add("later", START_S + 10 * HOUR)
    community.add("sooner", START_S + HOUR)
    assert community.submit("sooner", 1, 100) is None
    assert community.is_settled(1)
    community.pass_grace(11)
    assert [community.is_settled(slot) for slot in range(13)] == [False, *[True] * 11, False]
    audit(community.chain.state, HOUR)


def test_a_meter_is_expected_and_billed_from_its_opening_on() -> None:
    community = Community(homes=("a", "b"))
    community.add("late", START_S + 2 * HOUR)
    for slot in range(3):
        for name in ("a", "b"):
            assert community.submit(name, slot, (slot + 1) * 100) is None
    assert [community.slot(slot).expected for slot in range(3)] == [2, 2, 3]
    assert [community.is_settled(slot) for slot in range(3)] == [True, True, False]
    assert community.submit("late", 1, 50) == Rejection.READING_BEFORE_OPENING
    assert community.submit("late", 2, 50) is None
    assert community.is_settled(2)
    audit(community.chain.state, HOUR)


def test_a_meter_that_opens_far_in_the_future_holds_nobody_up() -> None:
    community = Community(homes=())
    community.add("mistyped", (2**63 // HOUR) * HOUR)
    community.add("b")
    assert community.submit("b", 0, 100) is None
    assert community.is_settled(0)


def _fields(name: str) -> dict[str, object]:
    wallet = make_wallet(name)
    return {"account": wallet.account, "public_key": wallet.key.public, "home": name}


def _home(name: str) -> Home:
    return Home(make_wallet(name))
