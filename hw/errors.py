"""The one exception that means: what the user gave cannot be used."""


class InputError(ValueError):
    """A user's input is wrong; the message is one line that says what, where and what is allowed."""
