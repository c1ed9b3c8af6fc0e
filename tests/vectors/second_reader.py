"""A verifier written from docs/verification.md alone: MessagePack, BLAKE2b, Ed25519, and no line of the code it checks.

It tells True or the reason as a word of its own; only whether a file is believed must be the same everywhere.
"""

from hashlib import blake2b
from itertools import pairwise
from typing import Any

import msgpack  # type: ignore[import-untyped]  # it ships no types
from nacl.exceptions import BadSignatureError
from nacl.signing import VerifyKey

BARE = (b"\x92\x93", b"\x93\x93")
HEADER_DOMAIN = b"gridbft/header" + bytes(10)


class Unproven(Exception):  # noqa: N818  # the answer of this reader
    """The file proves nothing."""


def demand(condition: bool, reason: str) -> None:
    if not condition:
        raise Unproven(reason)


def compute_hash(domain: str, data: bytes) -> bytes:
    return blake2b(data, digest_size=32, person=domain.encode()).digest()


def decode(data: bytes) -> Any:  # noqa: ANN401  # MessagePack
    try:
        value = msgpack.unpackb(data, use_list=False, strict_map_key=False)
    except (ValueError, msgpack.UnpackException) as error:
        raise Unproven(str(error)) from None
    demand(msgpack.packb(value) == data, "not canonical")
    return value


def check(data: bytes, genesis_bytes: bytes) -> None:
    """Raise unless the file is proven by the genesis."""
    try:
        _check(data, genesis_bytes)
    except (TypeError, ValueError, IndexError, AttributeError, OverflowError) as error:
        raise Unproven(f"of another shape: {error}") from None


def _check(data: bytes, genesis_bytes: bytes) -> None:
    genesis = decode(genesis_bytes)
    slot_s = genesis[6][0]
    content = decode(data)
    if data.startswith(BARE):
        proof, certificate, *rest = content
        demand(len(rest) <= 1 and rest != [()], "no handovers are left out")
        handovers = rest[0] if rest else ()
        check_receipt(proof, certificate)
    else:
        kind, *parts, certificate, handovers = content
        match kind, parts:
            case "gridbft/receipt/1", [transaction, proof]:
                demand(compute_hash("gridbft/tx", transaction) == proof[0][0], "another transaction")
                check_receipt(proof, certificate)
            case "gridbft/balance/1", [account, record, settlement, coins]:
                check_balance(account, record, (settlement, coins), certificate)
            case "gridbft/bill/1", [meter, record, lines]:
                check_bill(meter, record, lines, certificate, slot_s)
            case _:
                raise Unproven("unknown kind")
    check_signatures(compute_hash("gridbft/genesis", genesis_bytes), genesis[4], handovers, certificate)


def check_receipt(proof: Any, certificate: Any) -> None:  # noqa: ANN401
    receipt, (index, count, siblings), headers = proof
    demand(len(receipt) == 3, "no receipt")
    demand(0 <= index < count, "no place")
    digest, position, width, left = (
        compute_hash("gridbft/m-leaf", msgpack.packb(receipt)),
        index,
        count,
        [*siblings],
    )
    while width > 1:
        if position ^ 1 < width:
            sibling = left.pop(0)
            pair = sibling + digest if position & 1 else digest + sibling
            digest = compute_hash("gridbft/m-node", pair)
        position, width = position // 2, (width + 1) // 2
    demand(not left, "siblings are left")
    demand(compute_hash("gridbft/m-root", count.to_bytes(8) + digest) == headers[0][7], "not under the root")
    for earlier, later in pairwise(headers):
        linked = later[0] == earlier[0] + 1 and later[3] == compute_header_digest(earlier)
        demand(linked, "headers are not linked")
    demand(headers[-1] == certificate[0], "certificate of another header")


def check_value(certificate: Any, key: bytes, shown: Any) -> Any:  # noqa: ANN401
    value, (bucket, nodes) = shown
    demand(len(nodes) == 4 and all(len(node) == 512 for node in nodes), "no nodes")
    leaf = compute_hash("gridbft/s-leaf", len(key).to_bytes(2) + key + value)
    demand(leaf in {bucket[i : i + 32] for i in range(0, len(bucket), 32)}, "not in the bucket")
    digest = compute_hash("gridbft/s-bucket", bucket)
    index = 256 * compute_hash("gridbft/s-key", key[2:10])[0] + compute_hash("gridbft/s-key", key[2:])[0]
    for node in nodes:
        begin = 32 * (index % 16)
        demand(node[begin : begin + 32] == digest, "not in the node")
        digest, index = compute_hash("gridbft/s-node", node), index // 16
    demand(digest == certificate[0][6], "not under the state root")
    return decode(value)


