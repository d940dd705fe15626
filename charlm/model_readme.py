"""README of a model for Hugging Face: metadata in YAML, then shape, training, use and a sample."""

from __future__ import annotations

import math
import textwrap

import yaml

from charlm.checkpoint import ModelHeader
from charlm.registry import shape_text
from charlm.tensor_shapes import parameter_count
from charlm.text.sanitize import visible


def model_readme(header: ModelHeader, name: str, sample: str) -> str:
    """Return the README of a model with a sample of its text."""
    config, vocabulary, record, dialogue = header
    parts = [
        f"---\n{yaml.safe_dump(_metadata(header, name), sort_keys=False, allow_unicode=True)}---",
        f"# {visible(name)}",
        f"A character-level language model, made with charlm: {shape_text(config)}, "
        f"{parameter_count(config):,} weights, {len(vocabulary.characters)} characters"
        f"{' and 256 bytes' * vocabulary.has_bytes}. It knows no facts and follows no instructions.",
        "## Use",
        f"    charlm {'chat' if dialogue.has_turns else 'sample'} hf:OWNER/{visible(name)}",
        "## Sample",
        textwrap.indent(visible(sample), "    ", lambda line: True),
        "## Training",
    ]
    if record.steps:
        read = f"{record.epochs:.2f} epochs, {record.characters_seen:,} characters"
        parts.append(f"{record.steps:,} steps, {read}, {record.seconds / 60:.0f} minutes on {visible(record.device)}.")
    if record.base:
        parts.append(f"Fine-tuned from `{visible(record.base)}`.")
    if record.validation is not None:
        parts.append(
            f"Held-out text: {record.validation / math.log(2):.4f} bits per character "
            f"({record.validation:.4f} nats), over {record.validation_characters:,} characters."
        )
    if record.notices:
        notices = [f"- {visible(notice)}" for notice in record.notices]
        parts += ["Authors and licences of the texts:", "\n".join(notices)]
    return "\n\n".join(parts) + "\n"


def _metadata(header: ModelHeader, name: str) -> dict[str, object]:
    """Return the keys that Hugging Face reads, see its page "Model Cards"."""
    config, vocabulary, record, _ = header
    metadata: dict[str, object] = {
        "library_name": "charlm",
        "pipeline_tag": "text-generation",
        "language": [vocabulary.language],
        "tags": ["charlm", "character-level", "recurrent", config.cell],
    }
    if record.validation is not None:
        result = {
            "task": {"type": "text-generation"},
            "dataset": {"name": "held-out text", "type": "text"},
            "metrics": [{"type": "bits_per_character", "value": round(record.validation / math.log(2), 4)}],
        }
        metadata["model-index"] = [{"name": name, "results": [result]}]
    return metadata
