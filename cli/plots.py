"""Reports as one HTML file each, with their drawings inside; drawing needs the extra `report`."""

import html
import io
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

from cli.failure import CliError

WIDTH, HEIGHT = 9.0, 3.4

STYLE = """body{font:16px/1.5 system-ui,sans-serif;max-width:60rem;margin:2rem auto;padding:0 1rem;color:#222}
h1{font-size:1.5rem}h2{font-size:1.15rem;margin-top:2rem}svg{width:100%;height:auto}
table{border-collapse:collapse}td,th{padding:.15rem .8rem .15rem
0;text-align:right}td:first-child,th:first-child{text-align:left}
pre{background:#f4f4f4;padding:.7rem;overflow:auto;font-size:.8rem}"""


def import_figure() -> Callable[..., Any]:
    """Return matplotlib's figure.

    Raises:
        CliError: the extra is not installed.

    """
    try:
        from matplotlib.figure import Figure
    except ImportError:
        raise CliError("-o needs the extra `report`: install gridbft[report]") from None
    return Figure


def draw(figure_type: Callable[..., Any], panels: int, plot: Callable[[Any], None]) -> str:
    """Return a drawing of ``panels`` axes below each other as SVG without its XML heading."""
    figure = figure_type(figsize=(WIDTH, HEIGHT * panels), layout="constrained")
    plot(figure.subplots(panels, 1, squeeze=False)[:, 0])
    buffer = io.StringIO()
    figure.savefig(buffer, format="svg", metadata={"Date": None})
    text = buffer.getvalue()
    return text[text.index("<svg") :]


def write_page(path: Path, title: str, body: Sequence[str]) -> None:
    """Write a page.

    Raises:
        CliError: the disk refuses.

    """
    text = (
        f'<!doctype html><html lang="en"><meta charset="utf-8"><title>{html.escape(title)}</title>'
        f"<style>{STYLE}</style><body>{''.join(body)}</body></html>\n"
    )
    try:
        path.write_text(text, encoding="utf-8")
    except OSError as error:
        raise CliError(f"-o {path}: {error.strerror or error}") from None
