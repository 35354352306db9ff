"""Every predicate from both sides, the paper's own table and the fault of its appendix."""

import json
import time
from pathlib import Path

import pytest

from uip2p.config import from_dict, to_dict
from uip2p.errors import UserError
from uip2p.instructions.accept import PREDICATES, Facts, Judge, Rules, duplicates, judge
from uip2p.instructions.wording import is_clean
from uip2p.instructions.writer import Edit
from uip2p.records import Caption

ROOT = Path(__file__).parents[2]
PHOTOS = [ROOT / folder / "metadata.jsonl" for folder in ("runs/photos", "../shared/data/photos")]

# caption, instruction, edited caption, reverse instruction
PAPER = [
    ("A man wearing a denim jacket", "make the jacket a rain coat", "A man wearing a rain coat",
     "make the coat a denim jacket"),
    ("A sofa in the living room", "add pillows", "A sofa in the living room with pillows", "remove the pillows"),
    ("A tourist rests against a concrete wall", "give him a backpack",
     "A tourist with a backpack rests against a concrete wall", "remove his backpack"),
]  # fmt: skip
GOOD = [
    *PAPER,
    ("A red car on a street.", "Make the car blue.", "A blue car on a street.", "Make the car red."),
    ("A brown dog runs through the grass", "Replace the dog with a cat", "A cat runs through the grass",
     "Turn the cat into a brown dog"),
    ("Two children with balloons play in a park", "Remove the balloons", "Two children play in a park",
     "Give the children balloons"),
    ("A cat sits on a sofa", "Move the cat to the floor", "A cat sits on the floor", "Put the cat on a sofa"),
    ("A cat sits on the table", "Put the cat under the table", "A cat sits under the table",
     "Put the cat on the table"),
    ("A street on a sunny day", "Make it rain", "A street on a rainy day", "Make the weather sunny"),
    ("A dog in a yard", "Turn the picture into a watercolor painting", "A watercolor painting of a dog in a yard",
     "Turn the painting into a photo"),
    ("A boat on a lake", "Make it night", "A boat on a lake at night", "Make it daytime"),
    ("Two dogs on the beach", "Add another dog", "Three dogs on the beach", "Remove one dog"),
    ("A man stands in a kitchen", "Move the man to a beach", "A man stands on a beach", "Move the man to a kitchen"),
    ("A woman in a red hat and a red shirt", "Remove the hat", "A woman in a red shirt", "Give the woman a red hat"),
]  # fmt: skip
CAPTION, DO, EDITED, UNDO = GOOD[3]


def row(caption=CAPTION, instruction=DO, edited=EDITED, reverse=UNDO):
    return Edit("other", instruction, edited, reverse), Caption("1.jpg#0", "1.jpg", caption)


def instructions(name, texts):
    return [row(**{name: text}) for text in texts]


SAID = [
    "Make the car blue", "make the car blue.", "Please paint the car blue", "Turn the car blue!",
    "Let the car be blue", "Give the car a blue colour", "Recolor the car to be blue", "Change the car's color to blue",
    "Get rid of the car", "Replace St. Mary's church with a barn",
]  # fmt: skip
NOT_SAID = [
    "The car is blue", "Can you make the car blue?", "Make the car blue. Then add a dog.", "blue", "Make", "A blue car",
    "Make my car blue", "I want the car to be blue", "Sure! Here is the edit: make the car blue", "Let's make it blue",
    "Color photo of a blue car on a street", "", "Is the car blue?", "Wait...", "Make the car blue… or red",
]  # fmt: skip
FORWARD = [  # what does not remember
    "Add a black dog", "Give her a backpack", "Add a fence to the back yard", "Turn the car backwards",
    "Make the dog lie on its back", "Put a man in the back seat", "Move the dog to the back of the truck",
    "Make the man look back at the camera", "Add a piggy-back ride", "Paint the back wall red",
    "Lean a ladder against it",
    "Put a cat before the door", "Add a background of trees", "Turn the horse's back to the camera",
]  # fmt: skip
REMEMBERS = [
    "Change it back", "Change the dog's color back to white", "Put the dog back on the sofa", "Bring back the hat",
    "Undo the change", "Restore the original color", "Make the car red again", "Revert to the red car",
    "Make the car its previous color", "Make the car red as before", "Return the car to red",
    "Make it as it was before",
    "Give him back his hat", "Remove the hat that was previously added", "Turn the sky back", "Make it red once more",
]  # fmt: skip
INNOCENT = [
    "A man takes a shot with a basketball", "A cock crows on a fence", "A donkey and a mule in a grassy field",
    "A bass guitar and a class of students", "A dog licks a lollipop", "Two girls hug a fat cat",
    "A player kicks the ball in Scunthorpe", "A woman in a bikini at the beach", "A shirtless man climbs a rock",
    "A child sucks his thumb", "Men in black & white; 50% off", "A café at 9 o'clock", "A gay pride parade",
    "An assistant passes an assignment", "A weightlifter strips to the waist", "A blue tit on a branch",
]  # fmt: skip
DIRTY = [
    "A fucking car", "A naked woman on a bed", "A porn magazine on a table", "A pile of shit",
    "A car\x00 on a street", "A car on a \u202etseert", "A car\u200b on a street", "A car\non a street",
    "<script>alert(1)</script> a car", "A <b>red</b> car", "A car &amp; a bus", "See https://example.com/a.jpg",
    "Visit www.cars.com", "Buy at cars.com now", "Write to me@cars.org", "A ```car```", "A [car](street)", "A bitch",
]  # fmt: skip

