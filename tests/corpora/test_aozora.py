"""Books in Aozora Bunko's notation are read without notation."""

from __future__ import annotations

from charlm.corpora import aozora
from charlm.corpora.documents import CleaningReport

BOOK = """蟹と船
作者

-------------------------------------------------------
【テキスト中に現れる記号について】

《》：ルビ
-------------------------------------------------------

［＃５字下げ］一［＃「一」は中見出し］

　蟹《かに》が｜夕方《ゆうがた》来た。「船か。船だ」と云った。寒い！
「船はどこだ。見えない」
「あそこだ」

　※［＃「魚＋船」、第4水準2-88-74］を食べた［＃「食べた」に傍点］。



底本：「蟹全集1」
入力：誰か
"""


def test_book_gives_paragraphs_without_notation() -> None:
    assert aozora.paragraphs(BOOK) == [
        "蟹が夕方来た。「船か。船だ」と云った。寒い！",
        "「船はどこだ。見えない」",
        "「あそこだ」",
        "※を食べた。",
    ]


def test_book_becomes_a_document_with_indents(report: CleaningReport) -> None:
    [document] = aozora.documents([("a.txt", BOOK.replace("\n", "\r\n"))], report)
    lines = document.text.split("\n")
    assert (document.name, lines[0], lines[1]) == (
        "a.txt",
        "\u3000蟹が夕方来た。「船か。船だ」と云った。寒い！",
        "「船はどこだ。見えない」",
    )


def test_characters_with_a_jis_number_are_restored() -> None:
    other = "※［＃船の字］"
    assert aozora.with_jis_characters(f"※［＃「尸＋水」、第3水準1-14-2］と{other}") == f"\U0002000b と{other}".replace(
        " ", ""
    )
