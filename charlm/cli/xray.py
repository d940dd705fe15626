"""`charlm xray`: record a model's gates and cells over a text, and show them."""

from __future__ import annotations

import io
import math
import shutil
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from charlm.cli.command import charlm_command, complete_model, load_engine, model_path
from charlm.cli.common import encoding_option, json_option, read_whole
from charlm.cli.options import Options, check_together
from charlm.cli.output import has_colour, is_live, print_json, print_note, print_table, print_text, progress_bar
from charlm.errors import CorpusError, UsageError
from charlm.files import write_bytes
from charlm.text.decoding import Encoding, normalise

if TYPE_CHECKING:
    from rich.console import Console

    from charlm.checkpoint import Checkpoint
    from charlm.insight.activations import Recording, SignalSummary
    from charlm.insight.coloured_text import ColouredText
    from charlm.insight.features import Column
    from charlm.insight.plots import HeatMap
    from charlm.insight.probing import Match, ProbeResult, UnitIndex

DEFAULT_CHARS = 4_000  # characters read
DEFAULT_FIND_CHARS = 40_000  # with --find
MIN_FIND_CHARS = 200
MAX_PRINTED_EXAMPLES = 3
MAP_ROWS = 8  # of a heat map in a terminal


@charlm_command(
    ("charlm xray novel 'It was a dark night.'", "a summary of gates and cells"),
    ("charlm xray novel page.txt --unit 1:37", "the text coloured by unit 37 of layer 1"),
    ("charlm xray novel page.txt --find", "units that track quotes, brackets, line position ..."),
    ("charlm xray novel page.txt --find --feature 'digit=[0-9]+'", "or a feature of your own"),
    ("charlm xray novel 'To be, or not to be' --gates --plot gates.svg", "every gate of every unit"),
    ("charlm xray novel page.txt --npz cells.npz", "for NumPy"),
)
@click.argument("model", shell_complete=complete_model)
@click.argument("text", metavar="TEXT|FILE|-")
@click.option("--unit", metavar="LAYER:INDEX", help="Colour the text by one unit; both count from 0.")
@click.option("--signal", metavar="NAME", help="Signal of the unit, as the table names it.  [default: the memory]")
@click.option("--gates", is_flag=True, help="Heat maps of every signal: a row a unit, a column a character.")
@click.option("--layer", type=int, help="Show only this layer's heat maps.")
@click.option("--find", is_flag=True, help="Find units that track a feature a person can name.")
@click.option(
    "--feature", multiple=True, metavar="NAME=REGEX", help="Add a feature: true inside the expression's matches."
)
@click.option("--top", type=click.IntRange(1, 1000), default=3, help="Units shown for each feature.")
@click.option(
    "--chars",
    type=click.IntRange(min=2),
    help=f"Characters read.  [default: {DEFAULT_CHARS:,}, with --find {DEFAULT_FIND_CHARS:,}]",
)
@click.option(
    "--plot",
    "plot_file",
    type=click.Path(path_type=Path),
    metavar="FILE",
    help="Write the picture; the suffix .html, .svg or .png decides its format.",
)
@click.option("--npz", "npz_file", type=click.Path(path_type=Path), help="Write every signal of every unit.")
@encoding_option
@json_option
def command(model: str, text: str, encoding: Encoding, chars: int | None, as_json: bool, **options: Any) -> None:
    """Look at a model's gates and cells while it reads a text.

    The text is an argument, a file, or - for standard input. Without further options, a table shows for each layer and
    signal its mean, its saturation, and the size of the memory.
    """
    _check(options)
    text = _read_text(text, encoding, chars or (DEFAULT_FIND_CHARS if options["find"] else DEFAULT_CHARS))
    from charlm.cells import CELLS
    from charlm.insight.activations import record

    engine = load_engine(model_path(model))
    columns = _features(text, engine.checkpoint, options["feature"]) if options["find"] else {}
    unit = _unit(options["unit"], options["signal"], engine.checkpoint) if options["unit"] else None
    names = (CELLS[engine.config.cell].MEMORY, "h") if options["find"] else None
    with progress_bar(len(text), "reading") as advance:
        recording = record(engine, text, names=names, on_read=advance)
    if options["npz_file"]:
        _write_npz(recording, options["npz_file"])
    if options["find"]:
        _show_found(recording, columns, options, as_json)
    elif unit is not None:
        _show_unit(recording, unit, options["plot_file"], as_json)
    elif options["gates"]:
        _show_gates(recording, options, as_json)
    else:
        _show_summary(recording, as_json)


