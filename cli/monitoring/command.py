"""`gridbft metrics`: what Prometheus and Grafana need to watch a network."""

import typer

from cli.console import print_line

app = typer.Typer(no_args_is_help=True, help="Alert rules and a board for the metrics of a network.")


@app.command()
def alerts() -> None:
    """Print alert rules for Prometheus, each with its line in the runbook."""
    from cli.monitoring.alerts import render_alerts

    print_line(render_alerts())


@app.command()
def dashboard() -> None:
    """Print a board to import in Grafana."""
    from cli.monitoring.board import render_board

    print_line(render_board())
