"""The page's scripts against the Python modules that they follow."""

from __future__ import annotations

import json
import math
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from charlm.cells import CELLS
from charlm.chat.conversation_data import ConversationData
from charlm.chat.learning import default_dials
from charlm.chat.recall import Recall
from charlm.chat.reply_sampler import COPY_WEIGHT, MIN_SUPPORT, SUPPORT_WEIGHT
from charlm.chat.turns import Segment, Turn
from charlm.checkpoint import Checkpoint, TrainingRecord, load, save
from charlm.config import SamplingConfig
from charlm.html.export import CANDIDATES, card, weights
from charlm.inference.context import StaticModel, encode_lossy, read_prompt
from charlm.inference.engine import Engine
from charlm.inference.generate import Generation, Sampler, make_rng
from charlm.inference.matching import Matcher
from charlm.inference.name_bias import NameBias, Names
from charlm.inference.search import logprobs
from charlm.text.dialogue import Dialogue

from ..chat.models import DIALOGUES, parrot_checkpoint, random_checkpoint, random_matching, random_pointer
from ..chat.talkers import ALL_DIALOGUES
from .browser import needs_javascript, run_script

pytestmark = needs_javascript

STEPS = 500
SHAPES = (
    {"layers": 3},
    {"norm": False, "residual": False, "embedding": 11, "hidden": 21},
    {"tied": True, "hidden": 20, "embedding": 20, "layers": 1},
)
SAMPLING = (
    SamplingConfig(temperature=0, top_p=1.0),
    SamplingConfig(temperature=0.9, top_p=0.9, seed=7),
    SamplingConfig(temperature=1.0, top_p=1.0, min_p=0.05, seed=123_456_789_012_345),
)


def half(checkpoint: Checkpoint, folder: Path) -> Checkpoint:
    """Return the model as its export in half precision has it, as the page has too."""
    save(checkpoint, folder / "half.safetensors", precision="half")
    return load(folder / "half.safetensors")


def model_script(checkpoint: Checkpoint) -> str:
    document = json.dumps(card(checkpoint, "m"))
    return (
        f"const card = {document}; const bytes = bytesOf('{weights(checkpoint).decode()}');"
        "const halves = new Uint16Array(bytes.buffer); const model = new Model(card, halves);"
        "const vocabulary = new Vocabulary(card.vocabulary), dialogue = new Dialogue(card.dialogue);"
    )


@pytest.mark.parametrize("shape", SHAPES, ids=("deep", "bare", "tied"))
@pytest.mark.parametrize("cell", CELLS)
def test_logits_equal_the_engine(cell: str, shape: dict[str, object], tmp_path: Path) -> None:
    checkpoint = half(random_checkpoint(3, cell=cell, **shape), tmp_path)
    ids = np.random.default_rng(1).integers(checkpoint.config.vocabulary, size=STEPS)
    engine = Engine(checkpoint)
    _, expected = engine.forward(engine.start(), ids)
    read = f"""
        const results = [false, true].map((plain) => {{
          const model = new Model(card, halves, plain);
          let {{ state, logits }} = model.start();
          const all = {ids.tolist()}.map((id) => {{
            ({{ state, logits }} = model.step(state, id));
            return [...logits];
          }});
          const signals = card.cell.signals.map(({{ name }}) => [...model.signal(0, name, state)]);
          return {{ all, signals, isFast: model.kernel.product !== null }};
        }});
        return results;
    """
    activations = engine.forward_with_activations(engine.start(), ids)
    fast, plain = run_script(model_script(checkpoint) + read)
    assert (fast["isFast"], plain["isFast"]) == (True, False)
    for result in (fast, plain):
        np.testing.assert_allclose(result["all"], expected, rtol=0, atol=1e-3)
        for found, name in zip(result["signals"], CELLS[cell].SIGNALS, strict=True):
            np.testing.assert_allclose(found, activations.signals[0][name][-1], rtol=1e-3, atol=1e-3)


