"""From a state and an id to the next character: engine, sampling, generation, search. NumPy only."""
