import pytest

from uip2p.errors import UserError
from uip2p.learning.recipes import read_recipe
from uip2p.study.config import RowConfig, Sampling, SweepConfig, load_study, study_names

STUDY = """
[study]
root = "r"
seeds = [1, 2]
sweep = { steps = [2, 1], guidance_scale = [1.0], image_guidance_scale = [1.5, 1.0] }

[[row]]
name = "one"
recipe = "study-paired"

[[row]]
name = "+ two (full)"
recipe = "study-cycle"
seeds = [7]
"""


def load(tmp_path, text, overrides=()):
    path = tmp_path / "s.toml"
    path.write_text(text)
    return load_study(str(path), overrides)


def test_rows_have_seeds_folders_and_names(tmp_path):
    study = load(tmp_path, STUDY)
    assert [(row.slug, row.seeds) for row in study.rows] == [("one", (1, 2)), ("two-full", (7,))]
    assert study.select(["two-full"]) == study.select(["+ two (full)"]) == [study.rows[1]]
    assert study.select([]) == list(study.rows)
    with pytest.raises(UserError, match=r"no row 'three'.*'one', '\+ two \(full\)'"):
        study.select(["three"])


def test_overrides_of_all_rows_come_before_a_rows_own(tmp_path):
    text = STUDY.replace('root = "r"', 'root = "r"\nset = ["train.steps=5", "train.seed=3"]')
    one, two = load(tmp_path, text.replace("seeds = [7]", 'set = ["train.steps=6"]'), ["train.seed=4"]).rows
    assert one.set == ("train.steps=5", "train.seed=3", "train.seed=4"), "the command line's after the study's"
    assert read_recipe(two.recipe, two.set)["train"]["steps"] == 6 and two.set[:3] == one.set
    with pytest.raises(UserError, match=r"row 1.*unknown key 'lossy'"):
        load(tmp_path, STUDY, ["lossy.similarity=0"])


def test_the_grid_is_every_combination_cheapest_first():
    grid = SweepConfig(steps=(5, 1), guidance_scale=(2.0,), image_guidance_scale=(1.5, 1.0)).grid()
    assert grid == [Sampling(1, 2.0, 1.0), Sampling(1, 2.0, 1.5), Sampling(5, 2.0, 1.0), Sampling(5, 2.0, 1.5)]


@pytest.mark.parametrize(
    ("old", "new", "message"),
    [
        ("seeds = [7]", "seed = [7]", r"row 2: unknown key 'seed'.*'seeds'"),
        ("seeds = [7]", "seeds = [7, 7]", r"row 2 \('\+ two \(full\)'\): seeds must be different"),
        ('"+ two (full)"', '"ONE!"', r"row 2 \('ONE!'\): its folder would be that of row 'one'"),
        ('"+ two (full)"', '"+"', "needs a letter or a digit"),
        ("study-cycle", "study-cycel", r"row 2.*no recipe 'study-cycel'"),
        ("seeds = [7]", 'set = ["lossy.similarity=0"]', r"row 2.*unknown key 'lossy'"),
        ('root = "r"', 'root = "r"\nset = ["lossy.similarity=0"]', r"row 1.*unknown key 'lossy'"),
        ('root = "r"', 'root = "r"\ntest = { against = "three" }', r"no row 'three'"),
        ("steps = [2, 1]", "steps = []", "sweep: steps must have a value"),
        ("steps = [2, 1]", 'maximise = "beauty", steps = [1]', "maximise must be one of l1.*'beauty'"),
        ('root = "r"', 'root = "r"\ntest = { splits = { moon = 3 } }', "composition and language, not 'moon'"),
        ('root = "r"\n', "", "root must be given"),
        ("[[row]]", "[row]", "expected|no rows|not valid TOML"),
    ],
)
def test_what_is_wrong_is_named(tmp_path, old, new, message):
    assert old in STUDY
    with pytest.raises(UserError, match=message):
        load(tmp_path, STUDY.replace(old, new))


def test_an_unknown_study_is_named():
    with pytest.raises(UserError, match=r"no study 'clams': there are .*claims"):
        load_study("clams")


@pytest.mark.parametrize("name", study_names())
def test_every_shipped_study_loads_and_says_its_command(name):
    study = load_study(name)
    assert study.rows and study.config.about
    assert len({row.name for row in study.rows}) == len(study.rows)


def test_a_slug_is_a_folder_name():
    assert RowConfig("UIP2P: + Attention (full)", "study-cycle").slug == "uip2p-attention-full"
