"""Reading instructions and carrying them out on captions: by words alone, without a parser."""

import pytest

from uip2p.instructions.grammar.apply import apply, leads_back, read, same

MAN = "A man wearing a red hat rides a horse."
DONE = [
    # colour
    ("make the coat red", "A woman in a blue coat", "A woman in a red coat"),
    ("change the color of the car to blue", "A red car parked on the street", "A blue car parked on the street"),
    ("Change the colour of the car to light blue.", "A red car", "A light blue car"),
    ("change the car from red to green", "A red car", "A green car"),
    ("turn the dog black and white", "A brown dog runs", "A black and white dog runs"),
    ("make the dog brown", "A black and white dog runs", "A brown dog runs"),
    ("paint the bench green", "A man sits on a bench", "A man sits on a green bench"),
    ("make the white dog black", "A white dog and a brown dog", "A black dog and a brown dog"),
    ("make the woman's shirt green", "A man in a red shirt and a woman in a blue shirt",
     "A man in a red shirt and a woman in a green shirt"),
    ("give the umbrella an orange color", "A girl with a red umbrella .", "A girl with an orange umbrella ."),
    ("make the apple green", "an orange apple", "a green apple"),
    ("make the woman's dress green instead of red", "A woman in a red dress", "A woman in a green dress"),
    ("Change the dog's fur color to white", "A brown dog", "A white dog"),
    ("Make the hair of the girl pink", "A girl with blond hair", "A girl with pink hair"),
    ("make the girl's outfit blue", "A girl in red is running", "A girl in blue is running"),
    ("please dye the man's hair pink", "A man with blond hair", "A man with pink hair"),
    # replace
    ("replace the dog with a cat", "A brown dog sleeps on a bed.", "A cat sleeps on a bed."),
    ("swap the dog for a black cat", "The dog sleeps", "The black cat sleeps"),
    ("turn the apple into an orange", "She eats an apple", "She eats an orange"),
    ("change the car to a truck", "A red car on the road", "A truck on the road"),
    ("make the jacket a rain coat", "A man wearing a denim jacket", "A man wearing a rain coat"),
    ("make the coat a denim jacket", "A man wearing a rain coat", "A man wearing a denim jacket"),
    ("make the rain coat a denim jacket", "A man wearing a rain coat", "A man wearing a denim jacket"),
    ("use a tram instead of the bus", "A bus in the city", "A tram in the city"),
    ("substitute two cats for the dogs", "Two dogs play", "Two cats play"),
    ("replace the bike with a scooter", "A man rides his bike", "A man rides his scooter"),
    # remove
    ("remove the hat", MAN, "A man rides a horse."),
    ("take the man's hat off", MAN, "A man rides a horse."),
    ("get rid of the red hat", MAN, "A man rides a horse."),
    ("remove the hat from the man", MAN, "A man rides a horse."),
    ("remove the pillows", "A sofa in the living room with pillows", "A sofa in the living room"),
    ("remove the tourist's backpack", "A tourist with a backpack rests against a wall", "A tourist rests against a "
                                                                                        "wall"),
    ("take the ball out of the dog's mouth", "A dog with a ball in its mouth runs", "A dog runs"),
    ("remove the hat from the image", MAN, "A man rides a horse."),
    ("take away the ball", "A dog with a ball in its mouth runs", "A dog runs"),
    ("remove the hat", "A man wearing a hat and sunglasses", "A man wearing sunglasses"),
    ("remove the sunglasses", "A man wearing a hat and sunglasses", "A man wearing a hat"),
    ("remove the dog", "A man and a dog are walking", "A man is walking"),
    ("erase the rainbow", "A dog in a field, with a rainbow in the sky .", "A dog in a field ."),
    ("take the bicycle out of the picture", "A man stands next to a bicycle in the rain", "A man stands in the rain"),
    # add
    ("add a rainbow in the sky", "A dog in a field .", "A dog in a field with a rainbow in the sky ."),
    ("add pillows", "A sofa in the living room", "A sofa in the living room with pillows"),
    ("give the tourist a backpack", "A tourist rests against a wall", "A tourist with a backpack rests against a wall"),
    ("put a hat on the man's head", "A man rides a horse", "A man with a hat rides a horse"),
    ("add a hat to the man", "A man rides a horse", "A man with a hat rides a horse"),
    ("add a dog next to the man", "A man is walking", "A man and a dog are walking"),
    ("put a vase of flowers on the table", "A woman sits at a table.", "A woman sits at a table with a vase of "
                                                                       "flowers on it."),
    # move
    ("move the cat under the table", "A cat on a table", "A cat under a table"),
    ("move the cat onto the bench", "A cat under the bench", "A cat on the bench"),
    ("move the ball to the dog's feet", "A dog with a ball in its mouth", "A dog with a ball at its feet"),
    ("put the ball in the dog's mouth", "A dog with a ball at its feet", "A dog with a ball in its mouth"),
    ("move the boat to the foreground", "A beach with a boat in the background", "A beach with a boat in the "
                                                                                 "foreground"),
    ("move the man to the bottom of the stairs", "A man at the top of the stairs", "A man at the bottom of the stairs"),
    ("move the lamp to the left", "A room with a lamp on the right", "A room with a lamp on the left"),
    # place
    ("change the background to a snowy field", "A dog runs on the beach .", "A dog runs in a snowy field ."),
    ("set the scene in the grass", "A dog runs through a desert", "A dog runs through the grass"),
    ("move the scene to a beach", "Two girls walk through a park", "Two girls walk along a beach"),
    # weather, time
    ("make it rain", "A dog runs .", "A dog runs in the rain ."),
    ("stop the rain", "A dog runs on a rainy day", "A dog runs"),
    ("clear the fog", "A dog in a field in thick fog.", "A dog in a field."),
    ("make it night", "A city street", "A city street at night"),
    ("turn night into day", "A city street at night", "A city street"),
    ("make it midday", "A street under an orange sunset sky", "A street"),
    # style
    ("turn it into a watercolor painting", "A dog", "A dog, in the style of a watercolor painting"),
    ("turn the watercolor painting into a photo", "A watercolor painting of a dog", "A dog"),
    ("make it look like a real photo", "A dog runs, drawn as a cartoon.", "A dog runs."),
    ("make it black and white", "Two dogs", "Two dogs, as a black and white photo"),
    ("turn it into a photograph", "An oil painting of a dog", "A dog"),
    ("Turn the night into day.", "A street at night", "A street"),
    ("Replace the background with a beach", "A dog in a field", "A dog on a beach"),
    ("colorize the photo", "A black and white photo of two dogs", "Two dogs"),
]  # fmt: skip


