"""The page: every number on it is read from a record, counted in one, or counted among the cases and bugs."""

from collections import Counter
from collections.abc import Iterable, Sequence

from benchmarks.reliability.methods import METHODS
from benchmarks.reliability.records import Bug, Case, Goal, Record

HEAD = """\
# Reliability

<!-- Written by `make reliability` from the records; what is changed here by hand is lost. -->

What was done to break gridbft, how often, and what was found. Every number on this page comes from a record of a
run in `benchmarks/results/reliability/`, with its commit, machine and command; anybody can repeat them. A commit with
a plus had changes that were not committed. What is not covered stands in the [threat model](threat-model.md).
"""
REVIEW = "Reading the code"
LARGEST_KEPT = frozenset({"targets", "mutants", "caught", "p99 ms"})
"""Figures that mean the same things again in the next record: they are not added up."""
NOTHING = "Nothing is recorded."


def render(
    records: Sequence[Record], bugs: Sequence[Bug], cases: Sequence[Case], goals: Sequence[Goal]
) -> str:
    """Return the whole page."""
    parts = [HEAD, _render_summary(records, bugs)]
    parts += [_render_method(name, [each for each in records if each.method == name]) for name in METHODS]
    parts += [_render_goals(records, goals), _render_bugs(bugs), _render_cases(cases)]
    return "\n".join(parts)


def _render_summary(records: Sequence[Record], bugs: Sequence[Bug]) -> str:
    found = Counter(bug.method for bug in bugs)
    rows = []
    for name, method in METHODS.items():
        mine = [each for each in records if each.method == name]
        done = "; ".join(f"{show(value)} {label}" for label, value in _sum_figures(mine).items())
        rows.append(
            (
                f"[{method.title}](#{_slug(method.title)})",
                done or "not recorded",
                _judge(mine),
                show(found[name]),
            )
        )
    rows.append((REVIEW, "", "", show(found["review"])))
    heads = ("method", "recorded", "result", "bugs found and mended")
    return _section("Summary", _table(heads, rows))


def _render_method(name: str, records: Sequence[Record]) -> str:
    method = METHODS[name]
    body = [method.promise, ""]
    if not records:
        return _section(method.title, "\n".join([*body, NOTHING, ""]))
    labels = list(dict.fromkeys(label for each in records for label in method.read(each.figures)))
    rows = [
        (
            f"`{each.commit}`",
            each.date,
            *(show(method.read(each.figures).get(label, "")) for label in labels),
            show(each.seconds),
            _judge([each]),
        )
        for each in records
    ]
    body.append(_table(("commit", "date", *labels, "took s", "result"), rows))
    body += [f"- `{each.command}`: {_describe_machine(each)}" for each in records]
    body.append("")
    body += _render_violations(records)
    body += _render_hits(records)
    return _section(method.title, "\n".join(body))


def _render_violations(records: Sequence[Record]) -> list[str]:
    lines = [f"- `{each.commit}`: {line}" for each in records for line in each.violations]
    return ["**Found wrong:**", "", *lines, ""] if lines else []


def _render_hits(records: Sequence[Record]) -> list[str]:
    hits: Counter[str] = Counter()
    for each in records:
        hits.update(METHODS[each.method].list_hits(each.figures))
    if not hits:
        return []
    rows = [(f"`{name}`", show(count)) for name, count in sorted(hits.items())]
    return [_table(("what", "hits"), rows)]


def _render_goals(records: Sequence[Record], goals: Sequence[Goal]) -> str:
    rows = []
    for goal in goals:
        mine = [each for each in records if each.method == goal.method]
        reached = _sum_figures(mine).get(goal.figure, 0)
        rows.append((METHODS[goal.method].title, goal.figure, show(reached), show(goal.goal)))
    text = "What the records above come to, beside what a release shall have behind it.\n\n"
    return _section(
        "How far to go", text + _table(("method", "figure", "recorded", "goal for a release"), rows)
    )


def _render_bugs(bugs: Sequence[Bug]) -> str:
    titles = {name: method.title for name, method in METHODS.items()} | {"review": REVIEW}
    blocks = ["Each was mended, and the test or seed beside it keeps it away.", ""]
    for name, title in titles.items():
        mine = [bug for bug in bugs if bug.method == name]
        if mine:
            blocks += [f"### Found by: {title.lower()}", ""]
            blocks += [_table(("bug", "kept away by"), [(bug.text, f"`{bug.test}`") for bug in mine])]
    return _section("Bugs found", "\n".join(blocks if bugs else [NOTHING, ""]))


def _render_cases(cases: Sequence[Case]) -> str:
    rows = [
        (str(case.number), case.title, "<br>".join(f"`{name}`" for name in case.tests) or "**not covered**")
        for case in cases
    ]
    covered = sum(bool(case.tests) for case in cases)
    text = f"{covered} of {len(cases)} cases have tests.\n\n" if cases else f"{NOTHING}\n"
    return _section(
        "The cases of the protocol",
        text + (_table(("case", "what happens", "covered by"), rows) if rows else ""),
    )


def _sum_figures(records: Iterable[Record]) -> dict[str, object]:
    """Return the figures of several records together: numbers are added, or the largest is kept; of words the last."""
    total: dict[str, object] = {}
    for each in records:
        for label, value in METHODS[each.method].read(each.figures).items():
            known = total.get(label)
            if not isinstance(value, int | float) or not isinstance(known, int | float):
                total[label] = value
            elif label in LARGEST_KEPT:
                total[label] = max(known, value)
            else:
                total[label] = value if "per" in label.split() else round(known + value, 1)
    return total


def _judge(records: Sequence[Record]) -> str:
    if not records:
        return ""
    wrong = sum(len(each.violations) for each in records)
    if wrong:
        return f"**{show(wrong)} found wrong**"
    return "clean" if all(each.is_clean for each in records) else "**failed**"


def _describe_machine(record: Record) -> str:
    machine = record.machine
    size = f"{machine.cores} cores, {show(machine.memory_mb)} MB"
    return f"{machine.cpu}, {size}, {machine.system}, Python {machine.python}"


def show(value: object) -> str:
    """Return a figure as it stands in a table: thousands apart, a tenth where there is one."""
    if isinstance(value, bool) or not isinstance(value, int | float):
        return str(value).replace("|", "\\|")
    return f"{value:,.1f}".removesuffix(".0") if isinstance(value, float) else f"{value:,}"


def _section(title: str, body: str) -> str:
    return f"## {title}\n\n{body}"


def _table(heads: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
    lines = [heads, ["---"] * len(heads), *rows]
    return "".join(f"| {' | '.join(cells)} |\n" for cells in lines)


def _slug(title: str) -> str:
    return title.lower().replace(" ", "-")
