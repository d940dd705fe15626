"""Make the pictures of README and docs/chat.md from real runs.

    python docs/images/make.py         all pictures; trains for a minute
    python docs/images/make.py xray    only the X-ray, of the bundled small-talk model

All pictures but the X-ray show the model that this script trains.
"""

from __future__ import annotations

import asyncio
import os
import pty
import subprocess
import sys
import tempfile
from pathlib import Path

from rich.console import Console
from rich.text import Text
from textual.pilot import Pilot

from charlm.cli.dashboard import Dashboard, plan_table
from charlm.config import DataConfig
from charlm.training.events import Planned, Stepped
from charlm.training.prepare import Request
from charlm.training.run import Run
from charlm.tui.app import ChatApp

HERE = Path(__file__).resolve().parent
HARBOUR = HERE.parent.parent / "corpora" / "harbour.txt"
SMALLTALK = HERE.parent.parent / "checkpoints" / "smalltalk.safetensors"
WIDTH = 96


def save_picture(name: str, title: str, console: Console) -> None:
    """Write the recorded output of a console as SVG."""
    (HERE / f"{name}.svg").write_text(console.export_svg(title=title), encoding="utf-8")


def make_recorder() -> Console:
    """Return a console that records its output and shows nothing."""
    nowhere = Path(os.devnull).open("w")  # noqa: SIM115  # open as long as the console
    return Console(record=True, width=WIDTH, height=34, file=nowhere, force_terminal=True, markup=False)


def train() -> None:
    """Train for a minute into ./checkpoints; take the picture after three quarters."""
    request = Request(DataConfig((str(HARBOUR),)), output="harbour", overrides={"minutes": 1.0})
    dashboard, planned, is_taken = Dashboard(Console(file=sys.stderr)), None, False
    for event in Run(request, sample_every=1.0).events():
        dashboard.show(event)
        planned = event if isinstance(event, Planned) else planned
        if isinstance(event, Stepped) and event.progress > 0.75 and not is_taken:
            is_taken = True
            console = make_recorder()
            assert planned is not None
            console.print(plan_table(planned))
            console.print(dashboard._render())
            save_picture("train", "charlm train harbour.txt --minutes 1", console)


def heat() -> None:
    """Run `charlm sample --heat` on a pseudo-terminal."""
    arguments = ["sample", "harbour", "-p", "FERRYMAN:", "-n", "420", "--seed", "4", "--heat"]
    main, child = pty.openpty()
    with subprocess.Popen([sys.executable, "-m", "charlm", *arguments], stdout=child, stderr=child, stdin=child):
        os.close(child)
        output = b""
        while True:
            try:
                block = os.read(main, 65536)
            except OSError:  # the other end is closed
                break
            if not block:
                break
            output += block
    os.close(main)
    console = make_recorder()
    console.print(Text.from_ansi(output.decode().replace("\r\n", "\n")))
    save_picture("heat", "charlm sample harbour -p FERRYMAN: --heat", console)


async def wait_until_idle(app: ChatApp) -> None:
    """Wait until the model is loaded and writes nothing."""
    await asyncio.sleep(0.5)
    while app.chat.loaded is None or app.chat.busy:
        await asyncio.sleep(0.05)
    await asyncio.sleep(0.2)


async def talk(app: ChatApp, pilot: Pilot[int], *messages: str) -> None:
    """Send messages; wait for the reply to each."""
    await wait_until_idle(app)
    for message in messages:
        app.chat.prompt.focus()
        app.chat.prompt.value = message
        await pilot.press("enter")
        await wait_until_idle(app)


async def chat() -> None:
    """Take pictures of the chat, of the heat view with alternatives, and of branches."""
    app = ChatApp({"model": "harbour", "you": "BOY", "bot": "FERRYMAN", "seed": 3, "keep": False})
    async with app.run_test(size=(96, 30)) as pilot:
        messages = "Good morning! Over and back, please.", "Where does the tide go?", "And what does the lamp say?"
        await talk(app, pilot, *messages)
        await pilot.press("f5")
        await wait_until_idle(app)
        app.save_screenshot(str(HERE / "chat.svg"))
        await pilot.press("f4")
        await pilot.pause(0.5)
        await pilot.press("ctrl+l", *["right"] * 12)
        await pilot.pause(0.5)
        app.save_screenshot(str(HERE / "look.svg"))
        await pilot.press("2")
        await wait_until_idle(app)
        await pilot.press("f4", "f2", "f3")
        await pilot.pause(0.5)
        app.save_screenshot(str(HERE / "branches.svg"))


async def xray() -> None:
    """Take a picture of the X-ray with one unit pinned."""
    app = ChatApp({"model": str(SMALLTALK), "seed": 6, "keep": False})
    async with app.run_test(size=(120, 36)) as pilot:
        await wait_until_idle(app)
        await pilot.press("f10")
        messages = "Hello, I'm Nadia.", "My cat is called Biscuit.", "I had pizza for dinner.", "What is my cat's name?"
        await talk(app, pilot, *messages)
        app.chat.xray.panel.focus()
        await pilot.press(*["right"] * 3, "enter")
        await asyncio.sleep(1.0)
        app.save_screenshot(str(HERE / "xray.svg"))


if __name__ == "__main__":
    with tempfile.TemporaryDirectory() as temporary:
        os.environ["CHARLM_HOME"] = str(Path(temporary) / "home")
        os.chdir(temporary)  # pictures show paths like checkpoints/harbour.safetensors
        if sys.argv[1:] != ["xray"]:
            train()
            heat()
            asyncio.run(chat())
        asyncio.run(xray())
