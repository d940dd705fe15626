"""The chat screen, and the screens that are shown over it."""
