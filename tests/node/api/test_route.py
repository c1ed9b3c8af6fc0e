import json

import pytest

from node.api.app import list_declared
from node.api.openapi import render_document
from node.api.problems import COMMON, PROBLEMS
from tests.node.api.rim import open_rim, run


@pytest.mark.parametrize("query", ["wait=5", "wait_ms=0&x=1", "wait_ms=1&wait_ms=1", "=", "%00=1"])
def test_a_parameter_that_an_address_does_not_have_is_refused_by_name(query: str) -> None:
    async def scenario() -> None:
        async with open_rim() as rim:
            status, answer = await rim.get(f"/v1/transactions/{'ab' * 32}/proof?{query}")
            assert (status, answer["error"]) == (400, "BAD_PARAMETER")

    run(scenario())


def test_a_refusal_is_a_problem_document() -> None:
    async def scenario() -> None:
        async with open_rim() as rim:
            status, answer = await rim.get("/v1/blocks/77")
            assert status == answer["status"] == 404
            assert answer["type"] == "urn:gridbft:NOT_FOUND"
            assert answer["title"] == PROBLEMS["NOT_FOUND"].title
            assert "no block 77" in answer["detail"]

    run(scenario())


def test_the_document_is_served_as_it_is_declared() -> None:
    async def scenario() -> None:
        async with open_rim() as rim:
            status, answer = await rim.get("/v1/openapi.json")
            assert status == 200
            assert answer == json.loads(render_document(list_declared()))

    run(scenario())


def test_every_route_declares_problems_that_exist_and_says_what_it_does() -> None:
    declared = list_declared()
    assert declared
    for route in declared:
        assert set(route.problems) <= set(PROBLEMS) - COMMON, route.path
        assert route.summary.endswith("."), route.path
        named = {each.name for each in route.parameters}
        assert {part for part in route.path.split("/") if "{" in part} <= {f"{{{name}}}" for name in named}