# name -> (rows that it lets pass, rows that it stops)
CASES = {
    "caption_differs": (
        [row(*texts) for texts in GOOD],
        [row(edited=text) for text in (
            CAPTION, CAPTION.lower(), "A red car, on a street", " A  red car on a street ", "A RED CAR ON A STREET!",
            "a red-car on a street", "“A red car on a street.”", "A red car's on a street",
        )],
    ),
    "instruction_is_instruction": (instructions("instruction", SAID), instructions("instruction", [*NOT_SAID, EDITED])),
    "reverse_is_instruction": (
        instructions("reverse", SAID), instructions("reverse", [*NOT_SAID, EDITED, CAPTION]),
    ),
    "no_back": (
        instructions("reverse", FORWARD) + instructions("instruction", FORWARD),
        instructions("reverse", REMEMBERS) + instructions("instruction", REMEMBERS),
    ),
    "edit_in_caption": (
        [row(*texts) for texts in GOOD],
        [row(*texts) for texts in [
            (CAPTION, "Make the car green", EDITED, UNDO),  # the colour is not there afterwards
            (CAPTION, "Make the dog blue", EDITED, UNDO),  # there is no dog
            (CAPTION, "Remove the car", EDITED, UNDO),  # it is still there
            (CAPTION, "Remove the tree", "A car on a street.", UNDO),  # there was none
            (CAPTION, "Make the blue car red", EDITED, UNDO),  # the wrong way round
            (CAPTION, "Replace the blue car with a red one", EDITED, UNDO),
            (CAPTION, "Add a dog", "A red car on a street.", UNDO),  # nothing was added
            (CAPTION, "Make it snow", EDITED, UNDO),
            (CAPTION, "Make the car blue and add a sheep", EDITED, UNDO),
            ("A dog and a cat", "Remove the dog", "A dog", UNDO),  # the other one went
        ]],
    ),
    "only_the_edit": (
        [row(*texts) for texts in GOOD],
        [row(edited=text) for text in (
            "A blue car on a snowy street.", "A blue truck on a street.", "A blue car on a street with trees.",
            "A shiny blue car on a street.", "A blue car on a street at night.", "A dog beside a blue car on a street.",
            "A blue car and a bus on a street.", "A man drives a blue car on a street.",
        )],
    ),
    "reverse_visible": (
        [row(*texts) for texts in GOOD],
        [row(*texts) for texts in [
            # the appendix: the caption names no colour
            ("A dog on a sofa", "Make the dog brown", "A brown dog on a sofa", "Change the dog's color to white"),
            # the same, where the colour is another thing's
            ("A dog on a white sofa", "Make the dog brown", "A brown dog on a white sofa", "Make the dog white"),
            (CAPTION, DO, EDITED, "Make the car green"),
            (CAPTION, DO, EDITED, "Make the truck red"),
            (CAPTION, DO, EDITED, "Replace the red car with a blue one"),
            ("A man with a hat", "Remove the hat", "A man", "Remove the hat"),
            ("A man with a hat", "Remove the hat", "A man", "Give him a black hat"),
            ("A man in a park", "Add a dog", "A man with a dog in a park", "Replace the dog with a cat"),
            ("A man in a park", "Add a dog", "A man with a dog in a park", "Remove the bench"),
            ("A man in a park", "Make it snow", "A man in a snowy park", "Make it summer"),
        ]],
    ),
    "lengths": (
        [row(*texts) for texts in GOOD],
        [
            row(caption="Car"), row(edited="Blue"), row(instruction="Go"), row(reverse="No"),
            row(instruction="Make the car blue " + "and the street grey " * 8),
            row(reverse="Make the car red " + "x" * 400),
            row(caption="A car " * 40), row(edited="A blue car on a street " * 4),
            row(caption="A car " + "x" * 100_000),
        ],
    ),
    "clean": (
        [row(caption=text) for text in INNOCENT] + [row(*texts) for texts in GOOD],
        [row(**{name: text}) for text in DIRTY for name in ("caption", "edited", "instruction", "reverse")],
    ),
}  # fmt: skip
ALL = [(name, True, i) for name in CASES for i in range(len(CASES[name][0]))]
ALL += [(name, False, i) for name in CASES for i in range(len(CASES[name][1]))]


