"""The cores are pure: the same arguments give the same result on every machine."""

import ast

import pytest

from tests.architecture.purity import Finding, check_purity, find_set_attributes
from tests.architecture.source_tree import CORES, parse, python_files, shown


def findings_in(source: str) -> list[Finding]:
    tree = ast.parse(source)
    return check_purity(tree, find_set_attributes(tree))


def test_the_cores_contain_nothing_impure() -> None:
    trees = {path: parse(path) for path in python_files(*CORES)}
    set_attributes = find_set_attributes(*trees.values())
    impure = [
        f"{shown(path)}:{finding.line}: {finding.reason}"
        for path, tree in trees.items()
        for finding in check_purity(tree, set_attributes)
    ]
    assert trees
    assert impure == []


@pytest.mark.parametrize(
    "source",
    [
        "async def f(): pass",
        "half = 0.5",
        "def f(x: float) -> int: return int(x)",
        "def f(a, b): return a / b",
        "def f(a, b): a /= b",
        "def f(key): return hash(key)",
        "import time",
        "import os.path",
        "from asyncio import sleep",
        "def f():\n    from random import choice",
    ],
)
def test_what_differs_between_machines_is_found(source: str) -> None:
    assert findings_in(source) != []


@pytest.mark.parametrize(
    "source",
    [
        "for x in {1, 2}: print(x)",
        "def f(xs):\n    for x in set(xs): print(x)",
        "def f(xs): return [x for x in frozenset(xs)]",
        "def f(xs): return {x: 1 for x in set(xs)}",
        "def f(xs): return list(set(xs))",
        "def f(xs): return tuple(x + 1 for x in {*xs})",
        "def f(xs): return next(iter(set(xs)))",
        "def f(xs): return b''.join(set(xs))",
        "def f(xs): return [*set(xs)]",
        "def f(xs): return max(set(xs), key=len)",
        "def f(xs, ys): return list(set(xs) - ys)",
        "def f(xs, ys): return list(xs.difference(ys))",
        "def f(xs: set[int]): return list(xs)",
        "def f(xs: frozenset[int] | None): return list(xs)",
        "def f(xs):\n    seen = set(xs)\n    return list(seen)",
        "def f(xs):\n    seen: set[int] = xs\n    return seen.pop()",
        "class C:\n    seen: set[int]\ndef f(c): return list(c.seen)",
    ],
)
def test_order_taken_from_a_set_is_found(source: str) -> None:
    assert findings_in(source) != []


@pytest.mark.parametrize(
    "source",
    [
        "def f(xs): return sorted(set(xs))",
        "def f(xs):\n    for x in sorted({*sorted(xs)}): print(x)",
        "def f(xs): return sorted(x + 1 for x in set(xs))",
        "def f(xs): return sum(1 for x in set(xs))",
        "def f(xs): return all(x for x in set(xs))",
        "def f(xs): return {x + 1 for x in set(xs)}",
        "def f(x, xs): return x in set(xs)",
        "def f(xs): return list(dict.fromkeys(xs))",
        "def f(xs: list[int]): return xs.pop()",
        "def f(a, b): return a // b - a",
        "class C:\n    seen: set[int]\nclass D:\n    seen: list[int]\ndef f(c): return list(c.seen)",
    ],
)
def test_what_has_one_order_is_accepted(source: str) -> None:
    assert findings_in(source) == []
