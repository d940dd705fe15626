"""`charlm train`: parse, run, show."""

from __future__ import annotations

import signal
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from types import FrameType
from typing import TYPE_CHECKING, Any

import click

from charlm.cli.command import CharlmCommand, complete_model, is_live
from charlm.config import FORMATS
from charlm.errors import UsageError
from charlm.training import runtime_tuning
from charlm.training.torchrun_env import TorchrunEnv

if TYPE_CHECKING:
    from charlm.training.run import Run

# What a resume may say anew, because the run does not depend on it.
_FREE = {"paths", "resume", "quiet", "as_json", "tensorboard", "save_every"}
# What does not go into the plan.
_REQUESTED = (
    "output",
    "base",
    "force",
    "encoding",
    "pattern",
    "min_count",
    "val_fraction",
    "val_file",
    "form",
)
_ELSEWHERE = _FREE | {*_REQUESTED}
_PLANNED = "planned from text and budget"


@click.command(
    cls=CharlmCommand,
    examples=(
        ("charlm train novel.txt", "plan for five minutes, train, write checkpoints/novel.safetensors"),
        ("charlm train letters/ notes.txt.gz -o me --minutes 30", "folders, .gz, several inputs"),
        ("journalctl | charlm train - -o log", "from a pipe"),
        ("charlm train --resume novel", "go on after Ctrl-C or a crash, to the bit"),
        ("charlm train poems.txt --from novel -o poet", "fine-tune"),
        ("charlm train smalltalk --minutes 60", "a corpus that charlm corpora built"),
    ),
)
@click.argument("paths", nargs=-1, metavar="PATH...")
@click.option("-o", "--output", metavar="NAME", help="The model's name, or a path.  [default: the first input's name]")
@click.option("--resume", metavar="NAME", shell_complete=complete_model, help="Go on with this run where it stopped.")
@click.option(
    "--from",
    "base",
    metavar="MODEL",
    shell_complete=complete_model,
    help="Fine-tune this model: its characters keep their weights.",
)
@click.option("--force", is_flag=True, help="Overwrite a model of the same name.")
# The budget.
@click.option("--minutes", type=float, help="Budget in minutes of wall clock.  [default: 5]")
@click.option("--epochs", type=float, help="Budget in passes over the text, instead.")
@click.option("--steps", type=int, help="Budget in steps, instead.")
# The text.
@click.option("--encoding", default="utf-8", help="How the files are encoded.")
@click.option("--glob", "pattern", default="*", help="Which files of a folder to read.")
@click.option(
    "--min-count",
    type=int,
    help="Rarer characters are spelled as UTF-8 bytes.  [default: 1 up to 256 different characters, then 2]",
)
@click.option(
    "--val-fraction",
    default=0.1,
    help="Share of the text, from its end, that validates; at most five million characters.",
)
@click.option("--val-file", metavar="FILE", help="Validate on this file instead.")
@click.option(
    "--format",
    "form",
    type=click.Choice(["auto", *FORMATS]),
    default="auto",
    help="How the text writes turns, for chat; auto finds out.",
)
# The model.
@click.option("--cell", help="lstm, gru, rnn, peephole, cifg, multiplicative or slstm.  [default: lstm]")
@click.option("--hidden", type=int, help=f"Width of each layer.  [default: {_PLANNED}]")
@click.option("--layers", type=int, help=f"How many layers, 1 to 8.  [default: {_PLANNED}]")
@click.option("--embedding", type=int, help="Width of a character's vector.  [default: as --hidden]")
@click.option(
    "--residual/--no-residual", default=None, help="Add each layer's input to its output.  [default: residual]"
)
@click.option("--norm/--no-norm", default=None, help="Layer norm after each layer.  [default: norm]")
@click.option("--tied/--no-tied", default=None, help="Output weights are the embedding's.  [default: no-tied]")
# How it is trained.
@click.option("--lanes", type=int, help=f"Stretches of text read in parallel.  [default: {_PLANNED}]")
@click.option("--chunk", type=int, help=f"Steps of backpropagation through time.  [default: {_PLANNED}]")
@click.option("--carry/--no-carry", default=None, help="Carry the state from chunk to chunk.  [default: carry]")
@click.option("--learning-rate", type=float, help=f"The highest.  [default: {_PLANNED}]")
@click.option("--final-rate", type=float, help="The last, as a share of the highest.  [default: 0.02]")
@click.option("--warmup", type=float, help="Share of the budget over which the rate rises.  [default: 0.02]")
@click.option("--beta1", type=float, help="AdamW's decay of the first moment.  [default: 0.9]")
@click.option("--beta2", type=float, help="AdamW's decay of the second moment.  [default: 0.99]")
@click.option("--weight-decay", type=float, help="AdamW's, on matrices only.  [default: 0.3]")
@click.option("--clip", type=float, help="Cut the gradient's norm to this.  [default: 1]")
@click.option("--dropout", type=float, help=f"Locked dropout at all three places.  [default: {_PLANNED}]")
@click.option("--dropout-input", type=float, help="Locked dropout of the embedding.  [default: as --dropout, else 0]")
@click.option("--dropout-hidden", type=float, help="Locked dropout between layers.  [default: as --dropout]")
@click.option("--dropout-output", type=float, help="Locked dropout before the output.  [default: as --dropout]")
@click.option("--weight-drop", type=float, help="DropConnect on recurrent weights.  [default: 0]")
@click.option("--evaluations", type=int, help="How often to measure on validation text.  [default: 20]")
@click.option("--val-chars", type=int, help=f"Characters read at each of those.  [default: {_PLANNED}]")
@click.option("--patience", type=int, help="Stop after so many evaluations without a new best; 0 never.  [default: 8]")
@click.option("--seed", type=int, help="Of weights, dropout and lane offsets.  [default: 1]")
# The machine.
@click.option("--precision", help="fp32, bf16 or auto, which measures both.  [default: auto]")
@click.option("--device", help="cpu, cuda, mps or auto.  [default: auto]")
@click.option("--threads", type=int, help="Processor threads; 0 is torch's choice.  [default: 0]")
@click.option("--save-every", default=30.0, help="Seconds between saves.")
# What is shown.
@click.option("--quiet", is_flag=True, help="Show nothing but errors.")
@click.option("--json", "as_json", is_flag=True, help="Print one event a line on stdout.")
@click.option("--tensorboard", is_flag=True, help="Write TensorBoard events into the run's folder.")
@click.pass_context
def command(ctx: click.Context, /, **options: Any) -> int:
    """Train a model on your text.

    PATH may be a file, a folder, a .gz file, - for standard input, or the name of a built corpus. Ctrl-C stops after
    the step under way, saved.
    """
    from charlm.cli import dashboard

    # Of several processes one shows what happens.
    is_shown = TorchrunEnv.of().rank == 0 and not options["quiet"]
    live = is_live() and is_shown and not options["as_json"]
    run = _make_run(ctx, options, live)
    if options["as_json"] and TorchrunEnv.of().rank == 0:
        view: dashboard.ProgressView = dashboard.JsonView(sys.stdout)
    elif not is_shown:
        view = dashboard.QuietView()
    else:
        view = dashboard.Dashboard() if live else dashboard.PlainView(sys.stderr)
    with _stopping(run, view), view:
        for event in run.events():
            view.show(event)
    return view.exit_code