@pytest.mark.parametrize("cell", CELLS)
def test_text_equals_that_of_the_engine(cell: str, tmp_path: Path) -> None:
    checkpoint = half(random_checkpoint(5, cell=cell, has_bytes=True), tmp_path)
    engine, model = Engine(checkpoint), StaticModel(Engine(checkpoint))
    context, _ = read_prompt(model, "hello, ")
    expected, dials = [], []
    for params in SAMPLING:
        generation = Generation(context, Sampler(engine, params, [make_rng(params.seed or 0)]), max_chars=STEPS)
        expected.append("".join([piece.text for piece in generation]))
        numbers = {"temperature": params.temperature, "topP": params.top_p, "minP": params.min_p}
        dials.append({**numbers, "length": STEPS, "seed": str(params.seed or 0)})
    write = f"""
        return {json.dumps(dials)}.map((dials) => {{
          const transcript = new Transcript(model), random = new Random(dials.seed);
          const writer = new Writer(transcript, {{ words: "hello, ", dialogue, vocabulary, dials, random }});
          while (writer.step());
          return vocabulary.decode(transcript.ids.slice(writer.turn.first, writer.turn.last));
        }});
    """
    certain = STEPS - 4  # the page drops the bytes of an incomplete character at the end
    for text, other in zip(run_script(model_script(checkpoint) + write), expected, strict=True):
        assert len(text) >= certain
        assert text[:certain] == other[:certain]


def test_random_numbers_equal_those_of_numpy() -> None:
    seeds = (0, 1, 42, 2**32 - 1, 2**32, 10**17 + 3)
    drawn = run_script(
        f"return {json.dumps(list(map(str, seeds)))}.map((seed) => {{"
        " const random = new Random(seed); return [1, 2, 3].map(() => random.next()); })"
    )
    assert drawn == [make_rng(seed).random(3).tolist() for seed in seeds]


@pytest.mark.parametrize("has_bytes", [True, False])
def test_text_encodes_and_decodes_as_in_python(has_bytes: bool) -> None:
    checkpoint = random_checkpoint(has_bytes=has_bytes)
    texts = ["", "hello\nworld", "caf\u00e9 \U0001f600 \u65e5", "\ufeff\0~"]
    vocabulary = checkpoint.vocabulary
    broken = [[60, 250, 1, 200], [290, 2], [265, 166]] if has_bytes else [[0]]
    body = f"return [{json.dumps(texts)}.map((text) => vocabulary.encode(text)),"
    encoded, decoded = run_script(
        model_script(checkpoint) + body + f"{json.dumps(broken)}.map((ids) => vocabulary.decode(ids))];"
    )
    assert encoded == [encode_lossy(vocabulary, text).tolist() for text in texts]
    assert decoded == [vocabulary.decode(ids) for ids in broken]


@pytest.mark.parametrize("name", DIALOGUES)
def test_dialogue_fits_text_as_in_python(name: str) -> None:
    dialogue = replace(DIALOGUES[name], colon="\uff1a") if name == "transcript" else DIALOGUES[name]
    checkpoint = replace(random_checkpoint(has_bytes=True), dialogue=dialogue)
    texts = ["  hello \r\n\r\n there\n", "one\n\n\ntwo", "\ufeff \n", "e\u0301"]
    found = run_script(
        model_script(checkpoint)
        + f"return [{json.dumps(texts)}.map((text) => dialogue.fit(text, vocabulary)), dialogue.opening('Anna')];"
    )
    assert found == [[dialogue.fit(text) for text in texts], dialogue.opening("Anna")]


def test_names_are_biased_as_in_python() -> None:
    checkpoint = replace(random_checkpoint(has_bytes=True), dialogue=Dialogue("lines"))
    text = "Hello, my name is Annab and I met Anna Zb\u00f6. Is he Bab? You bet. Annab Anna. 私は田中です。猫はミケ。"
    names = ["Annab", "Anna", "Zb\u00f6", "Bab", "田中", "ミケ"]
    data = ConversationData.start()
    data.attach(turn := Turn(0, data.root, "you", "", (Segment(text),)))
    assert data.your_names(turn) == names
    vocabulary = checkpoint.vocabulary
    logits = np.random.default_rng(2).normal(0, 1, (60, len(vocabulary))).astype(np.float32)
    ids = vocabulary.encode("so Anna, Annab and Zb\u00f6 saw Babar")
    bias, expected = NameBias(Names(names, 3.0, vocabulary)), []
    for index, row in zip(ids.tolist(), logits, strict=False):
        mixed = bias.mix(row)
        expected.append((row if mixed is None else mixed).tolist())
        bias.advance(index)
    found = run_script(
        model_script(checkpoint)
        + f"const logits = {logits.tolist()}, bias = new NameBias({json.dumps(names)}, 3, vocabulary);"
        + f"const rows = {ids.tolist()}.map((id, k) => {{"
        + "const row = [...bias.mix(Float32Array.from(logits[k]))]; bias.advance(id); return row; });"
        + f"return [namesIn({json.dumps(text)}), rows];"
    )
    assert found[0] == names
    np.testing.assert_allclose(found[1], expected, atol=1e-5)


