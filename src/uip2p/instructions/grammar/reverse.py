"""The reverse of an instruction that somebody else wrote, from its reading and the two captions."""

from __future__ import annotations

from dataclasses import replace as changed

from uip2p.instructions.grammar.asked import Asked
from uip2p.instructions.grammar.find import color_at, find
from uip2p.instructions.grammar.text import bare


def reverse(asked: Asked, caption: str, edited: str) -> Asked | None:
    """None where the captions do not show what was there before."""
    if asked.action in ("weather", "time"):
        return None if asked.value.endswith("_off") else Asked(asked.action, asked.value + "_off")
    if asked.action == "style":
        name = bare(asked.style)
        return Asked("unstyle", "color" if name == "black and white photo" else "off", medium=f"the {name}")
    if asked.action in ("add", "give"):
        return Asked("remove", thing=f"the {bare(asked.new)}")
    if asked.action in ("recolor", "replace", "remove"):
        place = find(caption, asked.thing)
        if place is None:
            return None
        old = " ".join(caption.lower()[place.start : place.end].split())
        if asked.action == "replace":
            return Asked("replace", thing=f"the {bare(asked.new)}", new=old)
        if asked.action == "remove":
            return Asked("give", owner=asked.owner, new=old) if asked.owner else Asked("add", new=old)
        color = color_at(caption, place)
        if color is None:
            return None
        return changed(asked, thing=f"the {caption.lower()[place.noun : place.end]}",
            color=caption.lower()[slice(*color)])
    return None
