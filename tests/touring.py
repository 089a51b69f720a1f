"""What every step of the tour does: go on only if something holds."""


class NotProven(Exception):
    """Raised at the first step that does not hold."""


def prove(holds: object, what: str) -> None:
    """Go on only if something holds.

    Raises:
        NotProven: it does not.
    """
    if not holds:
        raise NotProven(what)
