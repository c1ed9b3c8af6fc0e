"""The documents name what exists, and what exists is named."""

import ast
import doctest
import json
import re
from collections.abc import Callable, Iterable, Iterator
from typing import Any, get_args

import msgspec
import pytest
import typer
from aiohttp import web

from cli.failure import ExitCode
from cli.main import app
from cli.network_spec import EnergySpec
from consensus.codec import is_vote_record
from consensus.effects import Effect, JournalRecord, Notice, TimerName
from consensus.events import Event
from consensus.messages import Message
from meter.collect.observation import DropReason
from node.api.admin import AdminRoutes
from node.api.app import list_declared
from node.api.openapi import render_document
from node.api.problems import PROBLEMS
from node.config import NodeConfig, PeerConfig
from node.exchange import RequestKind
from node.logs import COMPONENTS, PREFIX
from node.metrics import Metrics
from node.state_records import RECORDS
from p2p.frames import Channel
from primitives import limits, quorum
from primitives.signing import SignatureDomain
from tests.architecture.documents import (
    DOCUMENTS,
    Table,
    compare,
    find_broken_links,
    find_broken_references,
    find_commands,
    find_table,
    find_tables,
    read,
)
from tests.architecture.source_tree import PACKAGES, ROOT, parse, python_files, shown
from vm.contracts import ledger, permissions, validators
from vm.contracts.energy import records
from vm.contracts.energy.coordination import records as coordination
from vm.contracts.energy.records import Flag
from vm.contracts.energy.response import records as response
from vm.genesis import ConsensusParameters
from vm.receipt import Rejection
from vm.registry import CONTRACTS

ARCHITECTURE, PROTOCOL, LEDGER = map(read, ("docs/architecture.md", "docs/protocol.md", "docs/ledger.md"))
WIRE, OPERATING = map(read, ("docs/wire.md", "docs/operating.md"))


def class_names(union: object) -> list[str]:
    return [member.__name__ for member in get_args(union)]


def to_number(cell: str) -> int:
    return int(cell.replace(",", ""))


def named_values(table: Table) -> dict[str, int]:
    return {name: to_number(row[1]) for row, name in zip(table.rows, table.names(), strict=True)}


@pytest.mark.parametrize(
    ("text", "column", "existing"),
    [
        (ARCHITECTURE, "event", class_names(Event)),
        (ARCHITECTURE, "effect", class_names(Effect)),
        (ARCHITECTURE, "notice", class_names(Notice)),
        (ARCHITECTURE, "package", [name for name in PACKAGES if name != "benchmarks"]),
        (PROTOCOL, "message", class_names(Message)),
        (PROTOCOL, "record", class_names(JournalRecord)),
        (PROTOCOL, "timer", [name.value for name in TimerName]),
        (LEDGER, "rejection", [name.value for name in Rejection]),
        (LEDGER, "role", list(permissions.ROLES)),
        (read("docs/meters.md"), "dropped", [reason.value for reason in DropReason]),
        (WIRE, "domain", [domain.name for domain in SignatureDomain]),
    ],
    ids=lambda value: value if isinstance(value, str) and len(value) < 20 else "",
)
def test_every_member_of_a_closed_list_is_documented(text: str, column: str, existing: list[str]) -> None:
    assert compare(find_table(text, column).names(), existing) == []


def test_the_journal_records_that_are_written_twice_are_told() -> None:
    table = find_table(PROTOCOL, "record")
    told = {name: row[2] == "yes" for row, name in zip(table.rows, table.names(), strict=True)}
    assert told == {
        kind.__name__: is_vote_record(kind(*(None for _ in kind.__struct_fields__)))
        for kind in get_args(JournalRecord)
    }


def test_the_thresholds_are_those_of_the_code() -> None:
    table = next(table for table in find_tables(PROTOCOL) if table.heading == "Thresholds")
    sizes = [int(column.removeprefix("n = ")) for column in table.columns[2:]]
    rules = (quorum.get_fault_tolerance, quorum.get_quorum, quorum.get_weak_quorum)
    assert [list(map(int, row[2:])) for row in table.rows] == [list(map(rule, sizes)) for rule in rules]


