"""The app and its widgets, driven by Pilot."""
