"""How an edit is refused: with the rule's name and a sentence, never with a black picture."""

from __future__ import annotations

from uip2p.errors import UserError

CHECKER = "safety_checker"  # the rule's name where a picture was refused, not a text


class Refused(UserError):
    """This will not be edited. rule: which rule says so. status: of HTTP. code: for programs, as OpenAI's API names
    it. The message is for a person, and does not repeat what was asked."""

    status = 400
    code = "content_policy_violation"

    def __init__(self, rule: str, answer: str):
        super().__init__(f"{answer} (Rule '{rule}' of this service; whoever runs it can change its rules.)")
        self.rule = rule