@pytest.mark.parametrize("name", CONTRACTS)
def test_every_method_is_documented_with_its_arguments(name: str) -> None:
    table = find_table(LEDGER, "method", name)
    methods = CONTRACTS[name].methods
    assert compare(table.names(), methods) == []
    for row, method in zip(table.rows, table.names(), strict=True):
        assert re.findall(r"`([^`]+)`", row[1]) == list(methods[method].__struct_fields__), method
    unknown = set(table.names(3)) - {rejection.value for rejection in Rejection}
    assert unknown <= {"register", "transfer", "add"}  # "those of ..." another method


def test_every_state_prefix_is_documented() -> None:
    existing = [
        value.decode()
        for module in (permissions, ledger, validators, records, coordination, response)
        for name, value in vars(module).items()
        if name.endswith(("_PREFIX", "_KEY")) and isinstance(value, bytes)
    ]
    assert compare(find_table(LEDGER, "prefix").names(), existing) == []
    assert (
        compare((prefix.decode() for prefix in RECORDS), existing) == []
    )  # `gridbft inspect state` decodes each


def test_every_flag_is_documented_with_its_value() -> None:
    assert named_values(find_table(LEDGER, "flag")) == {flag.name: flag.value for flag in Flag}


def test_channels_and_questions_are_documented_with_their_values() -> None:
    assert named_values(find_table(WIRE, "channel")) == {each.name: each.value for each in Channel}
    assert named_values(find_table(WIRE, "kind")) == {each.name: each.value for each in RequestKind}


def list_served(routes: Iterable[web.AbstractRouteDef]) -> list[str]:
    """List the addresses that a server of these routes has, as its router tells them."""
    router = web.Application().router
    router.add_routes(list(routes))
    return [
        f"{route.method} {route.resource.canonical}"
        for route in router.routes()
        if route.resource is not None and route.method != "HEAD"
    ]


def test_every_route_is_documented() -> None:
    existing = list_served(route.build() for route in list_declared())
    assert compare(find_table(WIRE, "route", "HTTP API").names(), existing) == []
    admin = list_served(AdminRoutes.__new__(AdminRoutes).get_routes())
    assert compare(find_table(WIRE, "route", "Admin socket").names(), admin) == []


def test_every_route_is_in_the_openapi_document_and_the_other_way_round() -> None:
    served = list_served(route.build() for route in list_declared())
    paths = json.loads(read("docs/openapi.json"))["paths"]
    told = [f"{method.upper()} {path}" for path, methods in paths.items() for method in methods]
    assert compare(told, served) == []


def test_the_openapi_document_in_the_docs_is_the_one_that_is_served() -> None:
    assert json.loads(read("docs/openapi.json")) == json.loads(render_document(list_declared()))


def test_every_problem_is_documented_with_its_status() -> None:
    table = find_table(WIRE, "error")
    told = {name: int(row[1]) for row, name in zip(table.rows, table.names(), strict=True)}
    assert told == {name: problem.status for name, problem in PROBLEMS.items()}


def test_every_error_of_the_api_is_documented() -> None:
    text = "".join(path.read_text(encoding="utf-8") for path in python_files("node/api"))
    existing = set(re.findall(r"""["{:]([A-Z][A-Z_]{3,})["\\]""", text)) - {"REFUSED", "ERROR", "POST"}
    documented = find_table(WIRE, "error").names()
    assert [name for name in sorted(existing) if f"`{name}`" not in WIRE] == []
    assert [name for name in documented if name not in existing] == []


def walk_commands(command: Any, name: str = "gridbft") -> Iterator[str]:  # noqa: ANN401  # typer's own click
    children = getattr(command, "commands", {})
    if not children or getattr(command, "invoke_without_command", False):
        yield name
    for child, found in children.items():
        yield from walk_commands(found, f"{name} {child}")


def test_every_command_is_documented() -> None:
    existing = walk_commands(typer.main.get_command(app))
    assert compare(find_table(OPERATING, "command").names(), existing) == []


def test_every_exit_code_is_documented() -> None:
    table = find_table(OPERATING, "code", "Exit codes")
    told = {row[1].strip("`"): int(row[0]) for row in table.rows if row[1]}
    assert told == {code.name: code.value for code in ExitCode}
    codes = {row[0] for row in table.rows}
    commands = find_table(OPERATING, "command")
    assert [row for row in commands.rows if not set(row[2].split()) <= codes] == []


