"""The demo region: synthetic organisations and people to sign in as. Never beside a production setting."""

from base64 import b32encode
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from hashlib import sha256
from types import MappingProxyType
from uuid import NAMESPACE_URL, UUID, uuid5

import asyncpg

from app.access.vocabulary import Acr, Domain, Law, Role
from app.audit import service as audit
from app.audit.records import ActionCode, Origin, Outcome, Record, Touch, Who
from app.core.clock import Clock
from app.core.db import Database, connect
from app.core.ids import AccountId, EngagementId, OrganisationId
from app.crypto.digests import Digests
from app.crypto.sealing import seal_text
from app.crypto.service import Crypto
from app.identity import signing_in
from app.identity.directory import NAME_CATEGORY, name_place
from app.identity.factors.passwords import Passwords, name_index
from app.identity.factors.totp import seal_secret
from app.identity.sessions import Method
from app.identity.signing_in import Delivery, SignedIn
from app.identity.tokens import TokenIssuer

SINCE = datetime(2026, 1, 1, tzinfo=UTC)
AGREEMENT = "SOK-2026-1"


def _id(kind: str, key: str) -> UUID:
    return uuid5(NAMESPACE_URL, f"https://overlegtafel.example/demo/{kind}/{key}")


@dataclass(frozen=True, slots=True)
class DemoOrganisation:
    """A synthetic organisation."""

    key: str
    kind: str
    name: str
    municipality_code: str | None = None
    agb: str | None = None
    oin: str | None = None

    @property
    def id(self) -> OrganisationId:
        """Its id, the same in every demo."""
        return OrganisationId(_id("organisation", self.key))


@dataclass(frozen=True, slots=True)
class Persona:
    """A synthetic person in one engagement; ``account_of`` names the persona that is the same person."""

    key: str
    name: str
    role: Role
    profession: str
    organisation: DemoOrganisation | None = None
    domain: Domain | None = None
    law: Law | None = None
    speciality: str | None = None
    responsible: str | None = None
    test_bsn: str | None = None
    account_of: str | None = None

    @property
    def account_id(self) -> AccountId:
        """Its account, the same in every demo; that of another persona, who is the same person."""
        return AccountId(_id("account", self.account_of or self.key))

    @property
    def engagement_id(self) -> EngagementId:
        """Its engagement, the same in every demo."""
        return EngagementId(_id("engagement", self.key))


PRACTICE = DemoOrganisation("practice", "gp_practice", "Huisartsenpraktijk De Linde", agb="01999901")
OTHER_PRACTICE = DemoOrganisation("other-practice", "gp_practice", "Huisartsenpraktijk Aan de Maas", agb="01999902")
LOCUMS = DemoOrganisation("locums", "gp_practice", "Waarneemgroep Heuvelland", agb="01999903")
MUNICIPALITY = DemoOrganisation(
    "municipality", "municipality", "Gemeente Heuvelstad", "0935", oin="00000009999999990000"
)
NURSING = DemoOrganisation("nursing", "nursing", "Wijkverpleging Zuid")
HOSPITAL = DemoOrganisation("hospital", "hospital", "Ziekenhuis Heuvelland")
REGION = DemoOrganisation("region", "region", "Zorgregio Heuvelland")
PLATFORM = DemoOrganisation("platform", "integration", "Verwijsplatform Zuid")
ORGANISATIONS = (PRACTICE, OTHER_PRACTICE, LOCUMS, MUNICIPALITY, NURSING, HOSPITAL, REGION, PLATFORM)

CARE, SOCIAL = Domain.CARE, Domain.SOCIAL

