"""The words of captions and instructions, compared without regard to inflection: what an edit brings in and takes away.

No parse: an instruction is short and its words come in a known order, and whether a word is the thing acted on or the
thing brought in is told by the two captions. A word of the one that the other lacks is what the edit is about.
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterable
from dataclasses import dataclass
from functools import lru_cache

from uip2p.errors import UserError


def _set(text: str) -> frozenset[str]:
    return frozenset(text.split())


REMOVE = _set(
    "remove delete erase eliminate omit discard clear strip shave hide exclude drop subtract undress unload empty "
    "dismiss detach extract wipe"
)
ADD = _set("add insert include introduce attach")  # what was there stays
CHANGE = _set(
    "change make turn transform convert replace swap switch exchange substitute recolor recolour color colour paint dye "
    "tint shade stain set move shift bring relocate transfer slide send carry push pull lift pass take render restyle "
    "redraw style stylize stylise let have get lighten darken brighten dim blur sharpen soften enlarge shrink resize "
    "rotate flip mirror bend open close raise lower straighten tilt stretch trim cut crop light illuminate decorate "
    "adjust alter modify edit update apply use show depict age freeze melt flood burn clean wash dry wet break fix "
    "repair put place give draw hang plant sprinkle cover dress fill wrap equip position lay stand seat sit keep "
    "reposition rearrange recast reimagine imagine picture present portray shape mold crown arm load top garnish "
    "surround scatter spread drape tie build create swap trade modernize age cast throw drop pour swathe bathe "
    "restage restyle repaint relight redecorate undo revert restore return leave fold unfold hand colorize"
)  # undo and its like are instructions too: `no_back` refuses them by its own name
AWAY = re.compile(r"\b(?:away|off|out|rid of|from)\b")
AND = re.compile(rf"\band (?:then )?(?:{'|'.join(sorted(ADD | CHANGE))})\b", re.IGNORECASE)  # "remove the cup and add a vase"
GONE = re.compile(r"\b(?:disappears?|vanish(?:es)?|go away|be gone|bare|bareheaded|barefoot|empty|plain)\b")

# Words that tell nothing of what is seen.
FUNCTION = _set(
    "a an the this that these those some any each every either both all other another more one's s of and or but so as "
    "than then there here it its itself he him his himself she her hers herself they them their theirs themselves "
    "who whom whose which what is are was were be been being am do does did done can could will would shall should "
    "may might must has to into with by for at from up out off away very too also just only please now while during "
    "not no if when where how such own same like onto upon via about it's there's within on in rid completely entirely fully slightly "
    "don't doesn't isn't aren't"
)
# Words that may come and go with an edit without being asked for.
GENERIC = _set(
    "color colour hue shade tone picture image photo photograph photography scene side view part thing style look weather "
    "time place spot area setting background instead whole entire new different version form piece kind type object "
    "position location shot camera"
)
POSTURE = _set(
    "wear hold have carry stand sit lie lay rest hang appear seem become feature show contain place put set fill be "
    "take make turn get go give come keep stay fall"
)
SPATIAL = _set(
    "under below beneath underneath behind above over beside near between inside outside left right top bottom front "
    "back middle center centre corner edge next far across against around along through amid among atop alongside "
    "opposite down close"
)
NUMBERS = _set(
    "one two three four five six seven eight nine ten eleven twelve dozen pair couple few several many single first "
    "second third group lot"
)
LIGHT = GENERIC | POSTURE | SPATIAL | NUMBERS | _set("disappear vanish bare bareheaded barefoot empty plain")

# Where nothing is said of them, pictures are photographs, taken by day: what undoes an edit may say so.
DAY, CLEAR, PHOTO = _set("day daylight"), _set("clear dry"), _set("photo photograph realistic real photorealistic")
NIGHT = _set("night dusk dawn sunset sunrise evening midnight twilight moonlight moon star dark")
WEATHER = _set("rain snow fog storm cloud mist wind wet blizzard haze overcast lightning thunderstorm")
STYLES = _set(
    "painting paint watercolor sketch drawing draw cartoon comic pencil oil anime mosaic engrave pixel ink art poster "
    "charcoal illustration impressionist illustrate"
)
UNSAID = ((DAY, NIGHT), (CLEAR, WEATHER), (PHOTO, STYLES))

SAME = {
    "rainy": "rain", "snowy": "snow", "foggy": "fog", "sunny": "sun", "cloudy": "cloud", "stormy": "storm",
    "misty": "mist", "windy": "wind", "icy": "ice", "wooden": "wood", "golden": "gold", "grey": "gray",
    "colour": "color", "nighttime": "night", "daytime": "day", "daylight": "day", "television": "tv", "raincoat": "coat",
    "watercolour": "watercolor", "photograph": "photo", "centre": "center", "underneath": "under",
    "beneath": "under", "below": "under", "colored": "color", "coloured": "color", "hazy": "haze", "starry": "star",
    "moonlit": "moon", "sunlit": "sun", "sunshine": "sun", "snowfall": "snow", "men": "man", "women": "woman",
}  # fmt: skip
SAME |= {word: word for word in LIGHT | DAY | CLEAR | PHOTO | NIGHT | WEATHER | STYLES if word not in SAME}


def words(text: str) -> list[str]:
    """Lower case, without punctuation and possessive 's; what a hyphen joins is several words."""
    return [word.removesuffix("'s") for word in re.findall(r"[^\W_]+(?:'[^\W_]+)?", text.lower().replace("’", "'"))]


