from transformers import CLIPTokenizer

from uip2p.models.tokenizer import build_tokenizer
from uip2p.scenes.language import vocabulary


def test_every_word_of_the_world_is_one_token_and_others_are_spelled(tmp_path):
    tokenizer = build_tokenizer(vocabulary())
    assert all(len(tokenizer.tokenize(word)) == 1 for word in vocabulary())
    assert len(tokenizer.tokenize("giraffe")) > 1
    tokenizer.save_pretrained(tmp_path)
    again = CLIPTokenizer.from_pretrained(tmp_path)
    text = "Make the RED car blue, please"
    assert again(text)["input_ids"] == tokenizer(text)["input_ids"] == tokenizer(text.lower())["input_ids"]
    assert again.model_max_length == tokenizer.model_max_length


def test_padding_marks_no_content():
    tokenizer = build_tokenizer(vocabulary(), max_length=12)
    row = tokenizer("a red car", padding="max_length")["input_ids"]
    assert len(row) == 12 and row[0] == tokenizer.bos_token_id and set(row[4:]) == {tokenizer.eos_token_id}


def test_the_same_words_give_the_same_ids_in_any_order():
    a, b = build_tokenizer(vocabulary()), build_tokenizer(reversed(vocabulary()))
    assert a.get_vocab() == b.get_vocab()
    assert a("put a green mushroom on the left")["input_ids"] == b("put a green mushroom on the left")["input_ids"]
    assert a.get_vocab()["mushroom</w>"] == 801  # pinned: weights are trained for these ids
