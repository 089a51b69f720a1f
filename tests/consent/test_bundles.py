"""The table of bundles against BUNDLES, by hand, and what a use of them makes of a table: never more than it says."""

from datetime import UTC, datetime
from itertools import product
from uuid import UUID, uuid4

import pytest
from hypothesis import given
from hypothesis import strategies as st

from app.access.tables import NEED_TO_KNOW
from app.access.vocabulary import CaseRole, Category, Domain, Law, Role
from app.consent.bundle import DECISIONS_MAX, Bundle, Term, months_later
from app.consent.bundles import BUNDLES, BUNDLES_VERSION, BY_CODE
from app.consent.lines import Choice, Guest, choice_faults, fits, opening_faults, openings, recipients_of
from app.consent.question import dawn_of
from app.consent.rules import NamedRecipient, RecipientType, decision_faults
from app.consent.texts import LANGUAGE_OF, TEXTS
from tests.consent.deciding import decision

NOW = datetime(2026, 11, 22, 12, tzinfo=UTC)
PLAN, PRACTICAL = "plan_goals_actions", "practical_coordination"
TEAM = {"medical_summary", "medication", "functional_adl", PLAN, PRACTICAL}
HOME = {"functional_adl", "living_situation", PRACTICAL}
FACT = {"crisis_plan", "living_situation", PLAN, PRACTICAL}
LAST = {"advance_care_planning", "medication", "functional_adl", "crisis_plan"}
DENKT_MEE = {PRACTICAL, PLAN, "contact_network", "mdo_report"}

# number: what each line opens at most, but for ticks; purpose; ticks; both ways; whether it ends
TABLE: dict[str, tuple[list[set[str]], str, set[str], bool, bool]] = {
    "1": ([TEAM] * 4, "TREAT", {"advance_care_planning"}, True, True),
    "2": (
        [{PRACTICAL, "functional_adl", "living_situation", "social_participation", "contact_network", PLAN}],
        *("CAREMGT", set(), True, True),
    ),
    "3a": ([{PRACTICAL}], "CAREMGT", set(), False, False),
    "3b": ([DENKT_MEE], "CAREMGT", set(), False, False),
    "3c": ([DENKT_MEE | {"functional_adl", "medication"}], "CAREMGT", {"mental_health"}, False, False),
    "4": (
        [{"social_participation", "living_situation", "work_income", PLAN}] * 2,
        *("CAREMGT", {"crisis_plan"}, True, True),
    ),
    "5": ([FACT | {"medication", "mental_health"}] * 2 + [FACT], "CAREMGT", set(), True, True),
    "6": ([{"finance_debt", "work_income", PLAN}] * 2 + [{PLAN}], "SOCSUPPORT", set(), True, True),
    "7": ([{"work_income", "social_participation", PLAN}] * 2, "SOCSUPPORT", set(), True, True),
    "8": ([{"youth_development", "contact_network", PLAN}] * 2, "CAREMGT", set(), True, True),
    "9": ([{"education", PLAN}], "SOCSUPPORT", set(), True, True),
    "10": ([{PLAN, PRACTICAL}] * 2, "CAREMGT", set(), True, True),
    "11": ([{str(one) for one in Category} - {"safety_meldcode"}], "CAREMGT", set(), False, True),
    "12": ([{"identification", PLAN, "contact_network"}], "CAREMGT", set(), False, True),
    "13": ([HOME | {"medication"}] * 2 + [HOME], "TREAT", set(), True, True),
    "14": ([LAST] * 4 + [{PRACTICAL}], "TREAT", set(), True, False),
    "15": (
        [
            {"medical_summary", "medication", "advance_care_planning", "crisis_plan", PRACTICAL}
            | {"identification", "contact_network"}
        ]
        * 2,
        *("TREAT", set(), True, True),
    ),
}


