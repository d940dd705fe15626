"""A headless Chromium, driven through a pipe, and the page's scripts in node or in that Chromium.

Chromium's DevTools protocol over file descriptors 3 and 4 needs neither a port nor a WebSocket.
"""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from io import BufferedReader, BufferedWriter
from pathlib import Path
from typing import Any

import pytest

from charlm.html.export import LIBRARY, script
from tests.conftest import PATIENCE

NODE = shutil.which("node")
CHROMIUM = next(filter(None, map(shutil.which, ("chromium-headless-shell", "chromium", "google-chrome"))), None)
FLAGS = (
    "--headless",
    "--no-sandbox",
    "--disable-gpu",
    "--disable-dev-shm-usage",
    "--hide-scrollbars",
    "--no-first-run",
    "--remote-debugging-pipe",
)

ATTEMPTS = """
    const blocked = [];
    document.addEventListener("securitypolicyviolation", (event) => blocked.push(event.effectiveDirective));
    const image = new Image();
    image.src = address;
    const attempts = [fetch(address), fetch("data:,a")];
    try { new WebSocket("wss://example.org/"); } catch {}
    try { new Worker("data:,1"); } catch {}
    navigator.sendBeacon(address);
    const style = document.createElement("style"), script = document.createElement("script");
    style.textContent = "@import '" + address + "'";
    script.textContent = "globalThis.injected = true";
    document.head.append(style, script);
    return Promise.allSettled(attempts)
      .then((results) => new Promise((done) => setTimeout(() => done(results), 200)))
      .then((results) => ({ refused: results.every(({ status }) => status === "rejected"), blocked,
                            injected: globalThis.injected === true }));
"""

needs_chromium = pytest.mark.skipif(
    CHROMIUM is None, reason="NO BROWSER: the HTML page is not tested; apt-get install chromium"
)
needs_javascript = pytest.mark.skipif(
    NODE is None and CHROMIUM is None, reason="NO JAVASCRIPT: install node or chromium to test the HTML page"
)


