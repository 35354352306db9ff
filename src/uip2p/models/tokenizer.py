"""A CLIP tokenizer of our own, for a world with few words."""

from __future__ import annotations

import json
from collections.abc import Sequence

from tokenizers import Tokenizer, models, normalizers, pre_tokenizers, trainers
from transformers import CLIPTokenizer

START, END = "<|startoftext|>", "<|endoftext|>"
WORD_END = "</w>"


def build_tokenizer(vocabulary: Sequence[str], max_length: int = 32) -> CLIPTokenizer:
    """A CLIPTokenizer that reads each word of `vocabulary` as one token and spells any other word byte by byte.

    Byte-pair merges are learned from the word list itself until no pair is left, so the result is the same for the
    same words in any order. max_length counts the start and end tokens, as in CLIP (77 there).
    """
    bpe = Tokenizer(models.BPE(end_of_word_suffix=WORD_END, unk_token=END))
    bpe.normalizer = normalizers.Lowercase()
    bpe.pre_tokenizer = pre_tokenizers.Sequence(
        [pre_tokenizers.Punctuation(), pre_tokenizers.ByteLevel(add_prefix_space=False, use_regex=True)]
    )
    bytes_ = sorted(pre_tokenizers.ByteLevel.alphabet())
    trainer = trainers.BpeTrainer(
        vocab_size=100_000, initial_alphabet=bytes_, end_of_word_suffix=WORD_END, show_progress=False
    )
    bpe.train_from_iterator(sorted(set(vocabulary)), trainer)
    merges = [tuple(pair) for pair in json.loads(bpe.to_str())["model"]["merges"]]
    tokens = [*bytes_, *(byte + WORD_END for byte in bytes_), *("".join(pair) for pair in merges), START, END]
    return CLIPTokenizer(
        vocab={token: index for index, token in enumerate(dict.fromkeys(tokens))},
        merges=merges,
        bos_token=START,
        eos_token=END,
        unk_token=END,
        pad_token=END,
        model_max_length=max_length,
    )
