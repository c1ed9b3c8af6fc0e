"""Whatever a call's arguments are, it is applied or refused by name: no exception, no trace, no other answer."""

from hypothesis import given, settings
from hypothesis import strategies as st
from msgspec.inspect import (
    BoolType,
    BytesType,
    IntType,
    StrType,
    StructType,
    TupleType,
    Type,
    VarTupleType,
    type_info,
)

from primitives.encoding import Struct, encode
from tests.vm.contracts.energy.audit import audit
from tests.vm.contracts.energy.community import Community
from tests.vm.ledger import HOUR, START_S
from vm.contracts.ledger import GRID, Asset, Grant
from vm.receipt import Rejection
from vm.registry import CONTRACTS
from vm.transaction import Call

INTEGERS = st.one_of(
    st.integers(-(2**63), 2**64 - 1),
    st.integers(-2, 3),
    st.sampled_from([2**48, 2**56, 2**62, 2**63 - 1, 2**63, 2**64 - 1, -(2**63)]),
    st.integers(-4, 9).map(lambda slot: START_S + slot * HOUR),
    st.integers(1_000_000, 1_050_000),
)
TEXTS = st.one_of(st.text(max_size=40), st.sampled_from(["G", "E", "a", "utility", "prosumer", "new"]))
ACCOUNTS = [bytes(wallet.account) for wallet in [home.wallet for home in Community().home.values()]]
BYTES = st.one_of(st.binary(max_size=40), st.sampled_from([*ACCOUNTS, bytes(GRID), bytes(16), bytes(32)]))
METHODS = [
    (contract.name, method, record)
    for contract in CONTRACTS.values()
    for method, record in contract.methods.items()
]


def build_strategy(kind: Type) -> st.SearchStrategy[object]:
    match kind:
        case IntType():
            return INTEGERS
        case BoolType():
            return st.booleans()
        case StrType():
            return TEXTS
        case BytesType():
            return BYTES
        case TupleType(item_types=items):
            return st.tuples(*map(build_strategy, items))
        case VarTupleType(item_type=item):
            return st.lists(build_strategy(item), max_size=4).map(tuple)
        case StructType(fields=fields):
            return st.tuples(*(build_strategy(field.type) for field in fields))
        case _:
            raise AssertionError(kind)


def build_call(method: tuple[str, str, type[Struct]]) -> st.SearchStrategy[Call]:
    contract, name, record = method
    arguments = build_strategy(type_info(record)).map(encode)
    return arguments.map(lambda data: Call(contract, name, data))


CALLS = st.sampled_from(METHODS).flatmap(build_call)
GARBAGE = st.builds(
    Call,
    st.sampled_from([*CONTRACTS, "", "x"]),
    st.text(max_size=4) | st.just("transfer"),
    st.binary(max_size=60),
)


@given(
    st.lists(
        st.tuples(st.sampled_from(["utility", "a", "b"]), CALLS | GARBAGE, st.integers(0, 5000)), max_size=12
    )
)
@settings(max_examples=120, deadline=None)
def test_every_call_is_applied_or_refused_by_name(steps: list[tuple[str, Call, int]]) -> None:
    community = Community(homes=("a", "b"))
    chain = community.chain
    for name in "ab":
        chain.call(chain.utility, Grant(community.home[name].account, Asset.COIN, 1000))
        community.submit(name, 0, 100, 20)
    for name, call, seconds in steps:
        wallet = chain.utility if name == "utility" else community.home[name].wallet
        chain.time_s += seconds
        sealed = chain.sign_call(wallet, call)
        early = chain.admit(sealed)
        (receipt,) = chain.execute(sealed)
        assert receipt.rejection is None or receipt.rejection in Rejection.__members__
        if early is None:
            continue
        # Time passed between the two only where begin_block settled or freed something: then the answers may differ.
        assert receipt.rejection is not None or seconds > 0
    for asset in Asset:
        assert chain.sum_of_asset(asset) == 0
    if not any(call.contract == "ledger" for _, call, _ in steps):
        audit(chain.state, HOUR)