def test_best_candidate_is_chosen_as_in_python(tmp_path: Path) -> None:
    checkpoint = replace(random_checkpoint(), dialogue=DIALOGUES["lines"], matching=random_matching())
    checkpoint = half(checkpoint, tmp_path)
    turns = ["Don't you like Zoe's 2 dogs?", "it\u2019s a caf\u00e9: \u732b\u304c\u3044\u308b\u3002", "Well_ yes!"]
    write = f"""
        const transcript = new Transcript(model), random = new Random(3), names = ["bob", "ann"];
        for (const [k, text] of {json.dumps(["hi", "yes"])}.entries()) {{
          const turn = transcript.beginTurn(k ? "model" : "you", "", dialogue, vocabulary);
          transcript.read(vocabulary.encode(text));
          turn.last = transcript.ids.length;
        }}
        const turn = transcript.beginTurn("model", "", dialogue, vocabulary);
        const dials = {{ ...card.dials, length: 12, temperature: 1 }};
        const options = {{ transcript, dialogue, vocabulary, dials, random, names, turn, memory: [] }};
        const choice = drawCandidates(options, model.matcher);
        let drawn;
        do drawn = choice.next(); while (!drawn.done);
        const similarity = model.matcher.similarity({json.dumps(turns[:2])}, {json.dumps(turns)});
        const weights = [COPY_WEIGHT, SUPPORT_WEIGHT, MIN_SUPPORT];
        return [similarity, drawn.value.map(({{ text, score }}) => [text, score]), weights];
    """
    similarity, drawn, weights = run_script(model_script(checkpoint) + write)
    assert weights == [COPY_WEIGHT, SUPPORT_WEIGHT, MIN_SUPPORT]
    matcher = Matcher.of(checkpoint)
    assert matcher is not None
    np.testing.assert_allclose(similarity, matcher.similarity(turns[:2], turns), atol=1e-4)
    dials, engine, expected = default_dials(checkpoint), Engine(checkpoint), []
    assert len(drawn) == CANDIDATES
    model = StaticModel(engine)
    anywhere = model.read(model.start(), engine.vocabulary.encode(checkpoint.dialogue.beginning))
    context = model.read(anywhere, engine.vocabulary.encode("hi\nyes\n"))
    for text, _ in drawn:
        ids = engine.vocabulary.encode(text).tolist()
        (here,), (there,) = (logprobs(engine, one, [ids]) for one in (context, anywhere))
        bonus = dials.matching * matcher.similarity(["hi", "yes"], [text])[0]
        expected.append((here - dials.relevance * there) / len(ids) + bonus if text.strip() else -math.inf)
    found = [-math.inf if score is None else score for _, score in drawn]
    np.testing.assert_allclose(found, expected, atol=1e-3)
    assert found == sorted(found, reverse=True)


def test_support_of_a_reply_is_that_of_python(tmp_path: Path) -> None:
    record = TrainingRecord(matching_statements=1)
    checkpoint = half(replace(random_checkpoint(), matching=random_matching(), record=record), tmp_path)
    turns = [
        "I'm Zb\u00f6\u2075, from \U00010400\U00010401ors\u1e9eund.",
        "say zb\u00f6\u2075 2 times",
        "\u732b\u306f\u30df\u30e9\u30fc\u3067\u3059\u3002",
    ]
    replies = [
        "Zb\u00f6\u2075!",
        "It is ZB\u00d6\u2075 of \U00010400\U00010401ors\u1e9eund, or not",
        "\u30df\u30e9\u30fc\u3067\u3059\u306d",
        "from",
        "No.",
    ]
    question, shares = "where From?", [0.9, 0.3, 0.8]
    found = run_script(
        model_script(checkpoint)
        + f"""
        const turns = {json.dumps(turns)}, shares = {shares};
        return {json.dumps(replies)}.map((reply) => {{
          const copied = [...reply].flatMap((one, at) => [...one.split("")].fill(shares[at % 3]));
          return model.matcher.support(reply, copied, turns, {json.dumps(question)});
        }});
        """
    )
    matcher = Matcher.of(checkpoint)
    assert matcher is not None
    copied = [[shares[at % 3] for at in range(len(reply))] for reply in replies]
    expected = [matcher.support(*one, turns, question) for one in zip(replies, copied, strict=True)]
    assert [one is None for one in expected] == [False, False, False, True, True]
    assert found == [one if one is None else pytest.approx(one, abs=1e-4) for one in expected]


