"""What is left of a consent when something is taken out of it."""

from collections.abc import Iterable
from itertools import product
from uuid import UUID

from hypothesis import given
from hypothesis import strategies as st

from app.access.vocabulary import Category
from app.consent.narrowing import Cut, cut_faults, rests
from app.consent.rules import NamedRecipient, RecipientType

PEOPLE = [NamedRecipient(RecipientType.MEMBER, UUID(int=one)) for one in range(1, 4)]
TOPICS = list(Category)[:4]

some_people = st.lists(st.sampled_from(PEOPLE), min_size=1, unique=True)
some_topics = st.lists(st.sampled_from(TOPICS), min_size=1, unique=True)


def area(
    recipients: Iterable[NamedRecipient], categories: Iterable[Category]
) -> set[tuple[NamedRecipient, Category]]:
    return set(product(recipients, categories))


@given(some_people, some_topics, st.none() | some_people, st.none() | some_topics)
def test_what_is_left_is_what_was_there_without_what_is_taken_out(
    people: list[NamedRecipient],
    topics: list[Category],
    out_people: list[NamedRecipient] | None,
    out_topics: list[Category] | None,
) -> None:
    cut = Cut(tuple(out_topics) if out_topics else None, tuple(out_people) if out_people else None)
    faults = list(cut_faults(cut, people, topics))
    named = set(out_people or ()) <= set(people) and set(out_topics or ()) <= set(topics)
    if cut == Cut(None, None) or not named:
        assert faults
        return
    parts = [area(one.recipients, one.categories) for one in rests(cut, people, topics)]
    left = set().union(*parts)
    taken = area(out_people or people, out_topics or topics)
    assert left == area(people, topics) - taken
    assert sum(map(len, parts)) == len(left), "no cell stands in two parts"
    assert bool(faults) == (not left)
