"""`charlm models`: lists models, shows, exports and describes them."""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import click

from charlm.checkpoint import Checkpoint, ModelHeader, Precision, load, read_header, save
from charlm.cli.command import charlm_group, complete_model
from charlm.cli.common import json_option
from charlm.cli.output import print_json, print_note, print_table, print_text
from charlm.errors import OutputError, UsageError
from charlm.registry import ModelCard, find_model, model_cards, shape_text
from charlm.tensor_shapes import parameter_count
from charlm.text.sanitize import visible

MAX_SHOWN_CHARS = 200  # of the vocabulary, in a card
MAX_SHOWN_NAMES = 8
MAX_SHOWN_SOURCES = 10
_PRECISIONS = {".html": "half", ".onnx": "full"}  # of files that have only one


@charlm_group(
    ("charlm models", "the list"),
    ("charlm models show novel", "a card"),
    ("charlm models export novel -o novel-half.safetensors", "half the size, to share"),
)
@json_option
@click.pass_context
def command(ctx: click.Context, as_json: bool) -> None:
    """List models, show their cards.

    Models are found in ./checkpoints, in the user's data folder and among the bundled ones.
    """
    if ctx.invoked_subcommand is not None:
        return
    rows = [_summary(card) for card in model_cards()]
    if as_json:
        print_json(rows, indent=1)
        return
    if not rows:
        print_note("no models yet; make one with charlm train FILE")
    print_table("<<", [(str(row["name"]), str(row["says"])) for row in rows])


def _summary(card: ModelCard) -> dict[str, object]:
    named = {"name": card.name, "path": str(card.path)}
    if card.header is None:
        return {**named, "error": card.error, "says": f"unreadable: {card.error}"}
    says = f"{card.shape}, {card.size}, {card.loss}, {card.path.parent}"
    return {**named, "says": says, **_card(card.path, card.header)}


@command.subcommand(("charlm models show novel", "its card"), ("charlm models show novel --json", "all of it"))
@click.argument("model", shell_complete=complete_model)
@json_option
def show(model: str, as_json: bool) -> None:
    """Print a model's card: shape, vocabulary, text, training, validation."""
    path = find_model(model)
    header = read_header(path)  # raises for a damaged file
    if as_json:
        document = _card(path, header) | {
            "characters": "".join(header.vocabulary.characters),
            "bytes": header.vocabulary.has_bytes,
            "record": vars(header.record),
            "dialogue": header.dialogue.to_dict(),
        }
        print_json(document, indent=1)
    else:
        print_table("<<", _rows(path, header))


@command.subcommand(
    ("charlm models export novel -o novel-half.safetensors", "half the size, to share"),
    ("charlm models export novel -o novel-int8.safetensors --int8", "a quarter of the size"),
    ("charlm models export novel -o novel.html", "a page that runs it in any browser"),
    ("charlm models export novel -o novel.onnx", "one step, for ONNX runtimes"),
    ("charlm models export novel -o copy.safetensors --full", "as it is"),
)
@click.argument("model", shell_complete=complete_model)
@click.option("-o", "--output", type=click.Path(path_type=Path, dir_okay=False), required=True, help="The file.")
@click.option("--full", "precision", flag_value="full", help="Keep float32.")
@click.option("--half", "precision", flag_value="half", help="Store float16: half the size.  [default]")
@click.option("--int8", "precision", flag_value="int8", help="Store 8-bit integers: a quarter of the size.")
@click.option("--force", is_flag=True, help="Overwrite an existing file.")
def export(model: str, output: Path, precision: Precision | None, force: bool) -> None:
    """Write a copy of a model, by default in half precision: half the size, float32 again when it is loaded.

    A file name that ends in .html makes a page that runs the model in any browser, without a connection. One in .onnx
    makes a file for ONNX runtimes: one step, from ids and state to logits and next state.

    The copy names the authors and licences of the corpora that it was trained on, if they are built here.
    """
    path, kind = find_model(model), output.suffix.lower()
    fixed = _PRECISIONS.get(kind, precision)
    if precision not in (None, fixed):
        raise UsageError(f"the weights in an {kind} file have {fixed} precision", f"leave --{precision} out")
    if output.exists() and not force:
        raise OutputError(f"{output} already exists", "choose another name with -o, or overwrite with --force")
    checkpoint = _load_with_notices(path)
    if kind == ".html":
        from charlm.html.export import write_page  # only here: it imports what activations need

        write_page(checkpoint, path.stem, output)
    elif kind == ".onnx":
        from charlm.onnx_export import write_onnx

        write_onnx(checkpoint, output)
    else:
        save(checkpoint, output, precision or "half")
    print_text(str(output))
    print_note(f"{path.stat().st_size / 1e6:.2f} MB, exported as {output.stat().st_size / 1e6:.2f} MB")


