"""`study create`: who sees the folder learns no method; who has the seed gets the same study again."""

from __future__ import annotations

import argparse
import json
import random
import shutil
from collections import Counter
from dataclasses import dataclass, replace

import numpy as np
import pytest
from drawn_runs import Scenes, Toward, make_run
from PIL import Image

from uip2p.errors import UserError
from uip2p.evaluate.asking import Refused, Session
from uip2p.evaluate.running import Shard
from uip2p.evaluate.runs import load_run
from uip2p.people import command
from uip2p.people.create import create
from uip2p.people.sources import from_folders, from_runs
from uip2p.people.study import load_key, load_study

METHODS = ("InstructPix2Pix", "UIP2P", "HIVE", "copy-input")  # as in conftest.py


def run(*words) -> None:
    parser = argparse.ArgumentParser()
    command.add_arguments(parser)
    command.run(parser.parse_args([str(word) for word in words]))


def test_the_served_folder_names_no_method_and_no_sample(made, edits):
    listed = " ".join(str(path.relative_to(made.folder)) for path in made.folder.rglob("*"))
    served = listed + "".join(path.read_bytes().decode("latin1") for path in made.folder.rglob("*") if path.is_file())
    for secret in (*METHODS, "images/", *made.key.samples.values(), str(edits)):
        assert secret not in served
    assert set(made.key.pictures.values()) == set(METHODS)  # and the key does know
    assert "seed" not in json.loads((made.folder / "study.json").read_text())


def test_pictures_have_one_size_and_no_metadata(made):
    for item in made.study.items:
        pictures = [Image.open(made.folder / "pictures" / name) for name in (item.input, *item.candidates)]
        assert {picture.size for picture in pictures} == {(96, 72)}
        assert all(not picture.getexif() and "icc_profile" not in picture.info for picture in pictures)


def test_pictures_are_those_of_the_key(made, samples):
    by_key = {sample.key: sample for sample in samples}
    for item in made.study.items:
        sample = by_key[made.key.samples[item.id]]
        source = np.array(Image.open(sample.source).convert("RGB"))
        assert (np.array(Image.open(made.folder / "pictures" / item.input)) == source).all()
        if item.id in made.key.checks:
            continue
        assert item.instruction == sample.instruction
        assert sorted(made.key.pictures[name] for name in item.candidates) == sorted(METHODS)
        for name in item.candidates:
            expected = Image.open(sample.outputs[made.key.pictures[name]]).convert("RGB").resize((96, 72))
            assert (np.array(Image.open(made.folder / "pictures" / name)) == np.array(expected)).all()


def test_order_and_place_tell_nothing(samples, tmp_path):
    """Sorted names, and the places a rater sees: each method is everywhere."""
    create(samples, 6, 0, 1, tmp_path / "study", tmp_path / "key.json")
    study = load_study(tmp_path / "study")
    key = load_key(tmp_path / "key.json", study)
    places, firsts = Counter(), Counter()
    for number in range(60):
        rater = f"{number:032x}"
        firsts[study.order(rater)[0].id] += 1
        assert study.order(rater) == study.order(rater)
        assert {item.id for item in study.order(rater)} == {item.id for item in study.items}
        for item in study.items:
            shown = study.candidates(rater, item)
            assert sorted(shown) == sorted(item.candidates)
            places.update((key.pictures[name], place) for place, name in enumerate(shown))
    assert len(firsts) == 6
    assert len(places) == 16 and all(60 <= count <= 120 for count in places.values())  # 90 expected, sd 8
    orders = {tuple(key.pictures[name] for name in item.candidates) for item in study.items}
    assert len(orders) > 1 and all(item.candidates == tuple(sorted(item.candidates)) for item in study.items)


def test_the_seed_makes_the_study(samples, tmp_path):
    def written(name, seed, given):
        create(given, 2, 1, seed, tmp_path / name, tmp_path / f"{name}.json")
        paths = sorted(path for path in (tmp_path / name).rglob("*") if path.is_file())
        return {str(path.relative_to(tmp_path / name)): path.read_bytes() for path in paths}

    shuffled = random.Random(0).sample(samples, len(samples))
    first, again, other = written("a", 7, samples), written("b", 7, shuffled), written("c", 8, samples)
    assert first == again
    assert not {name for name in first if name != "study.json"} & set(other)
    assert (tmp_path / "a.json").read_text() == (tmp_path / "b.json").read_text()


