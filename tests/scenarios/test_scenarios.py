"""Every scenario tells its golden story, and a script that is wrong is refused by its line.

When the protocol changes a story, read the difference and write it anew: ``python -m tests.scenarios.run --rewrite``.
"""

from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.scenarios.commands import COMMANDS
from tests.scenarios.run import FOLDER, list_scenarios, main, perform
from tests.scenarios.script import LINES_MAX, ScriptError, parse_script, read_script
from tests.simulation.memory import remember_signatures

NAMES = [path.stem for path in list_scenarios()]


@pytest.fixture(autouse=True, scope="module")
def _signatures() -> Iterator[None]:
    with remember_signatures():
        yield


@pytest.mark.parametrize("name", NAMES)
def test_the_story_is_the_golden_one(name: str) -> None:
    path = FOLDER / f"{name}.txt"
    script = read_script(path)
    assert script.render(perform(script)) == path.read_text(encoding="utf-8")


@pytest.mark.parametrize("name", NAMES)
def test_a_scenario_says_first_what_it_is_about_and_tells_something(name: str) -> None:
    script = read_script(FOLDER / f"{name}.txt")
    assert str(script.parts[0]).startswith("# ")
    assert any(step.golden for step in script.steps)


def test_the_same_script_tells_the_same_twice() -> None:
    script = read_script(FOLDER / "new_view_forged.txt")
    assert perform(script) == perform(script)


def test_another_protocol_would_tell_another_story() -> None:
    text = (FOLDER / "normal_case.txt").read_text(encoding="utf-8")
    script = parse_script("slower", text.replace("cluster 4", "cluster 5"))
    assert script.render(perform(script)) != text


@pytest.mark.parametrize(
    ("text", "reason"),
    [
        ("run 5ms\n", r"x:1: a scenario begins with `cluster N`"),
        ("cluster 3\n", r"x:1: cluster: name 4 to 10 validators"),
        ("cluster 4 speed=2\n", r"x:1: cluster: no parameter speed; there are seed, candidates, "),
        ("cluster 4 candidates=4\n", r"x:1: cluster: at most 3 candidates"),
        ("cluster 4\nballot praise v1\n", r"x:2: no ballot 'praise'; there are add, remove"),
        ("cluster 4 depth=two\n", r"x:1: depth=two: not a whole number"),
        ("# what\n\ncluster 4\ndance\n", r"x:4: no command 'dance'; there are cluster, submit, "),
        ("cluster 4\nrun\n", r"x:2: 1 words follow, not 0; write `run 200ms`"),
        ("cluster 4\nrun 5\n", r"x:2: no time '5'; write 200ms or 2s; write `run 200ms`"),
        ("cluster 4\nrun 121s\n", r"x:2: 121s: at most 120s in one command"),
        ("cluster 4\nkill v4\n", r"x:2: no replica 'v4' in a cluster of 4"),
        ("cluster 4\nkill\n", r"x:2: name replicas"),
        ("cluster 4\nkill v1\nkill v1\n", r"x:3: v1 does not run"),
        ("cluster 4\nrestart v1\n", r"x:2: v1 runs already"),
        ("cluster 4\ncut v0 v1\n", r"x:2: name links with one arrow"),
        ("cluster 4\nlose prepare v0\n", r"x:2: name the links"),
        ("cluster 4\nbehave v0 kind\n", r"x:2: no behaviour 'kind'; there are "),
        ("cluster 4\nbehave v0 new_view=kind\n", r"x:2: no behaviour 'new_view=kind'"),
        ("cluster 4\ninject v0 -> v1 letter\n", r"x:2: no message 'letter'; there are checkpoint, commit, "),
        ("cluster 4\ninject v0 -> v1\n", r"x:2: name a message after the links"),
        ("cluster 4\ninject v0 -> v1 prepare view\n", r"x:2: no 'view' here; write key=value"),
        ("cluster 4\ninject v0 -> v1 prepare view=x\n", r"x:2: view=x: not a whole number"),
        ("cluster 4\ninject v0 -> v1 pre_prepare of=a\n", r"x:2: of=a: no transaction of that name"),
        ("cluster 4\ninject v0 -> v1 view_change stable=x\n", r"x:2: stable=x: choose one of none, short"),
        ("cluster 4\nexpect height\n", r"x:2: name one condition"),
        ("cluster 4\nexpect committed a\n", r"x:2: no condition 'committed a'"),
        ("cluster 4\nexpect height 1\n", r"x:2: it is not so: v0: height 0 view 0"),
        ("cluster 4\nsubmit a by me\n", r"x:2: no member 'me'"),
        ("cluster 4\nsubmit a to\n", r"x:2: something follows 'to'"),
        ("cluster 4\nrestore v1\n", r"x:2: v1 has no backup, or runs"),
        ("cluster 4\ntell\n", r"x:2: name words of the lines"),
        ("cluster 4\nuntil height 9 within 50ms\n", r"x:2: not within 50 ms: v0: height 0"),
        ("  told by nobody\n", r"x:1: an indented line stands under a command"),
        ("cluster 4\n\n  told by nobody\n", r"x:3: an indented line stands under a command"),
        ("#\n" * (LINES_MAX + 1), rf"x:{LINES_MAX + 1}: a scenario has at most {LINES_MAX} lines"),
    ],
)
def test_a_wrong_script_is_refused_by_its_line(text: str, reason: str) -> None:
    with pytest.raises(ScriptError, match=reason) as refused:
        perform(parse_script("x", text))
    assert "\n" not in str(refused.value)


def test_a_broken_invariant_ends_a_story_by_name() -> None:
    text = "cluster 4\nsubmit a\nrun 200ms\nkill v1 v2 v3\nlose_store v1 v2 v3\n"
    with pytest.raises(ScriptError, match=r"x: at the end: I6 .* is durable on 1 machines only"):
        perform(parse_script("x", text))
    with pytest.raises(ScriptError, match="x:6: I6 "):
        perform(parse_script("x", text + "cluster 4\n"))


def test_every_command_is_told_to_authors() -> None:
    readme = (FOLDER / "README.md").read_text(encoding="utf-8")
    missing = [name for name, command in COMMANDS.items() if f"`{command.usage}`" not in readme]
    assert missing == []


def test_the_command_compares_and_writes_anew(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr("tests.scenarios.run.FOLDER", tmp_path)
    path = tmp_path / "small.txt"
    path.write_text("# Small.\ncluster 4\nsubmit a\nrun 7ms\n  what nobody tells\n", encoding="utf-8")
    assert main([]) == 1
    assert "-  what nobody tells" in capsys.readouterr().out
    assert main(["--rewrite", "small"]) == 0
    assert main(["small"]) == 0
    assert "broadcast pre_prepare" in path.read_text(encoding="utf-8")
    path.write_text("cluster 4\nfly\n", encoding="utf-8")
    assert main(["--rewrite"]) == 1
    assert "small.txt:2: no command 'fly'" in capsys.readouterr().out
    with pytest.raises(SystemExit):
        main(["unknown"])
