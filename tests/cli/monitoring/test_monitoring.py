"""The alert rules and the board ask for what exists, and every alert leads to a line of the runbook."""

import json
from collections.abc import Iterator
from typing import Any

import promql_parser
import pytest
import yaml
from prometheus_client.parser import text_string_to_metric_families

from cli.failure import ExitCode
from cli.monitoring.alerts import ALERTS, Alert, render_alerts
from cli.monitoring.board import ROWS, render_board
from node.metric_names import HISTOGRAMS, LABELLED, PREFIX
from node.metrics import Metrics
from tests.architecture.documents import HEADING, drop_fences, find_slug, read
from tests.cli.conftest import Command

OF_PROMETHEUS = {"up"}
"""What Prometheus itself records of every target."""

PROCESS = {
    f"gridbft_process_{name}"
    for name in ("resident_memory_bytes", "start_time_seconds", "cpu_seconds_total", "open_fds")
}
"""Those of prometheus-client's process collector on Linux that are used here."""


def list_series() -> set[str]:
    """Name every series that a node can show: those of histograms with their suffixes."""
    families = list(text_string_to_metric_families(Metrics().render().decode()))
    plain = {f"{family.name}{'_total' if family.type == 'counter' else ''}" for family in families}
    buckets = {f"{PREFIX}{name}{end}" for name in HISTOGRAMS for end in ("_bucket", "_sum", "_count")}
    return plain | buckets | OF_PROMETHEUS


def list_labels(name: str) -> set[str]:
    short = name.removeprefix(PREFIX).removesuffix("_total")
    own = set(LABELLED[short].labels) if short in LABELLED else set()
    return own | {"instance", "job"} | ({"le"} if name.endswith("_bucket") else set())


def find_selectors(expression: str) -> Iterator[Any]:
    """Yield every selector of an expression; what does not parse raises."""
    parsed = promql_parser.parse(expression.replace("$__rate_interval", "5m"))
    yield from walk(parsed)


def walk(node: Any) -> Iterator[Any]:  # noqa: ANN401  # the parser has no types
    match type(node).__name__:
        case "VectorSelector":
            yield node
        case "MatrixSelector":
            yield node.vector_selector
        case "BinaryExpr":
            yield from walk(node.lhs)
            yield from walk(node.rhs)
        case "Call":
            for each in node.args:
                yield from walk(each)
        case "NumberLiteral" | "StringLiteral":
            return
        case _:
            yield from walk(node.expr)


def find_unknown(expression: str) -> list[str]:
    """List the metrics and labels of an expression that no node shows."""
    series = list_series()
    unknown = []
    for selector in find_selectors(expression):
        if selector.name not in series:
            unknown.append(selector.name)
        matchers = [each.name for each in selector.matchers.matchers]
        unknown += [name for name in matchers if name not in list_labels(selector.name)]
    return unknown


EXPRESSIONS = [
    *(alert.expression for alert in ALERTS),
    *(expression for row in ROWS for panel in row.panels for expression, _ in panel.targets),
]


@pytest.mark.parametrize("expression", EXPRESSIONS)
def test_every_expression_parses_and_asks_for_what_a_node_shows(expression: str) -> None:
    assert list(find_selectors(expression))
    assert find_unknown(expression) == []


@pytest.mark.parametrize(
    ("expression", "unknown"),
    [
        ("gridbft_hieght > 1", ["gridbft_hieght"]),
        ("rate(gridbft_view_changes[5m])", ["gridbft_view_changes"]),
        ('sum by (instance) (gridbft_phase{stage="silent"})', ["stage"]),
        ("-abs(gridbft_view - other)", ["other"]),
    ],
)
def test_a_metric_or_a_label_that_does_not_exist_is_found(expression: str, unknown: list[str]) -> None:
    assert find_unknown(expression) == unknown


@pytest.mark.parametrize("expression", ["rate(gridbft_view[5m]", "gridbft_view >", "nosuch(gridbft_view)"])
def test_an_expression_that_is_none_is_found(expression: str) -> None:
    with pytest.raises(ValueError, match=r"."):
        list(find_selectors(expression))


def list_anchors() -> list[str]:
    lines = drop_fences(read("docs/operating.md")).splitlines()
    return [find_slug(found[1]) for line in lines if (found := HEADING.match(line))]


@pytest.mark.parametrize("alert", ALERTS, ids=lambda alert: alert.name)
def test_every_alert_leads_to_its_own_line_of_the_runbook(alert: Alert) -> None:
    file, _, anchor = alert.runbook.partition("#")
    assert (file, list_anchors().count(anchor)) == ("docs/operating.md", 1)


def test_the_runbook_has_no_line_for_an_alert_that_is_gone() -> None:
    anchors = {anchor for anchor in list_anchors() if anchor.startswith("gridbft")}
    assert anchors == {alert.name.lower() for alert in ALERTS}


def test_the_rules_are_printed_as_prometheus_reads_them(gridbft: Command) -> None:
    ended = gridbft("metrics", "alerts")
    assert (ended.code, ended.err) == (ExitCode.OK, "")
    (group,) = yaml.safe_load(ended.out)["groups"]
    assert [rule["alert"] for rule in group["rules"]] == [alert.name for alert in ALERTS]
    for rule, alert in zip(group["rules"], ALERTS, strict=True):
        assert (rule["expr"], rule["for"]) == (alert.expression, alert.lasts)
        assert rule["labels"] == {"severity": alert.severity}
        assert rule["annotations"] == {"summary": alert.summary, "runbook": alert.runbook}
    assert ended.out == render_alerts() + "\n"


def test_the_board_is_printed_as_grafana_reads_it(gridbft: Command) -> None:
    ended = gridbft("metrics", "dashboard")
    assert (ended.code, ended.err) == (ExitCode.OK, "")
    board = json.loads(ended.out)
    panels = board["panels"]
    assert [panel["id"] for panel in panels] == list(range(1, len(panels) + 1))
    assert [panel["title"] for panel in panels if panel["type"] == "row"] == [row.title for row in ROWS]
    for panel in panels:
        if panel["type"] != "row":
            assert panel["description"]
            assert {target["datasource"]["uid"] for target in panel["targets"]} == {"${source}"}


def test_no_two_panels_of_the_board_lie_over_each_other() -> None:
    taken: set[tuple[int, int]] = set()
    for panel in json.loads(render_board())["panels"]:
        place = panel["gridPos"]
        assert place["x"] + place["w"] <= 24
        cells = {
            (x, y)
            for x in range(place["x"], place["x"] + place["w"])
            for y in range(place["y"], place["y"] + place["h"])
        }
        assert not taken & cells, panel["title"]
        taken |= cells
