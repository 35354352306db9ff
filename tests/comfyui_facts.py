"""What ComfyUI's node interface is, as JSON. Run by ComfyUI's own Python in ComfyUI's own folder:

    python comfyui_facts.py > comfyui_facts.json

Names of classes, parameters and types only. The tests' double is made of them, so that it takes what ComfyUI takes and
refuses what ComfyUI refuses; tests/integrations/test_comfyui_real.py compares them with a ComfyUI that is there.
"""

import asyncio
import importlib
import inspect
import json
import sys
from dataclasses import fields

sys.path.insert(0, ".")

TYPES = ("Int", "Float", "String", "Combo", "Boolean", "Image")
STOCK = ("LoadImage", "SaveImage", "CheckpointLoaderSimple", "CLIPTextEncode", "VAEDecode",
         "InstructPixToPixConditioning", "DualCFGGuider", "RandomNoise", "KSamplerSelect", "BasicScheduler",
         "SamplerCustomAdvanced", "PreviewAny", "ConditioningZeroOut", "ModelSamplingDiscrete")  # fmt: skip
MODULES = ("nodes_ip2p", "nodes_custom_sampler", "nodes_preview_any", "nodes_model_advanced")


def parameters(function):
    return [name for name in inspect.signature(function).parameters if name != "self"]


def kind(given):
    """Of an input: its type's name. A V1 node has the list of choices in its place, which depends on the machine."""
    return given[0] if isinstance(given[0], str) else "COMBO"


def stock():
    """The stock nodes of our workflows: name → inputs (name → type) and the types of the outputs."""
    import nodes

    found = dict(nodes.NODE_CLASS_MAPPINGS)
    for name in MODULES:
        module = importlib.import_module(f"comfy_extras.{name}")
        found |= getattr(module, "NODE_CLASS_MAPPINGS", {})
        if hasattr(module, "comfy_entrypoint"):
            extension = asyncio.run(module.comfy_entrypoint())
            found |= {node.GET_SCHEMA().node_id: node for node in asyncio.run(extension.get_node_list())}
    return {
        name: {
            **{group: {key: kind(value) for key, value in found[name].INPUT_TYPES().get(group, {}).items()}
               for group in ("required", "optional")},
            "output": [str(one) for one in found[name].RETURN_TYPES],
        }
        for name in STOCK
    }  # fmt: skip


def facts():
    import comfy.utils
    from comfy_api.latest import ComfyExtension, io
    from comfyui_version import __version__

    custom = io.Custom("X")
    return {
        "version": __version__,
        "types": {
            name: {
                "io_type": getattr(io, name).io_type,
                "Input": parameters(getattr(io, name).Input.__init__),
                "Output": parameters(getattr(io, name).Output.__init__),
            }
            for name in TYPES
        },
        "Custom": {"Input": parameters(custom.Input.__init__), "Output": parameters(custom.Output.__init__)},
        "Schema": [field.name for field in fields(io.Schema)],
        "NodeOutput": parameters(io.NodeOutput.__init__),
        "ComfyNode": sorted(name for name, value in vars(io.ComfyNode).items() if isinstance(value, classmethod)),
        "ComfyExtension": sorted(name for name in vars(ComfyExtension) if not name.startswith("_")),
        "ProgressBar": parameters(comfy.utils.ProgressBar.__init__),
        "stock": stock(),
        "update_absolute": parameters(comfy.utils.ProgressBar.update_absolute),
    }


if __name__ == "__main__":
    out, sys.argv = sys.stdout, [*sys.argv[:1], "--cpu"]  # ComfyUI reads the arguments, and prints
    sys.stdout = sys.stderr
    import comfy.options

    comfy.options.enable_args_parsing()
    print(json.dumps(facts(), indent=1), file=out)
