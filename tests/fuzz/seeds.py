"""Valid inputs of every decoder, to begin from: one of each kind, deterministic, small."""

import json
from functools import cache
from typing import Any, get_args

import msgspec

from cli.bundle import Bundle, encode_bundle
from cli.certificates import make_tls_identity
from cli.client_settings import ClientSettings, ValidatorEnd, render_client_settings
from cli.network_spec import EXAMPLE
from consensus.codec import encode_envelope, encode_record
from consensus.messages import Envelope, Handover
from meter import answers
from meter.proofs import encode_certified_receipt
from meter.stream import Forgotten, Proven, ProvenEntry, RefusedEntry, Taken
from node.config import ApiConfig, ClockConfig, NodeConfig, PeerConfig
from node.config_text import render_config
from node.exchange import BlocksAnswer, PrunedAnswer, encode_height, encode_transactions_request
from node.intake import SubmitResult, SubmitStatus
from node.observer.bundles import Observer
from node.observer.bundles import encode_bundle as encode_observer_bundle
from node.observer.exchange import encode_announcement, encode_outcomes, encode_submission
from node.snapshots.parts import BucketsPage, BucketsQuestion, Manifest, PairsPage, PairsQuestion
from p2p.frames import Channel, encode_frame
from p2p.handshake import LINK_VERSION, NONCE_BYTES, Hello
from p2p.transfer import encode_answer, encode_refusal, encode_request
from primitives.encoding import Struct, encode
from primitives.header import Block, Validator
from primitives.ids import Digest, Height
from primitives.sealing import NONCE_BYTES as SEAL_NONCE_BYTES
from primitives.sealing import SALT_BYTES, SEAL_VERSION, SealedSecret
from tests.consensus.builders import batch_of, certificate, header_chain, name
from tests.consensus.constitution import build_membership
from tests.consensus.test_codec import MESSAGES, RECORDS
from tests.meter.collect.samples import CHARGER_RECORD, REAL, read_real
from tests.meter.networks import METER, METER_KEY, prove, sign_call
from tests.node.storage.journals import GROUPS, build_sample
from tests.vectors.collection import PROOFS, VERDICTS_NAME
from tests.vm.ledger import make_genesis, make_key
from vm.contracts.validators import Endpoint
from vm.receipt import Receipt, Rejection
from vm.registry import CONTRACTS
from vm.state_root import build_tree, update_tree
from vm.state_root import prove as prove_state

HEADERS = header_chain(3)
BATCH = batch_of()
RECEIPTS = tuple(Receipt(bytes([number]) * 32, None, True) for number in range(5))
TRANSACTION = sign_call(1).raw


def list_transactions() -> list[bytes]:
    return [sign_call(1).raw, sign_call(2**53, 2**53).raw]


def list_envelopes(kind: type[Struct]) -> list[bytes]:
    """Return the messages of a kind; a kind without one fails the tests of the table."""
    return [encode_envelope(envelope) for envelope in get_envelopes(kind)]


def get_envelopes(kind: type[Struct]) -> list[Envelope]:
    return [envelope for envelope in MESSAGES if isinstance(envelope.message, kind)]


def list_records() -> list[bytes]:
    return [encode_record(record) for record in RECORDS]


def list_certificates() -> list[bytes]:
    return [encode(certificate(HEADERS[1])), encode(certificate(HEADERS[2], (0, 1, 2, 3)))]


def list_journals() -> list[bytes]:
    """Return whole files: empty, of one group, torn, and with one copy of a record damaged."""
    whole = build_sample(GROUPS[:2])
    healed = bytearray(whole)
    healed[4096 + 60] ^= 1
    return [whole[:4096], build_sample(GROUPS[:1]), whole, whole[:-5000], bytes(healed)]


def list_id_questions() -> list[bytes]:
    return [encode_transactions_request([]), encode_transactions_request([bytes(32), b"\xff" * 32])]


def list_height_questions() -> list[bytes]:
    return [encode_height(Height(number)) for number in (1, 200, 70_000, 2**40)]


def list_raw_answers() -> list[bytes]:
    return [encode(()), encode((TRANSACTION, sign_call(2).raw))]


def list_batches() -> list[bytes]:
    return [encode(BATCH), encode(batch_of(TRANSACTION))]


