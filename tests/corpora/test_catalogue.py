"""The built-in recipes are complete, and a user's own are checked."""

from __future__ import annotations

import importlib
from pathlib import Path

import pytest

from charlm.corpora import catalogue
from charlm.errors import CorpusError, NotFoundError

USER_FILE = """
[letters]
title = "Letters"
language = "English"
format = "plain"
cleaning = "prose"

[[letters.sources]]
url = "https://harbour.example/letters.txt"
sha256 = "{digest}"
bytes = 1000
licence = "CC0"
attribution = "the harbourmaster"
""".format(digest="0" * 64)
URL = 'url = "https://harbour.example/letters.txt"'


def test_built_in_recipes_are_complete() -> None:
    found = catalogue.built_in()
    assert {"smalltalk", "shakespeare", "shakespeare-heldout", "nihongo", "kjv", "python", "japanese"} <= set(found)
    for cleaning in catalogue.CLEANINGS:
        assert callable(importlib.import_module(f"charlm.corpora.{cleaning}").documents)
    for recipe in found.values():
        assert recipe.cleaned
        for source in recipe.sources:
            assert source.interpreter or source.package or source.url.startswith(catalogue.TABLE_URL)
            assert source.interpreter or source.bytes or source.version
        paths = [source.path for source in recipe.sources if source.path]
        assert len(paths) == len(set(paths))
    assert found["shakespeare"].format == "play"
    assert found["smalltalk"].format == found["nihongo"].format == "lines"


def test_benchmark_plays_are_left_out() -> None:
    found = catalogue.built_in()
    plays = {"the-taming-of-the-shrew", "the-tempest"}
    assert set(found["shakespeare-heldout"].options["leave_out"]) == plays
    assert plays <= set(found["shakespeare"].options["held_out"])
    assert "leave_out" not in found["shakespeare"].options


def test_own_recipes_come_last(tmp_path: Path) -> None:
    (tmp_path / "sources.toml").write_text(USER_FILE, encoding="utf-8")
    found = catalogue.recipes(tmp_path)
    assert [*catalogue.built_in(), "letters"] == list(found)
    source = found["letters"].sources[0]
    assert (source.name, source.bytes, source.files) == ("https://harbour.example/letters.txt", 1000, ("*",))
    assert catalogue.find("letters", tmp_path) is not None


def test_own_recipe_with_a_built_in_name_raises(tmp_path: Path) -> None:
    (tmp_path / "sources.toml").write_text(USER_FILE.replace("letters", "kjv"), encoding="utf-8")
    with pytest.raises(CorpusError, match="'kjv', which is one of charlm's own"):
        catalogue.recipes(tmp_path)


@pytest.mark.parametrize(
    ("name", "hint"),
    [("shakspeare", "did you mean shakespeare"), ("zzz", "list the corpora with charlm corpora list")],
)
def test_unknown_name_raises_with_a_hint(name: str, hint: str, tmp_path: Path) -> None:
    with pytest.raises(NotFoundError) as caught:
        catalogue.find(name, tmp_path)
    assert hint in str(caught.value.hint)


