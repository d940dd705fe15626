"""Views of a training run: a live dashboard, plain lines, JSON, or nothing. Losses are shown in bits per character."""

from __future__ import annotations

import math
from collections.abc import Sequence
from pathlib import Path
from typing import Self, TextIO

from rich.console import Console, Group, RenderableType
from rich.live import Live
from rich.panel import Panel
from rich.progress_bar import ProgressBar
from rich.table import Table
from rich.text import Text

from charlm.cli import INTERRUPTED
from charlm.cli.output import print_json, print_note
from charlm.registry import command_name
from charlm.settings import plural
from charlm.text.dataset import CacheRebuilt, Reading
from charlm.text.dialogue import MAX_NAMES
from charlm.text.sanitize import visible
from charlm.training import events
from charlm.training.base_selection import Start

BARS = "▁▂▃▄▅▆▇█"
SHOWN_FILES = 10  # of those that cannot be read, in the plan
SHOWN_NAMES = 4  # of speakers, in the plan
STOPPING = "stopping after this step; Ctrl-C again leaves at once"
_ENDS = {
    "budget": "the budget is spent",
    "epochs": "the text is read so often that more would not improve it",
    "patience": "it stopped improving",
}


class ProgressView:
    """Base of the views; shows nothing."""

    exit_code = 0

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *exception: object) -> None:
        pass

    def show(self, event: events.Event) -> None:
        if isinstance(event, events.Ended) and event.reason == "interrupted":
            self.exit_code = INTERRUPTED

    def stopping(self) -> None:
        """Show that the run will stop after this step."""


class QuietView(ProgressView):
    """Prints only that a save failed."""

    def show(self, event: events.Event) -> None:
        super().show(event)
        if isinstance(event, events.SaveFailed):
            print_note(notice(event))


class JsonView(ProgressView):
    """Prints an event a line, except for steps and progress of reading."""

    def __init__(self, stream: TextIO) -> None:
        self._stream = stream

    def show(self, event: events.Event) -> None:
        super().show(event)
        if not isinstance(event, events.Stepped | Reading):
            print_json(events.to_dict(event), stream=self._stream)


class PlainView(ProgressView):
    """Prints a line for each evaluation; for streams that cannot redraw."""

    def __init__(self, stream: TextIO) -> None:
        self._console = Console(file=stream, highlight=False, soft_wrap=True, markup=False, emoji=False)

    def show(self, event: events.Event) -> None:
        super().show(event)
        match event:
            case events.Planned():
                self._console.print(plan_table(event))
            case events.Evaluated():
                self._console.print(evaluation_line(event))
            case CacheRebuilt() | events.RolledBack() | events.SaveFailed():
                self._console.print(notice(event))
            case events.Ended():
                self._console.print(farewell(event))

    def stopping(self) -> None:
        self._console.print(STOPPING)


