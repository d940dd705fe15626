"""`charlm xray`: parse, record, show."""

from __future__ import annotations

import io
import math
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from charlm.cli.command import CharlmCommand, complete_model, has_colour, is_live, model_path, shown
from charlm.cli.common import print_json, progress_bar, read_whole
from charlm.errors import CorpusError, UsageError

if TYPE_CHECKING:
    from charlm.checkpoint import Checkpoint
    from charlm.insight.activations import Recording, SignalSummary, Watched
    from charlm.insight.plots import Map, Painted
    from charlm.insight.probing import Match, ProbeResult, UnitIndex

TRACKED = 40_000  # characters that --find reads, unless told otherwise
READ = 4_000  # and that the rest reads
EXAMPLE = 320  # characters of an example


@click.command(
    cls=CharlmCommand,
    examples=(
        ("charlm xray novel 'It was a dark night.'", "what gates and cells do, summed up"),
        ("charlm xray novel page.txt --unit 1:37", "the text coloured by unit 37 of layer 1"),
        ("charlm xray novel page.txt --find", "units that track quotes, brackets, line position ..."),
        ("charlm xray novel page.txt --find --feature 'digit=[0-9]+'", "or what you name yourself"),
        ("charlm xray novel 'To be, or not to be' --gates --svg gates.svg", "every gate of every unit"),
        ("charlm xray novel page.txt --npz cells.npz", "for NumPy"),
    ),
)
@click.argument("model", shell_complete=complete_model)
@click.argument("text", metavar="TEXT|FILE|-")
@click.option("--unit", metavar="LAYER:INDEX", help="Colour the text by one unit; both count from 0.")
@click.option("--signal", metavar="NAME", help="Which signal of it, as the table names them.  [default: the memory]")
@click.option("--gates", is_flag=True, help="Heat maps of every signal: a row a unit, a column a character.")
@click.option("--layer", type=int, help="Only this layer's heat maps.")
@click.option("--find", "finds", is_flag=True, help="Look for units that track something a person can name.")
@click.option(
    "--feature",
    "named",
    multiple=True,
    metavar="NAME=REGEX",
    help="Look for this too: inside the expression's matches.",
)
@click.option("--top", default=3, help="So many units a feature.")
@click.option("--chars", type=int, help=f"Read so many characters.  [default: {READ:,}, with --find {TRACKED:,}]")
@click.option("--html", "html_file", type=click.Path(path_type=Path), help="Write the coloured text as a page.")
@click.option("--svg", "svg_file", type=click.Path(path_type=Path), help="Write the picture as SVG.")
@click.option("--png", "png_file", type=click.Path(path_type=Path), help="Write the picture as PNG.")
@click.option("--npz", "npz_file", type=click.Path(path_type=Path), help="Write every signal of every unit.")
@click.option("--encoding", default="utf-8", help="How a file is encoded.")
@click.option("--json", "as_json", is_flag=True, help="Print one object on stdout.")
def command(model: str, text: str, encoding: str, chars: int | None, as_json: bool, **options: Any) -> None:
    """Look at a model's gates and cells while it reads.

    The text is given in place, or as a file's name, or - for standard input. Without further options a table says, for
    each layer and signal, its mean, how much of it is saturated, and how large the memory is.
    """
    _check(options, chars)
    text = _text(text, encoding, chars or (TRACKED if options["finds"] else READ))
    from charlm import checkpoint
    from charlm.inference.engine import Engine
    from charlm.insight.activations import only, record

    engine = Engine(checkpoint.load(model_path(model)))
    watched: Watched = lambda layer, name: True  # noqa: E731  # a value
    columns = {}
    if options["finds"]:
        from charlm.insight.activations import memory_of
        from charlm.insight.probing import tracked

        watched = only(tracked(memory_of(engine.config.cell)))
        columns = _features(text, engine.checkpoint, options["named"])
    unit = _unit(options["unit"], options["signal"], engine.checkpoint) if options["unit"] else None
    with progress_bar(len(text), "reading") as advance:
        recording = record(engine, text, watched=watched, on_read=advance)
    if options["npz_file"]:
        _write_npz(recording, options["npz_file"])
    if options["finds"]:
        _show_found(recording, columns, options, as_json)
    elif unit is not None:
        _show_unit(recording, unit, options, as_json)
    elif options["gates"]:
        _show_gates(recording, options, as_json)
    else:
        _show_summary(recording, as_json)


