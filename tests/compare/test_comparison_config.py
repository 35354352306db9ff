import pytest

from uip2p.compare.config import RowConfig, Sampling, SweepConfig, comparison_names, load_comparison
from uip2p.errors import UserError
from uip2p.learning.recipes import read_recipe

COMPARISON = """
[comparison]
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
    return load_comparison(str(path), overrides)


def test_rows_have_seeds_folders_and_names(tmp_path):
    comparison = load(tmp_path, COMPARISON)
    assert [(row.slug, row.seeds) for row in comparison.rows] == [("one", (1, 2)), ("two-full", (7,))]
    assert comparison.select(["two-full"]) == comparison.select(["+ two (full)"]) == [comparison.rows[1]]
    assert comparison.select([]) == list(comparison.rows)
    with pytest.raises(UserError, match=r"no row 'three'.*'one', '\+ two \(full\)'"):
        comparison.select(["three"])


def test_overrides_of_all_rows_come_before_a_rows_own(tmp_path):
    text = COMPARISON.replace('root = "r"', 'root = "r"\nset = ["train.steps=5", "train.seed=3"]')
    one, two = load(tmp_path, text.replace("seeds = [7]", 'set = ["train.steps=6"]'), ["train.seed=4"]).rows
    assert one.set == ("train.steps=5", "train.seed=3", "train.seed=4"), "the command line's after the comparison's"
    assert read_recipe(two.recipe, two.set)["train"]["steps"] == 6 and two.set[:3] == one.set
    with pytest.raises(UserError, match=r"row 1.*unknown key 'lossy'"):
        load(tmp_path, COMPARISON, ["lossy.similarity=0"])


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
    assert old in COMPARISON
    with pytest.raises(UserError, match=message):
        load(tmp_path, COMPARISON.replace(old, new))


def test_an_unknown_comparison_is_named():
    with pytest.raises(UserError, match=r"no comparison 'clams': there are .*claims"):
        load_comparison("clams")


@pytest.mark.parametrize("name", comparison_names())
def test_every_shipped_comparison_loads_and_says_its_command(name):
    comparison = load_comparison(name)
    assert comparison.rows and comparison.config.about
    assert len({row.name for row in comparison.rows}) == len(comparison.rows)


def test_a_slug_is_a_folder_name():
    assert RowConfig("UIP2P: + Attention (full)", "study-cycle").slug == "uip2p-attention-full"
