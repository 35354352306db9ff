"""Muon: what it does to a matrix, whom it is for, and that a run with it can be stopped and goes on."""

import json

import pytest
import tiny
import torch
from safetensors.torch import load_file
from toy import Denoiser, Discs

from uip2p.learning.denoise import DenoiseConfig, DenoiseObjective
from uip2p.learning.muon import GAIN, Muon, orthogonal
from uip2p.learning.optimizer import build_optimizer
from uip2p.learning.trainer import TrainConfig, train
from uip2p.models.ema import trainable
from uip2p.models.folder import Settings


@pytest.mark.parametrize("shape", [(8, 8), (6, 50), (50, 6), (3, 12, 5)])
def test_orthogonal_is_nearly_that(shape):
    torch.manual_seed(0)
    m = torch.randn(shape) * 1e-3
    found = torch.linalg.svdvals(orthogonal(m))
    assert found.min() > 0.5 and found.max() < 1.3
    u, _, v = torch.linalg.svd(m, full_matrices=False)
    cosine = torch.cosine_similarity(orthogonal(m).flatten(), (u @ v).flatten(), dim=0)
    assert cosine > 0.95, "the directions stay, their strengths become alike"
    assert orthogonal(torch.zeros(shape)).abs().max() == 0


def test_a_step_is_the_formula():
    torch.manual_seed(0)
    kernel = torch.nn.Parameter(torch.randn(8, 2, 3, 1))
    bias = torch.nn.Parameter(torch.randn(8))
    before, plain = kernel.detach().clone(), torch.nn.Parameter(bias.detach().clone())
    muon = Muon(
        [{"params": [kernel], "orthogonal": True, "weight_decay": 0.1}, {"params": [bias], "weight_decay": 0.0}],
        lr=1e-3,
    )
    adamw = torch.optim.AdamW([plain], lr=1e-3, weight_decay=0.0)
    momentum = torch.zeros(8, 6)
    expected = before.flatten(1)
    for _ in range(3):
        kernel.grad, bias.grad = torch.randn_like(kernel), torch.randn(8)
        plain.grad = bias.grad.clone()
        gradient = kernel.grad.flatten(1)
        momentum = 0.95 * momentum + gradient
        update = orthogonal(gradient + 0.95 * momentum)
        expected = expected * (1 - 1e-3 * 0.1) - GAIN * 1e-3 * (8 / 6) ** 0.5 * update
        muon.step()
        adamw.step()
    assert torch.allclose(kernel.flatten(1), expected, atol=1e-6)
    assert torch.equal(bias, plain), "what is no matrix is AdamW's"
    with pytest.raises(ValueError, match="no closure"):
        muon.step(lambda: 0.0)


def test_whom_it_is_for():
    objective = DenoiseObjective(tiny.build_editor(train_text=True), DenoiseConfig(), Settings(tiny.SIZE))
    parameters = trainable(objective)
    names = {id(p): name for name, p in parameters.items()}
    groups = build_optimizer(parameters, TrainConfig(1, 1, optimizer="muon")).param_groups
    matrices, others, vectors = ([names[id(p)] for p in group["params"]] for group in groups)
    assert [group["orthogonal"] for group in groups] == [True, False, False]
    assert all("embeddings" in name or "conv_in" in name or "conv_out" in name for name in others) and others
    assert any("time_embedding" in name for name in matrices) and any("attn2" in name for name in matrices)
    assert all(parameters[name].ndim == 1 for name in vectors)
    assert sorted([*matrices, *others, *vectors]) == sorted(parameters)
    assert not any(g["orthogonal"] for g in build_optimizer(parameters, TrainConfig(1, 1)).param_groups)


def test_it_learns_and_resumes_bit_for_bit(tmp_path):
    def run(name, steps):
        config = TrainConfig(steps, 8, learning_rate=2e-3, log_every=1, save_every=7, optimizer="muon")
        train(Denoiser(), Discs(), config, tmp_path / name, progress=False)
        return load_file(tmp_path / name / f"checkpoints/step-{steps:08d}/model.safetensors")

    whole = run("whole", 30)
    run("parts", 11)
    assert all(torch.equal(tensor, whole[name]) for name, tensor in run("parts", 30).items())
    losses = [json.loads(line)["denoise"] for line in (tmp_path / "whole/metrics.jsonl").read_text().splitlines()]
    assert sum(losses[-5:]) < 0.5 * sum(losses[:5])