def _check(options: Options) -> None:
    check_together(
        options, exclusive=[("unit", "gates", "find")], needed={"feature": "find", "signal": "unit", "layer": "gates"}
    )
    if options["plot_file"] and not (options["unit"] or options["gates"] or options["find"]):
        raise UsageError("--plot needs something to draw", "add --unit LAYER:INDEX, --find or --gates")


def _read_text(argument: str, encoding: Encoding, limit: int) -> str:
    is_file = argument == "-" or _is_file(Path(argument))
    text = (read_whole(argument, encoding) if is_file else normalise(argument))[:limit]
    if not text:
        raise CorpusError("there is no text to read")
    return text


def _is_file(path: Path) -> bool:
    try:
        return path.is_file()
    except (OSError, ValueError):  # too long for a name, or not a name
        return False


def _features(text: str, model: Checkpoint, named: tuple[str, ...]) -> dict[str, Column]:
    from charlm.insight.features import FEATURES, matching, speakers

    columns = {name: feature(text) for name, feature in FEATURES.items()} | speakers(text, model.dialogue)
    for argument in named:
        name, separator, expression = argument.partition("=")
        if not separator or not name or not expression:
            raise UsageError(f"{argument!r} is no feature", "write NAME=REGEX, as in 'digit=[0-9]+'")
        columns[name] = matching(text, expression)
    return columns


def _unit(argument: str, signal: str | None, model: Checkpoint) -> UnitIndex:
    from charlm.cells import CELLS
    from charlm.insight.probing import UnitIndex

    config = model.config
    layer, separator, index = argument.partition(":")
    if not (separator and layer.isdecimal() and index.isdecimal()):
        raise UsageError(f"{argument!r} is no unit", "write LAYER:INDEX, as in 1:37; both count from 0")
    if int(layer) >= config.layers or int(index) >= config.hidden:
        raise UsageError(
            f"there is no unit {argument}", f"layers are 0 to {config.layers - 1}, units 0 to {config.hidden - 1}"
        )
    signal = signal or CELLS[config.cell].MEMORY
    if signal not in CELLS[config.cell].SIGNALS:
        raise UsageError(f"{config.cell} has no signal {signal!r}", f"it has {', '.join(CELLS[config.cell].SIGNALS)}")
    return UnitIndex(int(layer), int(index), signal)


# -- summary ----------------------------------------------------------------------------------------------------------


def _show_summary(recording: Recording, as_json: bool) -> None:
    from charlm.insight.activations import summarise

    rows = summarise(recording)
    if as_json:
        print_json({**_overview(recording), "signals": [row._asdict() for row in rows]})
        return
    bits = "" if math.isnan(recording.bits_per_character) else f", {recording.bits_per_character:.3f} bits/char"
    print_text(f"{recording.cell}, {recording.layers} layers, {len(recording.text):,} characters{bits}")
    heads = ("layer", "", "mean", "spread", "low end", "high end", "length", "")
    print_table("><>>>>><", map(_summary_row, rows), heads)
    print_note("low and high end: share of a gate below .1 and above .9, or of a value beyond -.9 and .9")


def _summary_row(row: SignalSummary) -> list[str]:
    def figure(value: float | None, form: str) -> str:
        return "" if value is None else format(value, form)

    moments = [f"{row.mean:.3f}", f"{row.deviation:.3f}"]
    ends = [figure(row.low, ".1%"), figure(row.high, ".1%")]
    return [str(row.layer), row.name, *moments, *ends, figure(row.norm, ".2f"), row.meaning]


def _overview(recording: Recording) -> dict[str, object]:
    bits = recording.bits_per_character
    return {
        "cell": recording.cell,
        "layers": recording.layers,
        "chars": len(recording.text),
        "bits_per_char": None if math.isnan(bits) else bits,
        "entropy_bits": float(recording.entropy.mean()),
    }


# -- one unit ---------------------------------------------------------------------------------------------------------


def _show_unit(recording: Recording, unit: UnitIndex, plot_file: Path | None, as_json: bool) -> None:
    from charlm.insight.coloured_text import unit_text, write_coloured

    coloured = unit_text(recording, unit)
    if plot_file:
        write_coloured([coloured], plot_file)
    if as_json:
        values = [round(float(value), 6) for value in coloured.values]
        print_json({**_overview(recording), **unit._asdict(), "text": coloured.text, "values": values})
    else:
        _print_coloured(coloured)


