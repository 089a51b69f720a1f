"""The ready consent bundles (*sjablonen*): a versioned table that a privacy officer checks. Pure.

Every line can be switched off; a practice may narrow a bundle, never widen it. All of them lift secrecy; agreeing to
help is asked apart. Printed to ``docs/consent.md``. Source: BUNDLES; DOMAIN R-2, R-3, R-6.
"""

from collections.abc import Mapping
from dataclasses import replace
from types import MappingProxyType

from app.access.vocabulary import CaseRole, Category, Domain, Law, Purpose, Role
from app.consent.bundle import Bundle, Line, Term
from app.consent.rules import RecipientType

BUNDLES_VERSION = "2026-1"

C, D, R, T = Category, Domain, Role, RecipientType
CARE, YOUTH, SOCIAL = D.CARE, D.YOUTH, D.SOCIAL
EVERY_DOMAIN = (CARE, YOUTH, SOCIAL)


def _line(
    key: str, label: str, reach: tuple[RecipientType, ...], roles: set[Role], lifts: tuple[Domain, ...]
) -> Line:
    return Line(key, label, reach, frozenset(roles), lifts, frozenset())


def _opening(line: Line, *categories: Category) -> Line:
    return replace(line, categories=frozenset(categories))


_TEAM_OR_ORGANISATION, _TEAM_OR_PERSON = (T.TEAM, T.ORGANISATION), (T.TEAM, T.MEMBER)
_FUNCTION, _PERSON = (T.ORGANISATION,), (T.MEMBER,)

_PRACTICE = replace(
    _line("huisartsenpraktijk", "Uw huisartsenpraktijk", _FUNCTION, {R.GP, R.POH}, (CARE,)),
    organisation_kinds=frozenset({"gp_practice"}),
)
_NURSING = _line("wijkverpleging", "De wijkverpleging", _TEAM_OR_ORGANISATION, {R.DISTRICT_NURSE}, (CARE,))
_SPECIALIST = _line("specialist", "Uw specialist", _PERSON, {R.SPECIALIST}, (CARE,))
_PHARMACIST = replace(
    _line("apotheker", "Uw apotheker", _PERSON, {R.SPECIALIST}, (CARE,)), professions=frozenset({"apotheker"})
)
_SOCIAL_TEAM = _line("sociaal-team", "Het sociaal team in uw wijk", _TEAM_OR_PERSON, {R.SOCIAL_TEAM}, (CARE,))
_SOCIAL_WORKER = replace(
    _line("sociaal-werker", "Een sociaal werker, bij naam", _PERSON, {R.SOCIAL_TEAM}, (CARE,)), named=True
)
_OWN_PERSON = replace(_line("naaste", "Uw naaste, bij naam", _PERSON, {R.INFORMAL_CARER}, EVERY_DOMAIN), named=True)
_OUT_OF_HOURS = replace(
    _line("huisartsenpost", "De huisartsenpost", _FUNCTION, {R.GP}, (CARE,)),
    professions=frozenset({"waarnemend_huisarts"}),
)

