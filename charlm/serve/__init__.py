"""An HTTP server with the interface of OpenAI's. Needs starlette and uvicorn."""

import importlib.util

from charlm.errors import UsageError


def require_server() -> None:
    """Raise UsageError if a package of the extra `serve` is not installed. Does not import it."""
    for name in ("starlette", "uvicorn"):
        if importlib.util.find_spec(name) is None:
            raise UsageError(f"the server needs {name}, which is not installed", "pip install 'charlm[serve]'")
