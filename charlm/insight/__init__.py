"""Looking inside: what gates and cells do over a text, how far gradients reach, how long a model remembers."""