class Browser:
    """One tab. Its page is driven by expressions."""

    def __init__(self, answers: BufferedReader, commands: BufferedWriter) -> None:
        self._from, self._to = answers, commands
        self._rest, self._number, self._session = b"", 0, ""
        self._sent: dict[str, str] = {}  # address of each request by its number
        target = self.call("Target.createTarget", url="about:blank")["targetId"]
        self._session = self.call("Target.attachToTarget", targetId=target, flatten=True)["sessionId"]
        for domain in ("Page", "Runtime", "Network"):
            self.call(f"{domain}.enable")

    def call(self, method: str, **params: object) -> dict[str, Any]:
        """Send a command of the DevTools protocol, and return its result."""
        self._number += 1
        message = {"id": self._number, "method": method, "params": params}
        if self._session:
            message["sessionId"] = self._session
        self._to.write(json.dumps(message).encode() + b"\0")
        self._to.flush()
        while (answer := self._receive()).get("id") != self._number:
            params = answer.get("params", {})
            if answer.get("method") == "Network.requestWillBeSent":
                self._sent[params["requestId"]] = params["request"]["url"]
            elif params.get("blockedReason") == "csp":  # it is announced first, and then not sent
                del self._sent[params["requestId"]]
        assert "error" not in answer, answer
        result: dict[str, Any] = answer["result"]
        return result

    def _receive(self) -> dict[str, Any]:
        while b"\0" not in self._rest:
            block = self._from.read1(1 << 20)
            assert block, "Chromium ended"
            self._rest += block
        message, self._rest = self._rest.split(b"\0", 1)
        found: dict[str, Any] = json.loads(message)
        return found

    @property
    def requests(self) -> list[str]:
        """Addresses of the requests since the last page was opened, without those that its policy blocked."""
        return list(self._sent.values())

    def evaluate(self, expression: str) -> Any:
        """Return the value of an expression, or of its promise."""
        options = {"returnByValue": True, "awaitPromise": True, "userGesture": True}
        result = self.call("Runtime.evaluate", expression=expression, **options)
        assert "exceptionDetails" not in result, result["exceptionDetails"]
        return result["result"].get("value")

    def wait_for(self, condition: str) -> None:
        """Wait until an expression is true."""
        end = time.monotonic() + PATIENCE
        while not self.evaluate(condition):
            assert time.monotonic() < end, f"never true: {condition}"
            time.sleep(0.02)

    def open(self, page: Path | str, ready: str = "typeof app !== 'undefined'") -> None:
        """Open a file or an address, and wait for its application."""
        self._sent.clear()
        self.call("Page.navigate", url=page if isinstance(page, str) else page.as_uri())
        self.wait_for(f"document.readyState === 'complete' && {ready}")

    def say(self, words: str) -> list[list[str]]:
        """Send words, wait for the reply, and return the author and the text of each turn."""
        self.evaluate(f"$('words').value = {json.dumps(words)}; $('write').click()")
        self.wait_for("app.writer === null")
        return self.turns()

    def turns(self) -> list[list[str]]:
        """Return the author and the text of each turn."""
        found: list[list[str]] = self.evaluate(
            "[...document.querySelectorAll('.turn')].map((turn) =>"
            " [turn.classList[1], turn.querySelector('.words').textContent])"
        )
        return found

    def try_to_connect(self, address: str = "https://example.org/") -> set[str]:
        """Let the page try to reach an address in many ways; return the directives that refused it."""
        result = self.evaluate(f"((address) => {{ {ATTEMPTS} }})({json.dumps(address)})")
        assert result["refused"]
        assert not result["injected"]
        return set(result["blocked"])

    def check_layout(self) -> None:
        """Assert that the page fits narrow and wide windows, and that each control has a name."""
        for width in (360, 800, 1200, 1600):
            self.call("Emulation.setDeviceMetricsOverride", width=width, height=700, deviceScaleFactor=1, mobile=False)
            assert self.evaluate("document.documentElement.scrollWidth") == width
            assert self.evaluate("$('write').getBoundingClientRect().bottom <= innerHeight")
        controls = "[...document.querySelectorAll('button, input, select, textarea')]"
        unnamed = f"{controls}.filter((one) => !one.textContent.trim() && !one.labels?.length)"
        assert self.evaluate(f"{unnamed}.map((one) => one.outerHTML)") == []


# Moves the ends of the pipes to the descriptors that Chromium expects, and becomes Chromium.
_LAUNCHER = """
import os, sys
os.dup2(int(sys.argv[1]), 3)
os.dup2(int(sys.argv[2]), 4)
os.execv(sys.argv[3], sys.argv[3:])
"""


@contextmanager
def chromium() -> Iterator[Browser]:
    """Start Chromium with a profile of its own."""
    assert CHROMIUM is not None
    to_read, to_write = os.pipe()
    from_read, from_write = os.pipe()
    with tempfile.TemporaryDirectory(ignore_cleanup_errors=True) as profile:
        launch = [sys.executable, "-c", _LAUNCHER, str(to_read), str(from_write), CHROMIUM, *FLAGS]
        process = subprocess.Popen(
            [*launch, f"--user-data-dir={profile}", "about:blank"],
            pass_fds=(to_read, from_write),
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
        )
        os.close(to_read)
        os.close(from_write)
        with os.fdopen(from_read, "rb") as answers, os.fdopen(to_write, "wb") as commands, process:
            browser = Browser(answers, commands)
            try:
                yield browser
            finally:
                browser.call("Browser.close")


def run_script(body: str) -> Any:
    """Run statements after the page's scripts that need no document; return the value that they return."""
    code = f"(() => {{ {script(LIBRARY)}\n{body} }})()"
    if NODE is not None:
        program = f"process.stdout.write(JSON.stringify({code}))"
        done = subprocess.run([NODE, "-"], input=program, capture_output=True, text=True, timeout=PATIENCE, check=False)
        assert done.returncode == 0, done.stderr
        return json.loads(done.stdout)
    with chromium() as browser:
        return browser.evaluate(code)
