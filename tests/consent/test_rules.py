"""What is wrong with a consent that is asked, as the sentences that whoever fills it in reads."""

from dataclasses import replace
from datetime import UTC, datetime, timedelta
from typing import Any
from uuid import UUID

import pytest

from app.access.vocabulary import Category, ConsentKind, Domain, Purpose, Role
from app.consent.carers import Level
from app.consent.deciders import Capacity
from app.consent.rules import (
    Chair,
    Decision,
    NamedRecipient,
    RecipientType,
    Terms,
    decision_faults,
    faults,
    reaches,
)

NOW = datetime(2026, 11, 22, 12, tzinfo=UTC)
MOMENT, DAY = timedelta(microseconds=1), timedelta(days=1)
NURSE, PRACTICE, TEAM, ELSEWHERE = UUID(int=1), UUID(int=2), UUID(int=3), UUID(int=4)
ANNE = Chair(NURSE, UUID(int=9), PRACTICE, Role.DISTRICT_NURSE, frozenset({TEAM}))
CARER = Chair(UUID(int=5), UUID(int=10), None, Role.INFORMAL_CARER, frozenset())
T = RecipientType
TO_ANNE = NamedRecipient(T.MEMBER, NURSE)

Said = list[tuple[str, str, str]]


def asked(**more: Any) -> Terms:
    """Return that the nurse may see the medication, in which nothing is wrong."""
    plain = Terms(
        patient_id=UUID(int=7),
        kind=ConsentKind.LIFT_SECRECY,
        from_domains=(Domain.CARE,),
        both_ways=True,
        history="all",
        recipients=(TO_ANNE,),
        categories=(Category.MEDICATION,),
        purpose=Purpose.TREAT,
        capacity=Capacity.CAPABLE,
        departure=None,
        valid_from=NOW,
        valid_until=None,
    )
    return replace(plain, **more)


def told(terms: Terms, *chairs: Chair) -> Said:
    found = faults(terms, chairs or (ANNE, CARER), now=NOW)
    return [(fault.pointer, fault.code, fault.detail) for fault in found]


@pytest.mark.parametrize(
    ("named", "anne", "carer"),
    [
        (NamedRecipient(T.MEMBER, NURSE), True, False),
        (NamedRecipient(T.MEMBER, ELSEWHERE), False, False),
        (NamedRecipient(T.MEMBER, PRACTICE), False, False),
        (NamedRecipient(T.ORGANISATION, PRACTICE), True, False),
        (NamedRecipient(T.ORGANISATION, ELSEWHERE), False, False),
        (NamedRecipient(T.ORGANISATION, NURSE), False, False),
        (NamedRecipient(T.ORGANISATION, None), False, False),
        (NamedRecipient(T.TEAM, TEAM), True, False),
        (NamedRecipient(T.TEAM, ELSEWHERE), False, False),
        (NamedRecipient(T.ROLE, role=Role.DISTRICT_NURSE), True, False),
        (NamedRecipient(T.ROLE, role=Role.INFORMAL_CARER), False, True),
        (NamedRecipient(T.ROLE, role=Role.GP), False, False),
    ],
)
def test_a_recipient_is_a_member_or_what_the_member_belongs_to(
    named: NamedRecipient, anne: bool, carer: bool
) -> None:
    assert (reaches(named, ANNE), reaches(named, CARER)) == (anne, carer)


NOT_HERE = ("not-a-member", "The recipient is not at this table.")
PAST = [("/validUntil", "past", "The end must lie after the start and in the future.")]


@pytest.mark.parametrize(
    ("said", "terms", "expected"),
    [
        ("nothing is wrong with one category for one nurse", asked(), []),
        (
            "nothing is wrong with many of each",
            asked(
                recipients=(TO_ANNE, NamedRecipient(T.TEAM, TEAM), NamedRecipient(T.ROLE, role=Role.INFORMAL_CARER)),
                categories=(Category.MEDICATION, Category.ZRM),
                from_domains=tuple(Domain),
            ),
            [],
        ),
        (
            "each recipient who is not at the table is pointed out",
            asked(recipients=(NamedRecipient(T.MEMBER, ELSEWHERE), TO_ANNE, NamedRecipient(T.TEAM, ELSEWHERE))),
            [("/recipients/0", *NOT_HERE), ("/recipients/2", *NOT_HERE)],
        ),
        (
            "a category is named once",
            asked(categories=(Category.ZRM, Category.MEDICATION, Category.ZRM)),
            [("/categories", "repeated", "A category is named twice.")],
        ),
        (
            "a domain is named once",
            asked(from_domains=(Domain.CARE, Domain.CARE)),
            [("/from", "repeated", "A domain is named twice.")],
        ),
        (
            "reports of abuse are never shared by consent",
            asked(categories=(Category.MEDICATION, Category.SAFETY_MELDCODE)),
            [
                (
                    "/categories",
                    "not-shareable",
                    "safety_meldcode is disclosed by record only, never by consent.",
                )
            ],
        ),
        ("an end in the future is an end", asked(valid_until=NOW + MOMENT), []),
        ("what ends now opens nothing", asked(valid_until=NOW), PAST),
        ("nothing ends in the past", asked(valid_from=NOW - 2 * DAY, valid_until=NOW - DAY), PAST),
        ("nor before it begins", asked(valid_from=NOW + 2 * DAY, valid_until=NOW + DAY), PAST),
        ("nor as it begins", asked(valid_from=NOW + DAY, valid_until=NOW + DAY), PAST),
        ("what began in the past may still end", asked(valid_from=NOW - DAY, valid_until=NOW + DAY), []),
    ],
)
def test_whoever_asks_a_consent_hears_what_is_wrong_with_it(said: str, terms: Terms, expected: Said) -> None:
    assert told(terms) == expected, said


