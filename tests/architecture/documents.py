"""The documents as a test reads them: tables, links, references into the code, commands."""

import ast
import re
import shlex
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from urllib.parse import unquote

from tests.architecture.source_tree import ROOT, parse

DOCUMENTS = (ROOT / "README.md", ROOT / "CHANGELOG.md", *sorted((ROOT / "docs").rglob("*.md")))

REFERENCE = re.compile(r"`((?:[a-z_0-9]+/)+[a-z_0-9]+\.py)(?::([A-Za-z_][A-Za-z_0-9.]*))?`")
LINK = re.compile(r"\[[^\]]*\]\(([^)\s]+)\)")
NAME = re.compile(r"`([^`]+)`")
HEADING = re.compile(r"^#{1,6} (.+)$")
FENCE = "```"


@dataclass(frozen=True)
class Table:
    """A table of a document: the heading it stands under, its column heads, its cells."""

    heading: str
    columns: tuple[str, ...]
    rows: tuple[tuple[str, ...], ...]

    def names(self, column: int = 0) -> list[str]:
        """List what stands in backticks in a column, in order."""
        return [name for row in self.rows for name in NAME.findall(row[column])]


def read(name: str) -> str:
    return (ROOT / name).read_text(encoding="utf-8")


def split_cells(line: str) -> tuple[str, ...]:
    return tuple(cell.strip() for cell in line.strip().strip("|").split("|"))


def find_tables(text: str) -> list[Table]:
    """List the tables of a document; a row that is shorter than its head is a mistake of the writer."""
    tables = []
    heading = ""
    block: list[str] = []
    for line in [*text.splitlines(), ""]:
        if found := HEADING.match(line):
            heading = found[1]
        if line.startswith("|"):
            block.append(line)
        elif block:
            columns, rows = split_cells(block[0]), tuple(split_cells(row) for row in block[2:])
            assert all(len(row) == len(columns) for row in rows), f"a crooked table under {heading!r}"
            tables.append(Table(heading, columns, rows))
            block = []
    return tables


def find_table(text: str, first_column: str, heading: str | None = None) -> Table:
    """Return the one table whose first column has this head."""
    found = [
        table
        for table in find_tables(text)
        if table.columns[0] == first_column and heading in {None, table.heading}
    ]
    assert len(found) == 1, f"{len(found)} tables begin with the column {first_column!r}"
    return found[0]


def compare(documented: Iterable[str], existing: Iterable[str]) -> list[str]:
    """List what is not documented, what does not exist, and what is documented twice."""
    told = list(documented)
    there = set(existing)
    return [
        *(f"not documented: {name}" for name in sorted(there - set(told))),
        *(f"does not exist: {name}" for name in sorted(set(told) - there)),
        *(f"documented twice: {name}" for name in sorted({name for name in told if told.count(name) > 1})),
    ]


def find_slug(heading: str) -> str:
    """Return the anchor that a heading has on the usual forges."""
    plain = re.sub(r"[^\w\- ]", "", heading.lower().replace("`", ""))
    return plain.strip().replace(" ", "-")


def drop_fences(text: str) -> str:
    """Leave out code blocks, whose brackets are no links and whose # is no heading."""
    kept, is_code = [], False
    for line in text.splitlines():
        if line.startswith(FENCE):
            is_code = not is_code
        elif not is_code:
            kept.append(line)
    return "\n".join(kept)


def find_broken_links(path: Path, text: str) -> list[str]:
    """List links to files and headings that are not there; addresses of other places are not followed."""
    broken = []
    for link in LINK.findall(drop_fences(text)):
        if "://" in link:
            continue
        target, _, anchor = unquote(link).partition("#")
        file = path if not target else (path.parent / target)
        if not file.exists():
            broken.append(link)
        elif anchor:
            content = text if file == path else file.read_text(encoding="utf-8")
            headings = [h[1] for line in drop_fences(content).splitlines() if (h := HEADING.match(line))]
            if anchor not in {find_slug(heading) for heading in headings}:
                broken.append(link)
    return broken


def find_broken_references(text: str) -> list[str]:
    """List `file.py` and `file.py:Name` that do not exist in the checkout."""
    return [
        f"{file}:{name}" if name else file
        for file, name in REFERENCE.findall(text)
        if not (ROOT / file).is_file() or (name and not has_name(parse(ROOT / file).body, name.split(".")))
    ]


def has_name(body: Sequence[ast.stmt], path: Sequence[str]) -> bool:
    """Tell whether statements define a name, or a class with the rest of the path in its own body."""
    for node in body:
        if path[0] in get_defined(node):
            return len(path) == 1 or (isinstance(node, ast.ClassDef) and has_name(node.body, path[1:]))
    return False


def get_defined(node: ast.stmt) -> Iterator[str]:
    """Yield the names that a statement defines."""
    match node:
        case ast.FunctionDef(name=name) | ast.AsyncFunctionDef(name=name) | ast.ClassDef(name=name):
            yield name
        case ast.Assign(targets=targets):
            for target in targets:
                yield from (each.id for each in ast.walk(target) if isinstance(each, ast.Name))
        case ast.AnnAssign(target=ast.Name(id=name)):
            yield name
        case _:
            return


def find_commands(text: str) -> list[list[str]]:
    """List the command lines of gridbft: after a prompt in a code block, or in backticks in the text."""
    lines = [line[2:] for line in text.splitlines() if line.startswith("$ gridbft")]
    inline = re.findall(r"`(gridbft [^`]+)`", drop_fences(text).replace("\n", " "))
    return [shlex.split(line.split("|")[0], comments=True)[1:] for line in [*lines, *inline]]