def list_settings() -> dict[str, str]:
    """Map each setting to its default as TOML, empty where there is none."""
    found = {}
    for field in msgspec.structs.fields(NodeConfig):
        sections = {field.name: field}
        if isinstance(field.type, type) and issubclass(field.type, msgspec.Struct):
            sections = {f"{field.name}.{each.name}": each for each in msgspec.structs.fields(field.type)}
        for name, each in sections.items():
            has_default = each.default is not msgspec.NODEFAULT
            found[name] = msgspec.json.encode(each.default).decode() if has_default else ""
    return found | {f"peers.{each.name}": "" for each in msgspec.structs.fields(PeerConfig)}


def test_every_setting_is_documented_with_its_default() -> None:
    table = find_table(OPERATING, "setting")
    told = {name: row[1].strip("`") for row, name in zip(table.rows, table.names(), strict=True)}
    assert told == list_settings()


@pytest.mark.parametrize(
    ("heading", "kind"), [("Consensus parameters", ConsensusParameters), ("Energy parameters", EnergySpec)]
)
def test_every_parameter_is_documented_with_its_default(heading: str, kind: type[msgspec.Struct]) -> None:
    defaults = {field.name: field.default for field in msgspec.structs.fields(kind)}
    assert named_values(find_table(OPERATING, "parameter", heading)) == defaults


def test_every_metric_is_documented_with_its_type() -> None:
    rendered = re.findall(r"^# TYPE (\S+) (\S+)$", Metrics().render().decode(), re.MULTILINE)
    table = find_table(OPERATING, "metric")
    told = {name: row[1].split(",")[0] for row, name in zip(table.rows, table.names(), strict=True)}
    assert told == {name: kind for name, kind in rendered if not name.startswith("gridbft_process_")}


def list_log_events() -> set[str]:
    return {
        node.args[0].value
        for path in python_files("node", "p2p")
        for node in ast.walk(parse(path))
        if isinstance(node, ast.Call) and isinstance(node.func, ast.Attribute)
        if isinstance(node.func.value, ast.Name) and node.func.value.id == "log"
        if node.args and isinstance(node.args[0], ast.Constant) and isinstance(node.args[0].value, str)
    }


def test_every_event_of_the_log_is_documented() -> None:
    assert compare(find_table(OPERATING, "event").names(), list_log_events()) == []


def test_every_logger_of_a_node_is_a_component_whose_level_can_be_set() -> None:
    named = {
        name
        for path in python_files("node", "p2p")
        for name in re.findall(r'get_logger\("([^"]+)"\)', path.read_text(encoding="utf-8"))
    }
    assert named == {PREFIX + component for component in COMPONENTS}


def test_every_shared_bound_is_documented_with_its_value() -> None:
    existing = {name: value for name, value in vars(limits).items() if name.isupper()}
    assert named_values(find_table(ARCHITECTURE, "constant of `primitives/limits.py`")) == existing


def test_every_other_bound_has_the_value_that_is_documented() -> None:
    wrong = []
    for reference, value in named_values(find_table(ARCHITECTURE, "constant")).items():
        file, _, name = reference.partition(":")
        module = __import__(file.removesuffix(".py").replace("/", "."), fromlist=[name])
        if getattr(module, name, None) != value:
            wrong.append(reference)
    assert wrong == []


@pytest.mark.parametrize("path", DOCUMENTS, ids=shown)
def test_links_and_references_lead_somewhere(path: Any) -> None:  # noqa: ANN401  # a path
    text = path.read_text(encoding="utf-8")
    assert find_broken_links(path, text) == []
    assert find_broken_references(text) == []


@pytest.mark.parametrize("path", [path for path in DOCUMENTS if ">>> " in path.read_text("utf-8")], ids=shown)
def test_examples_give_what_they_show(path: Any) -> None:  # noqa: ANN401  # a path
    result = doctest.testfile(str(path), module_relative=False)
    assert result.attempted > 0
    assert result.failed == 0


def find_wrong_commands(text: str) -> list[str]:
    return [" ".join(words) for words in find_commands(text) if not is_command(words)]


def is_command(words: list[str]) -> bool:
    """Tell whether a command line names a command and options that exist."""
    command: Any = typer.main.get_command(app)
    levels = [command]
    is_value = False
    for word in words:
        children = getattr(command, "commands", {})
        option = next(
            (p for level in levels for p in level.params if word in (*p.opts, *p.secondary_opts)), None
        )
        if is_value:
            is_value = False
        elif option is not None:
            is_value = not option.is_flag
        elif word.startswith("-") and word != "--help":
            return False
        elif children and word in children:
            command = children[word]
            levels.append(command)
        elif children and word != "…" and not getattr(command, "invoke_without_command", False):
            return False
    return len(levels) > 1 or words[:1] == ["…"]