TO_THE_CARER = NamedRecipient(T.MEMBER, CARER.member_id)
AGENDA = (Category.PRACTICAL_COORDINATION,)
PLAN = (*AGENDA, Category.PLAN_GOALS_ACTIONS, Category.CONTACT_NETWORK, Category.MDO_REPORT)
NOT_A_CARER = ("not-a-carer", "A level is for one informal carer, by member.")
OTHER_LEVEL = [("/categories", "other-level", "These are not the categories of this level.")]


@pytest.mark.parametrize(
    ("said", "level", "categories", "recipients", "expected"),
    [
        ("the agenda is appointments", Level.AGENDA, AGENDA, (TO_THE_CARER,), []),
        ("the plan is the plan besides", Level.PLAN, PLAN, (TO_THE_CARER,), []),
        ("chosen is the plan and more", Level.CHOSEN, (*PLAN, Category.MEDICATION), (TO_THE_CARER,), []),
        ("the agenda is no plan", Level.AGENDA, PLAN, (TO_THE_CARER,), OTHER_LEVEL),
        ("the plan is more than the agenda", Level.PLAN, AGENDA, (TO_THE_CARER,), OTHER_LEVEL),
        ("the plan is no more than the plan", Level.PLAN, (*PLAN, Category.ZRM), (TO_THE_CARER,), OTHER_LEVEL),
        ("who chooses chooses something", Level.CHOSEN, PLAN, (TO_THE_CARER,), OTHER_LEVEL),
        ("a level is not for a nurse", Level.AGENDA, AGENDA, (TO_ANNE,), [("/recipients/0", *NOT_A_CARER)]),
        (
            "a level is not for whoever cares",
            Level.AGENDA,
            AGENDA,
            (TO_THE_CARER, NamedRecipient(T.ROLE, role=Role.INFORMAL_CARER)),
            [("/recipients/1", *NOT_A_CARER)],
        ),
        (
            "nor for whoever is not there, who is told that alone",
            Level.AGENDA,
            AGENDA,
            (NamedRecipient(T.MEMBER, ELSEWHERE),),
            [("/recipients/0", *NOT_HERE)],
        ),
        ("without a level a carer is asked about anything", None, PLAN, (TO_THE_CARER,), []),
    ],
)
def test_a_level_is_for_one_informal_carer_and_names_its_categories(
    said: str,
    level: Level | None,
    categories: tuple[Category, ...],
    recipients: tuple[NamedRecipient, ...],
    expected: Said,
) -> None:
    assert told(asked(carer_level=level, categories=categories, recipients=recipients)) == expected, said


def test_everything_that_is_wrong_is_said_at_once_in_the_order_of_the_fields() -> None:
    wrong = asked(
        recipients=(NamedRecipient(T.ROLE, role=Role.GP),),
        categories=(Category.SAFETY_MELDCODE,) * 2,
        from_domains=(Domain.CARE, Domain.CARE),
        valid_until=NOW,
    )
    assert [code for _, code, _ in told(wrong)] == ["not-a-member", "repeated", "repeated", "not-shareable", "past"]
    assert [code for _, code, _ in told(asked(), CARER)] == ["not-a-member"], "the nurse has left"


TEXTS = {"2025-3": "nl", "2026-1": "nl", "2026-1-tr": "tr"}
FOREIGN = [("/language", "not-of-the-text", "The text is in another language, and nobody interpreted.")]


@pytest.mark.parametrize(
    ("said", "changed", "expected"),
    [
        ("a decision of now on a text that is known is one", {}, []),
        ("so is one on an older text", {"text_version": "2025-3"}, []),
        (
            "nobody decides in the future",
            {"decided_at": NOW + MOMENT},
            [("/decidedAt", "in-future", "A decision cannot lie in the future.")],
        ),
        ("people decided before it was written down", {"decided_at": NOW - 400 * DAY}, []),
        (
            "nobody decides on a text that never was",
            {"text_version": "2020-1"},
            [("/textVersion", "unknown", "There is no such consent text.")],
        ),
        ("a Turkish text is decided on in Turkish", {"text_version": "2026-1-tr", "language": "tr"}, []),
        ("a Dutch text is not understood in Turkish by itself", {"language": "tr"}, FOREIGN),
        ("nor a Turkish one in Dutch", {"text_version": "2026-1-tr"}, FOREIGN),
        ("with an interpreter it is", {"language": "tr", "interpreter": "phone"}, []),
        ("an interpreter may be there for the same language", {"interpreter": "phone"}, []),
        (
            "of a text that never was no language is asked",
            {"text_version": "2020-1", "language": "tr"},
            [("/textVersion", "unknown", "There is no such consent text.")],
        ),
        (
            "what is wrong is said at once",
            {"language": "tr", "decided_at": NOW + DAY},
            [*FOREIGN, ("/decidedAt", "in-future", "A decision cannot lie in the future.")],
        ),
    ],
)
def test_whoever_records_a_decision_hears_what_is_wrong_with_it(
    said: str, changed: dict[str, Any], expected: Said
) -> None:
    for yes in (True, False):
        decision = replace(Decision("patient", yes, NOW, "spoken", "2026-1", "nl"), **changed)
        found = decision_faults(decision, texts=TEXTS, now=NOW)
        assert [(fault.pointer, fault.code, fault.detail) for fault in found] == expected, said
