"""`charlm train`: parse, run, show."""

from __future__ import annotations

import sys
from typing import TYPE_CHECKING

import click

from charlm.cli.command import charlm_command, complete_model
from charlm.cli.common import stop_on_interrupt
from charlm.cli.options import Options, check_together, given, option, options_of
from charlm.cli.output import is_live, print_note
from charlm.config import BUDGETS, DataConfig, ModelConfig, TrainConfig
from charlm.errors import UsageError
from charlm.settings import PLANNED
from charlm.training import require_torch, runtime_tuning
from charlm.training.torchrun_env import TorchrunEnv

if TYPE_CHECKING:
    from charlm.training.run import Run

# Options that a resumed run may have, because its result does not depend on them.
_FREE = {"paths", "resume", "quiet", "as_json", "tensorboard", "save_every"}
_COMMON = (
    "-o", "--minutes", "--resume", "--from", "--hidden", "--layers", "--dropout", "--format", "--device", "--force",
)  # fmt: skip


@charlm_command(
    ("charlm train novel.txt", "plan for five minutes, train, write checkpoints/novel.safetensors"),
    ("charlm train letters/ notes.txt.gz -o me --minutes 30", "folders, .gz, several inputs"),
    ("journalctl | charlm train - -o log", "from a pipe"),
    ("charlm train --resume novel", "resume after Ctrl-C or a crash, bit by bit the same"),
    ("charlm train poems.txt --from novel -o poet", "fine-tune"),
    ("charlm train smalltalk --minutes 60", "a corpus that charlm corpora built"),
    common=_COMMON,
)
@click.argument("paths", nargs=-1, metavar="PATH...")
@options_of(DataConfig, group="Text")
@options_of(TrainConfig, *BUDGETS, group="Budget")
@option(
    "--from",
    "base",
    group="Model",
    metavar="MODEL",
    shell_complete=complete_model,
    default="auto",
    help="Start from this model. auto chooses a bundled one or none by your text, none starts from scratch.",
)
@options_of(ModelConfig, exclude=["vocabulary"], group="Model")
@option(
    "--dropout",
    group="Optimisation",
    type=click.FloatRange(0, 1, max_open=True),
    metavar="NUMBER",
    help=f"Locked dropout at all three places.  [default: {PLANNED}]",
)
@options_of(TrainConfig, exclude=BUDGETS, group="Optimisation")
@option(
    "-o",
    "--output",
    group="Output",
    metavar="NAME",
    help="The model's name, or a path.  [default: name of the first input]",
)
@option("--resume", group="Output", metavar="NAME", shell_complete=complete_model, help="Resume this run.")
@option("--force", group="Output", is_flag=True, help="Overwrite a model of the same name.")
@option(
    "--save-every",
    group="Output",
    default=30.0,
    type=click.FloatRange(0),
    metavar="SECONDS",
    help="Time between saves.",
)
@option("--quiet", group="Output", is_flag=True, help="Show nothing except errors.")
@option("--json", "as_json", group="Output", is_flag=True, help="Print one event per line on stdout.")
@option("--tensorboard", group="Output", is_flag=True, help="Write TensorBoard events into the run's folder.")
@click.pass_context
def command(ctx: click.Context, /, **options: object) -> int:
    """Train a model on your text.

    PATH may be a file, a folder, a .gz file, - for standard input, or the name of a built corpus. Ctrl-C stops after
    the current step and saves.
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

    def stop() -> None:
        run.request_stop()
        view.stopping()

    # torchrun passes on a Ctrl-C that this process has received already, and ends it if it takes too long.
    with stop_on_interrupt(stop, ignore_second=bool(TorchrunEnv.of().identity)), view:
        for event in run.events():
            view.show(event)
    return view.exit_code


def _make_run(ctx: click.Context, options: Options, live: bool) -> Run:
    if options["resume"] is not None:
        _check_resume(ctx, options)
    elif not options["paths"]:
        raise UsageError("there is no text to train on", "charlm train FILE")
    check_together(options, exclusive=[BUDGETS])
    from charlm.corpora import registry

    data = registry.with_corpora(DataConfig(options["paths"], **given(DataConfig, options)))
    overrides = {**given(ModelConfig, options), **given(TrainConfig, options)}
    if options["dropout"] is not None:
        overrides["dropout"] = options["dropout"]
    require_torch()
    if live:
        print_note("loading torch ...")
    # torch takes seconds to import, so only now, after everything that can be checked without it.
    runtime_tuning.set_spin_count()
    from charlm.training.run import Request, Run

    request = Request(data, options["output"], overrides, options["base"], options["force"])
    return Run(
        request if options["resume"] is None else None,
        resumed=options["resume"],
        save_every=options["save_every"],
        sample_every=4.0 if live else None,
        tensorboard=options["tensorboard"],
    )


def _check_resume(ctx: click.Context, options: Options) -> None:
    if options["paths"]:
        raise UsageError("a resumed run reads the text that it was begun with", "leave the paths out")
    for parameter in ctx.command.params:
        source = ctx.get_parameter_source(parameter.name or "")
        if parameter.name not in _FREE and source is click.core.ParameterSource.COMMANDLINE:
            raise UsageError(
                f"{parameter.opts[-1]} cannot change in a resumed run",
                "leave it out, or begin a new run, with --from to start from these weights",
            )
