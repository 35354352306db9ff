"""What is read of captions and instructions, word by word."""

import subprocess
import sys

import pytest

from uip2p.instructions import lexicon
from uip2p.instructions.round_trip import by_words
from uip2p.instructions.words import canonical, content, read, target, verb, words
from uip2p.instructions.writer import Edit


@pytest.mark.parametrize("text, expected", [
    ("A man's T-shirt, red!", ["a", "man", "tshirt", "red"]),
    ("a black-and-white café", ["a", "black", "and", "white", "café"]),
    ("the dogs’ 2 bowls", ["the", "dogs", "2", "bowls"]),
    ("  ", []),
])  # fmt: skip
def test_words(text, expected):
    assert list(words(text)) == expected


@pytest.mark.parametrize("forms", [
    "jacket jackets", "wear wearing wears worn wore", "man men", "child children", "frisbee frisbees",
    "rain rainy raining", "paint painting painted paintings", "leash leashes", "sit sitting sat", "grey gray",
    "glass glasses", "make made",
])  # fmt: skip
def test_inflections_are_one_word(forms):
    assert len({canonical(word) for word in forms.split()}) == 1


def test_different_words_are_not_one():
    different = ("lad", "lady", "part", "party", "arm", "army", "coat", "boat", "bus", "grass", "sun", "red", "read")
    assert len({canonical(word) for word in different}) == len(different)


def test_every_word_of_a_list_is_what_captions_are_reduced_to():
    """A list that holds "daylight" where texts come out as "day" would never be asked."""
    lists = (lexicon.LIGHT, lexicon.SCENERY, lexicon.STATES, *(side for pair in lexicon.UNSAID for side in pair))
    wrong = {word for some in lists for word in some if canonical(word) != word and canonical(word) not in some}
    assert not wrong
    assert not (lexicon.REMOVE & lexicon.ADD) | (lexicon.REMOVE & lexicon.CHANGE) | (lexicon.ADD & lexicon.CHANGE)
    assert lexicon.ACTING <= lexicon.CHANGE
    assert not (lexicon.REMOVE | lexicon.ADD | lexicon.CHANGE) & lexicon.FUNCTION  # `read` drops the verb as first word


@pytest.mark.parametrize("instruction, what", [
    ("Remove the hat", "remove"), ("get rid of the hat", "remove"), ("take the hat off", "remove"),
    ("make the hat disappear", "remove"), ("take away the rain", "remove"), ("make it stop raining", "remove"),
    ("Add a hat", "add"), ("please insert a hat", "add"), ("put a hat on him", "change"), ("take a picture", "change"),
    ("remove the cup and add a vase", "change"), ("make the car blue", "change"), ("get a dog", "change"),
    ("the hat is gone", ""), ("", ""), ("please", ""), ("red hat", ""),
])  # fmt: skip
def test_verb(instruction, what):
    assert verb(instruction) == what


@pytest.mark.parametrize("instruction, expected", [
    ("make the man's coat a denim jacket", {"man", "coat"}), ("replace his hat with a cap", {"hat"}),
    ("make the blue car red", {"blue"}), ("add the hat to the man", set()), ("make it night", set()),
    ("give the jacket a red color", {"jacket"}), ("change the color of the dog to white", {"color", "dog"}),
])  # fmt: skip
def test_target(instruction, expected):
    assert target(instruction) == expected


def test_a_reading_tells_what_comes_goes_and_is_made_up():
    reading = read("make the green coat a denim jacket", "a man in a rain coat", "a man in a denim jacket")
    assert reading.brings == {"denim", "jacket"} == reading.gained
    assert reading.takes == {"coat"} and reading.lost == {"rain", "coat"}
    assert reading.invented == {"green"}


@pytest.mark.parametrize("reverse, score", [
    ("make the truck a red car", 1.0), ("make the truck a car", 0.5), ("make the truck a red bus", 0.0),
    ("remove the truck", 1 / 2 - 1 / 2), ("make the red car a truck", 0.0),
])  # fmt: skip
def test_by_words_is_how_much_comes_back(reverse, score):
    edit = Edit("replace", "make the car a truck", "a truck on a street", reverse)
    assert by_words(edit, "a red car on a street") == score


def test_content_leaves_out_what_tells_nothing():
    assert content("There is a man who is wearing the red hat") == ("man", "wear", "red", "hat")


@pytest.mark.parametrize("package, name", [("lemminflect", "lemminflect"), ("better_profanity", "better-profanity")])
def test_what_to_install_is_said(package, name):
    code = (f"import sys; sys.modules[{package!r}] = None\n"
            "from uip2p.errors import UserError; from uip2p.instructions import wording, words\n"
            "try: words.canonical('dogs'), wording.is_clean('dogs')\n"
            f"except UserError as error: assert 'install {name}: pip install' in str(error), error\n"
            "else: raise AssertionError('nothing was said')")  # fmt: skip
    subprocess.run([sys.executable, "-c", code], check=True)
