"""Conversation without a screen: turns, the dials that replies are drawn with, and where all of it is kept."""
