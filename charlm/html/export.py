"""Writes the HTML file: the page, its style and scripts, and the weights in half precision.

The scripts next to this module are joined in the order of `SCRIPTS`; a browser sees one. They follow the modules of
`charlm.inference`, `charlm.cells`, `charlm.text` and `charlm.chat`, and tests hold them to these. The page of the
server has `SERVED_SCRIPTS`: its model stays with the server.
"""

from __future__ import annotations

import base64
import hashlib
import html
import json
from collections.abc import Sequence
from dataclasses import asdict
from functools import cache
from pathlib import Path
from string import Template
from typing import Final

import numpy as np

from charlm.cells import CELLS
from charlm.chat.learning import default_dials
from charlm.checkpoint import Checkpoint, Tensors
from charlm.config import ChatConfig, SamplerConfig, SamplingConfig
from charlm.errors import CheckpointError
from charlm.files import write_bytes
from charlm.insight.xray import palette
from charlm.registry import shape_text
from charlm.tensor_shapes import matching_shapes, parameter_count

LIBRARY: Final = (  # needs no document
    "product.js",
    "model.js",
    "sampler.js",
    "text.js",
    "names.js",
    "pointer.js",
    "candidates.js",
    "transcript.js",
)
VIEW: Final = ("text_view.js", "inside_view.js", "app.js")
SCRIPTS: Final = (*LIBRARY, *VIEW, "offline.js")
SERVED_SCRIPTS: Final = ("sampler.js", "text.js", "transcript.js", *VIEW, "served.js")
CANDIDATES: Final = 4  # of a reply at most: a page draws them one after the other, so 8 keep a person waiting
PLAIN_LENGTH: Final = 1000  # characters that a model of plain text writes at a time

_FOLDER: Final = Path(__file__).parent


def script(names: Sequence[str] = SCRIPTS) -> str:
    """Return the scripts as one."""
    strict = '"use strict";\n'
    return strict + "".join([_read(name).replace(strict, "") for name in names])


def card(checkpoint: Checkpoint, name: str) -> dict[str, object]:
    """Return everything that the page needs except the weights, as plain data."""
    config, vocabulary, dialogue = checkpoint.config, checkpoint.vocabulary, checkpoint.dialogue
    cell = CELLS[config.cell]
    dials: SamplerConfig = default_dials(checkpoint) if dialogue.has_turns else SamplingConfig()
    return {
        "name": name,
        "shape": f"{shape_text(config)}, {parameter_count(config):,} weights",
        "language": vocabulary.language,
        "notices": checkpoint.record.notices,
        "config": config.to_dict(),
        "cell": {
            "gates": cell.GATES,
            "state": cell.state_fields,
            # Infinite ends are null, which JSON can write.
            "signals": [
                {
                    "name": signal,
                    "meaning": value.meaning,
                    "ends": [value.low, value.high] if np.isfinite([value.low, value.high]).all() else None,
                }
                for signal, value in cell.SIGNALS.items()
            ],
        },
        "tensors": [[name, tensor.shape] for name, tensor in _network(checkpoint).items()],
        "matching": list(matching_shapes().items()) if checkpoint.matching else [],
        "hasStatements": checkpoint.record.matching_statements > 0,
        "vocabulary": {"characters": "".join(vocabulary.characters), "bytes": vocabulary.has_bytes},
        "dialogue": asdict(dialogue) | {"beginning": dialogue.beginning, "closing": dialogue.closing},
        "dials": {
            "temperature": dials.temperature,
            "topP": dials.top_p,
            "minP": dials.min_p,
            "length": dials.length if isinstance(dials, ChatConfig) else PLAIN_LENGTH,
            "names": dials.names if isinstance(dials, ChatConfig) else 0,
            "recall": dials.recall if isinstance(dials, ChatConfig) else 0,
            "candidates": min(dials.candidates, CANDIDATES) if isinstance(dials, ChatConfig) else 1,
            "relevance": dials.relevance if isinstance(dials, ChatConfig) else 0,
            "matching": dials.matching if isinstance(dials, ChatConfig) else 0,
        },
        "palette": palette(),
    }


def _network(checkpoint: Checkpoint) -> Tensors:
    """Return the weights of the network and of its pointer, which only copies from turns."""
    return checkpoint.tensors | ((checkpoint.pointer if checkpoint.dialogue.has_turns else None) or {})


def weights(checkpoint: Checkpoint) -> bytes:
    """Return the weights in half precision, one tensor after the other, in base64.

    Raises CheckpointError if a weight is too large for half precision.
    """
    tensors = [*_network(checkpoint).values(), *(checkpoint.matching or {}).values()]
    flat = np.concatenate([tensor.reshape(-1) for tensor in tensors])
    if np.abs(flat).max() > np.finfo(np.float16).max:
        raise CheckpointError("the model has weights too large for half precision, which the page uses")
    return base64.b64encode(flat.astype("<f2").tobytes())


def page(checkpoint: Checkpoint, name: str) -> str:
    """Return the HTML file of a model."""
    # A name or a vocabulary must not end the element that holds it.
    document = json.dumps(card(checkpoint, name), ensure_ascii=False, allow_nan=False).replace("<", "\\u003c")
    parts = {"title": html.escape(name), "card": document, "weights": weights(checkpoint).decode()}
    return _page(SCRIPTS, " 'wasm-unsafe-eval'", **parts)  # WebAssembly is part of the script


@cache
def served_page() -> str:
    """Return the page of a server, which asks it for everything else."""
    return _page(SERVED_SCRIPTS, "; connect-src 'self'", title="charlm", card="", weights="")


def _page(scripts: Sequence[str], policy: str, **parts: str) -> str:
    style, code = _read("style.css"), script(scripts)
    # Only this style and this script run. Nothing is fetched, unless the end of the policy allows it.
    rules = ("default-src 'none'", "base-uri 'none'", "form-action 'none'", f"style-src {_source(style)}")
    policy = html.escape(f"{'; '.join(rules)}; script-src {_source(code)}{policy}", quote=False)
    return Template(_read("page.html")).substitute(parts, policy=policy, style=style, script=code)


def write_page(checkpoint: Checkpoint, name: str, path: Path) -> None:
    """Write the HTML file of a model atomically; raise OutputError if that fails."""
    write_bytes(path, page(checkpoint, name).encode())


def _read(name: str) -> str:
    return (_FOLDER / name).read_text(encoding="utf-8")


def _source(text: str) -> str:
    return f"'sha256-{base64.b64encode(hashlib.sha256(text.encode()).digest()).decode()}'"