@pytest.mark.parametrize(
    ("old", "new", "message"),
    [
        ("[letters]", "[letters", "is not TOML"),
        ("[letters]\n", "[letters]\nhat = 1\n", "unknown key 'hat'"),
        ("[letters", '["Let/ters"', "a corpus is named in small letters"),
        ('title = "Letters"\n', "", "lacks title"),
        ('title = "Letters"\n', "title = 3\n", "title must be text"),
        ('"plain"', '"verse"', "unknown format 'verse'"),
        ('"prose"', '"os"', "unknown cleaning 'os'"),
        ("[[letters.sources]]", "[[letters.other]]", "has no sources"),
        ("[[letters.sources]]", "options = 3\n[[letters.sources]]", "options must be a table"),
        ("[[letters.sources]]", "options = {held_out = []}\n[[letters.sources]]", "'prose' has no option 'held_out'"),
        ("[[letters.sources]]", "options = {held_out = 'x'}\n[[letters.sources]]", "held_out must be a list of texts"),
        ("bytes = 1000", "hat = 1", "a source has an unknown key"),
        ("bytes = 1000", 'package = "x"', "either a package, or a url"),
        ("bytes = 1000", "bytes = -1", "bytes must lie between"),
        ("bytes = 1000", 'encoding = "utf-9"', "letters.txt has an unknown encoding 'utf-9'"),
        ("[letters]\n", '[letters]\ntables = ["none.tsv"]\n', "cannot read the table none.tsv"),
        ("bytes = 1000", 'bytes = "x"', "bytes must be a number"),
        ("bytes = 1000", "files = 3", "files must be a list"),
        ("0" * 64, "0" * 63, "has no sha256"),
        ("https://harbour.example/letters.txt", "file:///etc/passwd", "not an address that begins with https"),
        (URL, 'package = "x"', "needs an exact version"),
        (URL, 'package = "-x"\nversion = "1"', "needs an exact version"),
        (URL, 'package = "x"\nversion = ">1"', "needs an exact version"),
        ('licence = "CC0"\n', "", "lacks licence"),
    ],
)
def test_invalid_recipe_raises(old: str, new: str, message: str, tmp_path: Path) -> None:
    text = USER_FILE.replace(old, new)
    assert text != USER_FILE
    with pytest.raises(CorpusError, match=message):
        catalogue.read(text, "own.toml", tmp_path)


HEADING = "\t".join(catalogue.COLUMNS)
ROW = f"letters/a.txt\tharbour/letters/1/a.txt\t{'0' * 64}\t1000\tcp932\tCC0\tthe harbourmaster\tLetters"


def test_table_adds_sources_before_listed_ones(tmp_path: Path) -> None:
    table = tmp_path / "letters.tsv"
    table.write_text(f"{HEADING}\n{ROW}\n{ROW.replace('cp932', '').replace('harbour/', URL[7:-1])}\n", encoding="utf-8")
    text = USER_FILE.replace("[letters]\n", '[letters]\ntables = ["letters.tsv"]\n')
    first, second, third = catalogue.read(text, "own.toml", tmp_path)["letters"].sources
    assert (first.name, first.encoding, first.bytes) == ("letters/a.txt", "cp932", 1000)
    assert first.url == "https://raw.githubusercontent.com/harbour/letters/1/a.txt"
    assert second.encoding == third.encoding == "utf-8-sig"
    assert second.url.startswith("https://harbour.example/")


@pytest.mark.parametrize(
    ("table", "message"),
    [
        (f"path\turl\n{ROW}", "the columns are path, url, sha256"),
        (f"{HEADING}\n{ROW}\tmore", "the columns are path, url, sha256"),
        (f"{HEADING}\n{ROW.replace('1000', 'x')}", "invalid literal for int"),
        (f"{HEADING}\n{ROW.replace('0' * 64, '00')}", "letters/a.txt has no sha256"),
    ],
)
def test_invalid_table_raises(table: str, message: str, tmp_path: Path) -> None:
    (tmp_path / "letters.tsv").write_text(table, encoding="utf-8")
    text = USER_FILE.replace("[letters]\n", '[letters]\ntables = ["letters.tsv"]\n')
    with pytest.raises(CorpusError, match=message):
        catalogue.read(text, "own.toml", tmp_path)


def test_credits_group_titles_by_author(tmp_path: Path) -> None:
    (tmp_path / "letters.tsv").write_text(f"{HEADING}\n{ROW}\n{ROW}, again\n", encoding="utf-8")
    text = USER_FILE.replace("[letters]\n", '[letters]\ntables = ["letters.tsv"]\n')
    recipe = catalogue.read(text, "own.toml", tmp_path)["letters"]
    assert recipe.credits == ["the harbourmaster (CC0): Letters, Letters, again, https://harbour.example/letters.txt"]
