"""What a character is: vocabulary, corpus, lanes, stop strings. Knows nothing of models."""
