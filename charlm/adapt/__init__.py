"""Dynamic evaluation: learn while reading, in NumPy."""
