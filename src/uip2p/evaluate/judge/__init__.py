"""A judge that looks: a vision language model behind an OpenAI-compatible endpoint scores edits."""