def list_block_answers() -> list[bytes]:
    blocks = tuple(Block(header, batch_of(b"block %d" % header.height)) for header in HEADERS[1:])
    return [
        encode(BlocksAnswer(blocks, certificate(HEADERS[3]))),
        encode(BlocksAnswer((), certificate(HEADERS[1]))),
        encode(PrunedAnswer(70_000)),
    ]


def list_handover_answers() -> list[bytes]:
    validators = build_membership(4).validators
    handovers = tuple(Handover(certificate(header), validators) for header in HEADERS[1:3])
    return [encode(()), encode(handovers[:1]), encode(handovers)]


def list_manifests() -> list[bytes]:
    return [encode(Manifest(certificate(HEADERS[1]), bytes(size))) for size in (0, 64)]


def list_bucket_pages() -> list[bytes]:
    group = (b"l" * 32, b"", b"k" * 64, *(b"",) * 13)
    return [encode(BucketsPage(())), encode(BucketsPage(((), group))), encode(BucketsPage((group,) * 3))]


def list_pair_pages() -> list[bytes]:
    return [encode(PairsPage(())), encode(PairsPage(((b"key", b"value"), (b"key2", b""))))]


def list_bucket_questions() -> list[bytes]:
    return [encode(BucketsQuestion(height, first)) for height, first in ((1, 0), (70_000, 4095))]


def list_pair_questions() -> list[bytes]:
    return [encode(PairsQuestion(height, start)) for height, start in ((1, b""), (70_000, b"pa" + bytes(16)))]


def list_frames() -> list[bytes]:
    one = encode_frame(Channel.CONSENSUS, encode_envelope(MESSAGES[1]))
    return [
        one,
        one + encode_frame(Channel.TRANSACTIONS, TRANSACTION),
        encode_frame(Channel.REQUEST, b"") * 3,
    ]


def list_requests() -> list[bytes]:
    return [
        encode_request(1, 1, encode_transactions_request([bytes(32)])),
        encode_request(2**64 - 1, 255, b""),
    ]


def list_responses() -> list[bytes]:
    return [*encode_answer(7, bytes(40_000)), encode_answer(1, b"")[0], encode_refusal(3, "ask for less")]


def list_hellos() -> list[bytes]:
    return [
        encode(Hello(LINK_VERSION, chain, bytes(32), name(1), b"n" * NONCE_BYTES, dials))
        for chain, dials in (("sunny-street", True), ("x" * 32, False))
    ]


def list_configs() -> list[bytes]:
    plain = NodeConfig("node0", peers=(PeerConfig("node1", "127.0.0.1", 7101),))
    other = NodeConfig(
        "node1", api=ApiConfig(port=0, allowed_hosts=("a.example", "b")), clock=ClockConfig("stepped", 2.5, 7)
    )
    return [render_config(plain).encode(), render_config(other).encode()]


def list_client_settings() -> list[bytes]:
    ends = [ValidatorEnd("node0", "http://127.0.0.1:8100"), ValidatorEnd("node1", "https://[::1]:8101")]
    return [
        render_client_settings(ClientSettings(validators=ends, utility_key="utility/utility.key")).encode(),
        render_client_settings(ClientSettings(genesis="g.bin")).encode(),
    ]


def list_specs() -> list[bytes]:
    return [
        EXAMPLE.encode(),
        EXAMPLE.replace('currency = "EUR"', "time = 2026-01-01T00:00:00Z\ncurrency='X'").encode(),
    ]


def list_key_files() -> list[bytes]:
    """Return files of the right form that cost next to nothing to open; no passphrase opens them."""
    label = f"meter alder {METER_KEY.public.hex()} {METER.hex()}"
    sealed = SealedSecret(SEAL_VERSION, label, bytes(SALT_BYTES), bytes(SEAL_NONCE_BYTES), 1, 8192, bytes(60))
    return [encode(sealed)]


def list_geneses() -> list[bytes]:
    return [encode(make_genesis()), encode(make_genesis(names=("utility", "second")))]


