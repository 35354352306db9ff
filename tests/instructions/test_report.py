"""The report and the view of a run: what they count, and that texts of a caption stay texts."""

import base64
import io
import re
from collections import Counter

import pytest
from html_page import Page
from PIL import Image
from runs import ColorWriter, config, make_source, rows

from uip2p.cli import main
from uip2p.errors import UserError
from uip2p.instructions.accept import Rules
from uip2p.instructions.generate import generate
from uip2p.instructions.report.numbers import changes, count, draw
from uip2p.instructions.report.page import report
from uip2p.instructions.report.view import choose
from uip2p.instructions.shards import total_counts
from uip2p.instructions.writer import Edit, Written

HOSTILE = '<script>alert(1)</script> "quoted" & <img src=x onerror=alert(2)> {{ 7*7 }} \x1b[31m\u202e [bold]car[/bold]'


class HostileWriter(ColorWriter):
    """Every caption with an edit that is fine and one that is hostile in all its texts."""

    def _written(self, row, caption):
        good = Edit("color", "make the car pink", caption.caption.replace(caption.caption.split()[1], "pink"),
                    f"make the car {caption.caption.split()[1]}")  # fmt: skip
        return Written(row, (good, Edit("other", *(HOSTILE,) * 3)), calls=2, tokens_in=100, tokens_out=10)


@pytest.fixture(scope="module")
def run(tmp_path_factory):
    folder = tmp_path_factory.mktemp("report")
    source = make_source(folder / "photos", pictures=20)
    generate(config(source, rules=Rules()), folder / "run", make_writer=ColorWriter, quiet=True)
    return folder / "run"


@pytest.fixture(scope="module")
def hostile(tmp_path_factory):
    folder = tmp_path_factory.mktemp("hostile")
    source = make_source(folder / "photos", pictures=4)
    generate(config(source), folder / "run", make_writer=HostileWriter, quiet=True)
    return folder / "run"


def test_numbers_are_those_of_the_rows(run):
    numbers, kept = count(run), rows(run)
    proposed = [row for row in rows(run, "rejected") if row["reasons"]] + kept
    assert numbers.proposed == Counter(row["kind"] for row in proposed)
    assert numbers.accepted == {"color": len(kept)} and numbers.counts == total_counts(run)
    assert numbers.verbs == {"make": len(kept)} and numbers.objects == {"car": len(kept)}
    assert numbers.lengths["instruction"] == {4: len(kept)}
    assert sum(numbers.instructions.values()) == len(kept)
    assert numbers.pictures == len({row["image_id"] for row in kept})
    assert len(numbers.shown) == 60 and len(numbers.rejected) == 20
    assert all(row in kept for row in numbers.shown) and all(row["reasons"] for row in numbers.rejected)


def test_a_draw_is_of_the_seed_and_not_of_what_else_is_there(run):
    kept = rows(run)
    first = draw(kept, 20, 0)
    assert first == draw(reversed(kept), 20, 0) != draw(kept, 20, 1)
    assert [row for row in draw(kept[:-50], 20, 0) if row in first] == [row for row in first if row in kept[:-50]]


def test_the_page_is_whole_and_needs_nothing_else(run):
    page = report(run).read_text()
    parsed = Page(page)
    assert parsed.tags["article"] == 80 and parsed.tags["img"] == 80 and parsed.tags["script"] == 0
    links = [value for _, name, value in parsed.attributes if name in ("src", "href") and not value.startswith("data:")]
    assert not links and "http" not in page and "url(" not in page
    picture = re.search(r'src="data:image/jpeg;base64,([^"]+)"', page)[1]
    assert Image.open(io.BytesIO(base64.b64decode(picture))).size == (24, 16)
    counts = total_counts(run)
    for said in (f"{counts.captions:,}", f"{counts.proposed:,}", "duplicate", "make the car", "color", "not judged"):
        assert said.lower() in parsed.text.lower()
    assert report(run).read_text() == page and report(run, seed=1, to=run / "1.html").read_text() != page
    assert not [path for path in run.iterdir() if ".part" in path.name]


def test_hostile_texts_are_data(hostile):
    page = report(hostile, price=(1.0, 2.0)).read_text()
    parsed = Page(page)
    assert parsed.tags["script"] == 0 and all(name not in ("onerror", "onload") for _, name, _ in parsed.attributes)
    assert "<script>alert(1)</script>" in parsed.text and "{{ 7*7 }}" in parsed.text and "\x1b" not in page
    assert "\u202e" not in page
    counts = total_counts(hostile)
    cost = (counts.tokens_in * 1.0 + counts.tokens_out * 2.0) / 1e6 / counts.accepted * 1e6
    assert f"{counts.calls:,}" in parsed.text and f"{cost:,.2f}" in parsed.text


def test_changes_marks_what_is_new_on_either_side():
    before, after = changes("A red car and a red bus", "A blue car and a red bus at night")
    assert before == [("A", False), ("red", True), ("car and a red bus", False)] or before[-1] == ("bus", False)
    assert [text for text, new in after if new] == ["blue", "night"]
    assert changes("", "a dog") == ([], [("a", False), ("dog", True)])


def test_pictures_that_are_gone_are_said_to_be(run, tmp_path):
    source = make_source(tmp_path / "photos", pictures=2)
    generate(config(source), tmp_path / "run", make_writer=ColorWriter, quiet=True)
    for path in source.glob("*.png"):
        path.unlink()
    assert "no picture at hand" in report(tmp_path / "run").read_text()


def test_copied_pictures_are_shown_without_their_source(tmp_path):
    source = make_source(tmp_path / "photos", pictures=3)
    generate(config(source, copy_pictures=True), tmp_path / "run", make_writer=ColorWriter, quiet=True)
    source.rename(tmp_path / "elsewhere")
    parsed = Page(report(tmp_path / "run").read_text())
    assert parsed.tags["img"] >= len(rows(tmp_path / "run"))


def test_view_chooses_by_kind_word_and_side(run):
    assert len(choose(run, 5)) == 5
    assert choose(run, 5, kind="add") == []
    assert all("number 7 " in row["caption"] for row in choose(run, 99, grep="NUMBER 7 "))
    assert all(row["reasons"] or row["error"] for row in choose(run, 99, rejected=True))


def test_view_is_plain_when_piped(run, hostile, capsys):
    assert main(["data", "view", str(run), "-n", "2"]) == 0
    said = capsys.readouterr().out
    assert "\x1b" not in said and said.count("  instruction ") == 2 and said.count(".png\n") == 2
    for which in ([], ["--rejected"]):
        assert main(["data", "view", str(hostile), "--grep", "alert", *which]) == 0
        said = capsys.readouterr().out
        assert "\x1b" not in said and "\u202e" not in said and "[bold]car[/bold]" in said and "<script>" in said


def test_faults_are_told(run, tmp_path, capsys):
    with pytest.raises(UserError, match=r"no config\.json"):
        report(tmp_path)
    assert main(["data", "view", str(run), "--kind", "move"]) == 2
    assert main(["data", "view", str(run), "-n", "0"]) == 2
    assert "no such row" in capsys.readouterr().err
    (tmp_path / "config.json").write_text((run / "config.json").read_text())
    with pytest.raises(UserError, match="no shard is finished"):
        report(tmp_path)
