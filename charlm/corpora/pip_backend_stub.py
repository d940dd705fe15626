"""Replaces a source distribution's build backend while pip downloads it.

pip asks the build backend for a distribution's metadata before it stores the file, and the backend may need a compiler.
This one returns the metadata in the distribution's file PKG-INFO, and builds nothing. `charlm.corpora.fetch` copies it
under the backend's name into pip's search path. It imports nothing of charlm.
"""

from __future__ import annotations

from email import message_from_bytes
from pathlib import Path


def prepare_metadata_for_build_wheel(metadata_directory: str, config_settings: object = None) -> str:
    """Make the folder NAME-VERSION.dist-info in another, and return its name (PEP 517)."""
    data = Path("PKG-INFO").read_bytes()
    about = message_from_bytes(data)
    folder = Path(metadata_directory, f"{about['Name'].replace('-', '_')}-{about['Version']}.dist-info")
    folder.mkdir()
    (folder / "METADATA").write_bytes(data)
    return folder.name