@pytest.mark.parametrize("path", DOCUMENTS, ids=shown)
def test_commands_in_the_text_exist(path: Any) -> None:  # noqa: ANN401  # a path
    assert find_wrong_commands(path.read_text(encoding="utf-8")) == []


def test_targets_of_make_in_the_text_exist() -> None:
    targets = set(re.findall(r"^([a-z-]+):", read("Makefile"), re.MULTILINE))
    named = {name for path in DOCUMENTS for name in re.findall(r"`make ([a-z-]+)`", path.read_text("utf-8"))}
    assert named <= targets


def test_every_package_says_what_it_is() -> None:
    files = [path for path in python_files(*PACKAGES) if path.name == "__init__.py"]
    assert [shown(path) for path in files if not ast.get_docstring(parse(path))] == []


def test_decisions_are_numbered_without_gap() -> None:
    numbers = [int(path.name[:4]) for path in sorted((ROOT / "docs" / "adr").glob("*.md"))]
    assert numbers == list(range(1, len(numbers) + 1))


SAMPLE = """\
## Things

| thing | value |
|---|---:|
| `a` | 1,000 |
| `b` | 2 |
"""


def test_a_name_that_is_missing_or_invented_is_found() -> None:
    names = find_table(SAMPLE, "thing", "Things").names()
    assert compare(names, ["a", "b"]) == []
    assert compare(names, ["a", "b", "c"]) == ["not documented: c"]
    assert compare(names, ["a"]) == ["does not exist: b"]
    assert compare([*names, "a"], ["a", "b"]) == ["documented twice: a"]
    assert named_values(find_table(SAMPLE, "thing")) == {"a": 1000, "b": 2}


@pytest.mark.parametrize(
    ("check", "bad"),
    [
        (lambda text: find_table(text, "thing"), "no table"),
        (lambda text: find_table(text, "thing"), SAMPLE + "\n" + SAMPLE),
        (find_tables, "| a | b |\n|---|---|\n| 1 |\n"),
    ],
)
def test_a_table_that_is_absent_double_or_crooked_is_found(check: Callable[[str], object], bad: str) -> None:
    with pytest.raises(AssertionError):
        check(bad)


@pytest.mark.parametrize("link", ["absent.md", "ledger.md#no-such-heading", "#no-such-heading"])
def test_a_broken_link_is_found(link: str) -> None:
    assert find_broken_links(ROOT / "docs" / "wire.md", f"# Here\nsee [this]({link})") == [link]


@pytest.mark.parametrize("link", ["ledger.md#every-rejection", "#here", "../README.md", "https://x.org/y"])
def test_a_link_that_leads_somewhere_is_accepted(link: str) -> None:
    assert find_broken_links(ROOT / "docs" / "wire.md", f"# Here\nsee [this]({link})") == []


@pytest.mark.parametrize("name", ["vm/absent.py", "vm/receipt.py:Absent", "vm/receipt.py:Receipt.absent"])
def test_a_reference_to_nothing_is_found(name: str) -> None:
    assert find_broken_references(f"see `{name}`") == [name]


@pytest.mark.parametrize("name", ["vm/receipt.py", "vm/receipt.py:Receipt.consumed", "node/host.py:Host.put"])
def test_a_reference_to_something_is_accepted(name: str) -> None:
    assert find_broken_references(f"see `{name}`") == []


@pytest.mark.parametrize(
    "line", ["gridbft dance", "gridbft bill --dance", "gridbft tx dance ID", "gridbft --dance"]
)
def test_a_command_that_does_not_exist_is_found(line: str) -> None:
    assert find_wrong_commands(f"run `{line}`") == [line.removeprefix("gridbft ")]
    assert find_wrong_commands(f"```\n$ {line}\n```") == [line.removeprefix("gridbft ")]


@pytest.mark.parametrize(
    "line", ["gridbft --home a status --check", "gridbft submit --file a.csv", "gridbft … -o a"]
)
def test_a_command_that_exists_is_accepted(line: str) -> None:
    assert find_wrong_commands(f"run `{line.replace(' -o a', '')}`") == []
