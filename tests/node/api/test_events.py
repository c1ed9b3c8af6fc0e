"""An event is shown with everybody's word and what it came to; each record stands under a certificate."""

from base64 import b64decode
from typing import Any

import pytest

from consensus.membership import Membership
from meter.proofs import TrustAnchor, check_state_value, read_certificate, read_state_proof
from node.api import event_routes
from primitives.hashing import compute_account_id
from tests.node.api.rim import open_rim, run
from tests.node.community import (
    SLOT_S,
    START_S,
    UTILITY,
    UTILITY_KEY,
    Community,
    make_meter_account,
    make_meter_key,
)
from vm.contracts.energy.response.calls import AnnounceEvent, CancelEvent, OptEvent

DAY = 86_400 // SLOT_S
EVENT_SLOT = DAY + 1
FIRST_SLOT_S = START_S + EVENT_SLOT * SLOT_S
REWARD = 300_000
USUAL_WH, DRAWN_WH = 100, 40
GRACE_S = 300


def opt(community: Community, number: int, *, is_in: bool, reason: str = "") -> Any:  # noqa: ANN401  # a transaction
    key = make_meter_key(number)
    call = OptEvent(FIRST_SLOT_S, is_in, reason)
    return community.sign(key, compute_account_id(key.public), "response", "opt_event", call)


def announce(community: Community) -> None:
    """Register two meters and announce an event of one slot; home 1 is in, home 2 is out."""
    event = AnnounceEvent(FIRST_SLOT_S, 1, REWARD, 1)
    community.commit(
        community.register_meter(1),
        community.register_meter(2),
        community.sign(UTILITY_KEY, UTILITY, "response", "announce_event", event),
    )
    community.commit(opt(community, 1, is_in=True), opt(community, 2, is_in=False, reason="guests"))


def live(community: Community) -> None:
    """Let home 1 draw its usual energy until the event, less in it, and let time pass until it is measured."""
    drawn = 1_000
    for slot in range(EVENT_SLOT + 1):
        drawn += DRAWN_WH if slot == EVENT_SLOT else USUAL_WH
        reading = community.read_meter(1, slot + 1, drawn, 500)
        community.commit(reading, after_s=(slot + 1) * SLOT_S + 1)
    for extra_s in (1, 2):
        community.commit(after_s=(EVENT_SLOT + 1) * SLOT_S + GRACE_S + extra_s)


def test_an_announced_event_is_shown_with_who_is_in() -> None:
    async def scenario() -> None:
        async with open_rim() as rim:
            announce(rim.community)
            status, answer = await rim.get(f"/v1/events/{FIRST_SLOT_S}")
            assert (status, answer["status"], answer["height"]) == (200, "far", 2)
            assert (answer["event"]["slots"], answer["event"]["reward"], answer["event"]["opted_in"]) == (
                1,
                REWARD,
                1,
            )
            words = {each["home"]: (each["is_in"], each["reason"]) for each in answer["homes"]}
            assert words == {"home-1": (True, ""), "home-2": (False, "guests")}
            assert all("proof" not in record for record in answer["records"])

    run(scenario())


def test_a_measured_event_tells_what_each_home_saved_and_was_paid() -> None:
    async def scenario() -> None:
        async with open_rim() as rim:
            announce(rim.community)
            live(rim.community)
            _, answer = await rim.get(f"/v1/events/{FIRST_SLOT_S}?meter=home-1")
            saved = USUAL_WH - DRAWN_WH
            assert answer["status"] == "completed"
            assert (answer["event"]["saved_wh"], answer["event"]["paid_nano"]) == (saved, saved * REWARD)
            (home,) = answer["homes"]
            assert (home["baseline_wh"], home["import_wh"]) == (USUAL_WH, DRAWN_WH)
            assert (home["saved_wh"], home["paid_nano"]) == (saved, saved * REWARD)

    run(scenario())


def test_an_event_that_was_cancelled_says_so_and_keeps_nobodys_word() -> None:
    async def scenario() -> None:
        async with open_rim() as rim:
            announce(rim.community)
            cancel = CancelEvent(FIRST_SLOT_S)
            rim.community.commit(rim.community.sign(UTILITY_KEY, UTILITY, "response", "cancel_event", cancel))
            _, answer = await rim.get(f"/v1/events/{FIRST_SLOT_S}")
            assert (answer["status"], answer["homes"]) == ("cancelled", [])

    run(scenario())


def test_every_record_is_proven_with_the_genesis_alone_and_no_other_value_is() -> None:
    async def scenario() -> None:
        async with open_rim() as rim:
            announce(rim.community)
            _, answer = await rim.get(f"/v1/events/{FIRST_SLOT_S}?proof=1")
            community = rim.community
            membership = Membership(community.membership.epoch, community.genesis.validators)
            anchor = TrustAnchor(community.genesis_hash, (membership,))
            certificate = read_certificate(b64decode(answer["certificate"]))
            assert len(answer["records"]) == 3
            for record in answer["records"]:
                key, value = bytes.fromhex(record["key"]), bytes.fromhex(record["value"])
                proof = read_state_proof(b64decode(record["proof"]))
                assert check_state_value(anchor, key, value, proof, certificate) is None
                assert check_state_value(anchor, key, value + b"\x00", proof, certificate) is not None

    run(scenario())


def test_homes_come_a_page_at_a_time_each_once(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(event_routes, "HOMES_PER_ANSWER_MAX", 1)

    async def scenario() -> None:
        async with open_rim() as rim:
            announce(rim.community)
            _, first = await rim.get(f"/v1/events/{FIRST_SLOT_S}")
            _, second = await rim.get(f"/v1/events/{FIRST_SLOT_S}?after={first['next_after']}")
            accounts = [home["account"] for page in (first, second) for home in page["homes"]]
            assert accounts == sorted(make_meter_account(number).hex() for number in (1, 2))
            assert second["next_after"] is None

    run(scenario())


@pytest.mark.parametrize(
    ("path", "status"),
    [
        (f"/v1/events/{FIRST_SLOT_S + SLOT_S}", 404),
        (f"/v1/events/{FIRST_SLOT_S + 1}", 400),
        ("/v1/events/x", 400),
        ("/v1/events/-900", 400),
        ("/v1/events/" + "9" * 30, 400),
        (f"/v1/events/{FIRST_SLOT_S}?meter=nobody", 404),
        (f"/v1/events/{FIRST_SLOT_S}?meter={'x' * 65}", 400),
        (f"/v1/events/{FIRST_SLOT_S}?proof=x", 400),
        (f"/v1/events/{FIRST_SLOT_S}?after=zz", 400),
        (f"/v1/events/{FIRST_SLOT_S}?after=00", 400),
        (f"/v1/events/{FIRST_SLOT_S}?after={'AA' * 16}", 400),
        (f"/v1/events/{FIRST_SLOT_S}?after={'aa%20' * 16}", 400),
    ],
)
def test_questions_about_events_that_make_no_sense_are_refused(path: str, status: int) -> None:
    async def scenario() -> None:
        async with open_rim() as rim:
            announce(rim.community)
            assert (await rim.get(path))[0] == status

    run(scenario())
