"""The frozen encoders: preprocessing as the protocols describe it, re-derived here; batches; what cannot be loaded."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from frozen import (
    IMAGENET_MEAN,
    IMAGENET_STD,
    OPENAI_MEAN,
    OPENAI_STD,
    build_dino,
    build_openai_clip,
    twenty,
)
from huggingface_hub import constants
from PIL import Image
from safetensors.torch import load_file, save_file
from transformers import CLIPModel, CLIPTokenizer, ViTModel

from uip2p.errors import UserError
from uip2p.evaluate.encoders import Remembered, content, open_clip, open_dino
from uip2p.images import to_tensor
from uip2p.models import hub
from uip2p.models.clip import load_clip


@pytest.fixture(scope="module")
def pictures():
    """Wide, tall and square ones, larger and smaller than encoders read."""
    return [twenty()[i].target for i in (0, 1, 2, 3, 8)] + [twenty()[0].target.transpose(Image.Transpose.ROTATE_90)]


# ---- the protocols, written out again ----


def resized_and_cropped(picture, resize, crop):
    """The shorter edge to `resize` by PIL's bicubic filter, the other in proportion, the middle of `crop` pixels:
    float64 [3, crop, crop] in [0, 1]."""
    short, long = sorted(picture.size)
    scaled = [resize if edge == short else int(resize * long / short) for edge in picture.size]
    small = np.asarray(picture.resize(scaled, Image.Resampling.BICUBIC), np.float64) / 255
    top, left = (round((edge - crop) / 2) for edge in small.shape[:2])
    return small[top : top + crop, left : left + crop].transpose(2, 0, 1)


def bicubic_matrix(out, inputs):
    """[out, inputs]: each output from the four inputs around it (Keys, a = −0.75), whatever the ratio; the edge goes on
    beyond the edge. Half a pixel is at the middle of a pixel."""

    def weight(distance):
        d, a = abs(distance), -0.75
        if d <= 1:
            return (a + 2) * d**3 - (a + 3) * d**2 + 1
        return a * (d**3 - 5 * d**2 + 8 * d - 4) if d < 2 else 0.0

    matrix = np.zeros((out, inputs))
    for i in range(out):
        center = (i + 0.5) * inputs / out - 0.5
        for j in range(int(np.floor(center)) - 1, int(np.floor(center)) + 3):
            matrix[i, min(max(j, 0), inputs - 1)] += weight(center - j)
    return matrix


def interpolated(picture, side, low=0.0):
    """float64 [3, side, side] of pixels in [low, 1]."""
    pixels = np.asarray(picture, np.float64) / 255 * (1 - low) + low
    rows, columns = bicubic_matrix(side, picture.height), bicubic_matrix(side, picture.width)
    return np.einsum("ih,jw,hwc->cij", rows, columns, pixels, optimize=True)


def normalized(pixels, mean, std):
    return (pixels - np.array(mean)[:, None, None]) / np.array(std)[:, None, None]


def transformers_clip(folder, pixels):
    """Unit-length embeddings of pixels that are preprocessed already."""
    model, tokenizer = CLIPModel.from_pretrained(folder), CLIPTokenizer.from_pretrained(folder)
    ids = tokenizer(["a"], padding="max_length", return_tensors="pt").input_ids
    with torch.no_grad():
        return model(input_ids=ids, pixel_values=torch.tensor(np.stack(pixels)).float()).image_embeds


def test_clip_sees_what_the_protocol_says(clip_folder, pictures):
    views = {
        "openai": lambda picture: resized_and_cropped(picture, 224, 224),
        "ip2p": lambda picture: interpolated(picture, 224),
        "ip2p, published range": lambda picture: interpolated(picture, 224, low=-1.0),
    }
    found, expected = [], []
    for name, view in views.items():
        encoder = open_clip(str(clip_folder), name.partition(",")[0], quirk="," in name)
        found.append(encoder.embed_pictures(pictures))
        pixels = [normalized(view(picture), OPENAI_MEAN, OPENAI_STD) for picture in pictures]
        expected.append(transformers_clip(clip_folder, pixels))
    torch.testing.assert_close(torch.stack(found), torch.stack(expected), atol=2e-5, rtol=0)
    for one, other in ((0, 1), (0, 2), (1, 2)):  # the encoder tells the three apart, or the test says nothing
        assert (found[one] - found[other]).norm(dim=1).mean() > 1e-3


def test_stretch_is_what_losses_see(clip_folder, pictures):
    clip = load_clip(clip_folder)
    expected = torch.cat([clip.embed_images(to_tensor(picture)[None]) for picture in pictures])
    found = open_clip(str(clip_folder), "stretch").embed_pictures(pictures)
    torch.testing.assert_close(found, expected, atol=2e-5, rtol=0)
    assert (open_clip(str(clip_folder)).embed_pictures(pictures) - expected).norm(dim=1).mean() > 1e-3


def test_dino_sees_what_the_protocol_says(dino_folder, pictures):
    pixels = [normalized(resized_and_cropped(p, 256, 224), IMAGENET_MEAN, IMAGENET_STD) for p in pictures]
    model = ViTModel.from_pretrained(dino_folder, add_pooling_layer=False)
    with torch.no_grad():
        states = model(pixel_values=torch.tensor(np.stack(pixels)).float()).last_hidden_state
    found = open_dino(str(dino_folder)).embed_pictures(pictures)
    torch.testing.assert_close(found, states[:, 0], atol=1e-4, rtol=0)
    assert (states[1:, 0] - states[:-1, 0]).norm(dim=1).min() > 1e-2


def test_texts_are_read_as_transformers_reads_them(clip_folder):
    model, tokenizer = CLIPModel.from_pretrained(clip_folder), CLIPTokenizer.from_pretrained(clip_folder)
    texts = ["a red car", "a blue dog to the left", "a red car " * 40]
    ids = tokenizer(texts, padding="max_length", max_length=77, truncation=True, return_tensors="pt").input_ids
    with torch.no_grad():
        expected = model(input_ids=ids, pixel_values=torch.zeros(1, 3, 224, 224)).text_embeds
    torch.testing.assert_close(open_clip(str(clip_folder)).embed_texts(texts), expected, atol=2e-5, rtol=0)


def test_batches_and_order_change_nothing(clip_folder, dino_folder, pictures):
    order = torch.randperm(len(pictures), generator=torch.Generator().manual_seed(0))
    shuffled = [pictures[i] for i in order]
    for opened in (
        lambda n: open_clip(str(clip_folder), batch_size=n),
        lambda n: open_clip(str(clip_folder), "ip2p", quirk=True, batch_size=n),
        lambda n: open_dino(str(dino_folder), batch_size=n),
    ):
        four = opened(4).embed_pictures(pictures)
        four = four / four.norm(dim=1, keepdim=True)
        for size, asked, expected in ((1, pictures, four), (4, shuffled, four[order])):
            found = opened(size).embed_pictures(asked)
            torch.testing.assert_close(found / found.norm(dim=1, keepdim=True), expected, atol=1e-6, rtol=0)


def test_what_is_asked_again_is_not_embedded_again(clip_folder, pictures):
    encoder, asked = open_clip(str(clip_folder)), []

    def embed(some):
        asked.append(len(some))
        return encoder.embed_pictures(some)

    known = Remembered(embed, content, limit=4)
    first = known(pictures[:3])
    again = known([pictures[2], pictures[0].copy(), pictures[3]], keep=False)
    assert asked == [3, 1] and torch.equal(again[0], first[2]) and torch.equal(again[1], first[0])
    assert torch.equal(torch.cat(first), encoder.embed_pictures(pictures[:3]))
    known([pictures[3]])  # it was not kept; now it is the fourth
    known([pictures[4]])  # and the one asked for longest ago, the second, makes room
    assert asked == [3, 1, 1, 1] and len(known.known) == 4
    known([pictures[0], pictures[2], pictures[3], pictures[4]])
    assert asked == [3, 1, 1, 1]
    known([pictures[1]])
    assert asked == [3, 1, 1, 1, 1]


def test_the_shipped_judge_sees_the_miniature_as_it_always_did():
    encoder = open_clip("mini")
    scene = twenty()[12].target.resize((64, 64))
    torch.testing.assert_close(
        encoder.embed_pictures([scene]), encoder.clip.embed_images(to_tensor(scene)[None]), atol=1e-5, rtol=0
    )
    assert encoder.describe()["backbone"] == "clip-judge" and len(encoder.describe()["weights"]) == 16


def test_descriptions_say_how(clip_folder, dino_folder):
    told = open_clip(str(clip_folder)).describe()
    assert told["backbone"] == "clip" and "/" not in told["backbone"]
    assert (told["resize"], told["crop"]) == ("shortest edge to 224, bicubic, PIL, 8 bit", "centre 224 × 224")
    honest, published = (open_clip(str(clip_folder), "ip2p", quirk).describe() for quirk in (False, True))
    assert honest["range"] == "[0, 1]" and published["range"].startswith("[-1, 1]")
    assert {name for name in honest if honest[name] != published[name]} == {"range"}
    assert open_dino(str(dino_folder)).describe()["weights"] != told["weights"]


def test_a_picture_that_is_not_rgb_raises(clip_folder, dino_folder):
    for encoder in (open_clip(str(clip_folder)), open_dino(str(dino_folder))):
        with pytest.raises(ValueError, match="mode L"):
            encoder.embed_pictures([Image.new("L", (64, 64))])


# ---- what cannot be loaded ----


def test_weights_that_are_not_there(tmp_path, monkeypatch, clip_folder):
    monkeypatch.setattr(constants, "HF_HUB_OFFLINE", True)
    with pytest.raises(UserError, match="there is no such folder"):
        open_clip(str(tmp_path / "nowhere"))
    with pytest.raises(UserError, match=rf"^{hub.DINO}: .* --local-dir DIR\) and give --dino DIR"):
        open_dino(hub.DINO)
    with pytest.raises(UserError, match=r"there is no .*model\.safetensors"):
        open_clip(str(tmp_path))
    with pytest.raises(UserError, match="published range"):
        open_clip(str(clip_folder), "openai", quirk=True)
    with pytest.raises(UserError, match="choose openai, stretch, ip2p"):
        open_clip(str(clip_folder), "center")


def test_nothing_is_left_at_random(tmp_path, clip_folder):
    """A tensor that is missing is an error, not noise in every figure."""
    for folder, opened, key in (
        (build_dino(tmp_path / "dino"), open_dino, "layernorm.weight"),
        (build_openai_clip(tmp_path / "clip"), open_clip, "visual_projection.weight"),
    ):
        weights = load_file(folder / "model.safetensors")
        save_file({name: tensor for name, tensor in weights.items() if name != key}, folder / "model.safetensors",
                  metadata={"format": "pt"})  # fmt: skip
        with pytest.raises(UserError, match=key):
            opened(str(folder))


def test_a_pickle_is_refused_with_the_command_that_converts_it(tmp_path):
    """As DINO lies on the hub: pytorch_model.bin alone. What is converted so is the same model."""
    folder = build_dino(tmp_path / "dino")
    safe = folder / "model.safetensors"
    torch.save(load_file(safe), folder / "pytorch_model.bin")
    expected = open_dino(str(folder)).embed_pictures([twenty()[0].target])
    safe.unlink()
    with pytest.raises(UserError, match="a pickle") as error:
        open_dino(str(folder))
    command = str(error.value)[str(error.value).index('python -c "') :]
    assert command.endswith(f"{folder / 'pytorch_model.bin'} {safe}")
    save_file(torch.load(folder / "pytorch_model.bin", weights_only=True), safe)  # what it does: no metadata
    torch.testing.assert_close(open_dino(str(folder)).embed_pictures([twenty()[0].target]), expected)


def test_another_vit_is_not_dino(tmp_path):
    with pytest.raises(UserError, match="224 are wanted"):
        open_dino(str(build_dino(tmp_path / "small", image_size=64)))