@command.subcommand(("charlm models card novel > README.md", "next to novel.safetensors on Hugging Face"))
@click.argument("model", shell_complete=complete_model)
@click.option("-n", "--chars", default=400, show_default=True, type=click.IntRange(0), help="Length of the sample.")
def card(model: str, chars: int) -> None:
    """Print a README for Hugging Face: metadata, use, a sample, training, authors and licences.

    Name the licence that you choose for the model in the metadata, and your account under "Use".
    """
    from charlm.api import Model  # only here: both import what loads and runs a model
    from charlm.model_readme import model_readme

    path = find_model(model)
    loaded = _load_with_notices(path)
    sample = Model(loaded).generate(max_chars=chars, seed=1, temperature=0.7)
    header = ModelHeader(loaded.config, loaded.vocabulary, loaded.record, loaded.dialogue)
    print_text(model_readme(header, path.stem, sample), end="")


def _load_with_notices(path: Path) -> Checkpoint:
    """Load a model; its record names the authors of its texts if their corpora are built here."""
    from charlm.corpora.registry import notices  # only here: it imports what downloads need

    checkpoint = load(path)
    record = checkpoint.record
    known = record.notices or [notice for text in record.sources for notice in notices(text["sha256"])]
    return replace(checkpoint, record=replace(record, notices=known))


def _card(path: Path, header: ModelHeader) -> dict[str, object]:
    return {
        "config": header.config.to_dict(),
        "parameters": parameter_count(header.config),
        "bytes": path.stat().st_size,
        "validation": header.record.validation,
        "seconds": header.record.seconds,
    }


def _rows(path: Path, header: ModelHeader) -> Iterator[tuple[str, str]]:
    config, vocabulary, record, dialogue = header
    extras = [name for name in ("residual", "norm", "tied") if getattr(config, name)]
    characters = visible("".join(vocabulary.characters)).replace("\n", "\u240a").replace("\t", "\u2409")
    yield "name", path.stem
    yield "file", f"{path}, {path.stat().st_size / 1e6:.2f} MB"
    yield "shape", f"{shape_text(config)}, embedding {config.embedding}, {' + '.join(extras) or 'plain'}"
    yield "parameters", f"{parameter_count(config):,}"
    yield "vocabulary", f"{len(vocabulary.characters)} characters" + " and 256 bytes" * vocabulary.has_bytes
    yield "", characters[:MAX_SHOWN_CHARS] + " ..." * (len(characters) > MAX_SHOWN_CHARS)
    if dialogue.has_turns:
        names = ", ".join([*dialogue.names[:MAX_SHOWN_NAMES], *["..."] * (len(dialogue.names) > MAX_SHOWN_NAMES)])
        yield "dialogue", ": ".join(filter(None, (dialogue.format, names)))
    for source in record.sources[:MAX_SHOWN_SOURCES]:
        yield "text", f"{source['name']}, {source['bytes']:,} bytes, sha256 {source['sha256'][:16]}..."
    if len(record.sources) > MAX_SHOWN_SOURCES:
        yield "", f"and {len(record.sources) - MAX_SHOWN_SOURCES} files more"
    for number, notice in enumerate(record.notices):
        yield "" if number else "authors", notice
    if record.base:
        yield "fine-tuned", f"from {record.base}, fingerprint {record.base_fingerprint or 'unknown'}"
    if record.steps:
        read = f"{record.epochs:.2f} epochs, {record.characters_seen:,} characters"
        how = {"lanes": "", "chunk": "", "learning_rate": "", "seed": ""} | record.settings
        machine = f"{record.precision} on {record.device}, {record.threads} threads"
        yield "training", f"{record.steps:,} steps, {read}, {record.seconds:.0f} s"
        yield "", f"{how['lanes']} lanes x {how['chunk']} steps, rate {how['learning_rate']}, seed {how['seed']}"
        yield "", f"{machine}, torch {record.versions.get('torch', '?')}"
    if record.matching_pairs:
        pairs = f"{record.matching_pairs:,} replies and their contexts"
        yield "matching", f"ranks candidates of a reply, trained on {pairs}"
    if record.matching_statements:
        yield "", f"and on {record.matching_statements:,} replies with a word from an earlier turn"
    if record.pointer_characters:
        yield "pointer", f"copies from what you said, trained on {record.pointer_characters:,} characters"
    if record.validation is not None:
        losses = f"{record.validation / math.log(2):.4f} bits/char ({record.validation:.4f} nats)"
        yield "validation", f"{losses} over {record.validation_characters:,} characters"
    if record.created:
        yield "created", record.created
