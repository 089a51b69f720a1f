"""What citizens and professionals read for our codes: everyday Dutch, with an example and what is not in it. Pure.

Source: DESIGN 5 ("each has a Dutch everyday label with an example and a not-here line").
"""

from collections.abc import Mapping
from dataclasses import dataclass
from types import MappingProxyType

from app.access.vocabulary import Category, Domain, Ground, Purpose, Role


@dataclass(frozen=True, slots=True)
class Label:
    """A category in everyday words: its name, an example of it, and what does not belong here."""

    name: str
    example: str
    not_here: str


C = Category

CATEGORIES: Mapping[Category, Label] = MappingProxyType(
    {
        C.MEDICAL_SUMMARY: Label("Uw gezondheid in het kort", "U hebt suikerziekte.", "Psychische klachten."),
        C.MEDICATION: Label("Medicijnen", "Welke pillen u slikt, en wanneer.", "Waarom u ze slikt."),
        C.MENTAL_HEALTH: Label("Psychische klachten", "Angst, somberheid, een behandeling.", "Wie u daarbij helpt."),
        C.ADDICTION: Label("Verslaving", "Alcohol, drugs, gokken.", "Wat u verder drinkt of eet."),
        C.FUNCTIONAL_ADL: Label("Wat u zelf kunt", "Wassen, aankleden, lopen.", "De ziekte die erachter zit."),
        C.ADVANCE_CARE_PLANNING: Label(
            "Afspraken over het levenseinde", "Of u gereanimeerd wilt worden.", "Uw testament."
        ),
        C.CRISIS_PLAN: Label("Wat te doen als het misgaat", "Wie u belt in een crisis.", "Uw hele behandeling."),
        C.YOUTH_DEVELOPMENT: Label("Hoe een kind opgroeit", "Slapen, spelen, gedrag.", "Cijfers van school."),
        C.EDUCATION: Label("School", "Hoe het gaat in de klas.", "Hoe het thuis gaat."),
        C.LIVING_SITUATION: Label("Hoe u woont", "Een trap, een drempel, vocht.", "Uw huurschuld."),
        C.SOCIAL_PARTICIPATION: Label("Meedoen", "Een club, vrijwilligerswerk, contact.", "Betaald werk."),
        C.FINANCE_DEBT: Label("Geld en schulden", "Een betalingsregeling.", "Uw werk."),
        C.WORK_INCOME: Label("Werk en inkomen", "Een baan, een uitkering.", "Schulden."),
        C.IDENTIFICATION: Label("Wie u bent", "Uw naam en geboortedatum.", "Uw burgerservicenummer."),
        C.CONTACT_NETWORK: Label("Wie er om u heen staan", "Uw dochter, uw buurman.", "Wat er met hen is."),
        C.PRACTICAL_COORDINATION: Label("Wie komt wanneer", "De wijkverpleging komt dinsdag.", "Waarom zij komt."),
        C.PLAN_GOALS_ACTIONS: Label("Uw plan", "U wilt weer zelf boodschappen doen.", "Uitslagen."),
        C.MDO_REPORT: Label("Verslag van het overleg", "Wat er is afgesproken.", "Wat er verder werd gezegd."),
        C.POSITIVE_HEALTH: Label("Hoe u zich voelt", "De vragen van Positieve Gezondheid.", "Een diagnose."),
        C.ZRM: Label("Hoe u zich redt", "De vragen van de zelfredzaamheid-matrix.", "Uw medicijnen."),
        C.SAFETY_MELDCODE: Label("Zorgen over veiligheid", "De stappen van de meldcode.", "Al het andere."),
    }
)

DOMAINS: Mapping[Domain, str] = MappingProxyType(
    {Domain.CARE: "zorg", Domain.YOUTH: "jeugdhulp", Domain.SOCIAL: "sociaal team en gemeente"}
)

GROUNDS: Mapping[Ground, str] = MappingProxyType(
    {
        Ground.SUBJECT: "omdat het over uzelf gaat, of over wie u vertegenwoordigt",
        Ground.DIRECT_TREATMENT: "omdat deze persoon u behandelt",
        Ground.REPLACEMENT: "omdat deze persoon iemand vervangt",
        Ground.PUBLIC_TASK: "omdat dit bij de taak van de gemeente hoort",
        Ground.CONSENT: "omdat u daar toestemming voor gaf",
        Ground.EMERGENCY: "omdat het een noodgeval was",
        Ground.AUTHOR: "omdat deze persoon het zelf schreef",
    }
)

PURPOSES: Mapping[Purpose, str] = MappingProxyType(
    {
        Purpose.TREAT: "om u te behandelen",
        Purpose.CAREMGT: "om uw zorg en hulp op elkaar af te stemmen",
        Purpose.SOCSUPPORT: "om u te ondersteunen in het dagelijks leven",
        Purpose.PATRQT: "omdat u het vroeg",
        Purpose.AUDIT: "om te controleren",
        Purpose.BTG: "omdat het een noodgeval was",
        Purpose.HOPERAT: "om het systeem te laten werken",
    }
)

ROLES: Mapping[Role, str] = MappingProxyType(
    {
        Role.GP: "huisarts",
        Role.POH: "praktijkondersteuner",
        Role.SOCIAL_TEAM: "medewerker van het sociaal team",
        Role.DISTRICT_NURSE: "wijkverpleegkundige",
        Role.SPECIALIST: "specialist",
        Role.CITIZEN: "burger",
        Role.REPRESENTATIVE: "vertegenwoordiger",
        Role.INFORMAL_CARER: "naaste",
        Role.AUDITOR: "controleur",
        Role.PRIVACY_OFFICER: "functionaris voor privacy",
        Role.ORG_ADMIN: "beheerder van een organisatie",
        Role.REGION_ADMIN: "beheerder van de regio",
        Role.INTEGRATION: "gekoppeld systeem",
        Role.EXPERIENCE_EXPERT: "ervaringsdeskundige",
        Role.VOLUNTEER: "vrijwilliger",
        Role.SCHOOL: "begeleider van school",
        Role.HOUSING: "woonbegeleider",
    }
)


def ground_label(ground: Ground) -> str:
    """Return why something is open, in a part of a sentence."""
    return GROUNDS.get(ground, ground)


def purpose_label(purpose: Purpose) -> str:
    """Return what something is for, in a part of a sentence."""
    return PURPOSES.get(purpose, purpose)