@lru_cache(maxsize=100_000)
def canonical(word: str) -> str:
    """One name for all inflections of a word: "jackets" → "jacket", "worn" → "wear", "rainy" → "rain"."""
    lemmas = _lemmas()
    while word not in SAME:
        forms = {form.lower() for forms in lemmas(word).values() for form in forms if form.isalpha() and len(form) > 1}
        shortest = min((*forms, word), key=lambda form: (len(form), form))
        if shortest == word:
            return word
        word = shortest
    return SAME[word]


@lru_cache(maxsize=1)
def _lemmas():  # type: ignore[no-untyped-def]
    try:
        from lemminflect import getAllLemmas
    except ImportError:
        raise UserError("to judge edits, install lemminflect: pip install 'uip2p[data]'.") from None
    return getAllLemmas


@lru_cache(maxsize=10_000)
def content(text: str) -> tuple[str, ...]:
    """The canonical words that tell what is seen, in their order."""
    return tuple(canonical(word) for word in words(text) if word not in FUNCTION)


@dataclass(frozen=True, slots=True)
class Reading:
    """What an instruction says of a change from one caption to another. All words are canonical.

    invented: its words that neither caption has. brings, takes: of its words, those that only the caption after has,
    and only the one before. gained, lost: what the captions differ in, asked for or not, without LIGHT words.
    removes: it is an instruction to take something away. acts: it can make this change at all: what it removes is
    there and goes, or what it brings in comes, and what is replaced is named before what replaces it.
    """

    invented: frozenset[str]
    brings: frozenset[str]
    takes: frozenset[str]
    gained: frozenset[str]
    lost: frozenset[str]
    removes: bool
    acts: bool


def verb(instruction: str) -> str:
    """"remove", "add" (what was there stays) or "change"; "" where it begins with no verb of editing."""
    said = words(instruction)
    while said and said[0] in ("please", "now", "then", "also", "just"):
        said = said[1:]
    if not said:
        return ""
    first = said[0]
    rest = " ".join(said[1:])
    if first in REMOVE or first == "get" and rest.startswith("rid of"):
        return "change" if AND.search(rest) else "remove"
    if first in CHANGE and (GONE.search(rest) or first in ("take", "cut", "crop", "wash") and AWAY.search(rest)):
        return "remove"
    return "add" if first in ADD else "change" if first in CHANGE else ""


@lru_cache(maxsize=10_000)
def read(instruction: str, before: str, after: str) -> Reading:
    """An instruction between the captions of the picture before it and after it."""
    asked = list(content(AND.sub(" ", instruction))[1:])
    had, has = Counter(content(before)), Counter(content(after))
    lost, gained = had - has, has - had
    brings, takes = (frozenset(word for word in asked if word in side) for side in (gained, lost))
    unsaid = {word for says, undone in UNSAID if undone & lost.keys() for word in says}
    invented = frozenset(asked) - had.keys() - has.keys() - LIGHT - unsaid
    what = verb(instruction)
    counted = NUMBERS & (lost.keys() | gained.keys())  # "add another dog"
    if what == "remove":
        acts = bool(takes or counted) and frozenset(asked) - LIGHT <= had.keys()
    else:
        acts = bool(brings or unsaid & set(asked) or counted and what == "add")
        if what == "change" and brings and takes and not re.search(r"\b(?:in place|instead|rather)\b", instruction):
            last = len(asked) - 1 - min(asked[::-1].index(word) for word in brings)
            acts = min(asked.index(word) for word in takes) < last
    return Reading(invented, brings, takes, _heavy(gained), _heavy(lost), what == "remove", acts)


def _heavy(words: Iterable[str]) -> frozenset[str]:
    return frozenset(words) - LIGHT
