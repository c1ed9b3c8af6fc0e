import asyncio
import base64
from typing import Any

import msgspec
import pytest

import node.api.proofs as proofs_module
from consensus.certificates import check_certificate
from consensus.messages import Certificate
from node.mempool import Mempool, MempoolLimits
from primitives.encoding import decode, encode
from primitives.limits import TRANSACTION_BYTES_MAX
from tests.node.api.rim import Rim, open_rim, run
from tests.node.community import Community
from tests.node.transactions import spoil_signature
from vm.receipt import ReceiptProof, is_receipt_included
from vm.transaction import SealedTransaction

UNKNOWN = "ab" * 32


def pack(*values: bytes) -> bytes:
    return msgspec.msgpack.encode(values)


def check_proof(rim: Rim, sealed: SealedTransaction, answer: dict[str, Any]) -> None:
    """Verify as a meter does: offline, with nothing but the genesis."""
    proof = decode(base64.b64decode(answer["proof"]), ReceiptProof)
    certificate = decode(base64.b64decode(answer["certificate"]), Certificate)
    assert answer["id"] == sealed.id.hex()
    assert answer["height"] == proof.headers[0].height
    assert answer["certificate_height"] == certificate.header.height
    assert proof.receipt.transaction_id == sealed.id
    assert is_receipt_included(proof)
    assert proof.headers[-1] == certificate.header
    community = rim.community
    assert check_certificate(community.membership, community.genesis_hash, certificate) is None


async def wait_for_waiter(rim: Rim) -> None:
    while not rim.community.queries.signal.waiters:  # noqa: ASYNC110  # the server tells nobody; the test has a deadline
        await asyncio.sleep(0.001)


def test_a_transaction_is_accepted_then_known_then_committed_then_certified() -> None:
    async def scenario() -> None:
        async with open_rim() as rim:
            sealed = rim.community.grant()
            path = f"/v1/transactions/{sealed.id.hex()}"
            name = sealed.id.hex()
            assert await rim.post("/v1/transactions", sealed.raw) == (202, {"id": name, "status": "accepted"})
            assert await rim.post("/v1/transactions", sealed.raw) == (202, {"id": name, "status": "known"})
            assert await rim.get(path) == (200, {"id": name, "status": "pending"})
            rim.community.execute(sealed)
            committed = {"id": name, "status": "committed", "height": 1, "index": 0, "rejection": None}
            assert await rim.get(path) == (200, {**committed, "certified": False, "transaction": None})
            rim.community.certify()
            assert await rim.get(path) == (200, {**committed, "certified": True, "transaction": None})
            shown = (await rim.get(f"{path}?raw=1"))[1]["transaction"]
            assert base64.b64decode(shown) == sealed.raw
            assert (await rim.get(f"{path}?raw=yes"))[0] == 400

    run(scenario())


def test_a_rejection_of_the_ledger_is_told_by_name() -> None:
    async def scenario() -> None:
        async with open_rim() as rim:
            sealed = rim.community.grant(-5)
            rim.community.commit(sealed)
            _, answer = await rim.get(f"/v1/transactions/{sealed.id.hex()}")
            assert answer["rejection"] == "AMOUNT_INVALID"

    run(scenario())


@pytest.mark.parametrize("body", [b"", b"\xc1", b"hello", b"\x98" * 100])
def test_bytes_that_are_no_transaction_are_refused_by_name(body: bytes) -> None:
    async def scenario() -> None:
        async with open_rim() as rim:
            status, answer = await rim.post("/v1/transactions", body)
            assert (status, answer["error"]) == (422, "MALFORMED")
            assert answer["detail"]

    run(scenario())


def test_a_longer_encoding_of_the_same_transaction_is_refused() -> None:
    async def scenario() -> None:
        async with open_rim() as rim:
            raw = rim.community.grant().raw
            assert raw[:2] == b"\x98\x01"
            status, answer = await rim.post("/v1/transactions", b"\xdc\x00\x08" + raw[1:])
            assert (status, answer["error"]) == (422, "MALFORMED")
            assert "canonical" in answer["detail"]

    run(scenario())


def test_an_invalid_signature_is_refused_by_name() -> None:
    async def scenario() -> None:
        async with open_rim() as rim:
            bad = spoil_signature(rim.community.grant())
            status, answer = await rim.post("/v1/transactions", bad.raw)
            assert (status, answer["error"], answer["id"]) == (422, "SIGNATURE_INVALID", bad.id.hex())

    run(scenario())


