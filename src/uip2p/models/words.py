"""New words for the small text encoders of the miniature, whose tokenizer spells what its world has no word for."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterable
from typing import Any

import torch
from torch import nn
from transformers import CLIPTokenizer

from uip2p.errors import UserError
from uip2p.models.clip import Clip
from uip2p.models.tokenizer import WORD_END, learn_words


def frequent_words(texts: Iterable[str], most: int) -> list[str]:
    """The `most` most frequent words of these texts, lower case; of equal ones the first in the alphabet."""
    counts = Counter(word for text in texts for word in re.findall("[a-z]+", text.lower()))
    return sorted(counts, key=lambda word: (-counts[word], word))[:most]


@torch.no_grad()
def teach(clip: Clip, words: Iterable[str]) -> Clip:
    """The CLIP with a token for each word, ready to be trained. Its embedding starts as the mean of the pieces that the
    word was spelled with."""
    tokenizer = learn_words(clip.tokenizer, words)
    table = clip.model.text_model.embeddings.token_embedding
    new = []
    for token in tokenizer.convert_ids_to_tokens(list(range(len(clip.tokenizer), len(tokenizer)))):
        pieces = clip.tokenizer(token.removesuffix(WORD_END), add_special_tokens=False).input_ids
        new.append(table.weight[pieces].mean(0))
    _grow(clip.model.text_model, new)
    clip.model.config.text_config.vocab_size = len(tokenizer)
    return Clip(clip.model.requires_grad_(True), tokenizer, clip.mean.flatten().tolist(), clip.std.flatten().tolist())


@torch.no_grad()
def adopt(text_encoder: Any, tokenizer: CLIPTokenizer, clip: Clip) -> CLIPTokenizer:
    """Let an editor's text encoder read the words that `teach` taught a CLIP, from that CLIP's embeddings of them.
    Returns the tokenizer for it. UserError: the CLIP does not come from the same tokenizer, or is of another width."""
    mine, theirs = tokenizer.get_vocab(), clip.tokenizer.get_vocab()
    table = clip.model.text_model.embeddings.token_embedding.weight
    width = text_encoder.config.hidden_size
    if any(theirs.get(token) != index for token, index in mine.items()) or table.shape[1] != width:
        raise UserError(
            f"model.words: that CLIP ({len(theirs)} tokens, width {table.shape[1]}) did not learn its words from this "
            f"base's ({len(mine)} tokens, width {width}): use one that recipe own-words has trained from its CLIP."
        )
    _grow(text_encoder, list(table[len(mine) :]))
    text_encoder.config.vocab_size = len(theirs)
    return clip.tokenizer


def _grow(text_encoder: Any, rows: list[torch.Tensor]) -> None:
    """Add these rows to the table of token embeddings."""
    old = text_encoder.get_input_embeddings()
    table = nn.Embedding(old.num_embeddings + len(rows), old.embedding_dim)
    table.weight.copy_(torch.cat([old.weight, torch.stack(rows)]) if rows else old.weight)
    text_encoder.set_input_embeddings(table)
