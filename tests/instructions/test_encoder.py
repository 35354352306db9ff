"""Text encoders: real ones at the smallest size, saved as real folders."""

import numpy as np
import pytest
import torch
from PIL import Image
from tokenizers import Tokenizer, models, pre_tokenizers, processors
from transformers import AutoTokenizer, BertConfig, BertModel, PreTrainedTokenizerFast

from uip2p.errors import UserError
from uip2p.instructions.accept import Facts, Judge, Rules, judge
from uip2p.instructions.encoder import Cached, load_encoder, load_likeness
from uip2p.instructions.writer import Edit
from uip2p.models.clip import ClipConfig, build_clip
from uip2p.models.tokenizer import build_tokenizer
from uip2p.records import Caption

SPECIAL = ["[PAD]", "[UNK]", "[CLS]", "[SEP]"]
WORDS = ["a", "the", "car", "dog", "red", "blue", "make", "street", "on"]
TEXTS = ["a red car", "a blue car on the street", "a dog", "a red car", "make the car red"]


@pytest.fixture(scope="module")
def sentence_folder(tmp_path_factory):
    folder = tmp_path_factory.mktemp("encoder")
    torch.manual_seed(0)
    config = BertConfig(
        vocab_size=len(SPECIAL) + len(WORDS), hidden_size=16, num_hidden_layers=2, num_attention_heads=2,
        intermediate_size=32, max_position_embeddings=32,
    )  # fmt: skip
    BertModel(config).save_pretrained(folder)
    tokenizer = Tokenizer(models.WordLevel({word: i for i, word in enumerate([*SPECIAL, *WORDS])}, "[UNK]"))
    tokenizer.pre_tokenizer = pre_tokenizers.Whitespace()
    tokenizer.post_processor = processors.TemplateProcessing("[CLS] $A [SEP]", None, [("[CLS]", 2), ("[SEP]", 3)])
    PreTrainedTokenizerFast(tokenizer_object=tokenizer, pad_token="[PAD]", unk_token="[UNK]").save_pretrained(folder)
    return folder


@pytest.fixture(scope="module")
def clip_folder(tmp_path_factory):
    folder = tmp_path_factory.mktemp("clip")
    torch.manual_seed(0)
    config = ClipConfig(image_size=32, patch_size=8, width=16, layers=1, heads=2, text_width=16, text_layers=1,
                        text_heads=2, embedding=8)  # fmt: skip
    build_clip(config, build_tokenizer(WORDS, max_length=16)).save(folder)
    return folder


@pytest.mark.parametrize("kind", ["sentence_folder", "clip_folder"])
def test_unit_vectors_that_do_not_depend_on_their_neighbours(kind, request):
    folder = str(request.getfixturevalue(kind))
    vectors = load_encoder(folder).encode(TEXTS)
    assert vectors.shape[0] == len(TEXTS) and vectors.dtype == np.float32
    assert np.allclose(np.linalg.norm(vectors, axis=-1), 1, atol=1e-5)
    assert (vectors[0] == vectors[3]).all() and not np.allclose(vectors[0], vectors[1], atol=1e-3)
    alone = np.concatenate([load_encoder(folder).encode([text]) for text in TEXTS])
    assert np.allclose(vectors, alone, atol=1e-5)
    assert len(load_encoder(folder).encode([])) == 0


def test_a_sentence_is_the_mean_of_its_tokens(sentence_folder):
    model, tokenizer = BertModel.from_pretrained(sentence_folder), AutoTokenizer.from_pretrained(sentence_folder)
    states = model.eval()(**tokenizer("a dog", return_tensors="pt")).last_hidden_state[0]
    expected = torch.nn.functional.normalize(states.mean(0), dim=0).detach().numpy()
    assert np.allclose(load_encoder(str(sentence_folder)).encode(["a dog", TEXTS[1]])[0], expected, atol=1e-5)


def test_each_text_is_read_once(sentence_folder):
    encoder = load_encoder(str(sentence_folder))
    read, inner = [], encoder.encoder

    class Counting:
        def encode(self, texts):
            read.extend(texts)
            return inner.encode(texts)

    cached = Cached(Counting(), batch=2, kept=3)
    first = cached.encode(TEXTS)
    assert sorted(read) == sorted(set(TEXTS)) and len(cached.vectors) == 3
    assert (cached.encode(TEXTS) == first).all() and len(read) < 2 * len(set(TEXTS))


@pytest.mark.parametrize("make, message", [
    (lambda folder: None, "is no text encoder"),
    (lambda folder: (folder / "config.json").write_text("{"), "is no text encoder"),
    (lambda folder: (folder / "config.json").write_text('{"model_type": "bert"}'), "cannot be loaded"),
    (lambda folder: (folder / "config.json").write_text('{"model_type": "clip"}'), "not a CLIP folder"),
])  # fmt: skip
def test_what_is_no_encoder_is_named(tmp_path, make, message):
    make(tmp_path)
    with pytest.raises(UserError, match=f"{tmp_path}.*{message}"):
        load_encoder(str(tmp_path))


def test_a_judge_with_models_judges_direction_and_picture(sentence_folder, clip_folder, tmp_path):
    path = tmp_path / "1.png"
    Image.new("RGB", (40, 24), "red").save(path)
    caption = Caption("1", "1", "a red car on the street")
    edits = [Edit("color", "make the car blue", "a blue car on the street", "make the car red"),
             Edit("color", "make the car red", "the red car on a street", "make the car red")]  # fmt: skip
    vectors = load_encoder(str(sentence_folder)).encode([caption.caption, *(edit.edited_caption for edit in edits)])
    far, near = np.linalg.norm(vectors[1:] - vectors[0], axis=-1)
    likeness = load_likeness(str(clip_folder))(path, caption.caption)
    assert -1 <= likeness <= 1 and likeness == load_likeness(str(clip_folder))(path.read_bytes(), caption.caption)

    rules = {"encoder": str(sentence_folder), "clip": str(clip_folder)}
    pairs = [(edit, caption) for edit in edits]
    strict = Judge(Rules(**rules, direction=float(far + near) / 2, image_text=likeness + 0.01))
    lax = Judge(Rules(**rules, direction=0.0, image_text=likeness - 0.01))
    reasons = [set(verdict.reasons) & {"direction", "picture"} for verdict in strict(pairs, [path, path])]
    assert sorted(map(len, reasons)) == [1, 2] and all("picture" in some for some in reasons)
    assert not any(set(verdict.reasons) & {"direction", "picture"} for verdict in lax(pairs, [path, path]))
    assert all(verdict.not_judged == ("picture",) for verdict in lax(pairs))
    assert all(verdict.not_judged == ("picture",) for verdict in lax(pairs, [None, None]))
    path.write_bytes(b"no picture")
    assert all("picture" in verdict.reasons for verdict in lax(pairs, [path, path]))
    assert "direction" in judge(*pairs[0], Facts(Rules())).not_judged


def test_a_clip_of_latents_sees_no_pictures(clip_folder, tmp_path):
    from uip2p.models.clip import build_latent_clip, load_clip

    torch.manual_seed(0)
    build_latent_clip(load_clip(clip_folder), 4, 8).save(tmp_path)
    with pytest.raises(UserError, match="reads latents"):
        load_likeness(str(tmp_path))