def test_an_oversized_transaction_is_refused_before_it_is_read() -> None:
    async def scenario() -> None:
        async with open_rim() as rim:
            status, answer = await rim.post("/v1/transactions", bytes(TRANSACTION_BYTES_MAX + 1))
            assert (status, answer["error"]) == (413, "BODY_TOO_LARGE")

    run(scenario())


def test_a_full_pool_tells_to_come_back() -> None:
    async def scenario() -> None:
        community = Community()
        community.mempool = Mempool(MempoolLimits(1, 10**6, 1))
        async with open_rim(community) as rim:
            first, second = community.grant(), community.grant()
            assert (await rim.post("/v1/transactions", first.raw))[0] == 202
            async with rim.client.post(
                rim.url("/v1/transactions"),
                data=second.raw,
                headers={"Content-Type": "application/octet-stream"},
            ) as response:
                assert response.status == 503
                assert response.headers["Retry-After"] == "1"
            status, answer = await rim.post("/v1/transactions/batch", pack(second.raw, community.grant().raw))
            assert (status, answer["error"]) == (503, "BUSY")
            status, answer = await rim.post("/v1/transactions/batch", pack(first.raw, second.raw))
            assert status == 200
            assert [each["status"] for each in answer["results"]] == ["known", "refused"]
            assert answer["results"][1]["error"] == "BUSY"

    run(scenario())


def test_a_batch_has_one_result_each_in_its_order() -> None:
    async def scenario() -> None:
        async with open_rim() as rim:
            good, bad = rim.community.grant(), spoil_signature(rim.community.grant())
            status, answer = await rim.post(
                "/v1/transactions/batch", pack(good.raw, b"junk", bad.raw, good.raw)
            )
            assert status == 200
            results = answer["results"]
            assert [each["status"] for each in results] == ["accepted", "refused", "refused", "known"]
            assert [each.get("error") for each in results] == [None, "MALFORMED", "SIGNATURE_INVALID", None]
            assert results[0]["id"] == good.id.hex()

    run(scenario())


@pytest.mark.parametrize(
    "body",
    [
        b"",
        b"\xc1",
        b"\x90",
        pack(*[b"x"] * 1_001),
        msgspec.msgpack.encode(["text"]),
        msgspec.msgpack.encode({"a": b"b"}),
        b"\xdd\xff\xff\xff\xff",
        b"\x91" * 10_000,
        pack(b"a") + b"more",
    ],
)
@pytest.mark.parametrize("path", ["/v1/transactions/batch", "/v1/proofs"])
def test_a_body_that_is_no_array_of_bytes_is_refused(path: str, body: bytes) -> None:
    async def scenario() -> None:
        async with open_rim() as rim:
            status, answer = await rim.post(path, body)
            assert (status, answer["error"]) == (400, "BODY_MALFORMED")
            assert "\n" not in answer["detail"]

    run(scenario())


def test_where_receipts_were_let_go_an_unknown_transaction_is_refused_with_how_far() -> None:
    async def scenario() -> None:
        async with open_rim() as rim:
            rim.community.chain.pruned = 1
            for path in (f"/v1/transactions/{UNKNOWN}", f"/v1/transactions/{UNKNOWN}/proof"):
                status, answer = await rim.get(path)
                assert (status, answer["error"]) == (404, "NOT_FOUND")
                assert "keeps no receipts up to block 1: another one may know it" in answer["detail"]

    run(scenario())


def test_a_proof_of_an_id_that_nobody_knows_is_not_waited_for() -> None:
    async def scenario() -> None:
        async with open_rim() as rim:
            status, answer = await rim.get(f"/v1/transactions/{UNKNOWN}/proof?wait_ms=30000")
            assert (status, answer["error"], answer["id"]) == (404, "NOT_FOUND", UNKNOWN)
            assert (await rim.get(f"/v1/transactions/{UNKNOWN}"))[0] == 404

    run(scenario())


def test_a_proof_that_is_not_there_yet_is_told_so() -> None:
    async def scenario() -> None:
        async with open_rim() as rim:
            sealed = rim.community.grant()
            await rim.post("/v1/transactions", sealed.raw)
            path = f"/v1/transactions/{sealed.id.hex()}/proof"
            status, answer = await rim.get(path)
            assert (status, answer["error"]) == (504, "NOT_YET")
            rim.community.execute(sealed)
            status, answer = await rim.get(f"{path}?wait_ms=20")
            assert (status, answer["error"]) == (504, "NOT_YET")

    run(scenario())