def check_balance(account: bytes, record: Any, balances: Any, certificate: Any) -> None:  # noqa: ANN401
    demand(len(account) == 16, "no account")
    demand(any(balances), "no balance")
    if record is None:
        names = (b"grid", b"issuance", b"rounding")
        system = {compute_hash("gridbft/account", b"gridbft/system/" + name)[:16] for name in names}
        demand(account in system, "the account is not shown")
    else:
        demand(len(check_value(certificate, b"pa" + account, record)) == 8, "no account")
    for asset, shown in enumerate(balances):
        if shown is not None:
            key = b"lb" + bytes([asset]) + account
            demand(len(check_value(certificate, key, shown)) == 3, "no balance")


def check_bill(meter: bytes, record: Any, lines: Any, certificate: Any, slot_s: int) -> None:  # noqa: ANN401
    demand(len(meter) == 16, "no meter")
    slots = [slot for slot, _ in lines]
    demand(len(slots) > 0 and sorted(set(slots)) == slots, "no slots in order")
    demand(all(slot % slot_s == 0 for slot in slots), "slots of another length")
    demand(len(check_value(certificate, b"em" + meter, record)) == 6, "no meter")
    for slot, shown in lines:
        line = check_value(certificate, b"el" + slot.to_bytes(8) + meter, shown)
        drawn, fed, pool_bought, pool_sold, grid_bought, grid_sold, retail, feed_in, pool = line[:9]
        net, alone, _, agreed_bought, agreed_sold, agreed, penalty = line[9:]
        bought, sold = agreed_bought + pool_bought, agreed_sold + pool_sold
        demand(grid_bought == max(drawn - bought, 0) + max(sold - fed, 0), "grid bought")
        demand(grid_sold == max(fed - sold, 0) + max(bought - drawn, 0), "grid sold")
        money = agreed + max(agreed_sold - fed, 0) * penalty + (pool_bought - pool_sold) * pool
        demand(net == money + grid_bought * retail - grid_sold * feed_in, "net")
        demand(alone == drawn * retail - fed * feed_in, "alone")


def check_signatures(genesis_hash: bytes, validators: Any, handovers: Any, certificate: Any) -> None:  # noqa: ANN401
    begin = 0
    demand(len(handovers) == certificate[0][2], "handovers")
    for epoch, (ending, following) in enumerate(handovers):
        check_certificate(genesis_hash, epoch, begin, validators, ending)
        named = compute_hash("gridbft/members", msgpack.packb(following))
        demand(named == ending[0][8], "other validators are named")
        demand(named != compute_hash("gridbft/members", msgpack.packb(validators)), "no epoch ended")
        demand(ending[0][0] > begin, "an epoch without a block")
        validators, begin = following, ending[0][0]
    check_certificate(genesis_hash, len(handovers), begin, validators, certificate)


def check_certificate(genesis_hash: bytes, epoch: int, begin: int, validators: Any, certificate: Any) -> None:  # noqa: ANN401
    header, signatures = certificate
    demand(header[2] == epoch and (epoch == 0 or header[0] > begin), "another epoch")
    keys = [key for key, _ in signatures]
    demand(sorted(set(keys)) == keys, "signers are not in order")
    demand(set(keys) <= {key for _, key, _ in validators}, "a stranger signed")
    count = len(validators)
    demand(len(keys) >= (count + (count - 1) // 3) // 2 + 1, "no quorum")
    for key, signature in signatures:
        try:
            VerifyKey(key).verify(HEADER_DOMAIN + genesis_hash + compute_header_digest(header), signature)
        except BadSignatureError:
            raise Unproven("a signature is not valid") from None


def compute_header_digest(header: Any) -> bytes:  # noqa: ANN401
    demand(len(header) == 10, "no header")
    return compute_hash("gridbft/header", msgpack.packb(header))
