"""A user study's report.json beside the paper's shares."""

import json

import pytest

from uip2p.cli import main

STUDY = {
    "study": "s1", "seed": 0, "samples": [{}] * 15, "questions": {"match": "Does it match?", "preserve": "Is it kept?"},
    "choices": 2, "methods": ["UIP2P", "mine | <b>"], "checks": 1, "raters": 3, "bootstrap": {"draws": 2000, "seed": 0},
    "excluded": [{"rater": "abcdefghijkl", "reasons": ["too fast: median 1 s"]}], "prior": 0.1, "median_seconds": 9,
    "figures": {
        question: {"agreement": alpha, "methods": {
            "UIP2P": {"votes": 60, "share": 0.6, "share_interval": [0.5, 0.7], "strength": -0.4,
                      "strength_interval": [-0.9, 0.1]},
            "mine | <b>": {"votes": 40, "share": 0.4, "share_interval": None, "strength": 0.4,
                           "strength_interval": None},
        }} for question, alpha in (("match", 0.31), ("preserve", None))
    },
    "published": {"UIP2P": {"match": 22, "preserve": 20}},
}  # fmt: skip


@pytest.fixture
def folder(tmp_path):
    (tmp_path / "study").mkdir()
    (tmp_path / "study" / "report.json").write_text(json.dumps(STUDY))
    return tmp_path / "study"


def test_shares_stand_beside_the_published(folder, tmp_path):
    assert main(["report", str(folder), "-o", str(tmp_path / "out")]) == 0
    told = (tmp_path / "out" / "report.md").read_text()
    assert "| *UIP2P (published)* | 22% | 20% | – | – |" in told
    cells = " | ".join(["60.0%<br>50.0% to 70.0%"] * 2 + ["−0.40<br>−0.90 to +0.10"] * 2)
    assert f"| UIP2P | {cells} |" in told and "| mine \\| \\<b\\> | 40.0% | 40.0% | +0.40 | +0.40 |" in told
    assert "α 0.31" in told and "α not defined" in told and "abcdefgh (too fast" in told
    page = (tmp_path / "out" / "report.html").read_text()
    assert "<b>" not in page and "60.0%" in page and "abcdefghi" not in page


def test_a_study_is_not_written_over(folder, capsys):
    before = (folder / "report.json").read_text()
    assert main(["report", str(folder)]) == 2
    assert "would be written over" in capsys.readouterr().err
    assert (folder / "report.json").read_text() == before


def test_another_report_is_no_study(tmp_path, capsys):
    (tmp_path / "report.json").write_text("{}")
    assert main(["report", str(tmp_path)]) == 2
    assert "is not what uip2p study report writes" in capsys.readouterr().err
