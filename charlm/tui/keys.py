"""Keys that act in the order in which they were typed.

Textual hands a key to the widget in focus, and only when that has no use for it, by way of the app, to the bindings;
bindings with priority come first of all. So among keys that come faster than they are handled, as from a terminal that
lagged, a letter may overtake the Enter before it or be overtaken by it. A widget that takes both letters and bound keys
runs its bindings itself.
"""

from __future__ import annotations

from textual import events
from textual.widget import Widget


async def act(widget: Widget, event: events.Key) -> None:
    """Run what a widget binds a key to, now; a key that it has no use for goes on."""
    for binding in widget._bindings.key_to_bindings.get(event.key, ()):
        if await widget.app.run_action(binding.action, widget):
            event.stop()
            event.prevent_default()
            return
