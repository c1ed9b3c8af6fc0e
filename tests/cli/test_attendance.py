from cli.attendance import draw
from meter.answers import ValidatorAnswer


def make(name: str, marks: str) -> ValidatorAnswer:
    return ValidatorAnswer(
        name,
        "00" * 32,
        signed_blocks=marks.count("1"),
        missed_blocks=marks.count("0"),
        marks=marks,
    )


def test_each_validator_has_a_row_with_a_mark_for_every_block() -> None:
    lines = list(draw([make("node0", "1" * 100), make("a", "-" * 88 + "110011001111")], 160))
    assert lines == [
        "the last 100 blocks, newest at the right: ■ signed, · missed, ? not watched by who answers",
        f"node0  100 signed, 0 missed    {' '.join(['■' * 10] * 10)}",
        f"a      8 signed, 4 missed      {' '.join(['?' * 10] * 8)} ????????■■ ··■■··■■■■",
    ]


def test_in_a_narrow_terminal_the_newest_blocks_are_shown_and_no_line_is_longer() -> None:
    for columns in (60, 80, 100, 132):
        first, *rows = draw([make("node0", "0" + "1" * 99), make("node1", "1" * 100)], columns)
        assert first.startswith("the last 100 blocks")
        assert {len(row) <= columns for row in rows} == {True}
        assert {row[-1] for row in rows} == {"■"}
        assert len({row.count("■") for row in rows}) == 1
    assert len(list(draw([make("node0", "1" * 100)], 20))[1].split("missed")[1].strip()) == 10


def test_groups_are_counted_from_the_newest_block() -> None:
    assert list(draw([make("n", "1" * 13)], 160))[1].endswith("  ■■■ ■■■■■■■■■■")


def test_without_a_watched_block_there_is_no_grid() -> None:
    assert list(draw([make("node0", "")], 80)) == []
    assert list(draw([], 80)) == []


def test_a_name_cannot_write_on_the_terminal() -> None:
    assert "\x1b" not in "".join(draw([make("a\x1b[2J", "1")], 80))