PERSONAS: Sequence[Persona] = (
    Persona("gp", "Anna de Vries", Role.GP, "huisarts", PRACTICE, CARE),
    Persona("poh", "Bram Peters", Role.POH, "poh_ouderen", PRACTICE, CARE, speciality="ouderen", responsible="gp"),
    Persona(
        "poh-youth", "Chantal Smeets", Role.POH, "poh_jeugd", PRACTICE, CARE, speciality="jeugd", responsible="gp"
    ),
    Persona("gp-other", "Daan Willems", Role.GP, "huisarts", OTHER_PRACTICE, CARE),
    Persona("gp-locum", "Eva Janssen", Role.GP, "waarnemend_huisarts", LOCUMS, CARE),
    Persona(
        "social-worker", "Fatima el Amrani", Role.SOCIAL_TEAM, "sociaal_werker", MUNICIPALITY, SOCIAL, Law.WMO2015
    ),
    Persona("social-worker-2", "Gijs Hermans", Role.SOCIAL_TEAM, "wmo_consulent", MUNICIPALITY, SOCIAL, Law.WMO2015),
    Persona(
        "youth-consultant", "Hanna Kuipers", Role.SOCIAL_TEAM, "jeugdconsulent", MUNICIPALITY, SOCIAL, Law.JEUGDWET
    ),
    Persona("district-nurse", "Ingrid Claessens", Role.DISTRICT_NURSE, "wijkverpleegkundige", NURSING, CARE),
    Persona("specialist", "Joost van Dam", Role.SPECIALIST, "specialist_ouderengeneeskunde", HOSPITAL, CARE),
    Persona("citizen", "Mia Lemmens", Role.CITIZEN, "burger", test_bsn="999990007"),
    # Separated parents, each with a log-in of their own, for their child and for themselves; and that child.
    Persona("mother", "Sanne Verhoeven", Role.REPRESENTATIVE, "vertegenwoordiger"),
    Persona("father", "Ruben Dekker", Role.REPRESENTATIVE, "vertegenwoordiger"),
    Persona(
        "mother-herself",
        "Sanne Verhoeven",
        Role.CITIZEN,
        "burger",
        test_bsn="999994001",
        account_of="mother",
    ),
    Persona("father-himself", "Ruben Dekker", Role.CITIZEN, "burger", test_bsn="999994013", account_of="father"),
    Persona("teenager", "Noor Dekker", Role.CITIZEN, "burger", test_bsn="999994025"),
    Persona("informal-carer", "Karel Lemmens", Role.INFORMAL_CARER, "mantelzorger"),
    Persona("auditor", "Lotte Bakker", Role.AUDITOR, "auditor", REGION),
    Persona("privacy-officer", "Mohamed Yilmaz", Role.PRIVACY_OFFICER, "functionaris_gegevensbescherming", REGION),
    Persona("org-admin", "Nienke Vos", Role.ORG_ADMIN, "beheerder", PRACTICE),
    Persona("org-admin-other", "Peter Jacobs", Role.ORG_ADMIN, "beheerder", OTHER_PRACTICE),
    Persona("region-admin", "Olaf Meijer", Role.REGION_ADMIN, "beheerder", REGION),
    Persona("integration", "Verwijsplatform Zuid", Role.INTEGRATION, "systeem", PLATFORM),
)
BY_KEY = MappingProxyType({persona.key: persona for persona in PERSONAS})

DEMO_PASSWORD = "lindeboom-aan-de-maas"  # noqa: S105  # of the demo, which everybody may enter anyway
"""The password of every persona; the log-in name is the persona's key."""

TEAM_ID = _id("team", "nazareth")
TEAM_NAME = "Sociaal team Nazareth"
TEAM = ("social-worker", "social-worker-2")
LOCUM = ("gp-locum",)
"""Who may stand in at the practice without an admin."""


def demo_totp_secret(key: str) -> str:
    """Return the secret of a persona's authenticator, the same in every demo: base 32, 160 bits."""
    return b32encode(sha256(f"overlegtafel demo authenticator {key}".encode()).digest()[:20]).decode()


async def load_region(owner_url: str, crypto: Crypto) -> None:
    """Insert what is not there yet; again changes nothing. Logs in as the owner, who alone may add organisations."""
    connection = await connect(owner_url)
    try:
        known = {row["id"] for row in await connection.fetch("select id from account")}
        fresh = [persona for persona in PERSONAS if persona.account_id not in known]
        sealed = {persona.key: await _sealed_name(crypto, persona) for persona in fresh}
        async with connection.transaction():
            await connection.executemany(
                "insert into organisation (id, kind, name, municipality_code, agb, oin, agreement_reference,"
                " agreement_on) values ($1, $2, $3, $4, $5, $6, $7, $8) on conflict do nothing",
                [_organisation(one) for one in ORGANISATIONS],
            )
            await connection.executemany(
                "insert into account (id, name_sealed, bsn_link_index, created_at) values ($1, $2, $3, $4)"
                " on conflict do nothing",
                [(p.account_id, sealed[p.key], _link(crypto, p), SINCE) for p in fresh],
            )
            await connection.executemany(
                "insert into engagement (id, account_id, organisation_id, role, profession, speciality, domain, law,"
                " responsible_engagement_id, valid_from) values ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10)"
                " on conflict do nothing",
                [_engagement(persona) for persona in fresh],
            )
            await connection.execute(
                "insert into team (id, name) values ($1, $2) on conflict do nothing", TEAM_ID, TEAM_NAME
            )
            await _load_factors(connection, crypto, fresh)
            await connection.executemany(
                "insert into team_member (team_id, engagement_id, valid_from) values ($1, $2, $3)"
                " on conflict do nothing",
                [(TEAM_ID, BY_KEY[key].engagement_id, SINCE) for key in TEAM],
            )
            await connection.executemany(
                "insert into substitute (organisation_id, engagement_id, registered_by_engagement_id, registered_at)"
                " values ($1, $2, $3, $4) on conflict do nothing",
                [(PRACTICE.id, BY_KEY[key].engagement_id, BY_KEY["org-admin"].engagement_id, SINCE) for key in LOCUM],
            )
    finally:
        await connection.close()


