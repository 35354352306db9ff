"""Steps against every figure, and a grid of pictures that nobody chose."""

from argparse import Namespace

import numpy as np
import pytest
from PIL import Image

from uip2p.errors import UserError
from uip2p.evaluate.editors import open_editor
from uip2p.evaluate.suites import steps
from uip2p.images import load_image


def arguments(judge, **more):
    scenes = {"split": "test", "seed": 4, "count": 5, "sessions": 0, "photos": [], "judge": str(judge), "size": 32}
    return Namespace(**{"suite": "steps", "editors": [], **scenes, **more})


@pytest.fixture(scope="session")
def asked(judge):
    return steps.build(arguments(judge, steps_list=[4, 1, 2], rank_by="inside"))


def test_a_run(asked, world_model, run_suite):
    run = run_suite(asked, [f"tiny={world_model}"])
    names = [row["name"] for row in run.info["rows"]]
    assert names == ["copy-input", "round trip", "ceiling", "tiny, 1 step", "tiny, 2 steps", "tiny, 4 steps"]
    assert [row["editor"]["sampling"]["steps"] for row in run.info["rows"][3:]] == [1, 2, 4]
    single = run.info["summary"]["single-turn"]
    assert {"l1", "direction", "success", "inside"} <= set(single["tiny, 2 steps"])
    assert single["tiny, 1 step"]["l1"]["mean"] != single["tiny, 4 steps"]["l1"]["mean"]
    assert Image.open(run.folder / "steps.png").width > 500

    # the grid: of the single edits the best, the median and the worst by the middle row's inside error
    turns = run.turns("single-turn")
    sums = [run.rows["tiny, 2 steps"][0][turn] for turn in turns]
    errors = {turn: each["inside_sum"] / each["wanted_sum"] for turn, each in zip(turns, sums, strict=True)}
    order = sorted(turns, key=errors.get)
    sheet = np.asarray(Image.open(run.folder / "steps-pictures-tiny.png"))
    side, gap, label = 256, 4, 14
    for line, turn in enumerate((order[0], order[2], order[4])):
        outputs = [run.output(name, turn) for name in names[3:]]
        for column, path in enumerate([run.picture(turn, "source"), *outputs, run.picture(turn, "target")]):
            top, left = gap + line * (side + label + gap), gap + column * (side + gap)
            shown = load_image(path).resize((side, side), Image.Resampling.NEAREST)
            assert np.array_equal(sheet[top : top + side, left : left + side], shown), (turn, path)


def test_questions_settings_and_baselines_are_the_other_suites(asked):
    assert asked.settings == {"on": "scenes", **asked.on.settings}
    assert [session.name for session in asked.sessions()] == [session.name for session in asked.on.sessions()]
    assert asked.baselines == asked.on.baselines and asked.published == ()


def test_on_another_suite(ip2p_folder, judge, world_model, run_suite):
    given = {"on": "ip2p", "data": ip2p_folder, "samples": 3, "clip": str(judge), "steps_list": [1, 3]}
    suite = steps.build(arguments(judge, **given))
    assert suite.sampling == suite.on.sampling and suite.sampling.guidance_scale == 7.5
    run = run_suite(suite, [f"tiny={world_model}"])
    assert set(run.info["summary"]["single-turn"]["tiny, 3 steps"]) == {"direction", "image_similarity"}
    assert run.info["metrics"]["direction"] == suite.on.measured()["direction"]
    width = 4 + 3 * (256 + 4)  # the input and two numbers of steps: there is no target
    assert Image.open(run.folder / "steps-pictures-tiny.png").width == width


def test_ranks():
    values = {"a": 0.5, "b": 0.1, "c": 0.3, "d": float("nan"), "e": 0.2, "f": 0.4}
    assert steps.ranked(values, -1) == {"best": "b", "median": "c", "worst": "a"}
    assert steps.ranked(values, 1) == {"best": "a", "median": "c", "worst": "b"}
    assert steps.ranked({"a": 0.5, "b": 0.1}, -1) == {"best": "b", "worst": "a"}
    assert steps.ranked({"a": 0.5}, -1) == {"best": "a"}


def test_mistakes(judge, asked, ip2p_folder):
    for wrong in ([0, 5], [5, 5]):
        with pytest.raises(UserError, match="--steps-list"):
            steps.build(arguments(judge, steps_list=wrong))
    with pytest.raises(UserError, match="Give them as --steps-list"):
        steps.build(arguments(judge, steps=20))
    with pytest.raises(UserError, match="--rank-by image_similarity: no figure that can be ranked by"):
        steps.build(arguments(judge, rank_by="image_similarity"))
    with pytest.raises(UserError, match="--on vlm"):
        steps.build(arguments(judge, on="vlm"))
    with pytest.raises(UserError, match="its steps cannot be set"):
        asked.rows([open_editor(f"folder:{ip2p_folder}")])


def test_a_figure_that_was_not_measured(judge, world_model, run_suite):
    suite = steps.build(arguments(judge, rank_by="dino", steps_list=[1], count=2, sessions=0))
    with pytest.raises(UserError, match="--rank-by dino: this run measures l1, l2"):
        run_suite(suite, [f"tiny={world_model}"])