@pytest.mark.parametrize("bundle", BUNDLES, ids=lambda one: one.code)
def test_each_bundle_is_what_the_table_says(bundle: Bundle) -> None:
    lines, purpose, ticks, both_ways, ends = TABLE[bundle.number]
    assert [set(line.categories | line.care_only) for line in bundle.lines] == lines
    assert (bundle.purpose, set(bundle.ticks), bundle.both_ways) == (purpose, ticks, both_ways)
    assert (bundle.term.end(NOW) is not None) is ends
    assert bundle.history == ("all" if bundle.number == "14" else "from-now")
    assert len({line.key for line in bundle.lines}) == len(bundle.lines)
    assert all(line.lifts and line.reach and line.roles and line.label for line in bundle.lines)


def test_there_are_the_bundles_of_the_table_and_no_other() -> None:
    assert [bundle.number for bundle in BUNDLES] == list(TABLE)
    assert len(BY_CODE) == len(BUNDLES)
    assert {b.number: b.review_months for b in BUNDLES if b.review_months} == {"2": 6, "3a": 12, "3b": 12, "3c": 12}


def test_what_stays_closed_is_in_no_line() -> None:
    for bundle in BUNDLES:
        for line in bundle.lines:
            opened = line.categories | line.care_only | bundle.ticks
            assert Category.SAFETY_MELDCODE not in opened
            outside_care = not line.roles <= frozenset(NEED_TO_KNOW)
            if outside_care and not bundle.chosen and bundle.number not in ("3c",):
                assert not opened & {Category.MEDICATION, Category.MENTAL_HEALTH, Category.ADDICTION}, bundle.code
    assert Category.FINANCE_DEBT not in BY_CODE["rust-in-geld"].lines[-1].categories, "the GP sees the plan only"


@pytest.mark.parametrize(
    ("term", "now", "end"),
    [
        (Term(months=12), "2026-11-22", "2027-11-22"),
        (Term(months=6), "2026-08-31", "2027-02-28"),
        (Term(weeks=6), "2026-11-22", "2027-01-03"),
        (Term(until=(7, 31)), "2026-11-22", "2027-08-01"),
        (Term(until=(7, 31)), "2026-07-31", "2026-08-01"),
        (Term(days_at_most=60), "2026-11-22", "2027-01-21"),
    ],
)
def test_a_term_ends_at_midnight_here(term: Term, now: str, end: str) -> None:
    at = datetime.fromisoformat(f"{now}T12:00:00+00:00")
    assert term.end(at) == dawn_of(datetime.fromisoformat(end).date())


def test_a_month_later_is_a_day_of_that_month() -> None:
    start = datetime(2027, 1, 31, tzinfo=UTC).date()
    assert [months_later(start, n).isoformat() for n in (1, 3, 12, 13)] == [
        *("2027-02-28", "2027-04-30", "2028-01-31", "2028-02-29")
    ]


def guest(role: Role, domain: Domain | None, **more: object) -> Guest:
    fields: dict[str, object] = {
        "member_id": uuid4(),
        "role": role,
        "profession": "iets",
        "speciality": None,
        "domain": domain,
        "law": None,
        "case_role": CaseRole.DEELNEMER,
        "organisation_id": uuid4(),
        "organisation_kind": None,
        "team_ids": frozenset(),
        **more,
    }
    return Guest(**fields)  # type: ignore[arg-type]  # the fields of a guest


TEAM_ID = UUID(int=7)
GP = guest(Role.GP, Domain.CARE, organisation_kind="gp_practice")
NURSE = guest(Role.DISTRICT_NURSE, Domain.CARE)
WORKER = guest(Role.SOCIAL_TEAM, Domain.SOCIAL, team_ids=frozenset({TEAM_ID}), law=Law.WMO2015)
CARER = guest(Role.INFORMAL_CARER, None)
GUESTS = (GP, NURSE, WORKER, CARER)


def codes(code: str, *choices: Choice, version: str = BUNDLES_VERSION, until: datetime | None = None) -> list[str]:
    found = choice_faults(BY_CODE[code], version, choices, GUESTS, until, now=NOW)
    return [f"{fault.pointer} {fault.code}" for fault in found]


