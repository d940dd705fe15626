"""charlm inside other programs."""
