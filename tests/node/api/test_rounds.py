"""A round is shown to a home with proofs that it checks itself: what is spoiled is not believed."""

import json
from collections.abc import Callable
from typing import Any

import msgspec
import pytest

from consensus.membership import Membership
from meter.answers import AnswerError, RoundAnswer
from meter.home.rounds import RoundView, check_round
from meter.proofs import TrustAnchor
from primitives.encoding import encode
from primitives.hashing import compute_account_id
from tests.node.api.rim import Rim, open_rim, run
from tests.node.community import (
    SLOT_S,
    START_S,
    UTILITY,
    UTILITY_KEY,
    Community,
    make_meter_account,
    make_meter_key,
)
from tests.vm.contracts.energy.coordination.rounds import make_terms
from vm.contracts.energy.coordination.calls import Form, OpenRound, SubmitVector
from vm.contracts.energy.coordination.records import Status

FIRST_SLOT_S = START_S + 8 * SLOT_S
SLOTS = 2


def open_round(community: Community, form: Form = Form.BILATERAL) -> None:
    """Register two meters, open a round for them, and let the first say its vector."""
    members = tuple(make_meter_account(number) for number in (1, 2))
    opening = OpenRound(FIRST_SLOT_S, SLOTS, form, make_terms(), members, ())
    community.commit(
        community.register_meter(1),
        community.register_meter(2),
        community.sign(UTILITY_KEY, UTILITY, "coordination", "open_round", opening),
    )
    community.commit(say(community, 1, (70, -5)))


def say(community: Community, number: int, trades_wh: tuple[int, ...]) -> Any:  # noqa: ANN401  # a transaction
    key = make_meter_key(number)
    vector = SubmitVector(FIRST_SLOT_S, 1, trades_wh)
    return community.sign(key, compute_account_id(key.public), "coordination", "submit_vector", vector)


def build_anchor(community: Community) -> TrustAnchor:
    return TrustAnchor(
        community.genesis_hash, (Membership(community.membership.epoch, community.genesis.validators),)
    )


async def fetch(rim: Rim) -> dict[str, Any]:
    status, answer = await rim.get(f"/v1/rounds/{FIRST_SLOT_S}?meter=home-1&proof=1")
    assert status == 200, answer
    found: dict[str, Any] = answer
    return found


def read(rim: Rim, answer: dict[str, Any]) -> RoundView:
    decoded = msgspec.json.decode(json.dumps(answer), type=RoundAnswer)
    return check_round(decoded, build_anchor(rim.community), FIRST_SLOT_S, make_meter_account(1))


def test_a_round_is_shown_to_everybody_as_it_stands() -> None:
    async def scenario() -> None:
        async with open_rim() as rim:
            open_round(rim.community)
            status, answer = await rim.get(f"/v1/rounds/{FIRST_SLOT_S}")
            assert status == 200
            assert (answer["status"], answer["round"]["iteration"], answer["round"]["submitted"]) == (
                "open",
                1,
                1,
            )
            assert answer["round"]["terms"]["rho"] == 100
            assert len(answer["records"]) == 1
            assert "proof" not in answer["records"][0]

    run(scenario())


@pytest.mark.parametrize("form", list(Form))
def test_a_home_proves_what_it_is_told_with_the_genesis_alone(form: Form) -> None:
    async def scenario() -> None:
        async with open_rim() as rim:
            open_round(rim.community, form)
            view = read(rim, await fetch(rim))
            assert view.height == rim.community.header.height
            assert (view.round.status, view.round.members) == (Status.OPEN, 2)
            assert view.member is not None
            assert view.member.trades_wh == (70, -5)
            assert (view.row is not None, view.exchange is not None) == (
                form == Form.BILATERAL,
                form == Form.EXCHANGE,
            )
            assert view.agreement is None

    run(scenario())


def spoil_value(answer: dict[str, Any]) -> None:
    member = answer["records"][1]
    member["value"] = member["value"].replace("46", "47", 1)  # 70 Wh become 71


def drop_proof(answer: dict[str, Any]) -> None:
    del answer["records"][1]["proof"]


def swap_proofs(answer: dict[str, Any]) -> None:
    first, second = answer["records"][:2]
    first["proof"], second["proof"] = second["proof"], first["proof"]


def drop_certificate(answer: dict[str, Any]) -> None:
    answer["certificate"] = None


def hide_round(answer: dict[str, Any]) -> None:
    del answer["records"][0]


def garble_key(answer: dict[str, Any]) -> None:
    answer["records"][0]["key"] = "zz"


def garble_proof(answer: dict[str, Any]) -> None:
    answer["records"][0]["proof"] = "AAAA"


@pytest.mark.parametrize(
    "spoil",
    [spoil_value, drop_proof, swap_proofs, drop_certificate, hide_round, garble_key, garble_proof],
)
def test_what_does_not_stand_under_a_certificate_is_not_believed(
    spoil: Callable[[dict[str, Any]], None],
) -> None:
    async def scenario() -> None:
        async with open_rim() as rim:
            open_round(rim.community)
            answer = await fetch(rim)
            read(rim, answer)
            spoil(answer)
            with pytest.raises(AnswerError):
                read(rim, answer)

    run(scenario())


def test_a_certificate_of_too_few_proves_nothing() -> None:
    async def scenario() -> None:
        async with open_rim() as rim:
            open_round(rim.community)
            answer = await fetch(rim)
            certificate = rim.community.chain.certificates[rim.community.header.height]
            few = msgspec.structs.replace(certificate, signatures=certificate.signatures[:2])
            answer["certificate"] = msgspec.to_builtins(encode(few))
            with pytest.raises(AnswerError):
                read(rim, answer)

    run(scenario())


@pytest.mark.parametrize(
    ("path", "status"),
    [
        (f"/v1/rounds/{FIRST_SLOT_S + SLOT_S}", 404),
        (f"/v1/rounds/{FIRST_SLOT_S + 1}", 400),
        ("/v1/rounds/x", 400),
        ("/v1/rounds/-900", 400),
        ("/v1/rounds/" + "9" * 30, 400),
        (f"/v1/rounds/{FIRST_SLOT_S}?meter=nobody", 404),
        (f"/v1/rounds/{FIRST_SLOT_S}?meter={'x' * 65}", 400),
        (f"/v1/rounds/{FIRST_SLOT_S}?proof=x", 400),
    ],
)
def test_questions_about_rounds_that_make_no_sense_are_refused(path: str, status: int) -> None:
    async def scenario() -> None:
        async with open_rim() as rim:
            open_round(rim.community)
            assert (await rim.get(path))[0] == status

    run(scenario())
