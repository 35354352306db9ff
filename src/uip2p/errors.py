"""The one error type that is a message to a person rather than a bug, and what other libraries' errors lend to it."""


class UserError(Exception):
    """Bad input: the message names the file, row or field and what to do. The CLI prints it and exits with 2."""


def first_line(error: BaseException) -> str:
    """The first line of what an error says, or its type's name where it says nothing: the rest is for programmers."""
    lines = str(error).strip().splitlines()
    return lines[0] if lines else type(error).__name__
