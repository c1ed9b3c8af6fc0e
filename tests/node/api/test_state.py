import base64

import pytest

from consensus.certificates import check_certificate
from consensus.messages import Certificate
from node.queries import Queries
from primitives.encoding import decode
from primitives.ids import Digest
from tests.node.api.rim import open_rim, run
from tests.node.community import (
    SLOT_S,
    START_S,
    UTILITY,
    Community,
    DictSnapshot,
    build_settled_community,
    make_meter_account,
)
from vm.contracts.energy.records import Line, Meter
from vm.state_root import StateProof, is_state_proof_valid


def test_a_block_shows_its_header_its_signers_and_its_transactions() -> None:
    async def scenario() -> None:
        async with open_rim() as rim:
            good, bad = rim.community.grant(), rim.community.grant(-1)
            header = rim.community.commit(good, bad)
            rim.community.execute()
            status, latest = await rim.get("/v1/blocks/latest")
            assert status == 200
            assert (latest["height"], latest["certified"]) == (1, True)
            assert latest["digest"] == header.compute_digest().hex()
            assert sorted(latest["signers"]) == ["node0", "node1", "node2"]
            assert latest["proposer"] == "node0"
            assert latest["transactions"] == [
                {"id": good.id.hex(), "rejection": None},
                {"id": bad.id.hex(), "rejection": "AMOUNT_INVALID"},
            ]
            certificate = decode(base64.b64decode(latest["certificate"]), Certificate)
            membership, genesis_hash = rim.community.membership, rim.community.genesis_hash
            assert check_certificate(membership, genesis_hash, certificate) is None
            assert (await rim.get("/v1/blocks/2"))[1]["certified"] is False
            assert (await rim.get("/v1/blocks/2"))[1]["certificate"] is None
            assert (await rim.get("/v1/blocks/0"))[1]["signers"] == []

    run(scenario())


def test_a_pruned_block_is_refused_by_that_name_and_genesis_stays() -> None:
    async def scenario() -> None:
        async with open_rim() as rim:
            rim.community.commit(rim.community.grant())
            rim.community.commit()
            rim.community.chain.pruned = 1
            status, answer = await rim.get("/v1/blocks/1")
            assert (status, answer["error"]) == (404, "NOT_FOUND")
            assert answer["detail"].startswith("block 1 is pruned: this validator keeps blocks above 1")
            assert (await rim.get("/v1/blocks/2"))[0] == 200
            assert (await rim.get("/v1/blocks/0"))[0] == 200

    run(scenario())


@pytest.mark.parametrize(
    ("height", "status"), [("3", 404), ("-1", 400), ("x", 400), ("9" * 30, 400), ("9" * 16, 404), ("٣", 400)]
)
def test_a_block_that_is_not_there_is_refused(height: str, status: int) -> None:
    async def scenario() -> None:
        async with open_rim() as rim:
            assert (await rim.get(f"/v1/blocks/{height}"))[0] == status

    run(scenario())


def test_an_account_is_shown_by_id_and_by_name() -> None:
    async def scenario() -> None:
        async with open_rim() as rim:
            rim.community.commit(rim.community.grant(70))
            status, by_name = await rim.get("/v1/accounts/utility")
            assert status == 200
            assert by_name == (await rim.get(f"/v1/accounts/{UTILITY.hex()}"))[1]
            assert by_name["account"] == UTILITY.hex()
            assert (by_name["role"], by_name["status"]) == ("utility", "active")
            assert by_name["balances"]["coins"] == 70
            assert (by_name["nonce"], by_name["nonce_hint"], by_name["height"]) == (1, 2, 1)

    run(scenario())


@pytest.mark.parametrize("name", ["nobody", "ab" * 16, "a%20b", "%F0%9F%98%80", "%00"])
def test_an_account_that_is_not_there_is_not_found(name: str) -> None:
    async def scenario() -> None:
        async with open_rim() as rim:
            status, answer = await rim.get(f"/v1/accounts/{name}")
            assert (status, answer["error"]) == (404, "NOT_FOUND")

    run(scenario())


def test_meters_are_listed_and_shown() -> None:
    async def scenario() -> None:
        async with open_rim(build_settled_community(homes=3)) as rim:
            status, answer = await rim.get("/v1/meters")
            assert status == 200
            assert [meter["account"] for meter in answer["meters"]] == sorted(
                make_meter_account(number).hex() for number in range(3)
            )
            assert answer["next_after"] is None
            _, rest = await rim.get(f"/v1/meters?after={answer['meters'][1]['account']}")
            assert rest["meters"] == answer["meters"][2:]
            _, meter = await rim.get("/v1/meters/home-1")
            assert meter["account"] == make_meter_account(1).hex()
            assert meter["latest"]["import_wh"] == 4_000
            assert (await rim.get("/v1/meters/utility"))[0] == 404
            assert (await rim.get("/v1/meters?after=xyz"))[0] == 400
            assert (await rim.get("/v1/meters?after=abcd"))[0] == 400
            assert (await rim.get("/v1/meters?after=" + "%20".join(["aa"] * 16)))[0] == 400
            assert (await rim.get(f"/v1/meters/{'x' * 65}"))[0] == 400

    run(scenario())


