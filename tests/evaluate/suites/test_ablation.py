"""What each loss adds, in figures and in words, beside the paper's rows."""

import re
from argparse import Namespace

import numpy as np
import pytest
from PIL import Image

from uip2p.errors import UserError
from uip2p.evaluate.statistics import difference
from uip2p.evaluate.suites import ablation
from uip2p.learning.recipes import read_cycle, read_recipe


def arguments(judge, **more):
    scenes = {"split": "test", "seed": 4, "count": 3, "sessions": 0, "photos": [], "judge": str(judge), "size": 32}
    return Namespace(**{"suite": "ablation", "editors": [], **scenes, **more})


def test_a_run(judge, world_model, run_suite):
    """Three editors that are one: nothing but noise between them. Then what they differ by is put into the figures."""
    specs = [f"{name}={world_model}" for name in ablation.PAPER]
    run = run_suite(ablation.build(arguments(judge)), specs, steps=1)
    assert [row["name"] for row in run.info["rows"]][-3:] == ["base", "+sim", "+attn"]
    table = (run.folder / "ablation.md").read_text()
    ours = next(line for line in table.splitlines() if line.startswith("| base → +sim |"))
    assert ".0000 [.0000, .0000], inside the noise" in ours
    assert "| *base → +sim (published)* | -0.028 | -0.008 | +0.028 |" in table
    assert "- **base → +sim**: the change of CLIP-T is inside the noise" in table and "No such trade" in table
    assert "(published)" not in (run.folder / "table.md").read_text()  # drawn scenes are not MagicBrush
    assert Image.open(run.folder / "ablation.png").width > 500

    for turn in run.turns("single-turn"):
        run.rows["+sim"][0][turn]["l1"] += 0.25
        run.rows["+attn"][0][turn]["l1"] -= 0.5
    steps = ablation.consecutive(run, "single-turn")
    assert list(steps) == ["base → +sim", "+sim → +attn"]
    assert steps["base → +sim"]["l1"].mean == pytest.approx(0.25)  # each against the one before
    assert steps["+sim → +attn"]["l1"].mean == pytest.approx(-0.75)
    assert ablation.published_changes("single-turn")["+sim → +attn"]["clip_t"] == pytest.approx(-0.005)
    assert ablation.published_changes("three-turn") == {}


@pytest.mark.slow
def test_groups_of_turns_have_plots_of_their_own(judge, world_model, run_suite):
    run = run_suite(ablation.build(arguments(judge, sessions=1)), [f"{name}={world_model}" for name in "ab"], steps=1)
    assert {path.name for path in run.folder.glob("*.png")} == {"ablation-single-turn.png", "ablation-three-turn.png"}
    assert "## three-turn" in (run.folder / "ablation.md").read_text()


def changed(**means):
    """Differences of 20 samples: a mean of 0 is inside the noise."""
    spread = np.linspace(-0.1, 0.1, 20)[:, None]
    names = [str(i) for i in range(20)]
    return {figure: difference(spread + mean, np.zeros_like(spread), names) for figure, mean in means.items()}


@pytest.mark.parametrize(
    ("means", "said"),
    [
        ({"clip_t": -1, "l1": -1, "clip_i": 1}, "CLIP-T falls; better kept: L1, CLIP-I. It trades CLIP-T for"),
        ({"clip_t": -1, "l1": -1, "dino": 0}, "kept alike, inside the noise: DINO. It trades CLIP-T for"),
        ({"clip_t": 0, "l1": -1}, "the change of CLIP-T is inside the noise; better kept: L1. Preservation is gained"),
        ({"clip_t": 1, "l1": 1, "l2": 1}, "CLIP-T rises; worse kept: L1, L2. It trades preservation for CLIP-T"),
        ({"clip_t": -1, "l1": 1, "clip_i": 1}, "better kept: CLIP-I; worse kept: L1. No such trade"),
        ({"clip_t": -1, "l1": 0}, "No such trade"),
        ({"clip_t": -1, "direction": 1}, "L1, L2, CLIP-I or DINO was not measured"),
        ({"l1": -1}, "CLIP-T was not measured"),
    ],
)
def test_the_trade_in_words(means, said):
    assert said in ablation.verdict(changed(**means))


def test_the_documented_commands_train_the_papers_rows():
    commands = [line.split() for line in ablation.__doc__.splitlines() if line.strip().startswith("--out")]
    losses = []
    for words in commands:
        overrides = [words[i + 1] for i, word in enumerate(words) if word == "--set"]
        loss = read_cycle("sd15-ip2p", read_recipe("sd15-ip2p", overrides))[2]
        losses.append((loss.direction, loss.similarity, loss.attention, loss.reconstruction))
    assert losses == [(1, 0, 0, 1), (1, 1, 0, 1), (1, 1, 0.5, 1)]
    assert re.findall(r"--model (\S+?)=", ablation.__doc__) == list(ablation.PAPER)


def test_mistakes(judge, ip2p_folder):
    with pytest.raises(UserError, match="at least twice"):
        ablation.build(arguments(judge)).rows([])
    with pytest.raises(UserError, match="--on ip2p: has no ground truth"):
        ablation.build(arguments(judge, on="ip2p", data=ip2p_folder, samples=1, clip=str(judge)))