_AGENDA = (C.PRACTICAL_COORDINATION,)
_THINKS_ALONG = (*_AGENDA, C.PLAN_GOALS_ACTIONS, C.CONTACT_NETWORK, C.MDO_REPORT)
_WHOLE = (*_THINKS_ALONG, C.FUNCTIONAL_ADL, C.MEDICATION)
_TEAM_AROUND = (
    *(C.MEDICAL_SUMMARY, C.MEDICATION, C.FUNCTIONAL_ADL, C.PLAN_GOALS_ACTIONS),
    C.PRACTICAL_COORDINATION,
)
_LONGER_AT_HOME = (
    *(C.PRACTICAL_COORDINATION, C.FUNCTIONAL_ADL, C.LIVING_SITUATION, C.SOCIAL_PARTICIPATION),
    *(C.CONTACT_NETWORK, C.PLAN_GOALS_ACTIONS),
)
_HEAD = (C.SOCIAL_PARTICIPATION, C.LIVING_SITUATION, C.WORK_INCOME, C.PLAN_GOALS_ACTIONS)
_FACT = (C.CRISIS_PLAN, C.LIVING_SITUATION, C.PLAN_GOALS_ACTIONS, C.PRACTICAL_COORDINATION)
_MONEY = (C.FINANCE_DEBT, C.WORK_INCOME, C.PLAN_GOALS_ACTIONS)
_WORK = (C.WORK_INCOME, C.SOCIAL_PARTICIPATION, C.PLAN_GOALS_ACTIONS)
_YOUNG = (C.YOUTH_DEVELOPMENT, C.CONTACT_NETWORK, C.PLAN_GOALS_ACTIONS)
_ONE_PLAN = (C.PLAN_GOALS_ACTIONS, C.PRACTICAL_COORDINATION)
_HOME = (C.FUNCTIONAL_ADL, C.LIVING_SITUATION, C.PRACTICAL_COORDINATION)
_LAST = (C.ADVANCE_CARE_PLANNING, C.MEDICATION, C.FUNCTIONAL_ADL, C.CRISIS_PLAN)
_EMERGENCY = (
    *(C.MEDICAL_SUMMARY, C.MEDICATION, C.ADVANCE_CARE_PLANNING, C.CRISIS_PLAN, C.IDENTIFICATION),
    *(C.CONTACT_NETWORK, C.PRACTICAL_COORDINATION),
)
_MENTAL_HEALTH_CARE = frozenset({"mental_health"})
_BOTH_DOMAINS = (CARE, SOCIAL)


def _own_person(
    code: str, number: str, name: str, note: str, *opened: Category, ticks: frozenset[Category] = frozenset()
) -> Bundle:
    return Bundle(
        code,
        number,
        name,
        Purpose.CAREMGT,
        Term(),
        (_opening(_OWN_PERSON, *opened),),
        ticks,
        both_ways=False,
        review_months=12,
        note=note,
    )


