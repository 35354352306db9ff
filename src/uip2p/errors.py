"""The one error type that is a message to a person rather than a bug."""


class UserError(Exception):
    """Bad input: the message names the file, row or field and what to do. The CLI prints it and exits with 2."""
