import json

import pytest
import torch

from uip2p.cli import main
from uip2p.evaluate.retrieval import evaluate_clip, recall
from uip2p.models.clip import ClipConfig, build_clip
from uip2p.models.tokenizer import build_tokenizer
from uip2p.scenes.language import vocabulary


def test_recall_counts_the_rows_that_find_their_own_column():
    assert recall(torch.eye(4), 1) == 1.0
    assert recall(torch.eye(4).roll(1, 0), 1) == 0.0
    similarity = torch.tensor([[3.0, 2, 1], [3, 2, 1], [3, 2, 1]])
    assert recall(similarity, 1) == pytest.approx(1 / 3) and recall(similarity, 2) == pytest.approx(2 / 3)


@pytest.fixture(scope="module")
def clip():
    torch.manual_seed(0)
    return build_clip(ClipConfig(64, 8, 16, 1, 2, 16, 1, 2, 16), build_tokenizer(vocabulary())).freeze()


def test_an_untrained_clip_is_near_chance_and_every_kind_is_there(clip):
    result = evaluate_clip(clip, count=60, edits=4)
    assert result["recall"]["picture → caption R@1"] < 0.2 and len(result["direction"]) == 9
    assert all(-1 <= value <= 1 for value in result["direction"].values())
    assert evaluate_clip(clip, count=60, edits=4) == result
    assert evaluate_clip(clip, seed=1, count=60, edits=4) != result


def test_the_command_prints_and_writes_it(clip, tmp_path, capsys):
    clip.save(tmp_path / "clip")
    out = tmp_path / "clip.json"
    arguments = ["evaluate", "--suite", "clip", "--model", str(tmp_path / "clip"), "--count", "20", "--json", str(out)]
    assert main(arguments) == 0
    assert "among 20 captions" in capsys.readouterr().out
    assert json.loads(out.read_text())["count"] == 20
