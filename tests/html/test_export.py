"""The HTML file as a file: what it holds, and how it is written."""

from __future__ import annotations

import base64
import hashlib
import html
import json
import re
from dataclasses import replace
from pathlib import Path

import numpy as np

from charlm.checkpoint import TrainingRecord, load, save
from charlm.html.export import page, weights
from charlm.tensor_shapes import tensor_shapes

from ..chat.models import DIALOGUES, random_checkpoint
from ..conftest import Charlm

HOSTILE = "</script><script>alert(1)</script>"


def test_policy_allows_only_the_page_itself() -> None:
    text = page(random_checkpoint(), "m")
    found = re.search(r'Content-Security-Policy" content="(.+?)"', text)
    assert found is not None
    policy = dict(part.split(" ", 1) for part in html.unescape(found[1]).split("; "))
    assert policy["default-src"] == "'none'"
    for part, pattern in (("style-src", r"<style>(.*?)</style>"), ("script-src", r"<script>(.*?)</script>")):
        (content,) = re.findall(pattern, text, re.DOTALL)
        digest = base64.b64encode(hashlib.sha256(content.encode()).digest()).decode()
        assert f"'sha256-{digest}'" in policy[part]
        assert "unsafe-inline" not in policy[part]
    assert not re.findall(r"(?:src|href)\s*=", text.split("<script")[0])
    assert "innerHTML" not in text


def test_hostile_names_do_not_leave_their_elements() -> None:
    record = TrainingRecord(notices=[HOSTILE])
    dialogue = replace(DIALOGUES["transcript"], names=("A$script", "B"))
    text = page(replace(random_checkpoint(characters="</script>\0\r\u2028"), record=record, dialogue=dialogue), HOSTILE)
    assert HOSTILE not in text
    (document,) = re.findall(r'<script type="application/json" id="card">(.*?)</script>', text, re.DOTALL)
    card = json.loads(document)
    assert card["name"] == HOSTILE
    assert card["notices"] == [HOSTILE]
    assert card["vocabulary"]["characters"] == "</script>\0\r\u2028"


def test_weights_are_all_tensors_in_order() -> None:
    checkpoint = random_checkpoint(cell="gru", layers=3)
    flat = np.frombuffer(base64.b64decode(weights(checkpoint)), "<f2")
    for name, shape in tensor_shapes(checkpoint.config).items():
        part, flat = np.split(flat, [int(np.prod(shape))])
        np.testing.assert_array_equal(part.reshape(shape), checkpoint.tensors[name].astype(np.float16))
    assert not len(flat)


def test_export_writes_a_page_once(charlm: Charlm, tmp_path: Path) -> None:
    save(random_checkpoint(), tmp_path / "checkpoints" / "novel.safetensors")
    result = charlm("models", "export", "novel", "-o", "novel.html")
    assert (result.code, result.out) == (0, "novel.html\n")
    text = (tmp_path / "novel.html").read_text(encoding="utf-8")
    assert text.startswith("<!doctype html>")
    assert "<title>novel</title>" in text
    again = charlm("models", "export", "novel", "-o", "novel.html")
    assert again.code == 1
    assert "already exists" in again.err
    assert charlm("models", "export", "novel", "-o", "novel.html", "--force").code == 0
    assert charlm("models", "export", "novel", "-o", "full.html", "--full").code == 2


def test_export_refuses_weights_beyond_half_precision(charlm: Charlm, tmp_path: Path) -> None:
    checkpoint = random_checkpoint()
    checkpoint.tensors["output.b"][0] = 1e6
    save(checkpoint, tmp_path / "large.safetensors")
    result = charlm("models", "export", "./large.safetensors", "-o", "large.html")
    assert result.code == 1
    assert "too large for half precision" in result.err
    assert load(tmp_path / "large.safetensors").tensors["output.b"][0] == 1e6
    assert not (tmp_path / "large.html").exists()