def test_a_line_stands_for_whom_it_describes_and_a_named_one_for_nobody() -> None:
    lines = BY_CODE["langer-thuis"].lines
    assert recipients_of(lines[0], GUESTS) == (NamedRecipient(RecipientType.TEAM, TEAM_ID),)
    assert recipients_of(BY_CODE["naaste-agenda"].lines[0], GUESTS) == ()
    practice, nursing, *absent = BY_CODE["zorgteam-rond-mij"].lines
    assert recipients_of(practice, GUESTS) == (NamedRecipient(RecipientType.ORGANISATION, GP.organisation_id),)
    assert recipients_of(nursing, GUESTS) == (NamedRecipient(RecipientType.ORGANISATION, NURSE.organisation_id),)
    assert not any(fits(line, one) for line, one in product(absent, GUESTS))


def test_a_bundle_may_be_narrowed_and_never_widened() -> None:
    medication = frozenset({Category.MEDICATION})
    assert codes("langer-thuis", Choice("sociaal-team")) == []
    assert codes("langer-thuis", Choice("sociaal-team", categories=medication)) == [
        "/lines/0/categories not-in-bundle"
    ]
    assert codes("langer-thuis", Choice("sociaal-team", ticks=medication)) == ["/lines/0/ticks not-in-bundle"]
    assert codes("langer-thuis", Choice("huisartsenpraktijk")) == ["/lines/0/line not-in-bundle"]
    stranger = NamedRecipient(RecipientType.MEMBER, GP.member_id)
    assert codes("langer-thuis", Choice("sociaal-team", (stranger,))) == ["/lines/0/recipients/0 not-of-this-line"]
    assert codes("langer-thuis", Choice("sociaal-team"), version="2025-1") == ["/version superseded"]
    late = datetime(2027, 11, 23, tzinfo=UTC)
    assert codes("langer-thuis", Choice("sociaal-team"), until=late) == ["/validUntil too-late"]
    assert codes("naaste-agenda", Choice("naaste")) == ["/lines/0/recipients unnamed"]
    assert codes("zorgteam-rond-mij", Choice("wijkverpleging"), Choice("apotheker"), Choice("wijkverpleging")) == [
        *("/lines/1/recipients not-at-the-table", "/lines/2/line not-in-bundle")
    ]
    expert = (NamedRecipient(RecipientType.MEMBER, WORKER.member_id),)
    assert codes("eenmalig-meekijken", Choice("deskundige", expert)) == [
        *("/lines/0/categories missing", "/validUntil missing")
    ]


def test_whoever_gets_the_same_of_a_domain_is_asked_about_once() -> None:
    both = openings(BY_CODE["zorgteam-rond-mij"], [Choice("huisartsenpraktijk"), Choice("wijkverpleging")], GUESTS)
    assert [(one.domain, len(one.recipients)) for one in both] == [(Domain.CARE, 2)]
    tick = Choice("wijkverpleging", ticks=frozenset({Category.ADVANCE_CARE_PLANNING}))
    apart = openings(BY_CODE["zorgteam-rond-mij"], [Choice("huisartsenpraktijk"), tick], GUESTS)
    assert [Category.ADVANCE_CARE_PLANNING in one.categories for one in apart] == [False, True]
    nobody = openings(BY_CODE["langer-thuis"], [Choice("sociaal-team")], (WORKER,))
    assert [fault.code for fault in opening_faults(nobody)] == ["nothing-to-ask"], "no care at the table"


