"""Word lists: verbs of editing, words that tell nothing of a picture, words that are innocent in a photo's caption."""

from __future__ import annotations


def _set(text: str) -> frozenset[str]:
    return frozenset(text.split())


# ---- what an instruction begins with ---------------------------------------------------------------

REMOVE = _set(
    "remove delete erase eliminate omit discard clear strip shave hide exclude drop subtract undress unload empty "
    "dismiss detach extract wipe stop calm lift"
)
ADD = _set("add insert include introduce attach")  # what was there stays
CHANGE = _set(
    "change make turn transform convert replace swap switch exchange substitute recolor recolour color colour paint "
    "dye tint shade stain set move shift bring relocate transfer slide send carry push pull pass take render "
    "restyle redraw style stylize stylise let have get lighten darken brighten dim blur sharpen soften enlarge shrink "
    "resize rotate flip mirror bend open close raise lower straighten tilt stretch trim cut crop light illuminate "
    "decorate adjust alter modify edit update apply use show depict age freeze melt flood burn clean wash dry wet "
    "break fix repair put place give draw hang plant sprinkle cover dress fill wrap equip position lay stand seat sit "
    "keep reposition rearrange recast reimagine imagine picture present portray shape mold crown arm load top garnish "
    "surround scatter spread drape tie build create trade modernize cast throw pour swathe bathe restage repaint "
    "relight redecorate undo revert restore return leave fold unfold hand colorize"
)  # undo and its like are instructions too: `no_back` refuses them by its own name

# Words that tell nothing of what is seen.
FUNCTION = _set(
    "a an the this that these those some any each every either both all other another more one's s of and or but so "
    "as than then there here it its itself he him his himself she her hers herself they them their theirs themselves "
    "who whom whose which what is are was were be been being am do does did done can could will would shall should "
    "may might must has to into with by for at from up out off away very too also just only please now while during "
    "not no if when where how such own same like upon via about it's there's within rid completely "
    "entirely fully slightly don't doesn't isn't aren't"
)
# Words that may come and go with an edit without being asked for.
GENERIC = _set(
    "color colour hue shade tone picture image photo photograph photography scene side view part thing style look "
    "weather time place spot area setting background instead whole entire new different version form piece kind type "
    "object position location shot"
)
POSTURE = _set(
    "wear hold have carry stand sit lie lay rest hang appear seem become feature show contain place put set fill be "
    "take make turn get go give come keep stay fall"
)
SPATIAL = _set(
    "on in under below beneath underneath behind above over beside near between outside left right top bottom front "
    "back middle center centre corner edge next far across against around along through amid among atop alongside "
    "opposite down close"
)
COUNTS = {
    "one": 1, "single": 1, "first": 1, "two": 2, "pair": 2, "couple": 2, "second": 2, "three": 3, "few": 3, "third": 3,
    "several": 4, "four": 4, "group": 4, "five": 5, "six": 6, "many": 7, "lot": 7, "seven": 7, "eight": 8, "nine": 9,
    "ten": 10, "eleven": 11, "twelve": 12, "dozen": 12,
}  # fmt: skip
BODY = _set("hand head arm shoulder neck lap mouth face foot back clothes clothing outfit")
GONE = _set("disappear vanish stop bareheaded barefoot empty plain")
LIGHT = GENERIC | POSTURE | SPATIAL | COUNTS.keys() | BODY | GONE