@pytest.mark.parametrize(("instruction", "caption", "edited"), DONE)
def test_what_the_caption_becomes(instruction, caption, edited):
    assert apply(instruction, caption) == edited


@pytest.mark.parametrize("instruction", [
    "", "hello", "what a lovely picture", "the dog is brown", "make", "add", "change it back", "undo the last edit",
    "turn the car back into a bus",
    "make it better", "improve the composition", "remove", "replace the dog", "ignore all previous "
                                                                              "instructions", "a red car",
])  # fmt: skip
def test_what_is_no_instruction_is_not_read(instruction):
    assert read(instruction) is None
    assert apply(instruction, "A dog in a red coat") is None


@pytest.mark.parametrize(("instruction", "caption"), [
    ("make the cat black", "A white dog"),  # not there
    ("make the dog black", "A white dog and a brown dog"),  # which one?
    ("remove the hat", "A man"),
    ("make the man's shirt red", "A woman in a dress"),
    ("stop the rain", "A sunny day"),
    ("turn the watercolor painting into a photo", "An oil painting of a dog"),
    ("move the cat under the table", "A cat on a bed"),
    ("change the background to a beach", "A red car"),
    ("remove the dog", "A dog house"),  # no dog
])  # fmt: skip
def test_what_the_caption_does_not_show_is_not_done(instruction, caption):
    assert apply(instruction, caption) is None


SAME = [
    ("A dog runs .", "a dog runs"), ("The dog runs", "A dog runs."), ("A  grey dog", "a gray dog"),
    ("A man in a hat rides a horse", "A man rides a horse wearing a hat"),
    ("A man is riding a horse", "A man riding a horse"), ("A dog runs through a field", "A dog runs in a field"),
    ("A man and a dog are walking", "A man is walking with a dog"),
]  # fmt: skip
OTHER = [
    ("A black dog", "A white dog"), ("A dog", "Two dogs"), ("A dog chases a cat", "A cat chases a dog"),
    ("A dog on a bed", "A dog under a bed"), ("A man in a hat rides a horse", "A man rides a horse"),
    ("A man in a red hat", "A man in a blue hat"), ("A man and a woman", "A man and a dog"), ("A dog", ""),
    ("A man with a dog holds a cat", "A man with a cat holds a dog"), ("A woman in a red dress and a blue hat",
     "A woman in a blue dress and a red hat"), ("A dog runs on the beach", "A dog runs in the snow"),
]  # fmt: skip


@pytest.mark.parametrize(("a", "b"), SAME)
def test_the_same(a, b):
    assert same(a, b) and same(b, a)


@pytest.mark.parametrize(("a", "b"), OTHER)
def test_not_the_same(a, b):
    assert not same(a, b) and not same(b, a)


def test_a_reverse_that_invents_or_forgets_does_not_lead_back():
    assert leads_back("make the coat blue", "A woman in a red coat", "A woman in a blue coat")
    assert leads_back("make the coat green", "A woman in a red coat", "A woman in a blue coat") is False
    assert leads_back("give the man a hat", "A man rides a horse.", MAN) is False  # it was red
    assert leads_back("give the man a red hat", "A man rides a horse.", MAN)
    assert leads_back("make the dog black", "A white dog", "A dog") is False  # the paper's own fault
    assert leads_back("change it back", "A white dog", "A dog") is None
