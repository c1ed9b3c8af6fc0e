"""What the cores must not contain, found in their syntax trees.

A core gives the same result on every machine: no task, no float, no module that reaches out,
and no order that comes from a set, a hash seed or an address in memory.
"""

import ast
from collections.abc import Iterator
from typing import NamedTuple

FORBIDDEN_MODULES = frozenset(
    {
        "aiohttp",
        "asyncio",
        "logging",
        "os",
        "pathlib",
        "plyvel",
        "random",
        "secrets",
        "socket",
        "structlog",
        "threading",
        "time",
    }
)

# Their result does not depend on the order in which they see the elements.
ORDER_FREE_CALLS = frozenset({"all", "any", "frozenset", "len", "max", "min", "set", "sorted", "sum"})

# They keep the order in which they see the elements, or take the first one.
ORDER_KEEPING_CALLS = frozenset({"bytes", "dict", "enumerate", "iter", "list", "map", "tuple", "zip"})

SET_TYPES = frozenset({"set", "frozenset", "Set", "AbstractSet", "MutableSet"})
SET_METHODS = frozenset({"union", "intersection", "difference", "symmetric_difference"})
SET_OPERATORS = (ast.BitOr, ast.BitAnd, ast.BitXor, ast.Sub)


class Finding(NamedTuple):
    line: int
    reason: str


def check_purity(tree: ast.Module, set_attributes: frozenset[str] = frozenset()) -> list[Finding]:
    """List what is impure in a module; `set_attributes` names the attributes that hold a set in any class."""
    findings = [Finding(line, reason) for node in ast.walk(tree) for line, reason in _impurities(node)]
    findings += _unordered_iterations(tree, set_attributes)
    return sorted(set(findings))


def find_set_attributes(*trees: ast.Module) -> frozenset[str]:
    """Name the attributes annotated as a set wherever a class declares them."""
    declared = [
        (statement.target.id, _is_set_annotation(statement.annotation))
        for tree in trees
        for node in ast.walk(tree)
        if isinstance(node, ast.ClassDef)
        for statement in node.body
        if isinstance(statement, ast.AnnAssign) and isinstance(statement.target, ast.Name)
    ]
    ordered = {name for name, is_set in declared if not is_set}
    return frozenset(name for name, is_set in declared if is_set and name not in ordered)


def _impurities(node: ast.AST) -> Iterator[tuple[int, str]]:
    match node:
        case ast.AsyncFunctionDef() | ast.AsyncFor() | ast.AsyncWith() | ast.Await():
            yield node.lineno, "async belongs to the rim"
        case ast.Constant(value=float() | complex()):
            yield node.lineno, "a float literal"
        case ast.Name(id="float" | "complex"):
            yield node.lineno, "the type float"
        case ast.BinOp(op=ast.Div()) | ast.AugAssign(op=ast.Div()):
            yield node.lineno, "true division makes a float"
        case ast.Call(func=ast.Name(id="hash" | "id" as name)):
            yield node.lineno, f"{name}() differs from process to process"
        case ast.Import(names=names):
            yield from ((node.lineno, f"imports {a.name}") for a in names if _is_forbidden(a.name))
        case ast.ImportFrom(module=str(module)) if _is_forbidden(module):
            yield node.lineno, f"imports {module}"


def _is_forbidden(module: str) -> bool:
    return module.partition(".")[0] in FORBIDDEN_MODULES


def _unordered_iterations(tree: ast.Module, set_attributes: frozenset[str]) -> Iterator[Finding]:
    scopes = [tree, *(node for node in ast.walk(tree) if isinstance(node, ast.FunctionDef))]
    for scope in scopes:
        known = _SetNames(_set_names(scope), set_attributes)
        order_free = _order_free_comprehensions(scope)
        for node in _own_nodes(scope):
            for iterated in _iterated(node, order_free):
                if known.is_set(iterated):
                    yield Finding(iterated.lineno, "takes its order from a set: sort it")