# The state of a whole picture. Where a word of it is asked for, the words of SCENERY may come and go with it.
NIGHT = _set("night midnight evening sunset sunrise dusk dawn twilight moon star")
WEATHER = _set("rain snow fog mist haze storm cloud wind lightning thunderstorm blizzard overcast wet")
STYLES = _set(
    "paint watercolor oil sketch draw cartoon comic pencil crayon charcoal ink anime mosaic engrave pixel poster art "
    "illustration sculpture clay stain impressionist black"
)
SCENERY = _set(
    "sky sun light heavy thick soft dark bright orange gold glow cloud star day full broad calm clear render draw "
    "paint sketch art natural open"
)
# Where nothing is said of it, a picture is a photograph in colour, taken by day: what undoes an edit may say so.
DAY, CLEAR = _set("day midday noon broad"), _set("clear dry calm")
PHOTO, COLORED = _set("photo realistic real photorealistic"), _set("color colorful full natural")
STATES = NIGHT | WEATHER | STYLES | DAY | CLEAR | PHOTO
UNSAID = ((DAY, NIGHT), (CLEAR, WEATHER), (PHOTO, STYLES - {"black"}), (COLORED, _set("black")))

SAME = {
    "rainy": "rain", "downpour": "rain", "snowy": "snow", "snowfall": "snow", "foggy": "fog", "misty": "mist",
    "hazy": "haze", "stormy": "storm", "windy": "wind", "cloudy": "cloud", "sunny": "sun", "sunlit": "sun",
    "sunshine": "sun", "icy": "ice", "nighttime": "night", "moonlight": "night", "moonlit": "night", "starry": "night",
    "daytime": "day", "daylight": "day", "painting": "paint", "paintings": "paint", "drawing": "draw",
    "drawings": "draw", "sculpt": "sculpture", "watercolour": "watercolor", "photograph": "photo", "colour": "color",
    "colored": "color", "coloured": "color", "colorize": "color", "grey": "gray", "wooden": "wood", "golden": "gold",
    "television": "tv", "centre": "center", "underneath": "under", "beneath": "under", "below": "under",
    "near": "next", "beside": "next", "alongside": "next", "onto": "on",
    "inside": "in", "into": "in", "men": "man", "women": "woman",
}  # fmt: skip
SAME |= {word: word for word in LIGHT | SCENERY | STATES if word not in SAME}

# Verbs that act on the thing that is named first, as it is seen: "make the jacket …", "replace his hat with …".
ACTING = _set(
    "change make turn transform convert replace swap switch exchange recolor recolour color colour paint dye tint give "
    "dress move shift"
)

# ---- "back" that speaks of a part or a direction, and not of what was before -------------------------

BEFORE_BACK = _set(  # "on its back", "looks back"
    "a an the his her its their my your one's in at to from far bare broad hairy hunched arched camel low straight "
    "lean leans leaning leaned laid lay lying lie look looks looking looked step steps stepping sit sits sitting pull "
    "pulled pulls slicked combed swept tied brushed kick kicks kicking facing piggy"
)
AFTER_BACK = _set(  # "back yard", "back of the truck"
    "of yard door seat seats seated pack packs pocket pockets porch wall street alley garden side wheel wheels row "
    "leg legs foot feet paw paws end part corner room window windows flip flips hand bend stage country light drop "
    "board rest stroke brace tooth teeth patio fence lot road bench left right half section lawn deck tire tires gate "
    "entrance hair fin"
)

# ---- of better-profanity's list, what captions of everyday photos say; and what it lacks ----------------

NSFW = _set("topless nsfw undressed upskirt")
INNOCENT = _set(
    "slope sucking suck sucked pot potty strip shag shaggy dummy facial fat kill killed cowgirl cowgirls cock cocks "
    "tit crotch erect fisted gay gays lesbian lesbians transsexual god hemp hump humped hookah jerk jerked jerks knob "
    "leper loin loins nob oral orally organ ovary paddy pastie pasty pawn pee pollock reefer revue rum rump sandbar "
    "screw screwed screwing seaman seamen slave sniper snuff souse soused stroke tampon thrust tramp tush ugly undies "
    "urinal urine uzi vixen vodka vomit wad wang weed weiner whitey womb woody yury drunk homey junkie ninny paddies "
    "scrud"
) | {"cow girl", "cow girls", "blue waffle", "doggy style", "dog style", "brown shower", "brown showers", "three some"}