def test_a_check_has_two_right_pictures_and_they_look_it(made):
    (check,) = [item for item in made.study.items if item.id in made.key.checks]
    assert "frame" in check.instruction
    right = set(made.key.checks[check.id])
    assert len(right) == 2 and right < set(check.candidates) and not right & set(made.key.pictures)
    source = np.array(Image.open(made.folder / "pictures" / check.input)).astype(int)
    for name in check.candidates:
        picture = np.array(Image.open(made.folder / "pictures" / name)).astype(int)
        inside = np.abs(picture - source)[9:-9, 9:-9]
        if name in right:
            assert len(np.unique(picture[:9].reshape(-1, 3), axis=0)) == 1 and not inside.any()
        else:
            assert (picture == 255 - source).all()


def test_checks_are_of_samples_that_are_not_asked_while_there_are_any(made, samples, tmp_path):
    asked = {made.key.samples[item.id] for item in made.study.items if item.id not in made.key.checks}
    assert not asked & {made.key.samples[item] for item in made.key.checks}
    create(samples[:2], 2, 3, 1, tmp_path / "all", tmp_path / "all.json")
    assert len(load_study(tmp_path / "all").items) == 5


def test_every_missing_picture_is_named(edits, tmp_path):
    copy = shutil.copytree(edits, tmp_path / "edits")
    gone = [copy / "HIVE" / "2.webp", copy / "UIP2P" / "4.jpg", copy / "images" / "1.png"]
    for path in gone:
        path.unlink()
    given = from_folders({method: copy / method for method in METHODS}, copy / "metadata.jsonl")
    with pytest.raises(UserError) as error:
        create(given, 6, 0, 0, tmp_path / "study", tmp_path / "key.json")
    told = str(error.value)
    assert told.startswith("3 pictures") and "HIVE/2 (HIVE)" in told.replace(".png", "")
    assert "UIP2P/4" in told and "images/1.png" in told
    assert not (tmp_path / "study").exists() and not (tmp_path / "key.json").exists()


@pytest.fixture(scope="module")
def runs(tmp_path_factory):
    """Two runs of the real runner that asked the same, and what else they were."""
    root = tmp_path_factory.mktemp("runs")
    suite = Scenes(count=3)
    make_run(root / "a", [Toward("UIP2P", 0.9), Toward("HIVE", 0.5)], suite, seeds=(4, 5))
    make_run(root / "b ü", [Toward("MGIE", 0.2)], suite, seeds=(4, 5))
    return root


def test_runs_of_evaluate(runs, tmp_path):
    """The rows that are asked for, or all but the baselines, in any of the runs."""
    found = from_runs([runs / "a", runs / "b ü"], [])
    assert len(found) == 6 and list(found[0].outputs) == ["UIP2P", "HIVE", "MGIE"]
    assert list(from_runs([runs / "a"], ["copy-input", "HIVE"])[0].outputs) == ["copy-input", "HIVE"]
    with pytest.raises(UserError, match="no run has SDXL; there are copy-input, ground truth, UIP2P, HIVE"):
        from_runs([runs / "a"], ["SDXL"])
    with pytest.raises(UserError, match="also called 'UIP2P'"):
        from_runs([runs / "a", runs / "a"], [])

    words = ["create", "--run", runs / "a", "--run", runs / "b ü", "--count", 2, "--checks", 1, "--seed", 1]
    run(*words, "--out", tmp_path / "study")
    study = load_study(tmp_path / "study")
    key = load_key(tmp_path / "study.key.json", study)
    assert key.methods == ("UIP2P", "HIVE", "MGIE") and len(study.items) == 3
    assert (tmp_path / "study.key.json").stat().st_mode & 0o077 == 0
    known = {"UIP2P": load_run(runs / "a"), "HIVE": load_run(runs / "a"), "MGIE": load_run(runs / "b ü")}
    for item in study.items:
        if item.id not in key.checks:
            for name in item.candidates:
                method = key.pictures[name]
                made = Image.open(known[method].output(method, key.samples[item.id], 4))
                assert (np.array(Image.open(tmp_path / "study" / "pictures" / name)) == np.array(made)).all()
            assert item.instruction == known["HIVE"].samples[key.samples[item.id]]["instruction"]


def test_turns_on_an_editors_own_output_are_not_asked(tmp_path):
    make_run(tmp_path / "run", [Toward("UIP2P", 0.9)], Sessions())
    assert {sample.key for sample in from_runs([tmp_path / "run"], [])} == {"one", "s/1"}


def test_runs_that_asked_something_else(runs, tmp_path):
    make_run(tmp_path / "else", [Toward("MGIE", 0.2)], Scenes(count=3, instruction="paint it red"))
    with pytest.raises(UserError, match="is another edit than in"):
        from_runs([runs / "a", tmp_path / "else"], [])
    copy = shutil.copytree(runs / "b ü", tmp_path / "copy")
    picture = sorted((copy / "inputs").rglob("*.png"))[0]
    Image.new("RGB", (32, 32), "red").save(picture)
    with pytest.raises(UserError, match="is another edit than in"):
        from_runs([runs / "a", copy], [])