async def _load_factors(
    connection: "asyncpg.Connection[asyncpg.Record]", crypto: Crypto, personas: Sequence[Persona]
) -> None:
    """Give each person a password and an authenticator. One hash serves all: it is one password, known to all."""
    people = [one for one in personas if one.role is not Role.INTEGRATION and one.account_of is None]
    if not people:
        return
    password_hash = Passwords(crypto.digests).hash_now(DEMO_PASSWORD)
    passwords, authenticators = [], []
    for persona in people:
        account_id, factor_id = persona.account_id, _id("authenticator", persona.key)
        sealed = await seal_secret(
            crypto.data_keys, demo_totp_secret(persona.key), factor_id=factor_id, account_id=account_id
        )
        name = name_index(crypto.digests, persona.key)
        passwords.append((account_id, _id("password", persona.key), name, password_hash, SINCE))
        authenticators.append((factor_id, account_id, sealed, SINCE))
    # Factors are fenced even from the tables' owner.
    await connection.execute("set local role keeper")
    await connection.executemany(
        "insert into password_factor (account_id, id, name_index, hash, created_at) values ($1, $2, $3, $4, $5)"
        " on conflict do nothing",
        passwords,
    )
    await connection.executemany(
        "insert into totp_factor (id, account_id, secret_sealed, created_at, confirmed_at, last_step)"
        " values ($1, $2, $3, $4, $4, 0) on conflict do nothing",
        authenticators,
    )
    await connection.execute("reset role")


async def _sealed_name(crypto: Crypto, persona: Persona) -> bytes:
    key = await crypto.data_keys.sealing(persona.account_id, NAME_CATEGORY)
    return seal_text(key, persona.name, name_place(persona.account_id))


def _link(crypto: Crypto, persona: Persona) -> bytes | None:
    # The BSN is of whom the person is as a citizen; nobody has one as a representative.
    known = [one.test_bsn for one in PERSONAS if one.account_id == persona.account_id and one.test_bsn]
    return crypto.bsn.for_link(known[0]) if known else None


def _organisation(one: DemoOrganisation) -> tuple[object, ...]:
    return (one.id, one.kind, one.name, one.municipality_code, one.agb, one.oin, AGREEMENT, SINCE.date())


def _engagement(persona: Persona) -> tuple[object, ...]:
    return (
        persona.engagement_id,
        persona.account_id,
        persona.organisation.id if persona.organisation else None,
        persona.role,
        persona.profession,
        persona.speciality,
        persona.domain,
        persona.law,
        BY_KEY[persona.responsible].engagement_id if persona.responsible else None,
        SINCE,
    )


async def sign_in(
    database: Database,
    clock: Clock,
    issuer: TokenIssuer,
    digests: Digests,
    persona: Persona,
    origin: Origin,
    source: str,
    *,
    delivery: Delivery = Delivery.TOKENS,
) -> SignedIn:
    """Start a session for a persona and return what carries it on."""
    async with database.session() as db, db.begin():
        signed_in = await signing_in.sign_in(
            db,
            account_id=persona.account_id,
            engagement_id=persona.engagement_id,
            method=Method.DEMO,
            acr=Acr.DEMO,
            issuer=issuer,
            digests=digests,
            now=clock(),
            delivery=delivery,
        )
        actor = Who(
            account_id=persona.account_id,
            engagement_id=persona.engagement_id,
            role=persona.role,
            organisation_id=persona.organisation.id if persona.organisation else None,
            login_session_id=signed_in.session_id,
        )
        touch = Touch("session", signed_in.session_id)
        record = Record("token:issue", ActionCode.EXECUTE, Outcome.SUCCESS, actor, touch, origin)
        await audit.record(db, [record], at=signed_in.at, source=source)
    return signed_in
