"""What can go wrong, sorted by who has to act. Every message is one line: what, measured, allowed, do."""


class LatentreelError(Exception):
    """Base of the errors that a user is meant to read. A traceback is shown only with `--debug`."""


class WrongUse(LatentreelError):
    """Nothing could start: a path, an option or a dataset is not what the command needs. Exit code 2."""


class BadInput(LatentreelError):
    """This one input can never work as it is (no video stream, a corrupt frame, no pixels).

    The pipeline quarantines it at once: trying the same bytes again gives the same answer.
    """


class Interrupted(LatentreelError):
    """The work stopped for a reason outside the input (a deadline, a killed process). Trying again may succeed."""
