"""The one exception that is meant for people."""


class UserError(Exception):
    """A mistake that the user can mend, told in one short paragraph: what was wrong, where, what to do.

    The command line prints it without a traceback and exits with status 2.
    """
