"""The Textual app: what a person sees and touches. The only package that knows textual."""
