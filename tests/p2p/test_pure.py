"""The pure modules of p2p: no task, clock, randomness, socket or log."""

import ast
from pathlib import Path

import pytest

import p2p

PURE = ("frames", "gate", "gossip", "handshake", "peers")
FORBIDDEN = {"aiohttp", "asyncio", "logging", "os", "random", "secrets", "socket", "ssl", "structlog", "time"}


@pytest.mark.parametrize("module", PURE)
def test_a_pure_module_imports_nothing_that_reaches_out(module: str) -> None:
    tree = ast.parse((Path(p2p.__file__).parent / f"{module}.py").read_text(encoding="utf-8"))
    imported = {alias.name for node in ast.walk(tree) if isinstance(node, ast.Import) for alias in node.names}
    imported |= {node.module or "" for node in ast.walk(tree) if isinstance(node, ast.ImportFrom)}
    assert not {name.partition(".")[0] for name in imported} & FORBIDDEN
    assert all(name.removeprefix("p2p.") in PURE for name in imported if name.startswith("p2p"))
    assert not any(isinstance(node, ast.AsyncFunctionDef | ast.Await) for node in ast.walk(tree))