def _check(options: Mapping[str, Any], chars: int | None) -> None:
    chosen = [name for name, key in (("--unit", "unit"), ("--gates", "gates"), ("--find", "finds")) if options[key]]
    if len(chosen) > 1:
        raise UsageError(f"{chosen[0]} and {chosen[1]} do not go together", "say one of them")
    if options["named"] and not options["finds"]:
        raise UsageError("--feature is something to look for", "add --find")
    if options["signal"] and not options["unit"]:
        raise UsageError("--signal says which signal of a unit", "add --unit LAYER:INDEX")
    if options["layer"] is not None and not options["gates"]:
        raise UsageError("--layer says whose heat maps", "add --gates")
    pictures = [name for name in ("html", "svg", "png") if options[f"{name}_file"]]
    if pictures and not chosen:
        raise UsageError(f"--{pictures[0]} needs something to draw", "add --unit LAYER:INDEX, --find or --gates")
    if options["html_file"] and options["gates"]:
        raise UsageError("heat maps are drawn as SVG or PNG, not as HTML", "say --svg FILE")
    if chars is not None and chars < 2:
        raise UsageError(f"chars is {chars}, but must be 2 or more")
    if not 1 <= options["top"] <= 1000:
        raise UsageError(f"top is {options['top']}, but must lie between 1 and 1000")


def _text(given: str, encoding: str, limit: int) -> str:
    from charlm.text.decoding import normalise

    text = (read_whole(given, encoding) if given == "-" or _is_file(Path(given)) else normalise(given))[:limit]
    if not text:
        raise CorpusError("there is no text to read")
    return text


def _is_file(path: Path) -> bool:
    try:
        return path.is_file()
    except (OSError, ValueError):  # too long for a name, or no name at all
        return False


def _features(text: str, model: Checkpoint, named: tuple[str, ...]) -> dict[str, Any]:
    from charlm.insight.features import FEATURES, matching, speakers

    columns = {name: tell(text) for name, tell in FEATURES.items()} | speakers(text, model.dialogue)
    for each in named:
        name, separator, expression = each.partition("=")
        if not separator or not name or not expression:
            raise UsageError(f"{each!r} is no feature", "say NAME=REGEX, as in 'digit=[0-9]+'")
        columns[name] = matching(text, expression)
    return columns


def _unit(written: str, signal: str | None, model: Checkpoint) -> UnitIndex:
    from charlm.insight.activations import memory_of, signals_of
    from charlm.insight.probing import UnitIndex

    config = model.config
    layer, separator, index = written.partition(":")
    if not (separator and layer.isdecimal() and index.isdecimal()):
        raise UsageError(f"{written!r} is no unit", "say LAYER:INDEX, as in 1:37; both count from 0")
    if int(layer) >= config.layers or int(index) >= config.hidden:
        raise UsageError(
            f"there is no unit {written}", f"layers are 0 to {config.layers - 1}, units 0 to {config.hidden - 1}"
        )
    signal = signal or memory_of(config.cell)
    if signal not in signals_of(config.cell):
        raise UsageError(f"{config.cell} has no signal {signal!r}", f"it has {', '.join(signals_of(config.cell))}")
    return UnitIndex(int(layer), int(index), signal)


# The table


def _show_summary(recording: Recording, as_json: bool) -> None:
    from charlm.insight.activations import summarise

    rows = summarise(recording)
    if as_json:
        print_json({**_about(recording), "signals": [row._asdict() for row in rows]})
        return
    bits = "" if math.isnan(recording.bits_per_character) else f", {recording.bits_per_character:.3f} bits/char"
    click.echo(f"{recording.cell}, {recording.layers} layers, {len(recording.text):,} characters{bits}")
    click.echo(f"{'layer':>5} {'':6} {'mean':>7} {'spread':>7} {'low end':>8} {'high end':>8} {'length':>7}")
    for row in rows:
        click.echo(_summary_line(row))
    click.echo(
        "low and high end: shares below .1 and above .9 of a gate, beyond .9 of what lies between -1 and 1", err=True
    )


def _summary_line(row: SignalSummary) -> str:
    def share(value: float | None) -> str:
        return "" if value is None else f"{value:.1%}"

    length = "" if row.norm is None else f"{row.norm:.2f}"
    figures = f"{row.mean:7.3f} {row.deviation:7.3f} {share(row.low):>8} {share(row.high):>8} {length:>7}"
    return f"{row.layer:>5} {row.name:6} {figures}  {row.meaning}"


def _about(recording: Recording) -> dict[str, Any]:
    bits = recording.bits_per_character
    return {
        "cell": recording.cell,
        "layers": recording.layers,
        "chars": len(recording.text),
        "bits_per_char": None if math.isnan(bits) else bits,
        "entropy_bits": float(recording.entropy.mean()),
    }