def test_a_long_poll_ends_with_the_certificate() -> None:
    async def scenario() -> None:
        async with open_rim() as rim:
            sealed = rim.community.grant()
            await rim.post("/v1/transactions", sealed.raw)
            async with asyncio.TaskGroup() as tasks:
                path = f"/v1/transactions/{sealed.id.hex()}/proof?wait_ms=30000"
                question = tasks.create_task(rim.get(path))
                await wait_for_waiter(rim)
                rim.community.commit()  # a block without it wakes the question, which sleeps again
                await wait_for_waiter(rim)
                rim.community.commit(sealed)
            status, answer = question.result()
            assert status == 200
            check_proof(rim, sealed, answer)

    run(scenario())


def test_a_long_poll_ends_when_the_transaction_is_given_up() -> None:
    async def scenario() -> None:
        async with open_rim() as rim:
            sealed = rim.community.grant()
            await rim.post("/v1/transactions", sealed.raw)
            async with asyncio.TaskGroup() as tasks:
                path = f"/v1/transactions/{sealed.id.hex()}/proof?wait_ms=30000"
                question = tasks.create_task(rim.get(path))
                await wait_for_waiter(rim)
                rim.community.mempool.remove([sealed.id])
                rim.community.commit()
            assert question.result()[0] == 404

    run(scenario())


def test_a_client_that_leaves_gives_its_place_to_the_next() -> None:
    async def scenario() -> None:
        async with open_rim() as rim:
            sealed = rim.community.grant()
            await rim.post("/v1/transactions", sealed.raw)
            question = asyncio.ensure_future(
                rim.get(f"/v1/transactions/{sealed.id.hex()}/proof?wait_ms=30000")
            )
            await wait_for_waiter(rim)
            question.cancel()
            while rim.community.queries.signal.waiters:  # noqa: ASYNC110  # as above
                await asyncio.sleep(0.001)

    run(scenario())


def test_many_proofs_are_waited_for_together_and_each_tells_why_there_is_none() -> None:
    async def scenario() -> None:
        async with open_rim() as rim:
            transactions = [rim.community.grant() for _ in range(60)]
            await rim.post("/v1/transactions/batch", pack(*(sealed.raw for sealed in transactions)))
            names = [sealed.id for sealed in transactions] + [bytes.fromhex(UNKNOWN)]
            async with asyncio.TaskGroup() as tasks:
                question = tasks.create_task(rim.post("/v1/proofs?wait_ms=30000", encode(tuple(names))))
                await wait_for_waiter(rim)
                rim.community.commit(*transactions)
            status, answer = question.result()
            assert status == 200
            for sealed, each in zip(transactions, answer["proofs"], strict=False):
                check_proof(rim, sealed, each)
            assert answer["proofs"][-1] == {
                "id": UNKNOWN,
                "error": "NOT_FOUND",
                "detail": "this validator does not know it; send the same bytes again",
            }

    run(scenario())


def test_an_answer_of_proofs_is_bounded_and_names_what_did_not_fit(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(proofs_module, "ANSWER_BYTES_MAX", 2_000)

    async def scenario() -> None:
        async with open_rim() as rim:
            transactions = [rim.community.grant() for _ in range(10)]
            rim.community.commit(*transactions)
            _, answer = await rim.post("/v1/proofs", pack(*(sealed.id for sealed in transactions)))
            assert len(answer["proofs"]) == 10
            assert "proof" in answer["proofs"][0]
            assert answer["proofs"][-1]["error"] == "ANSWER_FULL"

    run(scenario())


@pytest.mark.parametrize("name", ["ab", "AB" * 32, "zz" * 32, "a" * 65, "%00" * 3, "é" * 64])
def test_an_id_that_is_none_is_refused(name: str) -> None:
    async def scenario() -> None:
        async with open_rim() as rim:
            for path in (f"/v1/transactions/{name}", f"/v1/transactions/{name}/proof"):
                status, answer = await rim.get(path)
                assert (status, answer["error"]) == (400, "BAD_PARAMETER")

    run(scenario())


@pytest.mark.parametrize(
    "query", ["wait_ms=-1", "wait_ms=x", "wait_ms=30001", "wait_ms=1&wait_ms=2", "wait_ms=1e3"]
)
def test_a_wait_that_makes_no_sense_is_refused(query: str) -> None:
    async def scenario() -> None:
        async with open_rim() as rim:
            status, answer = await rim.get(f"/v1/transactions/{UNKNOWN}/proof?{query}")
            assert (status, answer["error"]) == (400, "BAD_PARAMETER")
            assert "wait_ms" in answer["detail"]

    run(scenario())


def test_ids_of_a_wrong_length_are_refused() -> None:
    async def scenario() -> None:
        async with open_rim() as rim:
            status, answer = await rim.post("/v1/proofs", pack(b"short"))
            assert (status, answer["error"]) == (400, "BODY_MALFORMED")

    run(scenario())