EVERYBODY = tuple(
    guest(
        role,
        domain,
        profession=profession,
        speciality=speciality,
        organisation_kind=kind,
        law=Law.JEUGDWET if domain is Domain.SOCIAL else None,
        case_role=CaseRole.GEZINSREGISSEUR,
        team_ids=frozenset({uuid4()}),
    )
    for role, domain, profession, speciality, kind in (
        (Role.GP, Domain.CARE, "waarnemend_huisarts", None, "gp_practice"),
        (Role.POH, Domain.CARE, "poh", "ggz", "gp_practice"),
        (Role.POH, Domain.CARE, "poh", "jeugd", "gp_practice"),
        (Role.DISTRICT_NURSE, Domain.CARE, "verpleegkundige", None, "hospital"),
        (Role.SPECIALIST, Domain.CARE, "apotheker", None, "mental_health"),
        (Role.SPECIALIST, Domain.YOUTH, "ips_coach", None, "mental_health"),
        (Role.SOCIAL_TEAM, Domain.SOCIAL, "schuldhulpverlener", None, "municipality"),
        (Role.SOCIAL_TEAM, Domain.SOCIAL, "participatie_consulent", None, "municipality"),
        (Role.INFORMAL_CARER, None, "mantelzorger", None, None),
        (Role.HOUSING, None, "woonbegeleider", None, "welfare"),
        (Role.SCHOOL, None, "schoolcoach", None, None),
        (Role.VOLUNTEER, None, "vrijwilliger", None, None),
    )
)


@given(data=st.data())
def test_no_use_opens_more_than_its_lines_say_or_asks_more_than_three_decisions(data: st.DataObject) -> None:
    bundle = data.draw(st.sampled_from(BUNDLES))
    on = data.draw(st.lists(st.sampled_from(bundle.lines), min_size=1, unique=True))
    narrowed = frozenset(data.draw(st.sets(st.sampled_from(list(Category)), min_size=1)))
    choices = []
    for line in on:
        members = [NamedRecipient(RecipientType.MEMBER, one.member_id) for one in EVERYBODY if fits(line, one)]
        within = narrowed & (line.categories | line.care_only) if bundle.chosen or data.draw(st.booleans()) else None
        choices.append(Choice(line.key, tuple(members) if line.named else None, within or None))
    until = bundle.term.end(NOW) if bundle.term.days_at_most else None
    if list(choice_faults(bundle, BUNDLES_VERSION, choices, EVERYBODY, until, now=NOW)):
        return
    found = openings(bundle, choices, EVERYBODY)
    if len({one.categories for one in choices}) == 1:
        assert len(found) <= DECISIONS_MAX
    for opening in found:
        for recipient in opening.recipients:
            lines = [line for line in on if opening.domain in line.lifts]
            care = opening.domain is Domain.CARE
            most = [line.categories | (line.care_only if care else frozenset()) for line in lines]
            assert any(set(opening.categories) <= one for one in most), (bundle.code, recipient)


def test_a_text_is_decided_on_in_its_own_language_or_through_somebody_who_interprets() -> None:
    assert {"nl", "en", "tr"} == {text.language for text in TEXTS}
    assert {text.version: text.sha256 for text in TEXTS if text.version.startswith("nl")} == BY_VERSION_IS_UNCHANGED

    def found(version: str, language: str, interpreter: str | None = None) -> list[str]:
        asked = decision(text_version=version, language=language, interpreter=interpreter)
        return [fault.code for fault in decision_faults(asked, texts=LANGUAGE_OF, now=NOW)]

    assert found("en-2026-1", "en") == found("nl-2026-1", "nl") == found("nl-2026-1", "so", "professional") == []
    assert found("en-2026-1", "nl") == found("nl-2026-1", "so") == ["not-of-the-text"]
    assert found("xx-2026-1", "xx") == ["unknown"]


BY_VERSION_IS_UNCHANGED = {
    "nl-2026-1": "ffef542b703c70c7480eac8da8e1e1c6ab43aa97dcd72f6e0d139f215732f31a",
    "nl-easy-2026-1": "debb57bf76c0ed194bf97fffe77c9fb7af4345f96677a9b434d5d204b6e3a6c1",
    "nl-2026-2": "f77e35e241e07bb914e5ce2ef95ac175440466786a86310fe34a617cd591e7e0",
    "nl-easy-2026-2": "94fde68ad15567f4b7988828394fd4366f3de467980b501a3990fdb665a54486",
}
