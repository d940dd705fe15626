"""Screens that lie over the chat: they ask or tell something and go away."""
