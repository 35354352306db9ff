"""What is measured of an output, and the judge's word on real embeddings."""

from dataclasses import replace

import numpy as np
import pytest
import torch

from uip2p.evaluate.cases import suite_cases
from uip2p.evaluate.measure import Measure, judged, measure_outputs
from uip2p.images import to_tensor
from uip2p.models.clip import load_clip

FIGURES = {"l1", "l2", "inside_sum", "wanted_sum", "outside_sum", "outside_pixels", "success", "halfway"}
JUDGE = {"clip_i", "clip_t", "direction", "judge_success"}


def cases_and_answers(count=9, sessions=2, split="test"):
    cases = suite_cases("scenes", split, 3, count, sessions, 32)
    return cases, [case.draw() for case in cases]


@pytest.fixture(scope="module")
def clip(judge):
    return load_clip(judge)


def test_what_a_copy_and_the_exact_answer_score(clip):
    cases, answers = cases_and_answers()
    copies = measure_outputs(np.stack([a.source for a in answers]), cases, answers, clip)
    for row, answer in zip(copies, answers, strict=True):
        assert row["inside_sum"] == row["wanted_sum"] > 0 and row["outside_sum"] == 0 and row["direction"] == 0
        assert not row["success"] and not row["halfway"] and row["outside_pixels"] == (~answer.mask).sum()
    for row in measure_outputs(np.stack([a.target for a in answers]), cases, answers, clip):
        assert row["l1"] == row["l2"] == row["inside_sum"] == row["outside_sum"] == 0
        assert row["clip_i"] == pytest.approx(1) and row["success"] and row["halfway"]
        assert set(row) == FIGURES | JUDGE


@pytest.mark.parametrize("split", ["composition", "language"])
def test_sessions_of_every_split_are_measured(split):
    cases, answers = cases_and_answers(0, 4, split)
    rows = measure_outputs(np.stack([a.target for a in answers]), cases, answers, None)
    assert len(rows) == 4 and all(row["success"] == 1 and set(row) == FIGURES for row in rows)


def test_prepared_once_measures_the_same(clip):
    cases, answers = cases_and_answers()
    prepared, sources = Measure(cases, answers, clip), np.stack([a.source for a in answers])
    assert prepared(sources) == measure_outputs(sources, cases, answers, clip)
    noisy = np.random.default_rng(0).integers(0, 256, sources.shape, dtype=np.uint8)
    assert prepared(noisy) == measure_outputs(noisy, cases, answers, clip) != prepared(sources)


def test_the_judge_asks_which_caption_fits_best(clip):
    """Against the same question put by hand, on outputs of which some pass and some do not."""
    cases, answers = cases_and_answers(18, 0)
    outputs = np.stack([a.target for a in answers])[::-1].copy()
    rows = measure_outputs(outputs, cases, answers, clip)
    for case, answer, output, row in zip(cases, answers, outputs, rows, strict=True):
        captions = case.alternatives(answer).captions
        rivals = [text for text in dict.fromkeys(captions) if text != case.edited_caption]
        assert captions[0] == case.edited_caption and case.caption in rivals
        seen = clip.embed_images(to_tensor(output[None]))
        asked, others = (clip.embed_texts(texts) @ seen[0] for texts in ([case.edited_caption], rivals))
        assert bool(row["judge_success"]) == bool(asked > others.max())
    assert 0 < sum(row["judge_success"] for row in rows) < len(rows)


def test_judged_by_hand():
    captions = torch.eye(3)
    assert judged(torch.tensor([0.9, 0.3, 0.3]), captions) and not judged(torch.tensor([0.3, 0.9, 0.3]), captions)
    assert not judged(torch.tensor([0.5, 0.5, 0.0]), captions)


def test_a_case_without_alternatives_is_done_or_not_done(clip):
    cases, answers = cases_and_answers(9, 0)
    bare = [replace(case, alternatives=None, kind="mine") for case in cases]
    targets, sources = (np.stack([getattr(a, side) for a in answers]) for side in ("target", "source"))
    assert all(row["success"] for row in measure_outputs(targets, bare, answers, clip))
    assert not any(row["success"] for row in measure_outputs(sources, bare, answers, clip))


def test_photographs_are_measured_too(clip):
    cases = suite_cases("photos", "test", 3, 6, 0, 32)
    answers = [case.draw() for case in cases]
    rows = measure_outputs(np.stack([a.target for a in answers]), cases, answers, clip)
    assert all(row["success"] for row in rows) and all(set(row) == FIGURES | JUDGE for row in rows)
