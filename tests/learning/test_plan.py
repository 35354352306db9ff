"""The plan counts what a real step really keeps, without loading anything."""

from dataclasses import replace
from types import SimpleNamespace

import pytest
import torch
from test_full_size import models  # noqa: F401  (a fixture)
from tiny import SIZE

from uip2p.cli import main
from uip2p.learning.command import print_plan
from uip2p.learning.counting import count_step, fused_attention
from uip2p.learning.plan import describe, make_plan
from uip2p.learning.randomness import Draw
from uip2p.learning.recipes import build, read_cycle, read_recipe


def tables(models, *more):  # noqa: F811
    own = [f"model.base='{models / 'sd'}'", f"model.clips=['{models / 'clip'}']", f"data.size={SIZE}", *more]
    return read_recipe("sd15-ip2p", own)


@pytest.fixture(scope="module")
def counted():
    """`make_plan`, which counts the same step once."""
    known = []

    def plan(editor, loss, train, size, look):
        step = (editor, loss, size)
        if not (found := [plan for seen, plan in known if seen == step]):
            found = [make_plan(editor, loss, train, size, look)]
            known.append((step, *found))
        return replace(found[0], train=train)

    return plan


@pytest.fixture(scope="module")
def planned(models, counted):  # noqa: F811
    """Overrides → the plan."""

    def plan(*more):
        data, editor, loss, train = read_cycle("sd15-ip2p", tables(models, *more))
        return counted(editor, loss, train, data.size, str)

    return plan


WAYS = {"all": [], "again": ["model.checkpointing=true"], "lora": ["model.lora.rank=4"]}


@pytest.mark.parametrize("more", WAYS.values(), ids=WAYS)
def test_it_counts_what_a_real_step_keeps(models, planned, tmp_path, more):  # noqa: F811
    plan = planned(*more)
    run = build("sd15-ip2p", tables(models, *more), tmp_path, models / "data")
    weights = {parameter.untyped_storage().data_ptr() for parameter in run.objective.parameters()}

    kept = {}

    def keep(tensor):
        if tensor.untyped_storage().data_ptr() not in weights:
            kept[tensor.untyped_storage().data_ptr()] = tensor
        return tensor

    with torch.autograd.graph.saved_tensors_hooks(keep, lambda tensor: tensor):
        run.objective([run.dataset[0]], Draw(0, 0, [0]))
    real = sum(tensor.untyped_storage().nbytes() for tensor in kept.values())
    assert plan.activations == pytest.approx(real, rel=0.03)
    trained = sum(p.numel() for p in run.objective.parameters() if p.requires_grad)
    assert plan.trained == trained and plan.flops > 1e6


@pytest.mark.slow
def test_published_models_are_known_without_the_hub(capsys):
    """Counts every operation of Stable Diffusion's step: twenty seconds to two minutes, as the CPU goes."""
    assert main(["train", "--recipe", "sd15-ip2p", "--dry-run"]) == 0
    printed = capsys.readouterr().out
    assert "trained 859.5 M parameters" in printed and "4.72 TFLOP each" in printed


def test_too_little_memory_names_what_helps(models, counted, tmp_path, monkeypatch, capsys):  # noqa: F811
    monkeypatch.setattr("uip2p.learning.command.make_plan", counted)
    monkeypatch.setattr("uip2p.learning.command.available", lambda: (1e5, "a very small card"))
    overrides = [f"model.base='{models / 'sd'}'", f"model.clips=['{models / 'clip'}']", f"data.size={SIZE}"]
    print_plan("sd15-ip2p", tmp_path, overrides, tmp_path)
    printed = capsys.readouterr().out
    assert "more than the 0.0 GB of a very small card" in printed
    assert "--set model.checkpointing=true saves" in printed and "--set train.micro_batch=3 saves" in printed


def test_measured_speed_gives_the_hours(planned):
    said = describe(planned(), speed=100.0)
    assert "23.5 hours for 8,448,000 pictures" in said and "at the speed measured so far" in said


def test_sharding_divides_what_the_learning_networks_hold(planned, monkeypatch):
    monkeypatch.setenv("WORLD_SIZE", "2")
    whole = planned("model.lora.rank=4")
    shared = replace(whole, train=replace(whole.train, shard=True))
    for name in ("weights", "gradients", "moments", "averages"):
        assert shared.memory()[name] == whole.memory()[name] / 2
    saved = whole.memory()["frozen weights"] - shared.memory()["frozen weights"]
    assert saved == 4 * whole.around / 2 and 0 < whole.around < whole.frozen


def test_attention_keeps_no_matrix_of_tokens_by_tokens():
    def step(size):
        query = torch.randn(1, 2, size, 8, device="meta", requires_grad=True)
        with fused_attention(), torch.autograd.graph.saved_tensors_hooks(keep, lambda tensor: tensor):
            torch.nn.functional.scaled_dot_product_attention(query, query, query).sum().backward()

    def keep(tensor):
        largest.append(tensor.numel())
        return tensor

    largest: list[int] = []
    step(256)
    assert max(largest) == 2 * 256 * 8


def test_attention_is_multiplied_forward_once_and_backward_twice():
    class Attention(torch.nn.Module):
        def __init__(self):
            super().__init__()
            self.weight = torch.nn.Parameter(torch.randn(1, 2, 256, 8, device="meta"))

        def forward(self, rows, draw):
            losses = {"sum": torch.nn.functional.scaled_dot_product_attention(self.weight, self.weight, self.weight)}
            return SimpleNamespace(losses=losses)

    _, flops = count_step(Attention(), 16)
    assert flops == 3 * (2 * 2 * 2 * 256 * 256 * 8)  # two products, two operations, two heads
