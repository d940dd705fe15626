"""`charlm compare`: train cells side by side."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from charlm.cli import INTERRUPTED
from charlm.cli.command import charlm_command
from charlm.cli.common import json_option, plot_option, stop_on_interrupt
from charlm.cli.options import given, options_of
from charlm.cli.output import is_live, print_json, print_note, print_table
from charlm.config import CELL_NAMES
from charlm.errors import UsageError
from charlm.insight.comparison_config import ComparisonConfig
from charlm.training import require_torch, runtime_tuning

if TYPE_CHECKING:
    from rich.table import Table

    from charlm.insight.compare import Comparison, Result, RunEvent

DEFAULT_MINUTES = 2.0


@charlm_command(
    ("charlm compare novel.txt --minutes 2", "every cell, two minutes each"),
    ("charlm compare novel.txt --cells lstm,gru,rnn --minutes 5 --seeds 3", "three runs of each"),
    ("charlm compare novel.txt --minutes 2 --plot cells.svg", "resumes after Ctrl-C; plots the results"),
)
@click.argument("paths", nargs=-1, required=True, metavar="CORPUS...")
@click.option("--cells", default=",".join(CELL_NAMES), help="Cells, separated by commas.")
@options_of(ComparisonConfig)
@click.option("-o", "--output", metavar="FOLDER", help="Folder of the runs.  [default: checkpoints/compare-CORPUS]")
@click.option("--force", is_flag=True, help="Replace another comparison in the folder.")
@plot_option
@json_option
def command(paths: tuple[str, ...], cells: str, **options: Any) -> int:
    """Train cells side by side: the same text, the same budget, about the same number of parameters.

    Everything but cell and width is the same for all. Ctrl-C stops after the current step; the same command resumes.
    The runs are kept, as models like any other.
    """
    runtime_tuning.set_spin_count()
    from charlm.corpora import registry

    texts = tuple(str(Path(path).absolute()) for path in registry.resolve(paths))
    if any(path == "-" for path in paths):
        raise UsageError("a comparison reads its text several times", "use a file")
    values = given(ComparisonConfig, options)
    if not values.keys() & {"minutes", "steps"}:
        values["minutes"] = DEFAULT_MINUTES
    config = ComparisonConfig(texts, tuple(cell for cell in cells.split(",") if cell), **values)
    folder = Path(options["output"] or f"checkpoints/compare-{Path(texts[0]).name.split('.')[0]}")
    live = is_live() and not options["as_json"]
    require_torch()
    if live:
        print_note("loading torch ...")
    from charlm.insight.compare import Comparison

    comparison = Comparison(config, folder, force=options["force"])
    results = _run(comparison, live)
    if options["plot_file"] and results:
        _plot(results, options["plot_file"])
    if options["as_json"]:
        print_json({"folder": str(folder), "results": [result.to_dict() for result in results]})
    else:
        _print(results)
    if comparison.stopped:
        print_note("stopped and saved; run the same command to resume")
        return INTERRUPTED
    return 0


def _run(comparison: Comparison, live: bool) -> list[Result]:
    from charlm.insight.compare import Result

    def stop() -> None:
        comparison.request_stop()
        print_note("stopping after this step; press Ctrl-C again to stop at once")

    results: list[Result] = []
    with stop_on_interrupt(stop), _view(live) as show:
        for event in comparison.events():
            show(event)
            if isinstance(event.event, Result):
                results.append(event.event)
    return sorted(results, key=lambda result: result.nats)


@contextmanager
def _view(live: bool) -> Iterator[Callable[[RunEvent], None]]:
    """Yield a function that shows an event: in a live table on a terminal, elsewhere as a line a finished run."""
    from charlm.insight.compare import Result

    if not live:

        def line(event: RunEvent) -> None:
            if isinstance(event.event, Result):
                print_note(f"{event.cell}, seed {event.seed}: {event.event.bits:.4f} bits/char")

        yield line
        return
    from rich.console import Console
    from rich.live import Live

    rows: dict[tuple[str, int], list[str]] = {}
    console = Console(stderr=True, highlight=False, markup=False, emoji=False)
    with Live(get_renderable=lambda: _live_table(rows), console=console, refresh_per_second=4, transient=True):
        yield lambda event: _update(rows, event)


def _update(rows: dict[tuple[str, int], list[str]], event: RunEvent) -> None:
    """Update the row of an event's run: width, progress, bits/char, speed."""
    from charlm.cli.dashboard import bits
    from charlm.insight.compare import Result
    from charlm.training.events import Evaluated, Planned, Stepped

    row = rows.setdefault((event.cell, event.seed), ["", "", "", ""])
    match event.event:
        case Planned(model=model):
            row[0] = f"{model.layers} x {model.hidden}"
        case Stepped() as step:
            row[1], row[3] = f"{step.progress:.0%}", f"{step.characters_per_second:,.0f} chars/s"
        case Evaluated(validation=validation):
            row[2] = bits(validation)
        case Result() as result:
            row[:] = [row[0] or str(result.hidden), "done", bits(result.nats), f"{result.speed:,.0f} chars/s"]


def _live_table(rows: dict[tuple[str, int], list[str]]) -> Table:
    from rich.table import Table

    table = Table("cell", "seed", "width", "done", "validation", "speed", box=None, padding=(0, 2))
    for (cell, seed), row in rows.items():
        table.add_row(cell, str(seed), *row)
    return table


def _names(results: list[Result]) -> list[str]:
    """Return the cells, with seeds if a cell has several."""
    if all(each.seed == 1 for each in results):
        return [each.cell for each in results]
    return [f"{each.cell}, seed {each.seed}" for each in results]


def _print(results: list[Result]) -> None:
    heads = ("cell", "bits/char", "chars/s", "read", "parameters", "width", "training", "state", "reach", "left at 100")
    rows = [
        (
            name,
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
        for name, result in zip(_names(results), results, strict=True)
    ]
    print_table("<" + ">" * (len(heads) - 1), rows, heads)
    print_note(
        "bits/char of the held-out tenth; training: memory of a step; reach: how far back 1 % of the gradient is left"
    )


def _plot(results: list[Result], path: Path) -> None:
    from charlm.insight.plots import Curve, draw_curves

    curves = [
        Curve(name, [seconds / 60 for seconds, _ in result.curve], [nats / math.log(2) for _, nats in result.curve])
        for name, result in zip(_names(results), results, strict=True)
    ]
    labels = {"title": "Cells at equal budget and parameters", "xlabel": "minutes", "ylabel": "bits per character"}
    draw_curves(curves, labels).save(path)
