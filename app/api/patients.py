"""Patients: registering in one's own organisation, finding in it and in one's cases. The BSN never comes back."""

from datetime import date
from typing import Annotated, Self
from uuid import UUID

from fastapi import APIRouter
from pydantic import AfterValidator, Field, model_validator

from app.access.vocabulary import Action
from app.api.bodies import Body, Day, Text, unfit
from app.api.deps import RoleContext
from app.api.edge import OperationRoute
from app.api.operations import Content, Out, Scope, operation
from app.audit.records import ActionCode, Touch
from app.cases import service as cases
from app.cases.service import PatientInfo
from app.core.errors import NotFound
from app.core.ids import PatientId
from app.crypto.bsn import normalise_bsn
from app.identity.look_ups import count_look_up

router = APIRouter(prefix="/api/v1", route_class=OperationRoute, tags=["patients"])


class NameBody(Body):
    """A name in parts; ``prefix`` is the Dutch tussenvoegsel."""

    given: Annotated[str, Text(1, 100)]
    family: Annotated[str, Text(1, 100)]
    prefix: Annotated[str, Text(1, 40)] | None = None


def passes_eleven_test(bsn: str) -> str:
    """Return the BSN if it is one; for bodies that take one."""
    if normalise_bsn(bsn) is None:
        raise unfit("bsn-invalid", "This is not a valid BSN (11-proef).")
    return bsn


class PatientIn(Body):
    """A patient to register: a BSN, or the reason why there is none."""

    bsn: Annotated[str, Field(pattern=r"^[0-9]{8,9}$"), AfterValidator(passes_eleven_test)] | None = None
    no_bsn_reason: Annotated[str, Text(1, 200)] | None = None
    name: NameBody
    birth_date: Day
    neighbourhood: Annotated[str, Field(pattern=r"^[a-z0-9-]{1,64}$")]

    @model_validator(mode="after")
    def _one_of(self) -> Self:
        if (self.bsn is None) == (self.no_bsn_reason is None):
            raise unfit("bsn-or-reason", "Give either bsn or noBsnReason.")
        return self


class PatientSearchIn(Body):
    """What to search by: a BSN, or a family name with a birth date."""

    bsn: Annotated[str, Field(pattern=r"^[0-9]{8,9}$")] | None = None
    family: Annotated[str, Text(1, 100)] | None = None
    birth_date: Day | None = None

    @model_validator(mode="after")
    def _one_of(self) -> Self:
        named = self.family is not None and self.birth_date is not None
        partly = (self.family is None) != (self.birth_date is None)
        if partly or (self.bsn is not None) == named:
            raise unfit("bsn-or-name", "Give either bsn, or family and birthDate.")
        return self


class NameOut(Out):
    """A name in parts."""

    given: str
    family: str
    prefix: str | None


class PatientOut(Out):
    """A patient; ``linked`` says whether the citizen has an account."""

    id: UUID
    name: NameOut
    birth_date: date
    neighbourhood: str
    linked: bool


class PatientsOut(Out):
    """Patients found."""

    items: list[PatientOut]
    next_cursor: str | None


def patient_out(info: PatientInfo) -> PatientOut:
    """Return a patient as answers show them."""
    return PatientOut(
        id=info.id,
        name=NameOut(given=info.name.given, family=info.name.family, prefix=info.name.prefix),
        birth_date=info.birth_date,
        neighbourhood=info.neighbourhood,
        linked=info.linked,
    )


async def render_patient(ctx: RoleContext, patient_id: UUID) -> PatientOut:
    """Return a patient the actor may identify."""
    found = (await cases.patients(ctx.db, ctx.permit, ctx.crypto, [patient_id])).get(patient_id)
    if found is None:
        raise NotFound
    ctx.touch(Touch("patient", patient_id, patient_id=PatientId(patient_id)))
    return patient_out(found)


@router.post(
    "/patients",
    status_code=201,
    responses={200: {"model": PatientOut, "description": "The patient who was registered with this BSN before."}},
)
@operation(Scope.ROLE, Action.PATIENT_REGISTER, ActionCode.CREATE, Content.IDENTIFICATION, replay=render_patient)
async def register_patient(ctx: RoleContext, body: PatientIn) -> PatientOut:
    """Register a patient of one's own organisation; the same BSN again answers 200 with the one there is."""
    if body.bsn is not None:
        await _count_look_up(ctx)
    new = cases.NewPatient(
        name=cases.Name(body.name.given, body.name.family, body.name.prefix),
        birth_date=body.birth_date,
        neighbourhood=body.neighbourhood,
        bsn=body.bsn,
        no_bsn_reason=body.no_bsn_reason,
    )
    patient_id, fresh = await cases.register_patient(ctx.db, ctx.permit, ctx.crypto, new, PatientId(ctx.resource_id))
    if not fresh:
        ctx.status = 200
        ctx.resource_id = patient_id
    return await render_patient(ctx, patient_id)


@router.post("/patients/_search")
@operation(Scope.ROLE, Action.PATIENT_SEARCH, ActionCode.EXECUTE, Content.IDENTIFICATION)
async def search_patients(ctx: RoleContext, body: PatientSearchIn) -> PatientsOut:
    """Find patients of one's own organisation and cases, by BSN or by name and birth date."""
    if body.bsn is not None:
        await _count_look_up(ctx)
    found = await cases.search_patients(
        ctx.db, ctx.permit, ctx.crypto, bsn=body.bsn, family=body.family, birth_date=body.birth_date
    )
    ctx.touch(*(Touch("patient", info.id, patient_id=info.id) for info in found))
    return PatientsOut(items=[patient_out(info) for info in found], next_cursor=None)


async def _count_look_up(ctx: RoleContext) -> None:
    """Count a question whether a BSN is known.

    Raises:
        TooManyLookUps: the account asked too many.
    """
    services = ctx.services
    most = services.settings.limits.bsn_look_ups
    await count_look_up(services.database, ctx.actor.account_id, services.clock(), most=most)
