"""ComfyUI's node interface as far as our nodes use it, for tests where there is no ComfyUI.

Its classes take the parameters that ComfyUI's take (comfyui_facts.json, written by ComfyUI itself), in that order, and
refuse any other. What it does beyond that, a schema's check and its description, is little, and compared with a real
ComfyUI in test_comfyui_real.py.
"""

from __future__ import annotations

import asyncio
import importlib.util
import inspect
import itertools
import sys
from pathlib import Path
from types import ModuleType, SimpleNamespace
from typing import Any

PACK = Path(__file__).parents[1] / "integrations" / "comfyui"


def takes(names: list[str], base: type = object) -> type:
    """A class whose constructor takes these parameters, and keeps what it was given."""

    class Taken(base):  # type: ignore[misc]
        def __init__(self, *args: Any, **kwargs: Any):
            either = inspect.Parameter.POSITIONAL_OR_KEYWORD
            parameters = [inspect.Parameter(name, either, default=None) for name in names]
            self.given = inspect.Signature(parameters).bind(*args, **kwargs).arguments
            self.id = self.given.get("id")

    return Taken


def comfy_type(facts: dict[str, Any], io_type: str) -> SimpleNamespace:
    return SimpleNamespace(
        Input=type("Input", (takes(facts["Input"]),), {"io_type": io_type}),
        Output=type("Output", (takes(facts["Output"]),), {"io_type": io_type}),
    )


class NodeOutput:
    def __init__(self, *args: Any, ui: Any = None, expand: Any = None, block_execution: Any = None):
        self.args = args


class Interrupted(Exception):
    """What ComfyUI raises when somebody has pressed stop."""


class ComfyNode:
    @classmethod
    def GET_SCHEMA(cls) -> SimpleNamespace:
        given = cls.define_schema().given  # type: ignore[attr-defined]
        schema = SimpleNamespace(**{"inputs": [], "outputs": [], "description": "", **given})
        ids = [one.id for one in (*schema.inputs, *schema.outputs)]
        assert len(set(ids)) == len(ids), f"ids must be unique among inputs and outputs: {ids}"
        return schema

    @classmethod
    def GET_NODE_INFO_V1(cls) -> dict[str, Any]:
        """What /object_info says of it."""
        schema, inputs = cls.GET_SCHEMA(), {"required": {}}
        for one in schema.inputs:
            options = {key: value for key, value in one.given.items() if key not in ("id", "optional")}
            group = inputs.setdefault("optional" if one.given.get("optional") else "required", {})
            group[one.id] = [one.io_type, options]
        return {
            "name": schema.node_id, "display_name": schema.display_name, "category": schema.category,
            "description": schema.description, "input": inputs,
            "output": [one.io_type for one in schema.outputs],
            "output_name": [one.given.get("display_name") or one.io_type for one in schema.outputs],
            "output_is_list": [bool(one.given.get("is_output_list")) for one in schema.outputs],
        }  # fmt: skip


class ProgressBar:
    """Keeps what the page would have shown; stops at the step `stop_at`, as if somebody had pressed the button."""

    shown: list[tuple[int, int, Any]] = []  # noqa: RUF012
    stop_at: int | None = None

    def __init__(self, total: int, node_id: str | None = None):
        self.total = total

    def update_absolute(self, value: int, total: int | None = None, preview: Any = None) -> None:
        ProgressBar.shown.append((value, total, preview))


def throw_exception_if_processing_interrupted() -> None:
    if ProgressBar.stop_at is not None and len(ProgressBar.shown) >= ProgressBar.stop_at:
        raise Interrupted


def modules(facts: dict[str, Any]) -> dict[str, ModuleType]:
    assert list(inspect.signature(ProgressBar.update_absolute).parameters)[1:] == facts["update_absolute"]
    assert list(inspect.signature(NodeOutput.__init__).parameters)[1:] == facts["NodeOutput"]
    io = SimpleNamespace(
        ComfyNode=ComfyNode, NodeOutput=NodeOutput, Schema=takes(facts["Schema"]),
        Custom=lambda io_type: comfy_type(facts["Custom"], io_type),
        **{name: comfy_type(kind, kind["io_type"]) for name, kind in facts["types"].items()},
    )  # fmt: skip
    found = {name: ModuleType(name) for name in
             ("comfy", "comfy.utils", "comfy.model_management", "comfy_api", "comfy_api.latest")}  # fmt: skip
    found["comfy"].utils, found["comfy"].model_management = found["comfy.utils"], found["comfy.model_management"]
    found["comfy.utils"].ProgressBar = ProgressBar
    management = found["comfy.model_management"]
    management.throw_exception_if_processing_interrupted = throw_exception_if_processing_interrupted
    management.get_torch_device = lambda: "cpu"
    found["comfy_api.latest"].io, found["comfy_api.latest"].ComfyExtension = io, object
    return found


COUNT = itertools.count()


def load_pack(monkeypatch: Any, facts: dict[str, Any]) -> SimpleNamespace:
    """Our folder, loaded as ComfyUI loads it: {editing, nodes, node_list()}."""
    ProgressBar.shown, ProgressBar.stop_at = [], None
    for name, module in modules(facts).items():
        monkeypatch.setitem(sys.modules, name, module)
    name = f"custom_nodes_uip2p_{next(COUNT)}"
    spec = importlib.util.spec_from_file_location(name, PACK / "__init__.py", submodule_search_locations=[str(PACK)])
    assert spec and spec.loader
    pack = importlib.util.module_from_spec(spec)
    monkeypatch.setitem(sys.modules, name, pack)
    spec.loader.exec_module(pack)

    def node_list() -> list[type]:
        return asyncio.run(asyncio.run(pack.comfy_entrypoint()).get_node_list())

    editing, nodes = sys.modules[f"{name}.editing"], sys.modules[f"{name}.nodes"]
    return SimpleNamespace(editing=editing, nodes=nodes, node_list=node_list)
