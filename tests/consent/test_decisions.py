"""What becomes of a consent when people decide: nothing is active on less than everybody's yes."""

from datetime import UTC, date, datetime, timedelta
from uuid import UUID, uuid4

import pytest
from hypothesis import given
from hypothesis import strategies as st

from app.access.vocabulary import Category
from app.consent.deciders import Asked, Capacity, Departure, Regime, deciders
from app.consent.decisions import (
    Representation,
    RepresentationKind,
    Status,
    decider_faults,
    needed,
    status_of,
)

NOW = datetime(2026, 11, 22, 12, tzinfo=UTC)
DAY = NOW.date()
K = RepresentationKind
CHILD = deciders(Regime.WGBO, date(2018, 1, 1), DAY, Capacity.CAPABLE)
TEEN = deciders(Regime.WGBO, date(2013, 1, 1), DAY, Capacity.CAPABLE)
GROWN = deciders(Regime.WGBO, date(1940, 1, 1), DAY, Capacity.CAPABLE)
LOST = deciders(Regime.WGBO, date(1940, 1, 1), DAY, Capacity.INCAPABLE)


def representation(kind: K, *, scope: frozenset[Category] | None = None, days: int | None = None) -> Representation:
    end = None if days is None else NOW + timedelta(days=days)
    return Representation(uuid4(), kind, scope, NOW - timedelta(days=400), end)


def status(asked: Asked, people: list[Representation], said: dict[UUID | None, bool]) -> Status:
    return status_of(asked, needed(asked, people, NOW), said)


def test_an_adult_decides_alone() -> None:
    assert status(GROWN, [], {}) is Status.ASKED
    assert status(GROWN, [], {None: True}) is Status.ACTIVE
    assert status(GROWN, [], {None: False}) is Status.REFUSED


def test_a_child_of_thirteen_and_both_parents_must_all_agree() -> None:
    mother, father = representation(K.PARENT), representation(K.PARENT)
    both = [mother, father]
    assert status(TEEN, both, {None: True}) is Status.PROPOSED
    assert status(TEEN, both, {None: True, mother.id: True}) is Status.PROPOSED
    assert status(TEEN, both, {None: True, mother.id: True, father.id: True}) is Status.ACTIVE
    assert status(TEEN, both, {None: True, mother.id: True, father.id: False}) is Status.REFUSED
    assert status(TEEN, both, {None: False, mother.id: True, father.id: True}) is Status.REFUSED


def test_without_anybody_with_authority_a_child_s_consent_never_becomes_active() -> None:
    assert status(TEEN, [], {None: True}) is Status.PROPOSED
    assert status(CHILD, [], {None: True}) is Status.ASKED
    assert status(CHILD, [representation(K.PARTNER)], {}) is Status.ASKED


def test_a_court_s_order_stands_in_for_the_parent_who_refuses() -> None:
    mother, father = representation(K.PARENT), representation(K.PARENT)
    ordered = deciders(Regime.WGBO, date(2018, 1, 1), DAY, Capacity.CAPABLE, Departure.COURT_ORDER)
    assert status(ordered, [mother, father], {father.id: False}) is Status.PROPOSED
    assert status(ordered, [mother, father], {father.id: False, mother.id: True}) is Status.ACTIVE
    assert status(ordered, [mother, father], {father.id: False, mother.id: False}) is Status.REFUSED


def test_who_comes_first_in_the_legal_order_represents() -> None:
    mentor, partner, daughter = representation(K.MENTOR), representation(K.PARTNER), representation(K.FAMILY)
    assert needed(LOST, [daughter, partner, mentor], NOW).everybody == {mentor.id}
    assert needed(LOST, [daughter, partner], NOW).everybody == {partner.id}
    assert status(LOST, [partner, daughter], {daughter.id: True}) is Status.ASKED
    assert status(LOST, [partner, daughter], {partner.id: True}) is Status.ACTIVE


def codes(asked: Asked, people: list[Representation], person: UUID | None, *categories: Category) -> list[str]:
    who = needed(asked, people, NOW)
    return [f.code for f in decider_faults(person, asked, who, {one.id: one for one in people}, categories, NOW)]


def test_who_has_no_say_is_told_why() -> None:
    parent, lapsed = representation(K.PARENT), representation(K.PARENT, days=-1)
    narrow = representation(K.PARENT, scope=frozenset({Category.EDUCATION}))
    mentor, partner = representation(K.MENTOR), representation(K.PARTNER)
    sixteen = deciders(Regime.WGBO, date(2010, 1, 1), DAY, Capacity.CAPABLE)
    assert codes(sixteen, [parent], parent.id) == ["patient-decides"]
    assert codes(CHILD, [parent], None) == ["patient-does-not-decide"]
    assert codes(TEEN, [lapsed], lapsed.id) == ["outside-period"]
    assert codes(TEEN, [narrow], narrow.id, Category.MEDICATION) == ["outside-scope"]
    assert codes(TEEN, [], uuid4()) == ["not-a-representative"]
    assert codes(LOST, [mentor, partner], partner.id) == ["another-represents"]
    assert codes(LOST, [mentor], mentor.id) == []
    assert codes(TEEN, [parent], None) == codes(TEEN, [parent], parent.id) == []


@pytest.mark.parametrize("asked", [CHILD, TEEN, GROWN, LOST])
@given(data=st.data())
def test_no_more_noes_and_no_fewer_yeses_ever_open_more(asked: Asked, data: st.DataObject) -> None:
    people = [representation(kind) for kind in data.draw(st.lists(st.sampled_from(list(K)), max_size=4))]
    persons: list[UUID | None] = [None, *(one.id for one in people)]
    said = data.draw(st.dictionaries(st.sampled_from(persons), st.booleans()))
    if status(asked, people, said) is Status.ACTIVE:
        return
    for person in said:
        assert status(asked, people, {**said, person: False}) is not Status.ACTIVE
        assert status(asked, people, {p: yes for p, yes in said.items() if p != person}) is not Status.ACTIVE or (
            said[person] is False
        )


@given(data=st.data())
def test_nothing_is_active_on_the_word_of_those_without_a_say(data: st.DataObject) -> None:
    people = [representation(kind) for kind in data.draw(st.lists(st.sampled_from(list(K)), max_size=4))]
    for asked in (CHILD, TEEN, GROWN, LOST):
        who = needed(asked, people, NOW).everybody
        others: dict[UUID | None, bool] = {one.id: True for one in people if one.id not in who}
        if None not in who:
            others[None] = True
        assert status(asked, people, others) is not Status.ACTIVE
