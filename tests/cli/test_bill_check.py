"""A bill is believed when everything in it is proven: each line, its certificate, and what follows from them."""

from collections.abc import Callable

import msgspec
import pytest

from cli.bill_check import BillProblem, verify_bill
from meter.answers import BillAnswer, BillLineAnswer
from meter.proofs import build_trust_anchor
from primitives.encoding import decode, encode
from tests.node.community import SLOT_S, START_S, Community, build_settled_community, make_meter_account
from vm.contracts.energy.records import Line

SLOTS = [START_S]
METER = make_meter_account(1)


def answer_bill(community: Community, meter: bytes = METER) -> BillAnswer:
    """What an honest validator answers."""
    with community.queries.open() as pinned:
        line = community.queries.get_line(pinned.state, meter, START_S)
        assert line is not None
        assert pinned.certificate is not None
        return BillAnswer(
            meter.hex(),
            "home-1",
            pinned.height,
            [BillLineAnswer(line.key.hex(), encode(line.line).hex(), encode(pinned.prove(line.key)))],
            encode(pinned.certificate),
        )


@pytest.fixture(scope="module")
def community() -> Community:
    return build_settled_community(homes=3)


def verify(community: Community, answer: BillAnswer) -> Line:
    bill = verify_bill(build_trust_anchor(community.genesis), METER, SLOTS, answer)
    return bill.lines[START_S]


def test_an_honest_bill_is_believed(community: Community) -> None:
    line = verify(community, answer_bill(community))
    assert (line.import_wh, line.export_wh) == (3_000, 0)
    assert line.pool_bought_wh + line.grid_bought_wh == 3_000


def spoil_value(answer: BillAnswer) -> BillAnswer:
    line = decode(bytes.fromhex(answer.lines[0].value), Line)
    cheaper = msgspec.structs.replace(line, net_nano=line.net_nano - 1)
    return with_line(answer, msgspec.structs.replace(answer.lines[0], value=encode(cheaper).hex()))


def with_line(answer: BillAnswer, line: BillLineAnswer) -> BillAnswer:
    return msgspec.structs.replace(answer, lines=[line])


@pytest.mark.parametrize(
    ("spoil", "problem"),
    [
        (lambda answer: msgspec.structs.replace(answer, certificate=None), "no certificate"),
        (lambda answer: msgspec.structs.replace(answer, certificate=b"\x90"), "cannot be read"),
        (
            lambda answer: msgspec.structs.replace(answer, height=answer.height + 1),
            "the certificate is of block",
        ),
        (lambda answer: msgspec.structs.replace(answer, meter="00" * 16), "line of another meter"),
        (lambda answer: msgspec.structs.replace(answer, meter="x"), "not hexadecimal"),
        (lambda answer: msgspec.structs.replace(answer, lines=answer.lines * 2), "two lines of one slot"),
        (spoil_value, "does not stand under the certified state root"),
        (
            lambda answer: with_line(answer, msgspec.structs.replace(answer.lines[0], proof=None)),
            "without proof",
        ),
        (
            lambda answer: with_line(answer, msgspec.structs.replace(answer.lines[0], proof=b"\xc0")),
            "proof of a line cannot be read",
        ),
        (
            lambda answer: with_line(answer, msgspec.structs.replace(answer.lines[0], value="c0")),
            "a line cannot be read",
        ),
    ],
)
def test_a_spoilt_bill_is_refused(
    community: Community, spoil: Callable[[BillAnswer], BillAnswer], problem: str
) -> None:
    with pytest.raises(BillProblem, match=problem):
        verify(community, spoil(answer_bill(community)))


def test_the_bill_of_another_meter_is_refused(community: Community) -> None:
    with pytest.raises(BillProblem, match="of another meter"):
        verify(community, answer_bill(community, make_meter_account(0)))


def test_a_line_of_a_slot_that_was_not_asked_for_is_refused(community: Community) -> None:
    answer = answer_bill(community)
    with pytest.raises(BillProblem, match="not asked for"):
        verify_bill(build_trust_anchor(community.genesis), METER, [START_S + SLOT_S], answer)


def test_a_certificate_of_other_validators_is_refused(community: Community) -> None:
    other = msgspec.structs.replace(community.genesis, name="elsewhere")
    with pytest.raises(BillProblem, match="the certificate proves nothing"):
        verify_bill(build_trust_anchor(other), METER, SLOTS, answer_bill(community))
