"""How an edit is asked for: every phrasing of every instruction, forward and reverse.

`{thing}` is a thing that is seen ("car" or "red car"), `{new}` one that is not yet ("a red car"), `{color}` a
colour, `{where}` "on the left", `{slot}` "left", `{inside}` "on a street", `{place}` "a street". An instruction never
refers to an earlier picture, so that each can be read from the picture it is given with. The last fifth of every list
is held out for the `language` split: new sentences, made of words that the other lists teach.
"""

from __future__ import annotations

import random


def _style(style: str, *own: str) -> tuple[str, ...]:
    return own + tuple(template.replace("{style}", style) for template in (
        "make it {style}", "make the picture {style}", "turn it {style}", "turn it into a {style} picture",
        "change it to {style}", "change the picture to {style}", "show it in {style}", "convert it to {style}",
        "it should be {style}", "make it a {style} photo", "i want it in {style}", "give it a {style} look",
        "could you make it {style}", "convert the photo to {style}", "it should be a {style} picture",
    ))


def _light(more: str, *own: str) -> tuple[str, ...]:
    return own + tuple(template.replace("{more}", more) for template in (
        "make it {more}", "make the picture {more}", "make the light {more}", "make it look {more}",
        "it should be {more}", "i want it {more}", "let it be {more}", "the picture should be {more}",
        "make everything {more}", "make the whole picture {more}", "make the photo {more}",
        "could you make it {more}", "i want the light to be {more}", "make the whole photo look {more}",
    ))


_COLOUR = (
    "make it a colour picture", "turn it into a colour picture", "show it in colour", "make it colourful",
    "give it colour", "put colour in the picture", "add colour", "change it to colour", "convert it to color",
    "it should be in colour", "i want it in color", "make the picture colourful", "let it be in full colour",
    "could you make it a colour picture", "convert the photo to colour", "i want a colour photo",
)

# what is asked for -> its phrasings; "to X" takes an ordinary picture to a tone, "from X" the other way
PHRASES: dict[str, tuple[str, ...]] = {
    "color": (
        "make the {thing} {color}", "recolour the {thing} {color}", "paint the {thing} {color}",
        "turn the {thing} {color}", "change the colour of the {thing} to {color}",
        "change the color of the {thing} to {color}", "change the {thing} to {color}",
        "the {thing} should be {color}", "give the {thing} {a_color} colour", "color the {thing} {color}",
        "colour the {thing} {color}", "i want the {thing} to be {color}", "let the {thing} be {color}",
        "make the colour of the {thing} {color}",
        "could you make the {thing} {color}", "change the {thing} so that it is {color}",
        "i want the color of the {thing} to be {color}",
    ),
    "add": (
        "add {new} {where}", "put {new} {where}", "place {new} {where}", "insert {new} {where}",
        "draw {new} {where}", "there should be {new} {where}", "{where}, add {new}", "i want {new} {where}",
        "let there be {new} {where}", "show {new} {where}", "the picture should have {new} {where}",
        "add {new} to the picture {where}", "include {new} {where}",
        "could you add {new} {where}", "{where}, put {new}", "i want to see {new} {where}",
    ),
    "remove": (
        "remove the {thing}", "take the {thing} away", "delete the {thing}", "erase the {thing}",
        "get rid of the {thing}", "i do not want the {thing}", "take away the {thing}",
        "take the {thing} out of the picture", "the {thing} should be gone", "make the {thing} disappear",
        "there should be no {thing}", "show it without the {thing}", "could you remove the {thing}",
        "could you erase the {thing}", "i want the {thing} to be gone", "the picture should be without the {thing}",
    ),
    "move": (
        "move the {thing} to the {slot}", "shift the {thing} to the {slot}", "bring the {thing} to the {slot}",
        "put the {thing} {where}", "place the {thing} {where}", "take the {thing} to the {slot}",
        "push the {thing} to the {slot}", "the {thing} should be {where}", "let the {thing} be {where}",
        "change the position of the {thing} to the {slot}", "move the {thing} so that it is {where}",
        "i want to see the {thing} {where}", "drag the {thing} to the {slot}",
        "could you move the {thing} to the {slot}", "i want the {thing} to be {where}",
        "the position of the {thing} should be {where}",
    ),
    "replace": (
        "replace the {thing} with {new}", "swap the {thing} for {new}", "turn the {thing} into {new}",
        "change the {thing} into {new}", "change the {thing} to {new}", "make the {thing} {new}",
        "exchange the {thing} for {new}", "use {new} instead of the {thing}", "instead of the {thing}, show {new}",
        "put {new} in place of the {thing}", "the {thing} should be {new}", "i want {new} instead of the {thing}",
        "could you replace the {thing} with {new}", "i want the {thing} to be {new}",
        "there should be {new} instead of the {thing}",
    ),
    "place": (
        "change the place to {place}", "change the background to {place}", "put it {inside}",
        "set the scene {inside}", "move the scene to {place}", "make the place {place}",
        "the place should be {place}", "show it {inside}", "turn the background into {place}",
        "replace the background with {place}", "let it be {inside}",
        "i want it {inside}", "use {place} as the background",
        "could you put it {inside}", "the scene should be {inside}", "make it a scene {inside}",
    ),
    "to night": (
        "make it night", "make it nighttime", "change it to night", "make it a night scene", "make it look like night",
        "it should be night", "show it at night", "set the scene at night", "i want it to be night",
        "let it be night", "turn day into night", "change the time to night", "turn it into a night picture",
        "could you make it night", "change day to night", "i want to see it at night",
    ),
    "from night": (
        "make it day", "make it daytime", "change it to day", "make it a day scene", "make it look like day",
        "it should be day", "show it by day", "set the scene in daylight", "i want it to be day",
        "let it be day", "turn night into day", "change the time to day", "show it in daylight",
        "could you make it day", "change night to day", "i want to see it in daylight",
    ),
    "to black and white": _style("black and white", "remove the colours", "take the colour away"),
    "from black and white": _COLOUR,
    "to sepia": _style("sepia", "make the colours sepia"),
    "from sepia": _COLOUR,
    "to warm": _light(
        "warmer", "give it warm light", "warm up the picture", "use warmer colours", "make the colours warmer"),
    "from warm": _light(
        "cooler", "make it less warm", "cool down the picture", "use cooler colours", "make the colours cooler"),
    "to bright": _light("brighter", "brighten it", "brighten the picture", "add light", "make it lighter"),
    "from bright": _light("darker", "make it less bright", "darken it", "use less light", "take the light away"),
    "to dark": _light("darker", "darken it", "darken the picture", "take the light away", "use less light"),
    "from dark": _light("brighter", "make it less dark", "brighten it", "add light", "make it lighter"),
}


def phrasings(what: str, held_out: bool = False) -> tuple[str, ...]:
    """The phrasings of one request that a split may use: the held-out last fifth, or the others."""
    everything = PHRASES[what]
    cut = len(everything) - round(len(everything) / 5)
    return everything[cut:] if held_out else everything[:cut]


def phrase(rng: random.Random, what: str, held_out: bool = False, **values: str) -> str:
    """One instruction, its phrasing drawn from `rng`."""
    return rng.choice(phrasings(what, held_out)).format(**values)