@pytest.mark.parametrize("name, passes, i", ALL)
def test_predicate(name, passes, i):
    edit, caption = CASES[name][not passes][i]
    assert PREDICATES[name](edit, caption, Facts(Rules())) is passes, (caption.caption, edit)


def test_every_predicate_has_cases_on_both_sides():
    by_facts = {"direction", "picture", "round_trip"}  # below
    assert CASES.keys() | by_facts == PREDICATES.keys()
    assert all(len(side) >= 8 for sides in CASES.values() for side in sides)


@pytest.mark.parametrize("name", CASES)
def test_a_predicate_is_asked(name):
    """Each has a row that nothing else would say everything about: without it `judge` says something else."""
    for edit, caption in CASES[name][1]:
        assert name in judge(edit, caption, Facts(Rules())).reasons


def test_the_papers_table_is_accepted_and_its_appendix_is_not():
    for texts in GOOD:
        assert judge(*row(*texts), Facts(Rules(), returns=True)).accepted, texts
    appendix = row("A dog on a sofa", "Change the dog's color to brown", "A brown dog on a sofa",
                   "Change the dog's color back to white")  # fmt: skip
    assert set(judge(*appendix, Facts(Rules())).reasons) == {"no_back", "reverse_visible"}


# ---- what takes more than texts ------------------------------------------------------------------------


@pytest.mark.parametrize("fact, name, low, high", [
    ("direction", "direction", 0.05, 0.5), ("image_text", "picture", 0.19, 0.2), ("returns", "round_trip", False, True),
])  # fmt: skip
def test_a_fact_rejects_accepts_or_is_not_there(fact, name, low, high):
    rejected, accepted, unknown = (judge(*row(), Facts(Rules(), **{fact: value})) for value in (low, high, None))
    assert rejected.reasons == (name,) and name not in rejected.not_judged
    assert accepted.accepted and name not in accepted.not_judged
    assert unknown.accepted and name in unknown.not_judged


def test_unknown_settings_are_errors():
    with pytest.raises(UserError, match=r"unknown key 'encodr'.*Did you mean 'encoder'"):
        from_dict(Rules, {"encodr": "x"})
    with pytest.raises(UserError, match="no predicate 'cleen'"):
        Rules(skip=("cleen",))
    rules = Rules(skip=("clean",), characters=(1, 9))
    assert from_dict(Rules, to_dict(rules)) == rules


def test_what_is_skipped_is_not_asked():
    edit, caption = row(reverse="Make the car green")
    assert judge(edit, caption, Facts(Rules(skip=("reverse_visible",)))).accepted
    assert not judge(edit, caption, Facts(Rules())).accepted


def test_duplicates_are_of_one_picture():
    rows = [("1", "Make the car blue"), ("2", "make the car blue"), ("1", " make the car, blue!"), ("1", "Add a dog"),
            ("2", "Make the car red"), ("1", "Make the car blue")]  # fmt: skip
    assert duplicates(rows) == [False, False, True, False, False, True]


# ---- all together ------------------------------------------------------------------------------------


def test_a_judge_says_the_same_of_a_pair_whatever_its_neighbours():
    pairs = [row(*texts) for texts in GOOD] + [pair for _, bad in CASES.values() for pair in bad]
    judged = Judge()
    assert judged(pairs) == [judged([pair])[0] for pair in pairs]
    assert [verdict.accepted for verdict in judged(pairs[: len(GOOD)])] == [True] * len(GOOD)
    assert judged([]) == []


def test_what_belongs_to_another_edit_is_rejected():
    pairs = []
    for mine in GOOD:
        for other in GOOD:
            if mine is not other:
                pairs += [row(mine[0], mine[1], other[2], mine[3]), row(mine[0], other[1], mine[2], mine[3])]
                pairs += [row(*mine[:3], other[3])]
        pairs += [row(*mine[:3], mine[1]), row(mine[0], mine[1], mine[0], mine[3])]
    assert not [pair for pair, verdict in zip(pairs, Judge()(pairs), strict=True) if verdict.accepted]


def test_captions_of_real_photos_are_clean():
    path = next((p for p in PHOTOS if p.is_file()), None)
    if path is None:
        pytest.skip("no captioned photos: put them into runs/photos")
    captions = [text for line in path.read_text().splitlines() for text in json.loads(line)["captions"]]
    unclean = [text for text in captions if not is_clean(text)]
    assert len(captions) > 1000 and len(unclean) <= 0.002 * len(captions), unclean


def test_hostile_texts_take_no_time():
    started = time.perf_counter()
    for text in ("a ", "x", "-", "back ", "<", "'s", ".", "&", "\u202e", "a.b@"):
        for length in (400, 100_000):
            for name in ("caption", "instruction", "edited", "reverse"):
                assert not Judge()([row(**{name: (text * length)[:length]})])[0].accepted
    assert time.perf_counter() - started < 5