# One unit


def _painted(recording: Recording, unit: UnitIndex, start: int = 0, stop: int | None = None) -> Painted:
    from charlm.insight.activations import signals_of
    from charlm.insight.plots import Painted

    values = recording.signals[unit.layer, unit.signal][:, unit.number]
    signal = signals_of(recording.cell)[unit.signal]
    low = signal.low if math.isfinite(signal.low) else float(values.min())
    high = signal.high if math.isfinite(signal.high) else float(values.max())
    title = f"layer {unit.layer}, unit {unit.number}, {unit.signal}: {signal.meaning}"
    return Painted(recording.text[start:stop], values[start:stop], low, high, title)


def _show_unit(recording: Recording, unit: UnitIndex, options: Mapping[str, Any], as_json: bool) -> None:
    painted = _painted(recording, unit)
    _write_pictures([painted], options)
    if as_json:
        values = [round(float(value), 6) for value in painted.values]
        print_json({**_about(recording), **unit._asdict(), "text": painted.text, "values": values})
    else:
        _print_painted(painted)


def _write_pictures(parts: list[Painted], options: Mapping[str, Any]) -> None:
    from charlm.files import write_bytes
    from charlm.insight import plots

    if path := options["html_file"]:
        write_bytes(path, plots.to_html(parts).encode())
    if path := options["svg_file"]:
        write_bytes(path, plots.to_svg(parts).encode())
    if path := options["png_file"]:
        plots.text_to_png(parts, path)


def _print_painted(painted: Painted) -> None:
    """On a terminal in colours; elsewhere, and where there are none, with a row of digits under every line."""
    from charlm.insight.colour import ink, levels

    ends = f"{painted.low:.3g} to {painted.high:.3g}"
    if not has_colour(sys.stdout):
        click.echo(shown(f"{painted.title}; 0 to 9 for {ends}", sys.stdout))
        first = 0
        for line in painted.text.splitlines(keepends=True):
            digits = levels(painted.values[first : first + len(line)], painted.low, painted.high)
            sys.stdout.write(shown(line.removesuffix("\n"), sys.stdout) + "\n" + digits + "\n")
            first += len(line)
        return
    from rich.color import Color
    from rich.console import Console
    from rich.style import Style
    from rich.text import Text

    console = Console(file=sys.stdout, highlight=False, markup=False, emoji=False)
    scale = Text(f"{painted.title}  {painted.low:.3g} ")
    for colour in painted.scale(16):
        scale.append(" ", Style(bgcolor=Color.from_rgb(*colour)))
    scale.append(f" {painted.high:.3g}")
    console.print(scale)
    body = Text(no_wrap=False)
    for row in painted.rows(10**9):
        for character, colour in row:
            body.append(character, Style(color=Color.from_rgb(*ink(colour)), bgcolor=Color.from_rgb(*colour)))
        body.append("\n")
    console.print(body, end="")


# Heat maps


def _maps(recording: Recording, layer: int | None) -> list[Map]:
    import numpy as np

    from charlm.insight.activations import signals_of
    from charlm.insight.plots import Map

    maps = []
    for (number, name), values in recording.signals.items():
        if layer is not None and number != layer:
            continue
        signal = signals_of(recording.cell)[name]
        # A few units that count go far beyond all others, which would look alike.
        reach = float(np.quantile(abs(values), 0.99)) or 1.0
        low = signal.low if math.isfinite(signal.low) else -reach
        high = signal.high if math.isfinite(signal.high) else reach
        maps.append(Map(f"layer {number}, {name}: {signal.meaning}", values, low, high))
    if not maps:
        raise UsageError(f"there is no layer {layer}", f"layers are 0 to {recording.layers - 1}")
    return maps


def _show_gates(recording: Recording, options: Mapping[str, Any], as_json: bool) -> None:
    from charlm.insight import plots

    maps = _maps(recording, options["layer"])
    for path in (options["svg_file"], options["png_file"]):
        if path:
            plots.heat_maps(maps, recording.text, path)
    if as_json:
        signals = [
            {"layer": layer, "signal": name, "values": values.round(5).tolist()}
            for (layer, name), values in recording.signals.items()
            if options["layer"] in (None, layer)
        ]
        print_json({**_about(recording), "text": recording.text, "maps": signals})
    elif not (options["svg_file"] or options["png_file"]):
        for each in maps:
            _print_map(each, recording.text)