def _own_nodes(scope: ast.AST) -> Iterator[ast.AST]:
    """Walk a scope without the functions inside it, which are scopes of their own."""
    for child in ast.iter_child_nodes(scope):
        if not isinstance(child, ast.FunctionDef):
            yield child
            yield from _own_nodes(child)


def _iterated(node: ast.AST, order_free: set[ast.AST]) -> Iterator[ast.expr]:
    """Yield the expressions whose order this node lets out."""
    match node:
        case ast.For():
            yield node.iter
        case ast.ListComp() | ast.DictComp() | ast.GeneratorExp() if node not in order_free:
            yield from (generator.iter for generator in node.generators)
        case ast.Starred(value=value):
            yield value
        case ast.Call(func=ast.Name(id=name), args=arguments) if name in ORDER_KEEPING_CALLS:
            yield from arguments
        case ast.Call(func=ast.Name(id="min" | "max"), args=arguments, keywords=[_, *_]):
            yield from arguments  # with a key, a tie goes to whoever comes first
        case ast.Call(func=ast.Attribute(attr="join" | "extend" | "fromkeys"), args=[argument, *_]):
            yield argument
        case ast.Call(func=ast.Attribute(value=value, attr="pop"), args=[]):
            yield value


def _order_free_comprehensions(scope: ast.AST) -> set[ast.AST]:
    return {
        argument
        for node in ast.walk(scope)
        if isinstance(node, ast.Call) and isinstance(node.func, ast.Name)
        if node.func.id in ORDER_FREE_CALLS and not (node.func.id in {"min", "max"} and node.keywords)
        for argument in node.args
        if isinstance(argument, ast.ListComp | ast.GeneratorExp)
    }


class _SetNames(NamedTuple):
    """What is known to be a set in one scope."""

    names: frozenset[str]
    attributes: frozenset[str]

    def is_set(self, node: ast.expr) -> bool:
        match node:
            case ast.Set() | ast.SetComp():
                return True
            case ast.Name(id=name):
                return name in self.names
            case ast.Attribute(attr=name):
                return name in self.attributes
            case ast.Call(func=ast.Name(id="set" | "frozenset")):
                return True
            case ast.Call(func=ast.Attribute(attr=name)):
                return name in SET_METHODS
            case ast.BinOp(left=left, op=op, right=right) if isinstance(op, SET_OPERATORS):
                return self.is_set(left) or self.is_set(right)
            case ast.IfExp(body=body, orelse=orelse):
                return self.is_set(body) or self.is_set(orelse)
        return False


def _set_names(scope: ast.AST) -> frozenset[str]:
    """Name the parameters and variables of a scope that are annotated or assigned as a set."""
    arguments = _arguments(scope) if isinstance(scope, ast.FunctionDef) else []
    names = {a.arg for a in arguments if a.annotation is not None and _is_set_annotation(a.annotation)}
    for node in _own_nodes(scope):
        known = _SetNames(frozenset(names), frozenset())
        match node:
            case ast.AnnAssign(target=ast.Name(id=name), annotation=annotation) if _is_set_annotation(
                annotation
            ):
                names.add(name)
            case ast.Assign(targets=[ast.Name(id=name)], value=value) if known.is_set(value):
                names.add(name)
            case ast.NamedExpr(target=ast.Name(id=name), value=value) if known.is_set(value):
                names.add(name)
    return frozenset(names)


def _arguments(function: ast.FunctionDef) -> list[ast.arg]:
    return [*function.args.posonlyargs, *function.args.args, *function.args.kwonlyargs]


def _is_set_annotation(annotation: ast.expr) -> bool:
    match annotation:
        case ast.Name(id=name) | ast.Attribute(attr=name):
            return name in SET_TYPES
        case ast.Subscript(value=value):
            return _is_set_annotation(value)
        case ast.BinOp(left=left, op=ast.BitOr(), right=right):
            return _is_set_annotation(left) or _is_set_annotation(right)
    return False