def _make_run(ctx: click.Context, options: dict[str, Any], live: bool) -> Run:
    said = {key: value for key, value in options.items() if key not in _ELSEWHERE and value is not None}
    common = {"save_every": options["save_every"], "tensorboard": options["tensorboard"]}
    if options["resume"] is not None:
        source = click.core.ParameterSource.COMMANDLINE
        named = [name for name in options if name not in _FREE and ctx.get_parameter_source(name) == source]
        if options["paths"]:
            raise UsageError("a resumed run reads the text that it was begun with", "leave the paths out")
        if named:
            raise UsageError(
                f"{_option(ctx, named[0])} cannot change in a run that is resumed",
                "leave it out, or begin a new run, with --from if it should start from these weights",
            )
    elif not options["paths"]:
        raise UsageError("there is no text to train on", "charlm train FILE")
    else:
        options = _with_corpora(options)
    _announce(live)
    # torch takes seconds to import, so only now, after everything that can be said without it.
    runtime_tuning.wait_well()
    from charlm.training.run import Request, Run

    sample_every = 4.0 if live else None
    if options["resume"] is not None:
        return Run(resumed=options["resume"], sample_every=sample_every, **common)
    request = Request(
        paths=options["paths"],
        said=said,
        **{key: options[key] for key in _REQUESTED},
    )
    return Run(request, sample_every=sample_every, **common)


def _option(ctx: click.Context, name: str) -> str:
    return next(one.opts[-1] for one in ctx.command.params if one.name == name)


def _with_corpora(options: dict[str, Any]) -> dict[str, Any]:
    """The options with the names of built corpora replaced by their files, and their format, which is known."""
    from charlm.corpora import registry

    form = registry.form(options["paths"]) if options["form"] == "auto" else None
    return options | {"paths": tuple(registry.resolve(options["paths"])), "form": form or options["form"]}


def _announce(live: bool) -> None:
    if live:
        click.echo("loading torch ...", err=True)


@contextmanager
def _stopping(run: Run, view: Any) -> Iterator[None]:
    """The first Ctrl-C asks the run to stop, the second leaves at once.

    torchrun passes on a Ctrl-C that the terminal has told us of already; it kills by itself what then takes too long.
    """
    under_torchrun = bool(TorchrunEnv.of().identity)

    def stop(number: int, frame: FrameType | None) -> None:
        run.request_stop()
        view.stopping()
        signal.signal(number, signal.SIG_IGN if under_torchrun else signal.default_int_handler)

    before = {number: signal.signal(number, stop) for number in (signal.SIGINT, signal.SIGTERM)}
    try:
        yield
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)
