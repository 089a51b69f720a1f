"""What is left of a consent when something is taken out of it; pure. Source: issue 3 of 11, part 8; DOMAIN R-6."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from app.access.vocabulary import Category
from app.consent.rules import NamedRecipient
from app.core.errors import Fault


@dataclass(frozen=True, slots=True)
class Cut:
    """What is taken out: categories, recipients, or, where both are named, those categories of those recipients."""

    categories: tuple[Category, ...] | None
    recipients: tuple[NamedRecipient, ...] | None


@dataclass(frozen=True, slots=True)
class Rest:
    """What is left: these recipients see these categories."""

    recipients: tuple[NamedRecipient, ...]
    categories: tuple[Category, ...]


def rests(cut: Cut, recipients: Sequence[NamedRecipient], categories: Sequence[Category]) -> tuple[Rest, ...]:
    """Return what is left of a consent to these recipients about these categories: nothing, one part, or two.

    First who is not meant, with everything; then who is meant, with what is left for them.
    """
    found = []
    if cut.recipients is not None:
        found.append(Rest(tuple(one for one in recipients if one not in cut.recipients), tuple(categories)))
    if cut.categories is not None:
        meant = recipients if cut.recipients is None else [one for one in recipients if one in cut.recipients]
        found.append(Rest(tuple(meant), tuple(one for one in categories if one not in cut.categories)))
    return tuple(one for one in found if one.recipients and one.categories)


def cut_faults(cut: Cut, recipients: Sequence[NamedRecipient], categories: Sequence[Category]) -> Iterator[Fault]:
    """Yield what is wrong with taking this out of a consent to these recipients about these categories."""
    if cut.categories is None and cut.recipients is None:
        yield Fault("/categories", "missing", "Say which categories, which recipients, or both.")
        return
    wrong = False
    for index, category in enumerate(cut.categories or ()):
        if category not in categories:
            wrong = True
            yield Fault(f"/categories/{index}", "not-in-consent", "The consent does not open this.")
    for index, recipient in enumerate(cut.recipients or ()):
        if recipient not in recipients:
            wrong = True
            yield Fault(
                f"/recipients/{index}", "not-in-consent", "The consent names others; exclude to keep one person away."
            )
    if not wrong and not rests(cut, recipients, categories):
        where = "/categories" if cut.categories is not None else "/recipients"
        yield Fault(where, "nothing-left", "Nothing would be left of this consent: withdraw it.")
