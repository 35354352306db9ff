"""Edits written by a grammar: captions are parsed by spaCy, what the grammar knows of the world lies in `tables/`."""

from uip2p.instructions.grammar.apply import apply, leads_back, read, same
from uip2p.instructions.grammar.writer import GrammarWriter

__all__ = ["GrammarWriter", "apply", "leads_back", "read", "same"]