def _print_coloured(coloured: ColouredText) -> None:
    """Print a text in colours, or where there are none, with a row of digits below each line."""
    if has_colour(sys.stdout):
        _console().print(coloured.legend(), coloured.body(), sep="\n")
        return
    print_text(f"{coloured.title}; 0 to 9 for {coloured.low:.3g} to {coloured.high:.3g}")
    for line, digits in coloured.plain_lines():
        print_text(f"{line}\n{digits}")


def _console() -> Console:
    from rich.console import Console

    return Console(file=sys.stdout, highlight=False, markup=False, emoji=False)


# -- heat maps --------------------------------------------------------------------------------------------------------


def _show_gates(recording: Recording, options: Options, as_json: bool) -> None:
    from charlm.insight.plots import draw_heat_maps, signal_maps

    maps = signal_maps(recording, options["layer"])
    if options["plot_file"]:
        draw_heat_maps(maps, recording.text).save(options["plot_file"])
    if as_json:
        signals = [
            {"layer": layer, "signal": name, "values": values.round(5).tolist()}
            for (layer, name), values in recording.signals.items()
            if options["layer"] in (None, layer)
        ]
        print_json({**_overview(recording), "text": recording.text, "maps": signals})
    elif not options["plot_file"]:
        for heat_map in maps:
            _print_map(heat_map, recording.text)


def _print_map(heat_map: HeatMap, text: str) -> None:
    """Print a map, as wide as the terminal: each row is the mean of an eighth of the units, sorted by their means."""
    import numpy as np

    from charlm.insight.colour import digits
    from charlm.insight.coloured_text import ColouredText

    width = min(len(text), shutil.get_terminal_size().columns - 2)
    values = heat_map.values[:width]
    order = np.argsort(-values.mean(axis=0), kind="stable")
    low, high = heat_map.low, heat_map.high
    print_text(f"{heat_map.title} ({low:.3g} to {high:.3g})")
    for units in np.array_split(order, min(MAP_ROWS, len(order))):
        row = values[:, units].mean(axis=1)
        if has_colour(sys.stdout):
            _console().print(ColouredText(" " * width, row, low, high, "").body(), no_wrap=True)
        else:
            print_text(digits(row, low, high))
    print_text(text[:width].replace("\n", "\u21b5").replace("\t", "\u21e5"))


# -- units that track a feature ---------------------------------------------------------------------------------------


def _show_found(recording: Recording, columns: dict[str, Column], options: Options, as_json: bool) -> None:
    from charlm.insight.coloured_text import example_text, write_coloured
    from charlm.insight.probing import find

    if len(recording.text) < MIN_FIND_CHARS:
        raise CorpusError("the text is too short to find units in", "use a file of a few thousand characters")
    found = find(recording, columns, top=options["top"])
    examples = [example_text(recording, result, columns[result.feature]) for result in found if result.matches]
    if options["plot_file"]:
        write_coloured(examples, options["plot_file"])
    if as_json:
        print_json({**_overview(recording), "features": [_found_document(result) for result in found]})
        return
    heads = ("feature", "unit", "held out", "chosen", "shuffled")
    print_table("<<>>>", [row for result in found for row in _found_rows(result)], heads)
    for result in found:
        if result.skip_reason:
            print_note(f"{result.feature}: {result.skip_reason}")
    if is_live(sys.stdout):
        for example in examples[:MAX_PRINTED_EXAMPLES]:
            print_text("")
            _print_coloured(example)


def _found_rows(found: ProbeResult) -> Iterator[list[str]]:
    name, control = found.feature, f"{found.control.held_out:.3f}" if found.control else ""
    for match in found.matches:
        yield [name, str(match.unit), f"{match.held_out:.3f}", f"{match.chosen:.3f}", control]
        name = control = ""


def _found_document(found: ProbeResult) -> dict[str, object]:
    def figures(match: Match) -> dict[str, object]:
        return {**match.unit._asdict(), "held_out": match.held_out, "chosen": match.chosen}

    return {
        "feature": found.feature,
        "kind": found.kind,
        "units": [figures(match) for match in found.matches],
        "shuffled": figures(found.control) if found.control else None,
        "skip_reason": found.skip_reason or None,
    }


def _write_npz(recording: Recording, path: Path) -> None:
    import numpy as np

    arrays: dict[str, Any] = {f"{layer}.{name}": values for (layer, name), values in recording.signals.items()}
    arrays |= {"surprise": recording.surprisal, "entropy": recording.entropy}
    arrays["characters"] = np.array([ord(character) for character in recording.text], dtype=np.uint32)
    buffer = io.BytesIO()
    np.savez(buffer, **arrays)
    write_bytes(path, buffer.getvalue())
