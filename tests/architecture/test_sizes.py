"""One file answers one question, and a function fits on a screen."""

import ast
from pathlib import Path

from tests.architecture.source_tree import PACKAGES, parse, python_files, shown

FILE_LINES = 500
FUNCTION_LINES = 60

FORBIDDEN_STEMS = frozenset(
    {"util", "utils", "helper", "helpers", "common", "manager", "managers", "misc"}  # they answer no question
)


def long_functions(tree: ast.Module) -> list[str]:
    """Name the functions with more lines than fit on a screen, from `def` to the last line."""
    return [
        f"{node.lineno} {node.name}"
        for node in ast.walk(tree)
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef)
        if (node.end_lineno or node.lineno) - node.lineno + 1 > FUNCTION_LINES
    ]


def is_too_long(text: str) -> bool:
    return len(text.splitlines()) > FILE_LINES


def has_no_question(path: Path) -> bool:
    return path.stem.strip("_") in FORBIDDEN_STEMS


def test_no_file_is_longer_than_500_lines() -> None:
    files = list(python_files(*PACKAGES, "tests"))
    assert files
    assert [shown(path) for path in files if is_too_long(path.read_text(encoding="utf-8"))] == []


def test_no_function_is_longer_than_60_lines() -> None:
    assert [
        f"{shown(path)}:{found}"
        for path in python_files(*PACKAGES, "tests")
        for found in long_functions(parse(path))
    ] == []


def test_no_file_or_folder_has_a_name_that_says_nothing() -> None:
    files = list(python_files(*PACKAGES, "tests"))
    folders = {path.parent for path in files}
    assert [shown(path) for path in sorted({*files, *folders}) if has_no_question(path)] == []


def test_every_folder_of_tests_is_a_package() -> None:
    # Without, tests/consensus would shadow the package consensus.
    folders = {path.parent for path in python_files("tests")}
    assert [shown(folder) for folder in sorted(folders) if not (folder / "__init__.py").is_file()] == []


def test_a_file_of_501_lines_is_found() -> None:
    assert is_too_long("x = 1\n" * 501)
    assert not is_too_long("x = 1\n" * 500)


def test_a_function_of_61_lines_is_found() -> None:
    assert long_functions(ast.parse("def f():\n" + "    x = 1\n" * 60)) == ["1 f"]
    assert long_functions(ast.parse("class C:\n    async def f(self):\n" + "        x = 1\n" * 60)) == ["2 f"]
    assert long_functions(ast.parse("def f():\n" + "    x = 1\n" * 59)) == []


def test_a_file_called_utils_is_found() -> None:
    assert has_no_question(Path("vm/utils.py"))
    assert has_no_question(Path("node/_helpers.py"))
    assert not has_no_question(Path("vm/ledger.py"))
