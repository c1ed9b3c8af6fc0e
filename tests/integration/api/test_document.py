"""Real validators answer what their OpenAPI document says: schemathesis asks, and holds every answer to it."""

import os
from collections.abc import Iterator
from copy import deepcopy
from typing import Any

import pytest
import schemathesis
from hypothesis import HealthCheck, settings
from hypothesis import strategies as st
from schemathesis.checks import load_all_checks
from schemathesis.specs.openapi.checks import positive_data_acceptance

from node.api.app import list_declared
from node.api.openapi import build_document
from primitives.encoding import encode
from tests.integration.api.street import Street
from tests.integration.validator import CALM

EXAMPLES = int(os.environ.get("API_EXAMPLES", "12"))
"""Of each address, valid and invalid ones each; `make api` asks more."""

load_all_checks()
OF_HTTP = frozenset({"content-type", "content-length", "date", "connection", "keep-alive"})
"""Headers that no document names."""

AskedCase = schemathesis.Case[Any]

BODIES: list[bytes] = []
"""What the street has to submit: filled when it is open."""


def close_shapes(document: dict[str, Any]) -> dict[str, Any]:
    """Return the document with every answer's fields complete: one that is not named would be undocumented."""
    closed = deepcopy(document)
    for name, schema in closed["components"]["schemas"].items():
        if schema.get("type") == "object" and name != "ProblemAnswer":
            schema["additionalProperties"] = False
    return closed


def list_bodies() -> st.SearchStrategy[bytes]:
    known = st.integers(0, 1000).map(lambda number: BODIES[number % len(BODIES)] if BODIES else b"")
    return st.one_of(st.binary(max_size=300), known)


for kind in ("application/octet-stream", "application/msgpack", "application/vnd.msgpack"):
    schemathesis.openapi.media_type(kind, list_bodies())

schema = schemathesis.openapi.from_dict(close_shapes(build_document(list_declared())))


@pytest.fixture(autouse=True, scope="module")
def _bodies(street: Street) -> Iterator[None]:
    signed = street.homes.sign_slot(0)
    raws, ids = tuple(each.raw for each in signed), tuple(each.id for each in signed)
    BODIES.extend([*raws, encode(raws), encode(ids)])
    yield
    for validator in street.community.running:
        validator.check_log(allowed=CALM)


def check_headers(answer: Any, documented: dict[str, Any]) -> None:  # noqa: ANN401  # requests has no types here
    """Every header of an answer is one of its status' in the document."""
    named = {name.lower() for name in documented.get("headers", {})}
    assert {name.lower() for name in answer.headers} - OF_HTTP <= named


def find_responses(case: AskedCase) -> dict[str, Any]:
    """Return what the document says of the answers of an address, references followed."""
    document = schema.raw_schema
    found = document["paths"][case.operation.path][case.operation.method]["responses"]
    common = document["components"]["responses"]
    return {
        status: common[each["$ref"].rpartition("/")[2]] if "$ref" in each else each
        for status, each in found.items()
    }


def hold(case: AskedCase, url: str) -> Any:  # noqa: ANN401  # as above
    """Ask, and hold the answer to the document."""
    answer = case.call_and_validate(base_url=url, excluded_checks=EXCLUDED)
    check_headers(answer, find_responses(case)[str(answer.status_code)])
    return answer


EXCLUDED: list[Any] = [positive_data_acceptance]
"""No schema can say which bytes are a transaction, or that the last slot comes after the first."""


def list_known(street: Street) -> list[tuple[str, dict[str, str], dict[str, object]]]:
    """List addresses of what is there."""
    name = street.committed[0].transaction_id.hex()
    slot = {"start": str(street.slot_s)}
    period: dict[str, object] = {"first": street.slot_s, "last": street.slot_s}
    return [
        ("/v1/transactions/{id}", {"id": name}, {}),
        ("/v1/transactions/{id}/proof", {"id": name}, {"wait_ms": 5000}),
        ("/v1/blocks/{height}", {"height": "latest"}, {}),
        ("/v1/blocks/{height}", {"height": "0"}, {}),
        ("/v1/accounts/{account}", {"account": "utility"}, {}),
        ("/v1/accounts/{account}", {"account": "grid"}, {}),
        ("/v1/meters", {}, {"after": "00" * 16}),
        ("/v1/meters/{meter}", {"meter": street.home}, {}),
        ("/v1/slots/{start}", slot, {}),
        ("/v1/slots/{start}", slot, {"proof": 1}),
        ("/v1/slots", {}, period),
        ("/v1/prices", {}, period),
        ("/v1/meters/{meter}", {"meter": street.home}, {"proof": 1}),
        ("/v1/accounts/{account}", {"account": "utility"}, {"proof": 1}),
        ("/v1/blocks", {}, {"before": 2}),
        ("/v1/evidence", {}, {}),
        ("/v1/peers", {}, {}),
        ("/v1/bills/{meter}", {"meter": street.home}, period),
        ("/v1/bills/{meter}", {"meter": street.home}, {**period, "proof": 1}),
        ("/v1/validators", {}, {"epoch": 0}),
        ("/v1/handovers", {}, {"from": 0}),
        ("/v1/openapi.json", {}, {}),
    ]


def test_what_is_there_is_answered_as_the_document_says(street: Street) -> None:
    for path, parts, query in list_known(street):
        operation = schema[path]["GET"]
        answer = hold(operation.Case(path_parameters=parts, query=query), street.url)
        assert answer.status_code == 200, (path, answer.text)


@schema.exclude(path="/v1/feed").parametrize()  # it has no end; test_feed.py reads it
@settings(
    max_examples=EXAMPLES,
    deadline=None,
    suppress_health_check=list(HealthCheck),
)
def test_whatever_is_asked_is_answered_as_the_document_says(case: AskedCase, street: Street) -> None:
    hold(case, street.url)
