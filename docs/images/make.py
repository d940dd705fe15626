"""Make the pictures of the README, from real runs, in a ready checkout.

python docs/images/make.py         all of them; trains for a minute
python docs/images/make.py xray    the X-ray alone, of the small talk that comes with charlm

The X-ray's picture needs no training; the others are of a model that does not exist before.
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

from charlm.cli.dashboard import Dashboard, plan_table
from charlm.training.events import Planned, Stepped
from charlm.training.run import Request, Run
from charlm.tui.app import ChatApp

HERE = Path(__file__).parent
HARBOUR = HERE.parent.parent / "corpora" / "harbour.txt"
SMALLTALK = HERE.parent.parent / "checkpoints" / "smalltalk.safetensors"
WIDTH = 96


def picture(name: str, title: str, console: Console) -> None:
    """Write what a console has recorded."""
    (HERE / f"{name}.svg").write_text(console.export_svg(title=title), encoding="utf-8")


def recorder() -> Console:
    """A console that keeps what is printed."""
    nowhere = Path(os.devnull).open("w")  # noqa: SIM115  # as long as the console
    return Console(record=True, width=WIDTH, height=34, file=nowhere, force_terminal=True, markup=False)


def train(folder: Path) -> Path:
    """Train for a minute, take a picture three quarters in; the model."""
    run = Run(Request((str(HARBOUR),), output=str(folder / "harbour"), said={"minutes": 1.0}), sample_every=1.0)
    dashboard, planned, taken = Dashboard(Console(file=sys.stderr)), None, False
    for event in run.events():
        dashboard.show(event)
        planned = event if isinstance(event, Planned) else planned
        if isinstance(event, Stepped) and event.progress > 0.75 and not taken:
            taken = True
            console = recorder()
            assert planned is not None
            console.print(plan_table(planned))
            console.print(dashboard._render())
            picture("train", "charlm train harbour.txt --minutes 1", console)
    return run.folder.model


def heat(model: Path) -> None:
    """Run `charlm sample --heat` on a pseudo-terminal and take a picture."""
    arguments = ["sample", str(model), "-p", "FERRYMAN:", "-n", "420", "--seed", "4", "--heat"]
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
    console = recorder()
    console.print(Text.from_ansi(output.decode().replace("\r\n", "\n")))
    picture("heat", "charlm sample harbour -p FERRYMAN: --heat", console)


async def chat(model: Path) -> None:
    """Talk to it: the chat, the heat view with its alternatives, and what branches from it."""
    wish = {"model": str(model), "you": "BOY", "bot": "FERRYMAN", "seed": 3, "keep": False}
    app = ChatApp(wish)
    async with app.run_test(size=(96, 30)) as pilot:

        async def idle() -> None:
            await pilot.pause(0.2)
            while app.status.state != "ready":
                await pilot.pause(0.05)

        await idle()
        for line in ("Good morning! Over and back, please.", "Where does the tide go?", "And what does the lamp say?"):
            app.prompt.value = line
            await pilot.press("enter")
            await idle()
        await pilot.press("f5")
        await idle()
        app.save_screenshot(str(HERE / "chat.svg"))
        await pilot.press("f4")
        await pilot.pause(0.5)
        await pilot.press("ctrl+l", *["right"] * 12)
        await pilot.pause(0.5)
        app.save_screenshot(str(HERE / "look.svg"))
        await pilot.press("2")
        await idle()
        await pilot.press("f4", "f2", "f3")
        await pilot.pause(0.5)
        app.save_screenshot(str(HERE / "branches.svg"))


async def xray() -> None:
    """Look inside while it talks, one unit pinned."""
    app = ChatApp({"model": str(SMALLTALK), "seed": 5, "keep": False})
    async with app.run_test(size=(120, 36)) as pilot:

        async def idle() -> None:
            await asyncio.sleep(0.5)
            while app.status.state != "ready":
                await asyncio.sleep(0.05)

        await idle()
        await pilot.press("f10")
        for line in ("Hello! How was your weekend?", "Do you play an instrument?", "What do you like to cook?"):
            app.prompt.focus()
            app.prompt.value = line
            await pilot.press("enter")
            await idle()
        app.xray.focus()
        await pilot.press(*["right"] * 3, "enter")
        await asyncio.sleep(1.0)
        app.save_screenshot(str(HERE / "xray.svg"))


if __name__ == "__main__":
    with tempfile.TemporaryDirectory() as temporary:
        os.environ["CHARLM_HOME"] = str(Path(temporary) / "home")
        if sys.argv[1:] != ["xray"]:
            trained = train(Path(temporary))
            heat(trained)
            asyncio.run(chat(trained))
        asyncio.run(xray())
