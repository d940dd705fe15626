"""`charlm compare`: parse, run, show."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from charlm.cells import CELLS
from charlm.cli.command import CharlmCommand, is_live, shown
from charlm.cli.common import INTERRUPTED, print_json, stop_on_interrupt
from charlm.errors import UsageError
from charlm.training import runtime_tuning

if TYPE_CHECKING:
    from rich.table import Table

    from charlm.insight.compare import Comparison, Result, RunEvent


@click.command(
    cls=CharlmCommand,
    examples=(
        ("charlm compare novel.txt --minutes 2", "every cell, two minutes each"),
        ("charlm compare novel.txt --cells lstm,gru,rnn --minutes 5 --seeds 3", "three runs of each"),
        ("charlm compare novel.txt --minutes 2 --svg cells.svg", "goes on after Ctrl-C; draws what there is"),
    ),
)
@click.argument("paths", nargs=-1, required=True, metavar="CORPUS...")
@click.option("--cells", default=",".join(CELLS), help="Which, with commas between.")
@click.option("--minutes", type=float, help="Budget of each run in minutes of wall clock.  [default: 2]")
@click.option("--steps", type=int, help="Budget of each in steps, instead.")
@click.option("--seeds", default=1, help="How often each cell is trained.")
@click.option("--parameters", default=900_000, help="About how many each has; the width follows.")
@click.option("--layers", default=2, help="How many layers, for all.")
@click.option("--lanes", default=32, help="Stretches of text read in parallel, for all.")
@click.option("--chunk", default=64, help="Steps of backpropagation through time, for all.")
@click.option("--learning-rate", default=6e-3, help="The highest, for all.")
@click.option("--dropout", default=0.05, help="Locked dropout, for all.")
@click.option("--precision", default="auto", help="fp32, bf16 or auto, which measures both.")
@click.option("--threads", default=0, help="Processor threads; 0 is torch's choice.")
@click.option("-o", "--output", metavar="FOLDER", help="Where the runs stand.  [default: checkpoints/compare-CORPUS]")
@click.option("--force", is_flag=True, help="Begin anew where another comparison stands.")
@click.option("--svg", "svg_file", type=click.Path(path_type=Path), help="Plot bits/char against time as SVG.")
@click.option("--png", "png_file", type=click.Path(path_type=Path), help="The same as PNG.")
@click.option("--json", "as_json", is_flag=True, help="Print one object on stdout.")
def command(paths: tuple[str, ...], cells: str, **options: Any) -> int:
    """Train cells side by side: the same text, the same budget, about the same number of parameters.

    Everything but cell and width is the same for all. Ctrl-C stops after the step under way; the same command goes on
    where it stood. The runs are models like any other, and stay.
    """
    runtime_tuning.wait_well()
    from charlm.corpora import registry

    texts = tuple(str(Path(path).absolute()) for path in registry.resolve(paths))
    if any(path == "-" for path in paths):
        raise UsageError("a comparison reads its text several times", "give a file")
    minutes = 2.0 if options["minutes"] is None and options["steps"] is None else options["minutes"]
    names = (
        "parameters",
        "seeds",
        "steps",
        "layers",
        "lanes",
        "chunk",
        "learning_rate",
        "dropout",
        "precision",
        "threads",
    )
    folder = Path(options["output"] or f"checkpoints/compare-{Path(texts[0]).name.split('.')[0]}")
    live = is_live() and not options["as_json"]
    if live:
        click.echo("loading torch ...", err=True)
    from charlm.insight.compare import Comparison, ComparisonPlan

    plan = ComparisonPlan(
        texts,
        tuple(cell for cell in cells.split(",") if cell),
        minutes=minutes,
        **{name: options[name] for name in names},
    )
    comparison = Comparison(plan, folder, force=options["force"])
    results = _run(comparison, live)
    for file in (options["svg_file"], options["png_file"]):
        if file and results:
            _plot(results, file)
    if options["as_json"]:
        print_json({"folder": str(folder), "results": [result.to_dict() for result in results]})
    else:
        _print(results)
    if comparison.stopped:
        click.echo("stopped, saved; the same command goes on", err=True)
        return INTERRUPTED
    return 0


def _run(comparison: Comparison, live: bool) -> list[Result]:
    from charlm.insight.compare import Result

    def stop() -> None:
        comparison.request_stop()
        click.echo("stopping after this step; Ctrl-C again leaves at once", err=True)

    results: list[Result] = []
    with stop_on_interrupt(stop), _view(live) as show:
        for told in comparison.events():
            show(told)
            if isinstance(told.event, Result):
                results.append(told.event)
    return sorted(results, key=lambda result: result.nats)


@contextmanager
def _view(live: bool) -> Iterator[Any]:
    """A table that is redrawn on a terminal; elsewhere a line a finished run."""
    from charlm.insight.compare import Result

    if not live:

        def line(told: RunEvent) -> None:
            if isinstance(told.event, Result):
                click.echo(f"{told.cell}, seed {told.seed}: {told.event.bits:.4f} bits/char", err=True)

        yield line
        return
    from rich.console import Console
    from rich.live import Live

    rows: dict[tuple[str, int], list[str]] = {}
    console = Console(stderr=True, highlight=False, markup=False, emoji=False)
    with Live(get_renderable=lambda: _live_table(rows), console=console, refresh_per_second=4, transient=True):

        def redraw(told: RunEvent) -> None:
            _take(rows, told)

        yield redraw


def _take(rows: dict[tuple[str, int], list[str]], told: RunEvent) -> None:
    """Keep what an event says of its run: width, share done, bits/char, speed."""
    from charlm.cli.dashboard import bits
    from charlm.insight.compare import Result
    from charlm.training.events import Evaluated, Planned, Stepped

    row = rows.setdefault((told.cell, told.seed), ["", "", "", ""])
    match told.event:
        case Planned():
            row[0] = f"{told.event.model.layers} x {told.event.model.hidden}"
        case Stepped():
            row[1], row[3] = f"{told.event.progress:.0%}", f"{told.event.characters_per_second:,.0f} chars/s"
        case Evaluated():
            row[2] = bits(told.event.validation)
        case Result():
            result = told.event
            row[:] = [row[0] or str(result.hidden), "done", bits(result.nats), f"{result.speed:,.0f} chars/s"]


def _live_table(rows: dict[tuple[str, int], list[str]]) -> Table:
    from rich.table import Table

    table = Table(box=None, padding=(0, 2))
    for heading in ("cell", "seed", "width", "done", "validation", "speed"):
        table.add_column(heading)
    for (cell, seed), row in rows.items():
        table.add_row(cell, str(seed), *row)
    return table


def _print(results: list[Result]) -> None:
    heads = ("bits/char", "chars/s", "read", "parameters", "width", "training", "state", "reach", "left at 100")
    widths = (9, 8, 11, 10, 5, 9, 7, 6, 11)
    click.echo(f"{'cell':16}" + "  ".join(f"{head:>{width}}" for head, width in zip(heads, widths, strict=True)))
    for result in results:
        figures = (
            f"{result.bits:.4f}",
            f"{result.speed:,.0f}",
            f"{result.characters:,}",
            f"{result.parameters:,}",
            f"{result.hidden}",
            f"{result.training_bytes / 1e6:.1f} MB",
            f"{result.state_bytes / 1024:.1f} KiB",
            f"{result.reach}",
            f"{result.left:.1e}",
        )
        name = shown(
            f"{result.cell}, seed {result.seed}" if any(each.seed > 1 for each in results) else result.cell, sys.stdout
        )
        click.echo(
            f"{name:16}" + "  ".join(f"{figure:>{width}}" for figure, width in zip(figures, widths, strict=True))
        )
    click.echo(
        "bits/char of the held-out tenth; training: memory of a step; reach: how far back 1 % of the gradient is left",
        err=True,
    )


def _plot(results: list[Result], path: Path) -> None:
    import math

    from charlm.insight.plots import Curve, curves

    lines = [
        Curve(
            f"{result.cell}, {result.seed}" if any(each.seed > 1 for each in results) else result.cell,
            [seconds / 60 for seconds, _ in result.curve],
            [nats / math.log(2) for _, nats in result.curve],
        )
        for result in results
    ]
    labels = {"title": "Cells at equal budget and parameters", "xlabel": "minutes", "ylabel": "bits per character"}
    curves(lines, path, labels, log_x=False, log_y=False)
