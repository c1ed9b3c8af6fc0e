"""Who validates is told by epoch, with what proves it to a stranger who holds the genesis."""

import base64
from typing import Any

import pytest

from consensus.messages import Handover
from meter.proofs import TrustAnchor, build_trust_anchor, read_certificate, read_handover
from node.api import validator_routes
from node.electorate import SIGNED_LOOKED_AT_MAX
from primitives.header import Validator
from primitives.signing import SecretKey
from tests.node.api.rim import Rim, open_rim, run
from tests.node.community import KEYS, Community
from vm.contracts.validators import Add, Endpoint, Remove, Replace, Withdraw

FIFTH = SecretKey(b"\x05" * 32)
ROTATED = SecretKey(b"\x06" * 32)
JOIN = Add(Validator("node4", FIFTH.public, b"cert4"), Endpoint("node4.example", 7104))
LEAVE = Remove(KEYS[0].public)
ROTATE = Replace(
    KEYS[1].public, Validator("node1", ROTATED.public, b"cert1b"), Endpoint("node1.example", 7101)
)


def add_fifth(community: Community) -> None:
    community.electorates[1] = [FIFTH, *KEYS]  # the first of them sign
    community.commit(*(community.vote(key, "add", JOIN) for key in KEYS[:3]))
    assert community.epoch == 1


def remove_first(community: Community) -> None:
    community.electorates[2] = [*KEYS[1:], FIFTH]
    community.commit(*(community.vote(key, "remove", LEAVE) for key in (*KEYS[1:], FIFTH)))
    assert community.epoch == 2


async def fetch_handovers(rim: Rim, query: str = "") -> tuple[list[Handover], int | None]:
    status, answer = await rim.get(f"/v1/handovers{query}")
    assert status == 200
    return [read_handover(base64.b64decode(data)) for data in answer["handovers"]], answer["next"]


def test_before_any_change_the_validators_are_those_of_the_genesis() -> None:
    async def scenario() -> None:
        async with open_rim() as rim:
            rim.community.commit(rim.community.grant())
            status, answer = await rim.get("/v1/validators")
            assert status == 200
            assert (answer["height"], answer["epoch"], answer["since_height"], answer["quorum"]) == (
                1,
                0,
                0,
                3,
            )
            assert [each["name"] for each in answer["validators"]] == ["node0", "node1", "node2", "node3"]
            assert [each["public_key"] for each in answer["validators"]] == [k.public.hex() for k in KEYS]
            assert [each["host"] for each in answer["validators"]] == [None] * 4
            assert [each["last_signed_height"] for each in answer["validators"]] == [1, 1, 1, None]
            assert answer["motions"] == []
            assert await fetch_handovers(rim) == ([], None)

    run(scenario())


def test_who_wants_what_is_told_with_the_number_of_ballots_that_are_missing() -> None:
    async def scenario() -> None:
        async with open_rim() as rim:
            town = rim.community
            town.commit(
                town.vote(KEYS[0], "add", JOIN),
                town.vote(KEYS[1], "replace", ROTATE),
                town.vote(KEYS[2], "add", JOIN),
            )
            motions = (await rim.get("/v1/validators"))[1]["motions"]
            assert [_describe(each) for each in motions] == [
                ("add", "node4", ["node0", "node2"], 1),
                ("replace", "node1", ["node1"], 2),
            ]
            assert (motions[0]["host"], motions[0]["port"]) == ("node4.example", 7104)
            assert motions[0]["public_key"] == FIFTH.public.hex()
            town.commit(town.vote(KEYS[1], "withdraw", Withdraw()), town.vote(KEYS[0], "replace", ROTATE))
            motions = (await rim.get("/v1/validators"))[1]["motions"]
            assert [_describe(each) for each in motions] == [
                ("replace", "node1", ["node0"], 2),
                ("add", "node4", ["node2"], 2),
            ]

    run(scenario())


def _describe(motion: dict[str, Any]) -> tuple[str, str, list[str], int]:
    return motion["method"], motion["name"], motion["voters"], motion["missing"]