READINGS = """\
time_utc,meter,import_wh,export_wh,status
2026-11-20T12:15:00Z,birch,845900,0,
2026-11-20T12:30:00+00:00,alder,1200480,311250,good
"2026-11-20T12:30:00Z","birch","846350",0,
"""
HOMES = """\
slot_start_utc,home,import_wh,export_wh,reg_import_wh,reg_export_wh
2017-06-12T08:00:00Z,CL01,10,0,110,5
2017-06-12T08:00:00Z,CL02,7,1,7,1
2017-06-12T09:00:00Z,CL01,3,2,113,7
2017-06-12T09:00:00Z,CL02,0,0,7,1
"""
PRICES = """\
retail_price_uusd_per_kwh,slot_start_utc
220000,2017-06-12T08:00:00Z
90000,2017-06-12T10:00:00Z
"""


def list_readings() -> list[bytes]:
    return [READINGS.encode(), b"\xef\xbb\xbf" + READINGS.replace("\n", "\r\n").encode()]


def list_homes() -> list[bytes]:
    return [HOMES.encode()]


def list_prices() -> list[bytes]:
    return [PRICES.encode()]


def list_receipt_proofs() -> list[bytes]:
    return [
        encode_certified_receipt(prove(RECEIPTS, 1)),
        encode_certified_receipt(prove(RECEIPTS, 4, later=2)),
    ]


def list_said() -> list[bytes]:
    """Return what a validator says on a stream of transactions."""
    certified = prove(RECEIPTS, 4, later=2)
    entry = ProvenEntry(certified.proof.receipt, certified.proof.inclusion)
    refused = (RefusedEntry(1, "BUSY", "no room"), RefusedEntry(2, "SIGNATURE_INVALID", ""))
    return [
        encode(Taken(0, (), "", "")),
        encode(Taken(7, refused, "", "")),
        encode(Proven(certified.certificate, certified.proof.headers, (entry, entry))),
        encode(Forgotten((bytes(32), bytes(range(32))))),
    ]


def list_proof_files() -> list[bytes]:
    """Return the published ones that prove something."""
    verdicts = json.loads((PROOFS / VERDICTS_NAME).read_bytes())
    return [(PROOFS / name).read_bytes() for name, verdict in verdicts.items() if verdict["verified"]]


def list_state_proofs() -> list[bytes]:
    """Return proofs with one leaf and with a few."""
    tree, writes = update_tree(build_tree([]), lambda _: b"", {b"key": (None, b"value")})
    return [
        encode(prove_state(tree, lambda index: writes.buckets.get(index, b""), key))
        for key in (b"key", b"absent")
    ]


def list_bodies() -> list[bytes]:
    return [encode((TRANSACTION,)), encode((b"", bytes(300)))]


def list_id_bodies() -> list[bytes]:
    return [encode((bytes(32), b"\x01" * 32))]


METHODS: tuple[type[Struct], ...] = tuple(
    record for contract in CONTRACTS.values() for record in contract.methods.values()
)


def list_calls() -> list[bytes]:
    """Return the arguments of every method, with fields of the simplest values, behind the method's number."""
    return [bytes([number]) + encode(_build_simplest(record)) for number, record in enumerate(METHODS)]


def _build_simplest(kind: Any) -> object:  # noqa: ANN401  # any annotation of a field
    """Return the simplest value of a type, as the encoder takes it."""
    if isinstance(kind, type) and issubclass(kind, Struct):
        return [_build_simplest(field.type) for field in msgspec.structs.fields(kind)]
    simplest: dict[object, object] = {int: 1, bytes: bytes(16), str: "x", bool: False}
    return simplest.get(kind, None if type(None) in get_args(kind) else ())


ACCOUNT = (
    b'{"account":"ab","name":"x","role":"prosumer","status":"active","public_key":"","nonce":1,'
    b'"balances":{"settlement_nano":-5,"coins":0},"height":3,"nonce_hint":2}'
)
ANSWERS: tuple[type, ...] = (
    answers.ProofsAnswer,
    answers.AccountAnswer,
    answers.BatchAnswer,
    answers.TransactionAnswer,
    answers.SlotAnswer,
    answers.BillAnswer,
    answers.StatusAnswer,
    answers.RoundAnswer,
)


