"""What every sign-in answers, whatever it was done with: who one is, in which engagement, and what carries it on."""

from typing import Any
from uuid import UUID

from app.access.vocabulary import Domain, Law, Role
from app.api.cookies import cookie_of
from app.api.deps import Context, PublicContext
from app.api.operations import Out
from app.api.schemas import At, OrganisationRef, PersonRef, person_ref
from app.identity import service as identity
from app.identity.service import EngagementInfo
from app.identity.signing_in import SignedIn


class EngagementOut(Out):
    """In what capacity one acts. ``confirmedUntil`` is when it falls still unless somebody confirms it."""

    id: UUID
    role: Role
    speciality: str | None
    domain: Domain | None
    law: Law | None
    organisation: OrganisationRef | None
    responsible_account_id: UUID | None
    valid_until: At | None
    confirmed_until: At | None


class SignedInOut(Out):
    """What carries a session on for ``expiresIn`` seconds: tokens, or what a page says beside its cookie."""

    access_token: str | None = None
    refresh_token: str | None = None
    csrf_token: str | None = None
    expires_in: int
    account: PersonRef
    engagement: EngagementOut
    engagements: list[EngagementOut]


async def signed_in_out(ctx: PublicContext | Context[Any], signed_in: SignedIn) -> SignedInOut:
    """Return the answer to a sign-in and give its cookie, if any, to the browser.

    Of a public operation call it after the commit: it looks at what everybody sees.
    """
    if isinstance(ctx, PublicContext):
        async with ctx.services.database.session() as db, db.begin():
            at = await identity.present_instant(db, ctx.services.clock())
            held = await identity.engagements_in_force(db, signed_in.account_id, now=at)
    else:
        held = await identity.engagements_in_force(ctx.db, signed_in.account_id, now=ctx.now)
    if signed_in.cookie is not None:
        ctx.cookies.append(cookie_of(signed_in.cookie))
    given = {
        "access_token": signed_in.access_token,
        "refresh_token": signed_in.refresh_token,
        "csrf_token": signed_in.csrf_token,
    }
    person = (await ctx.services.directory.people([signed_in.engagement_id]))[signed_in.engagement_id]
    return SignedInOut(
        **{name: value for name, value in given.items() if value is not None},
        expires_in=signed_in.expires_in,
        account=person_ref(person),
        engagement=engagement_out(next(one for one in held if one.id == signed_in.engagement_id)),
        engagements=[engagement_out(one) for one in held],
    )


def engagement_out(engagement: EngagementInfo) -> EngagementOut:
    """Return an engagement as its own holder sees it."""
    organisation = None
    if engagement.organisation_id is not None and engagement.organisation is not None:
        organisation = OrganisationRef(id=engagement.organisation_id, name=engagement.organisation)
    return EngagementOut(
        id=engagement.id,
        role=engagement.role,
        speciality=engagement.speciality,
        domain=engagement.domain,
        law=engagement.law,
        organisation=organisation,
        responsible_account_id=engagement.responsible_account_id,
        valid_until=engagement.valid_until,
        confirmed_until=engagement.confirmed_until,
    )