def test_a_slot_is_shown_and_one_that_is_none_is_refused() -> None:
    async def scenario() -> None:
        async with open_rim(build_settled_community()) as rim:
            status, slot = await rim.get(f"/v1/slots/{START_S}")
            assert status == 200
            assert (slot["slot_s"], slot["status"], slot["supply_wh"]) == (START_S, "settled", 2_000)
            status, answer = await rim.get(f"/v1/slots/{START_S + 1}")
            assert (status, answer["error"]) == (400, "BAD_PARAMETER")
            assert str(START_S) in answer["detail"]
            assert (await rim.get(f"/v1/slots/{START_S + 100 * SLOT_S}"))[0] == 404
            assert (await rim.get("/v1/slots/-900"))[0] == 400

    run(scenario())


def test_a_bill_is_proven_line_by_line_under_its_certificate() -> None:
    async def scenario() -> None:
        community = build_settled_community()
        async with open_rim(community) as rim:
            status, bill = await rim.get(
                f"/v1/bills/home-1?first={START_S}&last={START_S + 4 * SLOT_S}&proof=1"
            )
            assert status == 200
            assert (bill["meter"], bill["home"]) == (make_meter_account(1).hex(), "home-1")
            certificate = decode(base64.b64decode(bill["certificate"]), Certificate)
            assert check_certificate(community.membership, community.genesis_hash, certificate) is None
            assert certificate.header.height == bill["height"]
            (line,) = bill["lines"]
            key, value = bytes.fromhex(line["key"]), bytes.fromhex(line["value"])
            proof = decode(base64.b64decode(line["proof"]), StateProof)
            assert is_state_proof_valid(key, value, proof, Digest(certificate.header.state_root))
            record = decode(value, Line)
            assert (record.import_wh, record.net_nano) == (line["import_wh"], line["net_nano"])
            assert bill["totals"]["net_nano"] == record.net_nano
            shown = bill["record"]
            key, value = bytes.fromhex(shown["key"]), bytes.fromhex(shown["value"])
            proof = decode(base64.b64decode(shown["proof"]), StateProof)
            assert is_state_proof_valid(key, value, proof, Digest(certificate.header.state_root))
            assert decode(value, Meter).home == "home-1"

    run(scenario())


@pytest.mark.parametrize(
    ("account", "records"), [("home-1", [b"pa", b"lb"]), ("grid", [b"lb"]), ("node0", [b"pa"])]
)
def test_an_account_is_proven_record_by_record_under_its_certificate(
    account: str, records: list[bytes]
) -> None:
    async def scenario() -> None:
        community = build_settled_community()
        async with open_rim(community) as rim:
            status, answer = await rim.get(f"/v1/accounts/{account}?proof=1")
            assert status == 200
            certificate = decode(base64.b64decode(answer["certificate"]), Certificate)
            assert check_certificate(community.membership, community.genesis_hash, certificate) is None
            assert certificate.header.height == answer["height"]
            shown = [(bytes.fromhex(each["key"]), each) for each in answer["records"]]
            assert [key[:2] for key, _ in shown] == records
            for key, each in shown:
                proof = decode(base64.b64decode(each["proof"]), StateProof)
                value, root = bytes.fromhex(each["value"]), Digest(certificate.header.state_root)
                assert is_state_proof_valid(key, value, proof, root)
                assert not is_state_proof_valid(key, value + b"\0", proof, root)
            _, plain = await rim.get(f"/v1/accounts/{account}")
            assert (plain["records"], plain["certificate"]) == ([], None)
            assert (await rim.get(f"/v1/accounts/{account}?proof=x"))[0] == 400

    run(scenario())


def test_a_bill_without_proof_has_no_proofs() -> None:
    async def scenario() -> None:
        async with open_rim(build_settled_community()) as rim:
            _, bill = await rim.get(f"/v1/bills/home-0?first={START_S}&last={START_S}")
            assert "proof" not in bill["lines"][0]

    run(scenario())


@pytest.mark.parametrize(
    "query",
    [
        "",
        f"first={START_S}",
        f"first={START_S}&last=-900",
        f"first={START_S + SLOT_S}&last={START_S}",
        f"first={START_S}&last={START_S + 1}",
        f"first=0&last={START_S}",
        f"first={START_S}&last={START_S + 1_000 * SLOT_S}&proof=1",
        f"first={START_S}&last={'9' * 17}",
    ],
)
def test_a_period_that_makes_no_sense_is_refused(query: str) -> None:
    async def scenario() -> None:
        async with open_rim(build_settled_community()) as rim:
            status, answer = await rim.get(f"/v1/bills/home-0?{query}")
            assert (status, answer["error"]) == (400, "BAD_PARAMETER")

    run(scenario())


def test_a_node_without_certified_state_tells_to_come_back() -> None:
    async def scenario() -> None:
        community = Community()
        header = community.execute(community.grant())
        community.queries = Queries(community.genesis, community.chain, community.mempool)
        community.queries.record_executed(
            header, DictSnapshot(community.state, community.buckets), community.tree
        )
        async with open_rim(community) as rim:
            status, answer = await rim.get("/v1/accounts/utility")
            assert (status, answer["error"]) == (503, "NOT_CERTIFIED_YET")

    run(scenario())