def list_json_answers() -> list[bytes]:
    """Return answers behind the number of their question."""
    return [
        b'\0{"proofs":[{"id":"ab","height":3,"proof":"AAEC","certificate":"","error":null}]}',
        b"\1" + ACCOUNT,
        b'\2{"results":[{"status":"refused","id":"ab","error":"BUSY"}]}',
        b'\3{"id":"ab","status":"committed","height":1,"index":0,"certified":true}',
        b'\4{"settled":true,"pool_price":80000}',
        b'\5{"meter":"ab","home":"x","height":1,"lines":[{"key":"ab","value":"cd","proof":"AAEC"}]}',
        b'\7{"height":1,"records":[{"key":"ab","value":"cd","proof":"AAEC"}],"certificate":"AAEC"}',
    ]


def list_error_answers() -> list[bytes]:
    return [b'{"error":"BUSY","detail":"no room now"}', b'{"error":"X"}']


def list_clock_steps() -> list[bytes]:
    return [b'{"time_ms":1497253800000,"hold_ms":1497253800000}']


HOME_SPEC = """\
[default]
grid_w = 10000

[home.H1]
demand_price = 1.5
battery = { capacity_wh = 6400, efficiency = 0.95 }
car = { energy_wh = 8000, from_hour = 18.0, to_hour = 24.0 }
heating = { power_w = 3000, gain = -0.8 }
appliances = [{ name = "washing", energy_wh = 900, power_w = 2000 }]
offers = [{ reward = 0.1, baseline_wh = 500, from_hour = 17.0, to_hour = 20.0 }]
"""
HOUSEHOLDS = """\
slot_start_utc,home,load_wh,pv_wh
2017-06-12T08:00:00Z,H1,500,0
2017-06-12T09:00:00Z,H1,450,1200
"""
SURROUNDINGS = """\
slot_start_utc,retail_price_uusd_per_kwh,outdoor_temp_centi_c
2017-06-12T08:00:00Z,220000,-1250
2017-06-12T09:00:00Z,90000,2150
"""
SURROUNDINGS_FIRST_S = 1_497_254_400


def list_home_specs() -> list[bytes]:
    return [HOME_SPEC.encode()]


def list_households() -> list[bytes]:
    return [HOUSEHOLDS.encode()]


def list_surroundings() -> list[bytes]:
    return [SURROUNDINGS.encode(), SURROUNDINGS.replace(",outdoor_temp_centi_c", ",else").encode()]


@cache
def list_bundles() -> list[bytes]:
    """Return what a new validator gives to the others; a certificate is made for it."""
    genesis = make_genesis()
    validator = Validator("node4", name(1), make_tls_identity("node4").certificate)
    return [encode_bundle(genesis, Bundle(validator, Endpoint("127.0.0.1", 7104)))]


def list_bills() -> list[bytes]:
    meter = METER.hex()
    return [f'{{"meter":"{meter}","home":"x","height":1,"lines":[]}}'.encode()]


@cache
def list_observer_bundles() -> list[bytes]:
    genesis = make_genesis()
    observer = Observer("gateway", make_key("gateway").public, make_tls_identity("gateway").certificate)
    return [encode_observer_bundle(genesis.compute_hash(), observer)]


def list_announcements() -> list[bytes]:
    return [encode_announcement(Height(height)) for height in (0, 1, 300, 2**40)]


def list_submissions() -> list[bytes]:
    return [encode_submission(tuple(list_transactions()))]


def list_outcomes() -> list[bytes]:
    name = Digest(bytes(32))
    outcomes = (
        SubmitResult(name, SubmitStatus.ACCEPTED),
        SubmitResult(name, SubmitStatus.REFUSED, Rejection.NONCE_USED, "used"),
        SubmitResult(name, SubmitStatus.BUSY, None, "no room"),
    )
    return [encode_outcomes((outcome,)) for outcome in outcomes]


def list_telegrams() -> list[bytes]:
    return [read_real(name) for name in REAL]


def list_messages() -> list[bytes]:
    return [
        b'{"Time":"2027-01-15T09:00:00","ENERGY":{"Total":52185.783,"ExportActive":19949.322}}',
        b'{"ENERGY":{"Total":[1.5,2.25,3]}}',
    ]


def list_mqtt_maps() -> list[bytes]:
    return [b'[import]\ntopic = "cellar/meter"\nfield = "a.b"\nunit = "MWh"\n[time]\nfield = "ts"\n']


def list_charger_records() -> list[bytes]:
    return [CHARGER_RECORD]
