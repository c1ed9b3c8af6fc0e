import base64

import pytest

from consensus.authentication import sign_envelope
from consensus.messages import Checkpoint, Envelope
from node.api.chain_routes import BLOCKS_PER_ANSWER_MAX
from primitives.encoding import decode, encode
from primitives.ids import Digest
from tests.node.api.rim import open_rim, run
from tests.node.community import KEYS, SLOT_S, START_S, Community, build_settled_community, make_meter_account
from vm.state_root import StateProof, is_state_proof_valid


def test_blocks_are_listed_newest_first_page_by_page_and_only_certified_ones() -> None:
    async def scenario() -> None:
        async with open_rim() as rim:
            community = rim.community
            community.commit(community.grant(), community.grant(-1))
            for _ in range(BLOCKS_PER_ANSWER_MAX):
                community.commit()
            community.execute()
            _, page = await rim.get("/v1/blocks")
            heights = [block["height"] for block in page["blocks"]]
            assert heights == list(range(BLOCKS_PER_ANSWER_MAX + 1, 1, -1))
            _, rest = await rim.get(f"/v1/blocks?before={page['next_before']}")
            assert [(b["height"], b["transactions"], b["applied"]) for b in rest["blocks"]] == [(1, 2, 1)]
            assert rest["next_before"] is None
            community.chain.pruned = 100
            _, kept = await rim.get("/v1/blocks")
            assert [block["height"] for block in kept["blocks"]] == [101]

    run(scenario())


def test_evidence_is_shown_with_who_contradicted_itself() -> None:
    async def scenario() -> None:
        async with open_rim() as rim:
            community = rim.community
            pair = tuple(
                sign_envelope(KEYS[1], community.genesis_hash, Checkpoint(community.commit()))
                for _ in range(2)
            )
            community.chain.evidence += [encode(pair), encode(pair)]
            _, answer = await rim.get("/v1/evidence?after=0")
            (shown,) = answer["evidence"]
            assert (shown["number"], shown["validator"], shown["kind"]) == (1, "node1", "Checkpoint")
            assert decode(base64.b64decode(shown["first"]), Envelope) == pair[0]
            assert answer["next_after"] is None
            assert len((await rim.get("/v1/evidence"))[1]["evidence"]) == 2

    run(scenario())


def test_prices_are_the_published_ones_until_a_slot_has_settled() -> None:
    async def scenario() -> None:
        async with open_rim(build_settled_community()) as rim:
            first, last = START_S, START_S + 2 * SLOT_S
            _, answer = await rim.get(f"/v1/prices?first={first}&last={last}")
            prices = answer["prices"]
            assert [each["settled"] for each in prices] == [True, False, False]
            assert all((each["retail_price"], each["feed_in_price"]) == (220_000, 80_000) for each in prices)
            assert 80_000 <= prices[0]["pool_price"] <= 220_000
            assert prices[1]["pool_price"] is None

    run(scenario())


def test_a_period_of_slots_shows_those_in_which_something_happened() -> None:
    async def scenario() -> None:
        async with open_rim(build_settled_community()) as rim:
            _, answer = await rim.get(f"/v1/slots?first={START_S - SLOT_S}&last={START_S + SLOT_S}")
            assert START_S in [slot["slot_s"] for slot in answer["slots"]]
            assert START_S - SLOT_S not in [slot["slot_s"] for slot in answer["slots"]]

    run(scenario())


@pytest.mark.parametrize("path", [f"/v1/slots/{START_S}", f"/v1/meters/{make_meter_account(0).hex()}"])
def test_slots_and_meters_come_with_state_proofs_when_asked(path: str) -> None:
    async def scenario() -> None:
        async with open_rim(build_settled_community()) as rim:
            root = Digest(rim.community.header.state_root)
            assert not (await rim.get(path))[1].get("records")
            _, answer = await rim.get(f"{path}?proof=1")
            assert answer["records"]
            assert answer["certificate"]
            for record in answer["records"]:
                proof = decode(base64.b64decode(record["proof"]), StateProof)
                key, value = bytes.fromhex(record["key"]), bytes.fromhex(record["value"])
                assert is_state_proof_valid(key, value, proof, root)
                assert not is_state_proof_valid(key, value + b"x", proof, root)

    run(scenario())


@pytest.mark.parametrize("path", ["/v1/prices", "/v1/slots"])
def test_a_period_that_is_too_long_or_begins_in_a_slot_is_refused(path: str) -> None:
    async def scenario() -> None:
        async with open_rim(Community()) as rim:
            for query in (
                f"first={START_S}&last={START_S + 800 * SLOT_S}",
                f"first={START_S + 1}&last={START_S + 1}",
            ):
                status, answer = await rim.get(f"{path}?{query}")
                assert (status, answer["error"]) == (400, "BAD_PARAMETER")

    run(scenario())