class Dashboard(ProgressView):
    """Redraws plan, progress, curves and sample on a terminal."""

    def __init__(self, console: Console | None = None) -> None:
        self._console = console or Console(stderr=True, highlight=False, markup=False, emoji=False)
        self._bytes = 0
        self._plan: events.Planned | None = None
        self._step: events.Stepped | None = None
        self._evaluated: events.Evaluated | None = None
        self._train: list[float] = []
        self._validation: list[float] = []
        self._sample = ""
        self._notices: list[str] = []
        self._ended: events.Ended | None = None
        # Last, because it draws immediately.
        self._live = Live(
            get_renderable=self._render, console=self._console, refresh_per_second=4, redirect_stdout=False
        )

    def __enter__(self) -> Self:
        self._live.start()
        return self

    def __exit__(self, *exception: object) -> None:
        self._live.stop()
        if self._ended is not None:
            self._console.print(farewell(self._ended))

    def show(self, event: events.Event) -> None:
        super().show(event)
        match event:
            case Reading():
                self._bytes = event.bytes
            case events.Planned():
                self._console.print(plan_table(event))
                self._plan = event
            case events.Stepped():
                self._step = event
            case events.Evaluated():
                self._evaluated = event
                self._validation.append(event.validation)
                if event.train is not None:
                    self._train.append(event.train)
            case events.Sampled():
                self._sample = visible(event.text).replace("\t", "    ")
            case CacheRebuilt() | events.RolledBack() | events.SaveFailed():
                self._notices = [*self._notices[-2:], notice(event)]
            case events.Ended():
                self._ended = event
            case events.Saved():
                pass

    def stopping(self) -> None:
        self._notices = [*self._notices[-2:], STOPPING]

    def _render(self) -> RenderableType:
        if self._plan is None:
            return Text(f"reading ... {self._bytes / 1e6:.1f} MB", style="dim")
        parts: list[RenderableType] = [self._progress(), self._figures()]
        parts += [Text(line, style="yellow") for line in self._notices]
        if self._sample:
            height = max(3, min(12, self._console.height - 12))
            lines = "\n".join(self._sample.strip("\n").split("\n")[: height - 2])
            parts.append(Panel(Text(lines), title="sample", title_align="left", border_style="dim", height=height))
        return Group(*parts)

    def _progress(self) -> RenderableType:
        step, width = self._step, max(10, min(40, self._console.width - 40))
        done = 1.0 if self._ended and self._ended.reason != "interrupted" else step.progress if step else 0.0
        row = Table.grid(padding=(0, 1))
        spent = step.seconds if step else 0.0
        row.add_row(
            ProgressBar(total=1.0, completed=done, width=width),
            f"{done:4.0%}",
            f"{clock(spent)} spent",
            f"{clock(spent / done - spent)} left" if 0.01 < done < 1 else "",
        )
        return row

    def _figures(self) -> RenderableType:
        step, evaluated = self._step, self._evaluated
        room = max(0, min(24, self._console.width - 56))
        table = Table.grid(padding=(0, 2))
        if step is not None:
            table.add_row(
                Text("train", style="cyan"), bits(step.train), sparkline(self._train, room), f"step {step.step:,}"
            )
        if evaluated is not None:
            table.add_row(
                Text("validation", style="magenta"), bits(evaluated.validation), sparkline(self._validation, room),
                f"best {bits(evaluated.best)}",
            )  # fmt: skip
        if step is not None:
            table.add_row(
                Text("speed", style="dim"), f"{step.characters_per_second:,.0f} chars/s", "",
                f"epoch {step.epoch:.2f}   rate {step.learning_rate:.1e}   gradient {step.gradient_norm:.2f}",
            )  # fmt: skip
        return table


def bits(nats: float) -> str:
    """Return a loss as text, in bits."""
    return f"{nats / math.log(2):.3f} bits/char"


def clock(seconds: float) -> str:
    """Return seconds as 4:05 or 1:02:03."""
    minutes, rest = divmod(round(seconds), 60)
    hours, minutes = divmod(minutes, 60)
    return f"{hours}:{minutes:02}:{rest:02}" if hours else f"{minutes}:{rest:02}"


def sparkline(values: Sequence[float], width: int = 24) -> str:
    """Return a row of bars, high for high values."""
    shown = [value for value in values if math.isfinite(value)][-width:]
    if not shown or not width:
        return ""
    low, span = min(shown), max(shown) - min(shown)
    return "".join(BARS[round((value - low) / span * (len(BARS) - 1)) if span else 0] for value in shown)


def plan_table(event: events.Planned) -> RenderableType:
    """Return the plan of a run."""
    model, train = event.model, event.train
    table = Table.grid(padding=(0, 2))
    kinds = f"{event.characters} distinct" + (", rarer ones as bytes" if event.has_bytes else "")
    table.add_row(
        "text",
        f"{event.train_characters:,} characters to train on, {event.validation_characters:,} to validate ({kinds})",
    )
    extras = [name for name in ("residual", "norm", "tied") if getattr(model, name)]
    shape = f"{model.cell}, {model.layers} x {model.hidden}, {' + '.join(extras) or 'plain'}"
    table.add_row("start", start_line(event.start))
    table.add_row("model", f"{shape}, {event.parameters:,} parameters")
    rates = [train.dropout_input, train.dropout_hidden, train.dropout_output]
    dropout = f"{rates[0]:g}" if len(set(rates)) == 1 else " / ".join(f"{rate:g}" for rate in rates)
    weight_drop = f", weight-drop {train.weight_drop:g}" if train.weight_drop else ""
    lanes = f"{train.lanes} lanes x {train.chunk} steps" + f" in each of {event.ranks} processes" * (event.ranks > 1)
    most = f" or {train.max_epochs:g} epochs" if train.minutes is not None and train.max_epochs else ""
    table.add_row("training", f"{train.budget}{most}, {lanes}, rate {train.learning_rate:g}")
    machine = f"{event.precision} on {event.device}, {event.threads} threads"
    table.add_row("", f"dropout {dropout}{weight_drop}, seed {train.seed}, {machine}")
    if event.exports:
        table.add_row("export", event.exports)
    table.add_row("dialogue", dialogue_line(event))
    if event.skipped:
        table.add_row("skipped", f"{plural(len(event.skipped), 'binary file')}, first {visible(event.skipped[0])}")
    for number, problem in enumerate(event.unreadable[:SHOWN_FILES]):
        table.add_row("left out" * (number == 0), visible(problem))
    if more := len(event.unreadable[SHOWN_FILES:]):
        table.add_row("", f"and {plural(more, 'file')} more")
    start = f"resumes at step {event.resumed_at}" if event.resumed_at is not None else event.path
    return Group(Text(visible(f"{event.name}: {start}"), style="bold"), table)


