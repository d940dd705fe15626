"""Stands in for a source distribution's build backend while pip downloads it.

pip wants a distribution's metadata before it stores the file, and asks the build backend for it, which may need a
compiler to answer. But the distribution carries that metadata itself, as the file PKG-INFO, and this backend hands it
over. It builds nothing. `charlm.corpora.fetch` puts it where pip finds it under the backend's name; it runs alone
there, so it imports nothing of charlm.
"""

from __future__ import annotations

from email import message_from_bytes
from pathlib import Path


def prepare_metadata_for_build_wheel(metadata_directory: str, config_settings: object = None) -> str:
    """Make the folder NAME-VERSION.dist-info (PEP 517).

    Args:
        metadata_directory: where to make it.
        config_settings: nothing here.

    Returns:
        Its name.
    """
    known = Path("PKG-INFO").read_bytes()
    about = message_from_bytes(known)
    folder = Path(metadata_directory, f"{about['Name'].replace('-', '_')}-{about['Version']}.dist-info")
    folder.mkdir()
    (folder / "METADATA").write_bytes(known)
    return folder.name
