"""Text: vocabulary, corpus, batches, dialogue formats, stop strings. Independent of models."""
