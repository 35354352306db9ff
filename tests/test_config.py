from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal

import pytest

from uip2p.config import apply_overrides, from_dict, load_toml, to_dict
from uip2p.errors import UserError


@dataclass(frozen=True)
class Inner:
    width: int = 8
    scale: float = 1.0


@dataclass(frozen=True)
class Outer:
    steps: int
    rate: float = 0.1
    kind: Literal["constant", "cosine"] = "constant"
    betas: tuple[float, float] = (0.9, 0.999)
    names: tuple[str, ...] = ()
    path: Path = Path("a")
    words: tuple[str, ...] | None = None
    on: bool = False
    weights: dict[str, float] = field(default_factory=dict)
    inner: Inner = field(default_factory=Inner)
    anything: Any = None


def test_a_table_becomes_a_config_and_a_table_again():
    table = dict(steps=3, rate=1, kind="cosine", betas=[0, 0.5], names=["x"], path="b/c", words=["y"], on=True)
    table |= dict(weights={"a": 2}, inner={"width": 4}, anything=[1])
    config = from_dict(Outer, table)
    assert config == Outer(
        3, 1.0, "cosine", (0.0, 0.5), ("x",), Path("b/c"), ("y",), True, {"a": 2.0}, Inner(4), anything=[1]
    )
    assert isinstance(config.rate, float) and isinstance(config.betas[0], float)
    assert to_dict(config)["inner"] == {"width": 4, "scale": 1.0} and to_dict(config)["path"] == "b/c"
    assert from_dict(Outer, to_dict(config)) == config


@pytest.mark.parametrize(
    ("table", "says"),
    [
        ({"stps": 3}, "recipe x: unknown key 'stps'. Did you mean 'steps'? Valid keys: steps, rate, kind, "),
        ({"zzz": 3}, "recipe x: unknown key 'zzz'. Valid keys: steps, "),
        ({}, "recipe x: steps must be given"),
        ({"steps": "3"}, "recipe x: steps must be a whole number, got '3' (str)"),
        ({"steps": 3.5}, "steps must be a whole number, got 3.5 (float)"),
        ({"steps": True}, "steps must be a whole number, got True (bool)"),
        ({"steps": 3, "on": 1}, "on must be true or false, got 1 (int)"),
        ({"steps": 3, "rate": False}, "rate must be a number, got False"),
        ({"steps": 3, "kind": "cosin"}, "kind must be one of 'constant', 'cosine', got 'cosin' (str). Did you mean"),
        ({"steps": 3, "betas": [0.9]}, "betas must be a list of 2: a number, a number, got [0.9]"),
        ({"steps": 3, "names": "x"}, "names must be a list, each text, got 'x'"),
        ({"steps": 3, "weights": {"a": "b"}}, "weights.a must be a number"),
        ({"steps": 3, "inner": {"widht": 1}}, "recipe x inner: unknown key 'widht'. Did you mean 'width'?"),
        ({"steps": 3, "inner": 4}, "recipe x inner: expected a table of settings, got 4 (int)"),
        ({"steps": 3, "words": 5}, "words must be a list, each text or nothing, got 5"),
    ],
)
def test_what_is_wrong_is_said(table, says):
    with pytest.raises(UserError) as error:
        from_dict(Outer, table, "recipe x")
    assert says in str(error.value)


def test_overrides_are_toml_and_leave_the_original_alone():
    table = {"train": {"steps": 1, "seed": 2}}
    changes = ["train.steps=100", "train.betas=[0.5, 0.9]", "loss.on = true", "kind=cosine", 'name="a b"', "rate=1e-3"]
    assert apply_overrides(table, changes) == {
        "train": {"steps": 100, "seed": 2, "betas": [0.5, 0.9]},
        "loss": {"on": True},
        "kind": "cosine",
        "name": "a b",
        "rate": 0.001,
    }
    assert table == {"train": {"steps": 1, "seed": 2}}
    for wrong in ("train.steps", "=3", "train..steps=3", "train.steps.more=3"):
        with pytest.raises(UserError, match="override"):
            apply_overrides(table, [wrong])


def test_toml_files(tmp_path):
    path = tmp_path / "r.toml"
    path.write_text("[train]\nsteps = 4\n")
    assert load_toml(path) == {"train": {"steps": 4}}
    path.write_text("[train\n")
    with pytest.raises(UserError, match=r"r\.toml: is not valid TOML: .*line 1"):
        load_toml(path)
    path.write_bytes(b"a = '\xff'")
    with pytest.raises(UserError, match="is not UTF-8"):
        load_toml(path)
    with pytest.raises(UserError, match="there is no such file"):
        load_toml(tmp_path / "none.toml")
