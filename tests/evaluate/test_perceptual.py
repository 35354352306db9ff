"""LPIPS: our trunk, with the names and shapes that torchvision publishes, and the heads that torchmetrics brings."""

from __future__ import annotations

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from frozen import twenty
from PIL import Image
from safetensors.torch import load_file, save_file

from uip2p.errors import UserError
from uip2p.evaluate.perceptual import HEADS, open_lpips
from uip2p.models.pickles import packaged_tensors


@pytest.fixture(scope="module")
def pairs():
    """(outputs, targets) of several sizes, two and more neighbours of some."""
    chosen = [twenty()[i] for i in (1, 1, 1, 4, 5, 7, 7, 8)]
    outputs = [one.output.resize(one.target.size) for one in chosen]
    outputs[1], outputs[5] = chosen[1].source, chosen[5].source
    return outputs, [one.target for one in chosen]


def derived(file, output, target):
    """LPIPS of one pair, written out with functional convolutions, in float64."""
    w = {name: tensor.double() for name, tensor in load_file(file).items()}
    heads = packaged_tensors(*HEADS)

    def features(picture):
        x = torch.from_numpy(np.asarray(picture).copy()).double().permute(2, 0, 1)[None] / 255 * 2 - 1
        shift, scale = torch.tensor([-0.030, -0.088, -0.188]), torch.tensor([0.458, 0.448, 0.450])
        x = (x - shift[:, None, None]) / scale[:, None, None]
        found = []
        for number, stride, padding, pool in ((0, 4, 2, False), (3, 1, 2, True), (6, 1, 1, True), (8, 1, 1, False),
                                              (10, 1, 1, False)):  # fmt: skip
            x = F.max_pool2d(x, 3, 2) if pool else x
            x = F.conv2d(x, w[f"features.{number}.weight"], w[f"features.{number}.bias"], stride, padding).relu()
            found.append(x / (x.square().sum(1, keepdim=True) + 1e-8).sqrt())
        return found

    layers = enumerate(zip(features(output), features(target), strict=True))
    return sum(
        F.conv2d((a - b) ** 2, heads[f"lin{i}.model.1.weight"].double()).mean().item() for i, (a, b) in layers
    )


def test_distances_are_the_derived_ones(alexnet, pairs):
    outputs, targets = pairs
    found = open_lpips(alexnet).distances(outputs, targets)
    assert found == pytest.approx([derived(alexnet, *pair) for pair in zip(*pairs, strict=True)], rel=1e-3, abs=1e-7)
    assert min(found) > 1e-4 and max(found) > 100 * min(found)
    assert open_lpips(alexnet).distances(targets, targets) == [0.0] * len(targets)


def test_batches_change_nothing(alexnet, pairs):
    one, eight = (open_lpips(alexnet, batch_size=size).distances(*pairs) for size in (1, 8))
    assert one == pytest.approx(eight, abs=1e-6)
    backwards = open_lpips(alexnet).distances(pairs[0][::-1], pairs[1][::-1])
    assert backwards[::-1] == pytest.approx(eight, abs=1e-6)


def test_torchmetrics_agrees(alexnet, pairs, monkeypatch):
    torchvision = pytest.importorskip("torchvision")
    from torchmetrics.functional.image import lpips as theirs

    network = torchvision.models.alexnet(weights=None)
    network.load_state_dict(load_file(alexnet), strict=False)
    monkeypatch.setattr(theirs, "_get_tv_model_features", lambda *_: network.features)  # its own would be downloaded
    judge = theirs._NoTrainLpips(net="alex")
    for output, target in zip(*pairs, strict=True):
        a, b = (torch.from_numpy(np.asarray(x).copy()).permute(2, 0, 1)[None] / 255 for x in (output, target))
        with torch.no_grad():
            expected = judge(a, b, normalize=True).item()
        assert open_lpips(alexnet).distances([output], [target]) == pytest.approx([expected], abs=1e-6)


def test_what_it_cannot_compare(alexnet):
    small, large = Image.new("RGB", (30, 64)), Image.new("RGB", (64, 64))
    for pair in ((small, small), (small, large)):
        with pytest.raises(ValueError, match="31 pixels"):
            open_lpips(alexnet).distances(*([x] for x in pair))
    assert len(open_lpips(alexnet).distances([large.crop((0, 0, 31, 31))], [large.crop((0, 0, 31, 31))])) == 1


def test_files_that_are_no_alexnet(alexnet, tmp_path):
    weights = load_file(alexnet)
    pickled = tmp_path / "alexnet-owt-7be5be79.pth"
    torch.save(weights, pickled)
    with pytest.raises(UserError, match=r"a pickle.*python -c") as error:
        open_lpips(pickled)
    assert str(error.value).endswith(f"{pickled} {pickled.with_suffix('.safetensors')}")
    with pytest.raises(UserError, match="there is no such file"):
        open_lpips(tmp_path / "none.safetensors")
    (tmp_path / "text.safetensors").write_text("no weights at all")
    with pytest.raises(UserError, match="not a safetensors file"):
        open_lpips(tmp_path / "text.safetensors")
    save_file({**weights, "features.3.weight": torch.zeros(1, 2)}, tmp_path / "shape.safetensors")
    with pytest.raises(UserError, match=r"'features.3.weight' should be \[192, 64, 5, 5\], is \[1, 2\]"):
        open_lpips(tmp_path / "shape.safetensors")
    save_file({name: x for name, x in weights.items() if name != "features.8.bias"}, tmp_path / "less.safetensors")
    with pytest.raises(UserError, match=r"'features.8.bias' should be \[256\], is nothing"):
        open_lpips(tmp_path / "less.safetensors")
    with pytest.raises(UserError, match="pip install"):
        packaged_tensors("no_such_package", "x.pth")


def test_description(alexnet):
    told = open_lpips(alexnet).describe()
    assert told["range"] == "[-1, 1]" and len(told["weights"]) == 16