class Prude(Toward):
    """Refuses the first edit it is asked for in the suite's order."""

    def edit(self, asks):
        made = super().edit(asks)
        return [Refused("no") if ask.key == "color-0/known" else one for ask, one in zip(asks, made, strict=True)]


def test_what_an_editor_refused_is_not_asked(tmp_path):
    folder = make_run(tmp_path / "run", [Prude("UIP2P", 0.9), Toward("HIVE", 0.5)], Scenes(count=3))
    asked = {sample.key for sample in from_runs([folder], ())}
    assert asked == set(load_run(folder).samples) - {"color-0/known"}
    load_run(folder).output("HIVE", "color-0/known").unlink()
    load_run(folder).output("HIVE", "color-0/blind").unlink()  # lost, not refused: `create` says so
    assert "color-0/blind" in {sample.key for sample in from_runs([folder], ())}


def test_a_run_that_is_not_finished_makes_no_study(runs, tmp_path):
    make_run(tmp_path / "half", [Toward("UIP2P", 0.9)], Scenes(count=3), shard=Shard(0, 2))
    with pytest.raises(UserError, match="not finished"):
        from_runs([tmp_path / "half"], [])
    with pytest.raises(UserError, match="no folder that `uip2p evaluate --out` wrote"):
        from_runs([tmp_path], [])


@dataclass(frozen=True, kw_only=True)
class Sessions(Scenes):
    """A single edit, and a session of two turns, both of which count."""

    def sessions(self):
        one, two, three = (session.turns[0] for session in super().sessions()[:3])
        first = replace(two, key="s/1", about={"instructions": [two.instruction]})
        second = replace(
            three, key="s/2", source=None, before=two.source, about={"instructions": ["a", three.instruction]}
        )
        return [Session("one", (replace(one, key="one"),)), Session("s", (first, second))]


def test_without_a_seed_two_studies_differ(edits, tmp_path):
    words = [word for method in METHODS for word in ("--method", f"{method}={edits / method}")]
    for name in ("a", "b"):
        run("create", *words, "--inputs", edits / "metadata.jsonl", "--count", 2, "--out", tmp_path / name)
    assert load_study(tmp_path / "a").id != load_study(tmp_path / "b").id


@pytest.mark.parametrize(
    ("words", "told"),
    [
        (["--out", "OUT"], "give --run RUN, or --method"),
        (["--out", "OUT", "--method", "HIVE"], "must be NAME=DIR|needs --inputs"),
        (["--out", "OUT", "--method", "a=EDITS/HIVE", "--method", "b=EDITS/UIP2P", "--inputs", "EDITS"], "at least 3"),
        (["--out", "OUT", "ALL", "--inputs", "EDITS", "--count", "7"], "there are 6 samples"),
        (["--out", "OUT", "ALL", "--inputs", "EDITS", "--count", "0"], "starts at 1"),
        (["--out", "EDITS", "ALL", "--inputs", "EDITS", "--count", "2"], "is there already"),
        (["--out", "OUT", "ALL", "--inputs", "EDITS", "--count", "2", "--key", "OUT/k.json"], "Keep it elsewhere"),
        (["--out", "OUT", "ALL", "--inputs", "EDITS/nothing.jsonl"], "no such file"),
        (["--out", "OUT", "ALL", "--inputs", "EDITS", "--method", "HIVE=EDITS"], "is there twice"),
        (["--out", "OUT", "--method", "a=EDITS/none", "--inputs", "EDITS"], "is no folder"),
        (["--out", "OUT", "--run", "EDITS"], "it has no run.json"),
    ],
)
def test_what_is_wrong_is_said(words, told, edits, tmp_path):
    given = []
    for word in words:
        if word == "ALL":
            given += [part for method in METHODS for part in ("--method", f"{method}={edits / method}")]
        else:
            given.append(word.replace("EDITS", str(edits)).replace("OUT", str(tmp_path / "out")))
    with pytest.raises(UserError, match=told):
        run("create", *given)
    assert not (tmp_path / "out").exists()


def test_a_damaged_study_and_a_foreign_key_are_refused(made, samples, tmp_path):
    copy = shutil.copytree(made.folder, tmp_path / "study")
    first = made.study.items[0].candidates[0]
    (copy / "pictures" / first).unlink()
    with pytest.raises(UserError, match=first):
        load_study(copy)
    create(samples, 2, 0, 99, tmp_path / "other", tmp_path / "other.json")
    with pytest.raises(UserError, match="is the key of study"):
        load_key(tmp_path / "other.json", made.study)
    with pytest.raises(UserError, match="is not a 'uip2p user study 1' file"):
        (copy / "study.json").write_text("{}")
        load_study(copy)
