"""A cleaned module still parses and names no authors."""

from __future__ import annotations

import ast
import textwrap

import pytest

from charlm.corpora import python
from charlm.corpora.build import standard_library
from charlm.corpora.documents import CleaningReport

MODULE = '''#! /usr/bin/env python
# -*- coding: utf-8 -*-
# Copyright 1999 the harbour. All rights reserved.
# May be used by boats.

"""Rings the bell.

Once for fog, twice for bread. See https://harbour.example.
"""

__author__ = "The Boy <boy@harbour.example>"
import os    # for the bell

# Written by the Boy, 3 March
# rings until somebody comes
# mail boy@harbour.example if nobody does


class Bell:
    r\'\'\'A bell \\d.

    It rings.
    \'\'\'

    def ring(self, times=1):
        """
        Ring.

        Args: many.
        """
        text = """# Written by the bell
        """
        return text * times, 'boy@harbour.example'
\tdef last(self): return "one line"
'''.replace("\tdef", "    def")


def test_module_keeps_code_without_credits(report: CleaningReport) -> None:
    found = python.module(MODULE, report)
    ast.parse(found)
    assert found == textwrap.dedent('''\
        """Rings the bell."""


        import os    # for the bell

        # rings until somebody comes


        class Bell:
            r\'\'\'A bell \\d.\'\'\'

            def ring(self, times=1):
                """
                Ring.
                """
                text = """# Written by the bell
                """
                return text * times, 'someone@example.com'
            def last(self): return "one line"''')
    assert report.removed["comments about authors"][0] == 5
    assert report.removed["comments with addresses"][0] == 1
    assert report.removed["assignments of authors"][0] == 1
    assert report.removed["docstrings after their first paragraph"][0] == 3
    assert report.changed["e-mail addresses made someone@example.com"] == 1


@pytest.mark.parametrize(
    ("text", "reason"),
    [
        ("import os\n", "modules of fewer than 5 lines"),
        ("table = {\n" + "    'a': 1, 'b': 2,\n" * 9 + "}\n", "modules that are tables"),
        ("import os\n" * 5 + f"a = '{'x' * 200}'\n", "modules with long lines"),
        ("print 'old'\n" * 6, "modules that are not Python of this version"),
        ("if x:\npass\n" * 6, "modules that are not Python of this version"),
        ('text = """never\nends\nand\nends\nnot\n', "modules that are not Python of this version"),
    ],
)
def test_unusable_module_is_removed_with_a_reason(text: str, reason: str, report: CleaningReport) -> None:
    assert python.module(text, report) == ""
    assert reason in report.removed


@pytest.mark.parametrize(
    "docstring",
    [
        '"""One.\\\n\n\nTwo."""',
        '"""One says "no"\n\nTwo."""',
        "'''One'''",
        '"One"',
        '"""\n\nOne.\n"""',
        '"""One.\n\nTwo."""; x = 1',
    ],
)
def test_hard_docstrings_still_parse(docstring: str, report: CleaningReport) -> None:
    ast.parse(python.short_docstrings(f"def f():\n    {docstring}\n    return 1", report))


def test_tests_and_copies_are_removed(report: CleaningReport) -> None:
    code = "\n".join(f"def f{at}(x):\n    return x + {at}" for at in range(9))
    paths = ["a.py", "b/c.py"]
    paths += ["test/a.py", "b/tests/a.py", "x/site-packages/a.py", "_sysconfigdata_x.py", "idlelib/idle_test/t.py"]
    found = list(python.documents([(path, code) for path in paths], report))
    assert [document.name for document in found] == ["a.py"]
    assert report.removed["modules that are copies of others"][0] == 1
    assert report.removed["tests, generated and foreign modules"][0] == 5


def test_standard_library_is_cleaned(report: CleaningReport) -> None:
    library = dict(standard_library())
    assert list(library) == sorted(library)
    assert {"json/decoder.py", "argparse.py"} <= set(library)
    some = [(path, library[path]) for path in ("json/decoder.py", "argparse.py", "html/entities.py")]
    found = list(python.documents(some, report))
    assert [document.name for document in found] == ["json/decoder.py", "argparse.py"]
    for document in found:
        ast.parse(document.text)
        assert "class " in document.text
    assert report.removed["modules that are tables"][0] == 1
