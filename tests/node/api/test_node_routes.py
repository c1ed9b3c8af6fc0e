import pytest

from node.api.errors import ApiProblem, build_error
from node.api.problems import PROBLEMS
from node.config import ApiConfig
from node.errors import NodeError, PortBusyError
from tests.node.api.rim import open_rim, run


def test_the_status_says_where_the_node_stands() -> None:
    async def scenario() -> None:
        async with open_rim() as rim:
            rim.community.commit(rim.community.grant())
            status, answer = await rim.get("/v1/status")
            assert status == 200
            assert (answer["name"], answer["height"], answer["certified_height"]) == ("node0", 1, 1)
            assert answer["waiting"] is None
            assert answer["commit_latency_ms"] == {"p50": None, "p99": None}

    run(scenario())


def test_the_genesis_is_given_byte_for_byte() -> None:
    async def scenario() -> None:
        async with open_rim() as rim, rim.client.get(rim.url("/v1/genesis")) as response:
            assert response.content_type == "application/octet-stream"
            assert await response.read() == b"genesis bytes"

    run(scenario())


def test_the_metrics_are_in_the_text_format_and_count_the_requests() -> None:
    async def scenario() -> None:
        async with open_rim() as rim:
            await rim.get("/v1/status")
            await rim.get("/v1/blocks/77")
            async with rim.client.get(rim.url("/metrics")) as response:
                text = await response.text()
            assert 'gridbft_http_requests_total{method="GET",route="/v1/status",status="200"} 1.0' in text
            assert 'route="/v1/blocks/{height}",status="404"} 1.0' in text
            assert "gridbft_chain_height 0.0" in text
            assert "gridbft_process_resident_memory_bytes" in text

    run(scenario())


def test_a_supervisor_hears_that_the_node_lives_and_why_it_is_not_ready() -> None:
    async def scenario() -> None:
        async with open_rim(find_unready_reason=lambda: "1 of 3 peers is connected, 2 are needed") as rim:
            assert (await rim.get("/livez"))[0] == 200
            status, answer = await rim.get("/readyz")
            assert (status, answer["error"]) == (503, "NOT_READY")
            assert "2 are needed" in answer["detail"]
            async with rim.client.get(rim.url("/readyz")) as response:
                assert response.headers["Retry-After"] == "1"
        async with open_rim() as rim:
            assert (await rim.get("/readyz"))[0] == 200

    run(scenario())


@pytest.mark.parametrize("name", [name for name, each in PROBLEMS.items() if each.status in {429, 503}])
def test_who_is_told_not_now_is_told_when_to_come_back(name: str) -> None:
    status = PROBLEMS[name].status
    assert build_error(status, name, "not now").headers["Retry-After"] == "1"
    assert ApiProblem(status, name, "not now").build_response().headers["Retry-After"] == "1"
    later = ApiProblem(status, name, "not now", retry_after_s=7).build_response()
    assert later.headers["Retry-After"] == "7"


def test_answers_tell_no_library_and_may_not_be_kept() -> None:
    async def scenario() -> None:
        async with open_rim() as rim, rim.client.get(rim.url("/v1/status")) as response:
            assert response.headers["Server"] == "gridbft"
            assert response.headers["X-Content-Type-Options"] == "nosniff"
            assert response.headers["Cache-Control"] == "no-store"
            assert "Access-Control-Allow-Origin" not in response.headers

    run(scenario())


def test_a_busy_port_is_refused_by_name() -> None:
    async def scenario() -> None:
        async with open_rim() as rim:
            with pytest.raises(PortBusyError, match=rf"api.port {rim.port}: another process"):
                async with open_rim(config=ApiConfig(port=rim.port)):
                    pass

    run(scenario())


def test_an_address_of_another_machine_is_refused_by_name() -> None:
    async def scenario() -> None:
        with pytest.raises(NodeError, match=r"api.host 192\.0\.2\.1"):
            async with open_rim(config=ApiConfig(host="192.0.2.1", port=0)):
                pass

    run(scenario())