def test_the_validators_of_every_epoch_are_told_and_those_of_a_coming_one_refused() -> None:
    async def scenario() -> None:
        async with open_rim() as rim:
            add_fifth(rim.community)
            remove_first(rim.community)
            rim.community.commit()
            names = []
            for epoch in range(3):
                answer = (await rim.get(f"/v1/validators?epoch={epoch}"))[1]
                names.append([each["name"] for each in answer["validators"]])
                assert (answer["epoch"], answer["since_height"]) == (epoch, epoch)
            assert names == [
                ["node0", "node1", "node2", "node3"],
                ["node0", "node1", "node2", "node3", "node4"],
                ["node1", "node2", "node3", "node4"],
            ]
            assert (await rim.get("/v1/validators"))[1]["epoch"] == 2
            fifth = (await rim.get("/v1/validators"))[1]["validators"][3]
            assert (fifth["host"], fifth["port"], fifth["last_signed_height"]) == ("node4.example", 7104, 2)
            status, answer = await rim.get("/v1/validators?epoch=3")
            assert (status, answer["error"]) == (404, "NOT_FOUND")
            for wrong in ("-1", "x", "", "9" * 40):
                assert (await rim.get(f"/v1/validators?epoch={wrong}"))[0] == 400
                assert (await rim.get(f"/v1/handovers?from={wrong}"))[0] == 400

    run(scenario())


def test_the_handovers_lead_a_stranger_from_the_genesis_to_the_latest_certificate() -> None:
    async def scenario() -> None:
        async with open_rim() as rim:
            add_fifth(rim.community)
            remove_first(rim.community)
            rim.community.commit()
            answer = (await rim.get("/v1/blocks/latest"))[1]
            certificate = read_certificate(base64.b64decode(answer["certificate"]))
            anchor = build_trust_anchor(rim.community.genesis)
            assert anchor.check_certificate(certificate) is not None
            handovers, following = await fetch_handovers(rim)
            assert following is None
            followed = anchor.follow(handovers)
            assert isinstance(followed, TrustAnchor)
            assert followed.check_certificate(certificate) is None
            assert followed.get_signers(certificate) == answer["signers"]
            assert sorted(answer["signers"]) == ["node1", "node2", "node3"]
            assert (await fetch_handovers(rim, "?from=1"))[0] == handovers[1:]
            assert (await fetch_handovers(rim, "?from=2"))[0] == []
            assert (await fetch_handovers(rim, "?from=4000000000"))[0] == []

    run(scenario())


def test_many_handovers_come_in_pages(monkeypatch: pytest.MonkeyPatch) -> None:
    async def scenario() -> None:
        async with open_rim() as rim:
            add_fifth(rim.community)
            remove_first(rim.community)
            whole, _ = await fetch_handovers(rim)
            monkeypatch.setattr(validator_routes, "HANDOVERS_BYTES_MAX", 10)
            assert await fetch_handovers(rim) == (whole[:1], 1)
            assert await fetch_handovers(rim, "?from=1") == (whole[1:], None)

    run(scenario())


def test_who_has_been_silent_for_many_blocks_signed_none_of_the_last() -> None:
    async def scenario() -> None:
        async with open_rim() as rim:
            rim.community.electorates[0] = [KEYS[3], *KEYS[:3]]
            rim.community.commit()
            rim.community.electorates[0] = KEYS
            for _ in range(SIGNED_LOOKED_AT_MAX - 1):
                rim.community.commit()
            last = (await rim.get("/v1/validators"))[1]["validators"][3]
            assert last["last_signed_height"] == 1
            rim.community.commit()
            last = (await rim.get("/v1/validators"))[1]["validators"][3]
            assert last["last_signed_height"] is None

    run(scenario())


def test_the_proposer_and_the_signers_of_an_old_block_keep_the_names_they_had() -> None:
    async def scenario() -> None:
        async with open_rim() as rim:
            rim.community.electorates[1] = [KEYS[0], ROTATED, *KEYS[2:]]
            rim.community.commit(*(rim.community.vote(key, "replace", ROTATE) for key in KEYS[:3]))
            rim.community.commit()
            before, after = [(await rim.get(f"/v1/blocks/{height}"))[1] for height in (1, 2)]
            assert (before["epoch"], after["epoch"]) == (0, 1)
            assert sorted(before["signers"]) == sorted(after["signers"]) == ["node0", "node1", "node2"]
            assert before["proposer"] == after["proposer"] == "node0"

    run(scenario())
