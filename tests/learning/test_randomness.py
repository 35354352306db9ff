import hashlib

import numpy as np
import pytest
import torch

from uip2p.learning.randomness import Draw


def test_a_row_belongs_to_its_sample_whatever_the_batch():
    whole = Draw(3, 10, range(8))
    for name in ("noise", "other"):
        rows = whole.normal(name, (4, 5))
        assert torch.equal(Draw(3, 10, [6, 1]).normal(name, (4, 5)), rows[[6, 1]])
        assert torch.equal(whole.normal(name, (4, 5)), rows), "drawing twice draws the same"
    assert torch.equal(Draw(3, 10, [7]).uniform("u"), whole.uniform("u")[7:])
    assert torch.equal(Draw(3, 10, [7]).integers("i", 1000, (3,)), whole.integers("i", 1000, (3,))[7:])


@pytest.mark.parametrize("other", [(4, 10, 7, "a"), (3, 11, 7, "a"), (3, 10, 8, "a"), (3, 10, 7, "b"), (3, -1, 7, "a")])
def test_seed_step_sample_and_name_each_change_the_draw(other):
    seed, step, sample, name = other
    assert not torch.equal(Draw(3, 10, [7]).normal("a", (16,)), Draw(seed, step, [sample]).normal(name, (16,)))


def test_one_name_gives_unrelated_draws_of_each_kind():
    draw = Draw(0, 0, range(4000))
    u, i = draw.uniform("r"), draw.integers("r", 1000)
    assert abs(np.corrcoef(u, i)[0, 1]) < 0.06


def test_shapes_types_and_distributions():
    draw = Draw(0, 5, range(2000))
    normal, uniform, integers = draw.normal("n", (4, 4)), draw.uniform("u", (9,)), draw.integers("i", 7, (3,))
    assert (normal.shape, uniform.shape, integers.shape) == ((2000, 4, 4), (2000, 9), (2000, 3))
    assert (normal.dtype, uniform.dtype, integers.dtype) == (torch.float32, torch.float32, torch.int64)
    assert abs(normal.mean()) < 0.02 and abs(normal.std() - 1) < 0.02
    assert uniform.min() >= 0 and uniform.max() < 1 and abs(uniform.mean() - 0.5) < 0.01
    counts = torch.bincount(integers.flatten(), minlength=7)
    assert len(counts) == 7 and counts.min() > 0.85 * 6000 / 7
    assert draw.uniform("u").shape == (2000,) and draw.part(slice(2, 5)).samples == [2, 3, 4]


def test_the_numbers_are_these_on_every_machine():
    """Published figures stand on these draws. A change of NumPy that changes them must not go unnoticed."""
    draw = Draw(0, 1, [0, 2**40])
    bits = draw.normal("noise", (64,)).numpy().tobytes() + draw.integers("t", 1000, (8,)).numpy().tobytes()
    assert hashlib.sha256(bits).hexdigest()[:16] == "529cd3580aa0cfa8"
