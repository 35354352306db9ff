"""A CLIP tokenizer of our own, for a world with few words."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Iterable, Sequence
from itertools import pairwise

from tokenizers import pre_tokenizers
from transformers import CLIPTokenizer

START, END = "<|startoftext|>", "<|endoftext|>"
WORD_END = "</w>"


def learn_merges(words: Iterable[str]) -> list[tuple[str, str]]:
    """Byte-pair merges until each word is one token: always the most frequent pair, the first in the alphabet of those.

    Written out because the `tokenizers` trainer breaks ties by chance, and a resumed run must read as it did before.
    """
    return join([*word[:-1], word[-1] + WORD_END] for word in sorted(set(words)))


def join(spelled: Iterable[Sequence[str]]) -> list[tuple[str, str]]:
    """As `learn_merges`, for words that are in pieces already."""
    pieces = [list(word) for word in spelled]
    merges = []
    while pairs := Counter(pair for word in pieces for pair in pairwise(word)):
        best = min(pairs, key=lambda pair: (-pairs[pair], pair))
        merges.append(best)
        pieces = [_merge(word, best) for word in pieces]
    return merges


def _merge(word: Sequence[str], pair: tuple[str, str]) -> list[str]:
    merged: list[str] = []
    for token in word:
        if merged and (merged[-1], token) == pair:
            merged[-1] += token
        else:
            merged.append(token)
    return merged


def build_tokenizer(vocabulary: Iterable[str], max_length: int = 32) -> CLIPTokenizer:
    """A CLIPTokenizer that reads each word of `vocabulary` as one token and spells any other word byte by byte.

    The same words give the same token ids, in any order and on every machine. max_length counts the start and end
    tokens, as in CLIP (77 there).
    """
    merges = learn_merges(vocabulary)
    letters = sorted(pre_tokenizers.ByteLevel.alphabet())
    tokens = [*letters, *(letter + WORD_END for letter in letters), *("".join(pair) for pair in merges), START, END]
    return _tokenizer({token: index for index, token in enumerate(dict.fromkeys(tokens))}, merges, max_length)


def learn_words(tokenizer: CLIPTokenizer, words: Iterable[str]) -> CLIPTokenizer:
    """A tokenizer that reads these words as one token each too. Whatever the other one read as one token has the same
    id as before; new tokens come after the old ones."""
    about = json.loads(tokenizer.backend_tokenizer.to_str())["model"]
    merges = join(pieces for word in sorted(set(words)) if len(pieces := tokenizer.tokenize(word)) > 1)
    new = [token for token in dict.fromkeys("".join(pair) for pair in merges) if token not in about["vocab"]]
    vocab = about["vocab"] | {token: index for index, token in enumerate(new, start=len(tokenizer))}
    return _tokenizer(vocab, [*(tuple(pair) for pair in about["merges"]), *merges], tokenizer.model_max_length)


def _tokenizer(vocab: dict[str, int], merges: list[tuple[str, str]], max_length: int) -> CLIPTokenizer:
    return CLIPTokenizer(
        vocab=vocab, merges=merges, bos_token=START, eos_token=END, unk_token=END, pad_token=END,
        model_max_length=max_length,
    )  # fmt: skip