BUNDLES: tuple[Bundle, ...] = (
    Bundle(
        "zorgteam-rond-mij",
        "1",
        "Zorgteam rond mij",
        Purpose.TREAT,
        Term(months=12),
        tuple(_opening(one, *_TEAM_AROUND) for one in (_PRACTICE, _NURSING, _SPECIALIST, _PHARMACIST)),
        frozenset({C.ADVANCE_CARE_PLANNING}),
        note="Psychische klachten en verslaving blijven dicht. Afspraken over het levenseinde alleen met een eigen "
        "vinkje.",
    ),
    Bundle(
        "langer-thuis",
        "2",
        "Langer thuis met het sociaal team",
        Purpose.CAREMGT,
        Term(months=12),
        (_opening(_SOCIAL_TEAM, *_LONGER_AT_HOME),),
        review_months=6,
        note="Geen medicijnen en geen diagnose. Na een half jaar vragen we of het nog goed is.",
    ),
    _own_person("naaste-agenda", "3a", "Mijn naaste: agenda", "Uw naaste leest mee en schrijft niet.", *_AGENDA),
    _own_person(
        "naaste-denkt-mee",
        "3b",
        "Mijn naaste: denkt mee",
        "Uw naaste leest mee met het plan en de afspraken.",
        *_THINKS_ALONG,
    ),
    _own_person(
        "naaste-volledig",
        "3c",
        "Mijn naaste: volledig",
        "Uw naaste beslist niet voor u. Psychische klachten alleen met een eigen vinkje.",
        *_WHOLE,
        ticks=frozenset({C.MENTAL_HEALTH}),
    ),
    Bundle(
        "hoofd-en-leven",
        "4",
        "Hoofd en leven (GGZ in de wijk)",
        Purpose.CAREMGT,
        Term(months=6),
        (
            replace(
                _opening(_line("poh-ggz", "De POH-GGZ van uw praktijk", _PERSON, {R.POH}, (SOCIAL,)), *_HEAD),
                specialities=frozenset({"ggz"}),
            ),
            _opening(_SOCIAL_WORKER, *_HEAD),
        ),
        frozenset({C.CRISIS_PLAN}),
        note="Psychische klachten blijven dicht. Het crisisplan alleen met een eigen vinkje.",
    ),
    Bundle(
        "epa-fact",
        "5",
        "EPA / FACT samen",
        Purpose.CAREMGT,
        Term(months=12),
        (
            replace(
                _opening(
                    _line("fact-team", "Het FACT-team", _TEAM_OR_ORGANISATION, {R.SPECIALIST}, _BOTH_DOMAINS), *_FACT
                ),
                organisation_kinds=_MENTAL_HEALTH_CARE,
                care_only=frozenset({C.MEDICATION, C.MENTAL_HEALTH}),
            ),
            replace(
                _opening(_PRACTICE, *_FACT),
                lifts=_BOTH_DOMAINS,
                care_only=frozenset({C.MEDICATION, C.MENTAL_HEALTH}),
            ),
            replace(
                _opening(
                    _line("woonbegeleider", "Uw woonbegeleider, bij naam", _PERSON, {R.HOUSING}, _BOTH_DOMAINS),
                    *_FACT,
                ),
                named=True,
            ),
        ),
        note="Medicijnen en psychische klachten blijven binnen de zorg.",
    ),
    Bundle(
        "rust-in-geld",
        "6",
        "Rust in geld",
        Purpose.SOCSUPPORT,
        Term(months=6),
        (
            replace(
                _opening(_line("schuldhulp", "De schuldhulpverlener", _PERSON, {R.SOCIAL_TEAM}, (SOCIAL,)), *_MONEY),
                professions=frozenset({"schuldhulpverlener"}),
            ),
            replace(_opening(_SOCIAL_WORKER, *_MONEY), lifts=(SOCIAL,)),
            replace(_opening(_PRACTICE, C.PLAN_GOALS_ACTIONS), lifts=(SOCIAL,)),
        ),
        note="Niets medisch. De huisarts ziet alleen het plan.",
    ),
    Bundle(
        "werk-als-zorg",
        "7",
        "Werk als beste zorg (IPS)",
        Purpose.SOCSUPPORT,
        Term(months=6),
        tuple(
            replace(
                _opening(_line(key, label, _PERSON, roles, _BOTH_DOMAINS), *_WORK),
                professions=frozenset({profession}),
            )
            for key, label, roles, profession in (
                ("ips-coach", "De IPS-coach", {R.SOCIAL_TEAM, R.SPECIALIST}, "ips_coach"),
                ("participatie", "De participatieconsulent", {R.SOCIAL_TEAM}, "participatie_consulent"),
            )
        ),
        note="Wat ik kan, nooit waarom.",
    ),
    Bundle(
        "jeugd-en-gezin",
        "8",
        "Jeugd en gezin",
        Purpose.CAREMGT,
        Term(months=6),
        (
            replace(
                _opening(_line("poh-jeugd", "De POH-Jeugd", _PERSON, {R.POH}, (YOUTH, SOCIAL)), *_YOUNG),
                specialities=frozenset({"jeugd"}),
            ),
            replace(
                _opening(_line("jeugdconsulent", "De jeugdconsulent", _PERSON, {R.SOCIAL_TEAM}, (CARE,)), *_YOUNG),
                laws=frozenset({Law.JEUGDWET}),
            ),
        ),
        note="Voor elk kind apart. Wie beslist, hangt af van de leeftijd. Geen gegevens van de ouders zelf.",
    ),
    Bundle(
        "school-denkt-mee",
        "9",
        "School denkt mee",
        Purpose.SOCSUPPORT,
        Term(until=(7, 31)),
        (
            replace(
                _opening(
                    _line("school", "De begeleider van school, bij naam", _PERSON, {R.SCHOOL}, EVERY_DOMAIN),
                    *(C.EDUCATION, C.PLAN_GOALS_ACTIONS),
                ),
                named=True,
            ),
        ),
        note="Geen diagnose en niets over thuis.",
    ),
    Bundle(
        "een-gezin-een-plan",
        "10",
        "Eén gezin, één plan",
        Purpose.CAREMGT,
        Term(months=6),
        (
            replace(
                _opening(_line("gezinsregisseur", "De gezinsregisseur", _PERSON, set(R), EVERY_DOMAIN), *_ONE_PLAN),
                case_roles=frozenset({CaseRole.GEZINSREGISSEUR}),
            ),
            _opening(
                _line(
                    "uitvoerend-team",
                    "De teams die helpen",
                    (T.TEAM,),
                    {R.SOCIAL_TEAM, R.DISTRICT_NURSE, R.SPECIALIST},
                    EVERY_DOMAIN,
                ),
                *_ONE_PLAN,
            ),
        ),
        note="Ieder gezinslid beslist apart. Bij de evaluatie vragen we het opnieuw.",
    ),
    Bundle(
        "eenmalig-meekijken",
        "11",
        "Eenmalig meekijken bij MDO",
        Purpose.CAREMGT,
        Term(days_at_most=60),
        (
            replace(
                _opening(
                    _line(
                        "deskundige",
                        "Een deskundige, bij naam",
                        _PERSON,
                        {R.SPECIALIST, R.GP, R.POH, R.DISTRICT_NURSE, R.SOCIAL_TEAM, R.EXPERIENCE_EXPERT},
                        EVERY_DOMAIN,
                    ),
                    *(one for one in C if one is not C.SAFETY_MELDCODE),
                ),
                named=True,
            ),
        ),
        both_ways=False,
        chosen=True,
        note="Alleen over de punten die besproken worden, tot twee weken na het verslag. Wat de deskundige zelf "
        "schrijft, blijft voor hem of haar leesbaar.",
    ),
    Bundle(
        "warme-overdracht",
        "12",
        "Warme overdracht",
        Purpose.CAREMGT,
        Term(weeks=6),
        (
            _opening(
                _line(
                    "ontvangend-team",
                    "Het team dat u overneemt",
                    (T.TEAM, T.ORGANISATION, T.MEMBER),
                    {R.SOCIAL_TEAM, R.DISTRICT_NURSE, R.SPECIALIST, R.GP, R.POH},
                    EVERY_DOMAIN,
                ),
                # The question of a case has the label of the plan.
                *(C.IDENTIFICATION, C.PLAN_GOALS_ACTIONS, C.CONTACT_NETWORK),
            ),
        ),
        both_ways=False,
        note="Alleen heen. Tot het team u aanneemt of niet, hooguit zes weken.",
    ),
    Bundle(
        "naar-huis",
        "13",
        "Naar huis uit ziekenhuis",
        Purpose.TREAT,
        Term(weeks=6),
        (
            replace(
                _opening(
                    _line(
                        "transferverpleegkundige",
                        "De transferverpleegkundige van het ziekenhuis",
                        (T.MEMBER, T.ORGANISATION),
                        {R.SPECIALIST, R.DISTRICT_NURSE},
                        _BOTH_DOMAINS,
                    ),
                    *_HOME,
                ),
                organisation_kinds=frozenset({"hospital"}),
                care_only=frozenset({C.MEDICATION}),
            ),
            replace(_opening(_NURSING, *_HOME), lifts=_BOTH_DOMAINS, care_only=frozenset({C.MEDICATION})),
            _opening(_SOCIAL_TEAM, *_HOME),
        ),
        note="Medicijnen blijven binnen de zorg.",
    ),
    Bundle(
        "laatste-fase",
        "14",
        "Laatste fase",
        Purpose.TREAT,
        Term(),
        (
            *(_opening(one, *_LAST) for one in (_PRACTICE, _NURSING, _SPECIALIST, _OUT_OF_HOURS)),
            _opening(
                _line("vrijwilligers", "Vrijwilligers", (T.TEAM, T.MEMBER), {R.VOLUNTEER}, (CARE,)),
                C.PRACTICAL_COORDINATION,
            ),
        ),
        history="all",
        note="Vrijwilligers zien alleen wie wanneer komt. Tot u het intrekt, of tot uw overlijden.",
    ),
    Bundle(
        "in-nood",
        "15",
        "In nood mag u kijken",
        Purpose.TREAT,
        Term(months=24),
        (
            _opening(_OUT_OF_HOURS, *_EMERGENCY),
            replace(
                _opening(
                    _line("crisisdienst", "De crisisdienst", _TEAM_OR_ORGANISATION, {R.SPECIALIST}, (CARE,)),
                    *_EMERGENCY,
                ),
                organisation_kinds=_MENTAL_HEALTH_CARE,
            ),
        ),
        note="Alleen wat in nood nodig is. U ziet wie er keek.",
    ),
)

BY_CODE: Mapping[str, Bundle] = MappingProxyType({one.code: one for one in BUNDLES})
