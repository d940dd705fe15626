"""Widgets: one a file. Attributes go down, messages go up; none of them knows a model."""