def _print_map(drawn: Map, text: str) -> None:
    """Eight rows, each the mean of an eighth of the units, sorted by their means; as wide as there is room."""
    import shutil

    import numpy as np

    from charlm.insight.colour import colours, levels

    width = min(len(text), shutil.get_terminal_size().columns - 2)
    values = drawn.values[:width]
    order = np.argsort(-values.mean(axis=0), kind="stable")
    rows = [values[:, units].mean(axis=1) for units in np.array_split(order, min(8, len(order)))]
    click.echo(f"{drawn.title} ({drawn.low:.3g} to {drawn.high:.3g})")
    for row in rows:
        if has_colour(sys.stdout):
            _print_strip(colours(row, drawn.low, drawn.high).tolist())
        else:
            click.echo(levels(row, drawn.low, drawn.high))
    click.echo(shown(text[:width].replace("\n", "\u21b5").replace("\t", "\u21e5"), sys.stdout))


def _print_strip(row: list[tuple[int, int, int]]) -> None:
    """A row of blocks, in as many colours as the terminal has."""
    from rich.color import Color
    from rich.console import Console
    from rich.style import Style
    from rich.text import Text

    strip = Text(no_wrap=True)
    for colour in row:
        strip.append(" ", Style(bgcolor=Color.from_rgb(*colour)))
    Console(file=sys.stdout, highlight=False).print(strip)


# Units that track something


def _show_found(recording: Recording, columns: dict[str, Any], options: Mapping[str, Any], as_json: bool) -> None:
    from charlm.insight.probing import find

    if len(recording.text) < 200:
        raise CorpusError("the text is too short to find anything in", "give a file of some thousand characters")
    found = find(recording, columns, top=options["top"])
    examples = [_example(recording, each, columns) for each in found if each.matches]
    _write_pictures([example for example, _ in examples], options)
    if as_json:
        print_json({**_about(recording), "features": [_found_document(each) for each in found]})
        return
    click.echo(f"{'feature':24} {'unit':12} {'held out':>8} {'chosen':>8} {'shuffled':>8}")
    for each in found:
        for number, match in enumerate(each.matches):
            assert each.control is not None
            control = f"{each.control.held_out:8.3f}" if number == 0 else ""
            name = shown(each.feature, sys.stdout) if number == 0 else ""
            click.echo(f"{name:24} {match.unit!s:12} {match.held_out:8.3f} {match.chosen:8.3f} {control}")
    for each in found:
        if each.why_not:
            click.echo(shown(f"{each.feature}: {each.why_not}", sys.stderr), err=True)
    if is_live(sys.stdout):
        for painted, _ in examples[:3]:
            click.echo()
            _print_painted(painted)


def _example(recording: Recording, found: ProbeResult, columns: dict[str, Any]) -> tuple[Painted, Match]:
    """A passage of the second half where the feature changes most often, coloured by the best unit."""
    from dataclasses import replace

    import numpy as np

    match = found.matches[0]
    column, half = columns[found.feature], len(recording.text) // 2
    changes = np.cumsum(np.append(0, np.abs(np.diff(column)) > 0))
    starts = np.arange(half, max(half + 1, len(column) - EXAMPLE))
    ends = np.minimum(starts + EXAMPLE, len(column) - 1)
    start = int(starts[np.argmax(changes[ends] - changes[starts])])
    painted = _painted(recording, match.unit, start, start + EXAMPLE)
    title = f"{found.feature}: {match.unit}, held-out correlation {match.held_out:.2f}"
    values = painted.values
    return replace(
        painted, title=title, low=float(np.quantile(values, 0.02)), high=float(np.quantile(values, 0.98))
    ), match


def _found_document(found: ProbeResult) -> dict[str, Any]:
    def figures(match: Match) -> dict[str, Any]:
        return {**match.unit._asdict(), "held_out": match.held_out, "chosen": match.chosen}

    return {
        "feature": found.feature,
        "kind": found.kind,
        "units": [figures(match) for match in found.matches],
        "shuffled": figures(found.control) if found.control else None,
        "why_not": found.why_not or None,
    }


def _write_npz(recording: Recording, path: Path) -> None:
    import numpy as np

    from charlm.files import write_bytes

    arrays: dict[str, Any] = {f"{layer}.{name}": values for (layer, name), values in recording.signals.items()}
    arrays |= {"surprise": recording.surprise, "entropy": recording.entropy}
    arrays["characters"] = np.array([ord(character) for character in recording.text], dtype=np.uint32)
    buffer = io.BytesIO()
    np.savez(buffer, **arrays)
    write_bytes(path, buffer.getvalue())
