"""Cleans Python's standard library: code without tables, history and addresses.

The files are read from the running interpreter's folder as text; none is imported. Each kept module still parses.
Modules that are mostly tables, tests, generated modules (they name the builder's folders) and modules of others are
left out. Docstrings keep their first paragraph. Otherwise a third of the text would be English, and a model would write
long docstrings instead of code. Comment lines with authors, copyrights, dates of changes or addresses are removed: a
model would imitate them. E-mail addresses elsewhere become `someone@example.com`.
"""

from __future__ import annotations

import ast
import io
import re
import tokenize
from collections.abc import Iterator
from typing import Final

from charlm.corpora import pii
from charlm.corpora.documents import CleaningReport, Document, Files
from charlm.corpora.near_duplicates import NearDuplicateFilter
from charlm.text.decoding import normalise

PLACEHOLDER_EMAIL: Final = "someone@example.com"
MAX_LINE_CHARS: Final = 120  # modules with many longer lines are generated
MAX_DATA_SHARE: Final = 0.4  # of a module's lines; with more, it is a table

_LEFT_OUT = re.compile(
    r"(^|/)(tests?|idle_test|site-packages|dist-packages|__pycache__|ensurepip|config-[^/]*|lib-dynload|pydoc_data|lib2to3"
    r"|__phello__|turtledemo|_sysconfigdata[^/]*|__hello__\.py|this\.py|antigravity\.py|_pydatetime\.py)(/|$)"
)
_DATA = re.compile(
    r"\s*(?:[\[({]*\s*(?:-?[\d.]+|0x[\da-fA-F]+|[rbuf]?'[^']*'|[rbuf]?\"[^\"]*\"|None|True|False)[\s,:)\]}]*)+(?:#.*)?$"
)
_CREDIT = re.compile(
    r"copyright|\(c\)|licen[sc]ed?\b|all rights reserved|permission to use|\bauthors?\b|maintain(?:ed|er)|thanks to"
    r"|(?:written|contributed|modified|created|adapted) by|\$Id|\$Revision|^#\s*(?:19|20)\d\d"
    r"|\b\d\d?[-/ ]\w{3,9}[-/ ](?:19|20)?\d\d\b",
    re.IGNORECASE,
)
_AUTHOR = re.compile(
    r"^__(?:author|credits|copyright|email|date|cvsid)__\s*=\s*(?:'[^'\n]*'|\"[^\"\n]*\")\s*$", re.MULTILINE
)
_SCOPES = (ast.Module, ast.ClassDef, ast.FunctionDef, ast.AsyncFunctionDef)  # may have a docstring
_EMAIL = re.compile(r"<?[\w.+-]+@[\w-]+(?:\.[\w-]+)+>?")


def documents(files: Files, report: CleaningReport) -> Iterator[Document]:
    """Yield each module as a document, named by its path."""
    copies = NearDuplicateFilter()
    for path, text in files:
        if _LEFT_OUT.search(path):
            report.remove("tests, generated and foreign modules", text)
        elif kept := module(text, report):
            if copies.is_new(kept.split()):
                yield Document(path, kept)
            else:
                report.remove("modules that are copies of others", text)


def module(text: str, report: CleaningReport) -> str:
    """Return a module without credits and addresses; empty if it is too short, a table or not Python."""
    lines = normalise(text).expandtabs(4).split("\n")
    written = [line for line in lines if line.strip()]
    if len(written) < 5:
        report.remove("modules of fewer than 5 lines", text)
    elif sum(_DATA.match(line) is not None for line in written) > MAX_DATA_SHARE * len(written):
        report.remove("modules that are tables", text)
    elif sum(len(line) > MAX_LINE_CHARS for line in written) > 0.05 * len(written):
        report.remove("modules with long lines", text)
    else:
        cleaned = _plain(_without_credits(lines, report), report)
        try:
            return short_docstrings(cleaned, report)
        except (SyntaxError, ValueError):
            report.remove("modules that are not Python of this version", text)
    return ""


def _without_credits(lines: list[str], report: CleaningReport) -> str:
    """Return a module without comments about its authors; such a block at its head is removed as a whole."""
    head = next((at for at, line in enumerate(lines) if line.strip() and not line.startswith("#")), len(lines))
    if any(_CREDIT.search(line) for line in lines[:head]):
        report.remove("comments about authors", "\n".join(lines[:head]), sum(map(bool, lines[:head])))
        lines = lines[head:]
    kept = []
    for line, is_comment in zip(lines, _comments(lines), strict=True):
        if is_comment and (_CREDIT.search(line) or _EMAIL.search(line) or pii.LINK.search(line.lower())):
            report.remove("comments about authors" if _CREDIT.search(line) else "comments with addresses", line)
        else:
            kept.append(line)
    return "\n".join(kept)


def _comments(lines: list[str]) -> list[bool]:
    """Return for each line if it is only a comment; lines inside strings are not."""
    found = [False] * len(lines)
    try:
        for token in tokenize.generate_tokens(io.StringIO("\n".join(lines) + "\n").readline):
            row, column = token.start
            if token.type == tokenize.COMMENT and not token.line[:column].strip() and not token.string.startswith("#!"):
                found[row - 1] = True
    except (tokenize.TokenError, SyntaxError):
        pass  # the caller reports that it does not parse
    return found


def _plain(text: str, report: CleaningReport) -> str:
    text, authors = _AUTHOR.subn("", text)
    report.remove("assignments of authors", times=authors)
    text, addresses = _EMAIL.subn(
        lambda match: f"<{PLACEHOLDER_EMAIL}>" if match[0].startswith("<") else PLACEHOLDER_EMAIL, text
    )
    report.change(f"e-mail addresses made {PLACEHOLDER_EMAIL}", addresses)
    lines = [line.rstrip() for line in text.split("\n") if not line.startswith(("#!", "# -*-", "\x0c"))]
    return re.sub(r"\n{4,}", "\n\n\n", "\n".join(lines)).strip("\n\x0c ")


def short_docstrings(text: str, report: CleaningReport) -> str:
    """Return a module whose docstrings end with their first paragraph.

    Raises:
        SyntaxError: the text is not Python.
        ValueError: the text has a character that Python forbids.
    """
    lines = text.split("\n")
    docstrings = [
        node.body[0]
        for node in ast.walk(ast.parse(text))
        if isinstance(node, _SCOPES) and ast.get_docstring(node, clean=False) is not None
    ]
    places = [(node.lineno - 1, (node.end_lineno or node.lineno) - 1) for node in docstrings]
    for first, last in sorted(places, reverse=True):  # from the end, so that line numbers stay valid
        opening = re.match(r"\s*[rRuU]{0,2}(\"\"\"|''')", lines[first])
        if opening is None or not lines[last].rstrip().endswith(opening[1]):
            continue
        begins = first if lines[first][opening.end() :].strip(" \\") else first + 1
        blank = next((at for at in range(begins, last) if not lines[at].strip()), None)
        if blank is None or blank == begins or lines[blank - 1].endswith(("\\", opening[1][0])):
            continue
        indent = lines[first][: len(lines[first]) - len(lines[first].lstrip())]
        ending = [lines[first] + opening[1]] if blank - 1 == first else [*lines[first:blank], indent + opening[1]]
        report.remove("docstrings after their first paragraph", "\n".join(lines[blank:last]))
        lines[first : last + 1] = ending
    shorter = "\n".join(lines)
    ast.parse(shorter)
    return shorter
