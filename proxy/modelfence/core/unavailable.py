"""The one error by which an adapter says that an outside thing could not be had."""


class UnavailableError(Exception):
    """The outside thing did not answer in time, or not at all. Anything else an adapter raises is a bug."""

    def __init__(self, message: str = "", *, may_have_run: bool = True) -> None:
        """`may_have_run` is False when what was asked for has surely not been done, and will not be."""
        super().__init__(message)
        self.may_have_run = may_have_run