@pytest.mark.parametrize(("cell", "form"), [("lstm", "transcript"), ("gru", "primed")])
def test_pointer_mixes_in_copies_as_in_python(cell: str, form: str, tmp_path: Path) -> None:
    made = random_checkpoint(4, cell=cell, has_bytes=True)
    made = replace(made, dialogue=ALL_DIALOGUES[form], pointer=random_pointer(made.config))
    checkpoint = half(made, tmp_path)
    engine, model = Engine(checkpoint), StaticModel(Engine(checkpoint))
    data = ConversationData.start(checkpoint.dialogue)
    said = ("I am Zb\u00f6. " * 420, "hi, you! " * 60, "no, Anna", "")  # more than is remembered of a turn
    turn = data.root
    for number, text in enumerate(said):
        name, author = (data.bot, "model") if number % 2 else (data.you, "you")
        turn = Turn(0, turn, author, name, (Segment(text),))
        data.attach(turn)
    context = model.read(model.start(), encode_lossy(engine.vocabulary, checkpoint.dialogue.beginning))
    context = model.read(context, encode_lossy(engine.vocabulary, data.text_up_to(turn)))
    memory = Recall.of(engine).memory(data.remembered_turns(turn), 2.0)
    assert memory is not None
    ids, expected = encode_lossy(engine.vocabulary, "oh, Zb\u00f6"), []
    for one in ids:
        expected.append(np.concatenate(memory.mix(context.state.hidden, context.logits[None])))
        context = model.read(context, np.array([one]))
    found = run_script(
        model_script(checkpoint)
        + f"""
        const transcript = new Transcript(model), said = {json.dumps(said)};
        said.forEach((text, number) => {{
          const [author, name] = number % 2 ? ["model", {json.dumps(data.bot)}] : ["you", {json.dumps(data.you)}];
          const turn = transcript.beginTurn(author, name, dialogue, vocabulary);
          transcript.read(vocabulary.encode(text));
          turn.last = transcript.ids.length;
        }});
        const recalling = model.pointer.recall(transcript, dialogue, vocabulary);
        let remembered;
        while (!(remembered = recalling.next().value));
        return {ids.tolist()}.map((id) => {{
          const mixed = model.pointer.mix(remembered, 2, transcript.context);
          transcript.read([id]);
          return [[...mixed.logits], [...mixed.copied]];
        }});
        """
    )
    np.testing.assert_allclose(found, expected, rtol=0, atol=1e-3)
    assert np.max(np.array(expected)[:, 1]) > 0


def test_transcript_goes_back_to_the_same_context(tmp_path: Path) -> None:
    checkpoint = replace(half(random_checkpoint(has_bytes=True), tmp_path), dialogue=Dialogue("lines"))
    differences = run_script(
        model_script(checkpoint)
        + """
        const transcript = new Transcript(model), contexts = [];
        for (let k = 0; k < 100; k++) {
          contexts.push(transcript.context.logits);
          transcript.read([(7 * k) % 30]);
        }
        const whole = transcript.cut(100);
        transcript.truncate(70);
        return [0, 31, 32, 33, 70].map((k) => Math.max(
          ...transcript.contextAt(k).logits.map((logit, id) => Math.abs(logit - contexts[k][id])),
          ...whole.cut(k).context.logits.map((logit, id) => Math.abs(logit - contexts[k][id])),
        ));
        """
    )
    assert differences == [0, 0, 0, 0, 0]


@pytest.mark.parametrize("name", ["lines", "transcript"])
def test_reply_ends_before_the_end_of_the_turn(name: str) -> None:
    dialogue = DIALOGUES[name]
    checkpoint = parrot_checkpoint("ab\nOBNA: ", dialogue)
    write = """
        const transcript = new Transcript(model), random = new Random(1);
        const dials = { temperature: 0, topP: 1, minP: 0, length: 50, names: 0 };
        const options = { dialogue, vocabulary, dials, random, you: "BOB", bot: "ANNA" };
        const results = [];
        for (const words of ["a", ""]) {
          const turn = transcript.turns.at(-1);
          const writer = new Writer(transcript, { ...options, words, turn });
          while (writer.step());
          results.push([writer.reason, writer.chars, vocabulary.decode(transcript.ids)]);
        }
        return results;
    """
    first, continued = run_script(model_script(checkpoint) + write)
    reason, chars, read = first
    assert reason == "stop"
    assert chars > 0
    assert read.endswith("b")
    assert continued == ["stop", 0, read]  # it could only end again
