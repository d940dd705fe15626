"""Training texts that charlm can download and clean: catalogue -> fetch -> archive -> build -> registry.

The cleaning modules are pure functions, one for each kind of text: `plays`, `partner`, `english`, `japanese_base`,
`bible`, `python`, `prose`. Their helpers: `filters` and `pii` reject turns, `normalise_english` and `spelling` correct
them, `japanese`, `chatterbot` and `aozora` read a notation, `near_duplicates` finds copies.

A downloaded file is never installed, imported or unpacked to disk. Nothing is sent except the request for it.
"""