def start_line(start: Start) -> str:
    """Return what the run starts from, and the reason."""
    if start.base is not None:
        reason = ", as requested"
        if start.loss is not None and start.scratch is not None:
            reason = f": {bits(start.loss)} on your text before training, about {bits(start.scratch)} from scratch"
        return visible(start.base) + reason + "; it was trained on this text" * start.has_seen_text
    if start.conflict:
        return f"random weights: {start.conflict} fits no bundled base"
    if start.loss is not None and start.scratch is not None:
        expected = f"{bits(start.loss)} on your text before training, about {bits(start.scratch)} from scratch"
        return f"random weights: the best base has {expected}"
    return "random weights" + ", as requested" * (start.chosen_by == "user")


def dialogue_line(event: events.Planned) -> str:
    """Return the dialogue format and the reason for it."""
    dialogue, detected = event.dialogue, event.dialogue_detected
    names = ", ".join(dialogue.names[:SHOWN_NAMES]) + (", ..." if len(dialogue.names) > SHOWN_NAMES else "")
    count = f"{len(dialogue.names)}{' or more' * (len(dialogue.names) == MAX_NAMES)}"
    speakers = f", {count} speaker{'s' * (len(dialogue.names) > 1)}: {names}" if names else ""
    if event.dialogue_chosen_by == "base":
        return f"{dialogue.format}, kept from the base model: the text has no turns{speakers}"
    if event.dialogue_chosen_by == "text":
        explained = {"plain": "plain: no turns were found", "lines": "lines: a turn a line"}
        return explained.get(dialogue.format, dialogue.format) + speakers
    if dialogue.format in ("plain", detected) or speakers:
        return f"{dialogue.format}, as requested{speakers}"
    lacking = "no speakers were found" if dialogue.has_names else "the text seems to have another format"
    return f"{dialogue.format}, as requested, but {lacking}" + (f"; it looks like {detected}" * (detected != "plain"))


def evaluation_line(event: events.Evaluated) -> str:
    """Return an evaluation as a line."""
    train = f"{event.train / math.log(2):.4f}" if event.train is not None else "-"
    mark = " *" if event.improved else ""
    return (
        f"step {event.step}  epoch {event.epoch:.2f}  {clock(event.seconds)}  train {train}  "
        f"validation {event.validation / math.log(2):.4f} bits/char{mark}  {event.characters_per_second:.0f} chars/s"
    )


def notice(event: CacheRebuilt | events.RolledBack | events.SaveFailed) -> str:
    """Return the message of a problem that the run has handled."""
    if isinstance(event, CacheRebuilt):
        return visible(event.message)
    if isinstance(event, events.RolledBack):
        back = f"back to step {event.step} with {event.rate_scale:g} of the learning rate"
        return f"the loss diverged ({event.loss:.3g}); {back}"
    return f"not saved at step {event.step}: {event.message}; the files of the last save are unchanged"


def farewell(event: events.Ended) -> RenderableType:
    """Return the result, and the next command."""
    path, name = visible(event.path), visible(command_name(Path(event.path)))
    if event.reason == "interrupted":
        return Text(f"stopped at step {event.step}, saved\nresume:  charlm train --resume {name}")
    assert event.validation is not None
    size = event.bytes / 1e6
    return Text(
        f"{_ENDS[event.reason]} after {clock(event.record.seconds)}, {event.record.characters_seen:,} characters read\n"
        f"{path}, {size:.1f} MB, validation {bits(event.validation)} ({event.validation:.4f} nats)\n"
        f"next:   charlm sample {name}"
    )
