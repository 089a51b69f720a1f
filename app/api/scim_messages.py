"""SCIM messages: the models of the standard with our own extension, what is read from them, and what is shown.

Source: RFC 7643 and RFC 7644.
"""

import re
from collections.abc import Callable, Mapping
from datetime import datetime
from typing import Annotated, Any, Final
from uuid import UUID

import orjson
from pydantic import Field, RootModel, ValidationError
from scim2_models import (
    Context,
    EnterpriseUser,
    Error,
    Extension,
    Meta,
    Mutability,
    Name,
    Required,
    ResourceType,
    ResponseParameters,
    SCIMException,
    ScimPolicy,
    ScimProvider,
    User,
)
from scim2_models.urn import URN
from starlette.responses import Response

from app.access.vocabulary import Domain, Law, Role
from app.api.bodies import parse_json
from app.api.deps import RoleContext
from app.api.dialects import Dialect
from app.api.operations import Query
from app.api.problems import problem_of
from app.core.errors import Conflict, DomainError, Invalid
from app.core.ids import EngagementId
from app.entitlement import provisioning
from app.entitlement.provisioning import Wanted
from app.identity.capacity import EMPLOYEE_NUMBER, REGISTERS, WORD, Capacity, domain_of
from app.identity.scim import Naming
from app.identity.staff import Colleague

BASE: Final = "/scim/v2"
MEDIA: Final = "application/scim+json"
COUNT_MAX: Final = 100
STAFF: Final = URN("urn:nl:overlegtafel:scim:schemas:extension:staff:1.0:User")

_ACCEPTS = re.compile(rb'application/(?:scim\+)?json[ \t]*(?:;[ \t]*charset="?utf-8"?[ \t]*)?', re.IGNORECASE)
_FILTER = re.compile(
    r'\s*(?:urn:ietf:params:scim:schemas:core:2\.0:User:)?(userName|externalId|id)\s+eq\s+("(?:[^"\\]|\\.)*")\s*',
    re.IGNORECASE,
)
_ATTRIBUTES = {"username": "userName", "externalid": "externalId", "id": "id"}
# Identity systems send much that is not kept, and Microsoft's spell a remove in their own way.
_TOLERANT = ScimPolicy(
    unknown=ScimPolicy.Unknown.ignore,
    remove_value_as_filter=ScimPolicy.RemoveValue.apply,
    unmatched_path_filter=ScimPolicy.UnmatchedPathFilter.create,
)
_DETAILS: Mapping[str, str] = {
    "invalidFilter": 'Filters are: userName eq "…", externalId eq "…", id eq "…".',
    "invalidPath": "A path names no attribute.",
    "invalidSyntax": "The message does not follow its schema.",
    "invalidValue": "A value does not fit its attribute, or a required one is missing.",
    "mutability": "An attribute that cannot change would change; end this user and make another.",
    "noTarget": "A path leads to nothing.",
}


class ScimInvalid(Invalid):
    """Raised when a SCIM message does not hold; ``scim_type`` is the keyword of RFC 7644, section 3.12."""

    code = "scim-invalid"
    title = "The SCIM message is not valid"

    def __init__(self, scim_type: str) -> None:
        known = scim_type if scim_type in _DETAILS else "invalidValue"
        super().__init__(detail=_DETAILS[known])
        self.scim_type = known


class StaffUser(Extension):
    """What somebody is engaged as."""

    __schema__ = STAFF

    role: Annotated[str | None, Required.true, Mutability.immutable] = None
    """The role class, such as gp, poh, social_team."""
    profession: Annotated[str | None, Required.true, Mutability.immutable] = None
    """The profession, such as huisarts or poh_ggz."""
    speciality: str | None = None
    """What the person does within the profession."""
    domain: Annotated[str | None, Mutability.immutable] = None
    """care, youth or social; without it the role's usual one."""
    law: Annotated[str | None, Mutability.immutable] = None
    """The law under which a social team carries out a public task."""
    responsible: str | None = None
    """The id of the GP's engagement under whom a POH works; of any practice."""
    valid_until: datetime | None = None
    """When the engagement ends."""
    confirmed_until: Annotated[datetime | None, Mutability.read_only] = None
    """When it falls still unless somebody confirms it."""
    uzi: str | None = None
    """UZI number, nine digits."""
    big: str | None = None
    """BIG number, eleven digits."""
    agb: str | None = None
    """AGB code, eight digits."""


Person = User[EnterpriseUser | StaffUser]
PROVIDER: Final = ScimProvider(
    models=[User, EnterpriseUser, StaffUser], resource_types=[ResourceType.from_resource(Person)], policy=_TOLERANT
)


def refuse(error: DomainError, _request_id: str) -> Response:
    """Return a refusal as RFC 7644, section 3.12 has it; nothing of the input stands in it."""
    problem = problem_of(error)
    scim_type = error.scim_type if isinstance(error, ScimInvalid) else None
    if isinstance(error, Conflict) and error.code in {
        "engagement-exists",
        "registration-of-another",
        "user-name-taken",
    }:
        scim_type = "uniqueness"
    detail = str(problem.body.get("detail", problem.body["title"]))
    if isinstance(error, Invalid) and error.faults:
        scim_type = scim_type or "invalidValue"
        detail = " ".join(fault.detail for fault in error.faults)
    body = Error(status=problem.status, scim_type=scim_type, detail=detail).model_dump()
    return Response(orjson.dumps(body), problem.status, dict(problem.headers), MEDIA)


SCIM: Final = Dialect(_ACCEPTS, MEDIA, refuse)


class Message(RootModel[dict[str, Any]]):
    """An answer as the models of the standard dump it."""


class ScimQuery(Query):
    """Which users, from which on, and what of them. Sorting is not offered, and asking for it is no error."""

    filter: str | None = Field(default=None, max_length=600)
    start_index: int = 1
    count: int = COUNT_MAX
    attributes: str | None = Field(default=None, max_length=1000)
    excluded_attributes: str | None = Field(default=None, max_length=1000)
    sort_by: str | None = Field(default=None, max_length=200)
    sort_order: str | None = Field(default=None, max_length=20)


class ShownQuery(Query):
    """What of a user."""

    attributes: str | None = Field(default=None, max_length=1000)
    excluded_attributes: str | None = Field(default=None, max_length=1000)


# Reading what was sent


def load(model: Callable[..., Any], raw: bytes, context: Context) -> Any:
    """Return a message as ``model``, whose ``model_validate`` this is.

    Raises:
        Invalid: it is no JSON as we read it, or does not follow its schema.
    """
    document = parse_json(raw)
    if not isinstance(document, dict):
        raise ScimInvalid("invalidSyntax")
    with ScimFaults():
        return model(document, scim_ctx=context, scim_policy=_TOLERANT)


class ScimFaults:
    """Turn the faults of the standard's models, which quote the input, into ours."""

    def __enter__(self) -> None:
        """Begin to listen."""

    def __exit__(self, _kind: object, error: BaseException | None, _trace: object) -> None:
        """Raise ours in place of theirs."""
        if isinstance(error, SCIMException):
            raise ScimInvalid(error.scim_type) from None
        if isinstance(error, ValidationError):
            first = Error.from_validation_errors(error)[0]
            raise ScimInvalid(first.scim_type or "invalidValue") from None


def _member(kind: Callable[[str], Any], value: str | None) -> Any:
    if value is None:
        return None
    try:
        return kind(value)
    except ValueError:
        raise ScimInvalid("invalidValue") from None


def _fits(value: str | None, pattern: str) -> str | None:
    if value is not None and re.fullmatch(pattern, value) is None:
        raise ScimInvalid("invalidValue")
    return value


def _short(value: str | None, longest: int = 200) -> str | None:
    if value is None or value == "":
        return None
    if len(value) > longest or any(char < " " or char == "\x7f" for char in value):
        raise ScimInvalid("invalidValue")
    return value


def wanted_of(person: Any, *, active: bool) -> Wanted:
    """Return what a resource asks for.

    Raises:
        ScimInvalid: a value does not fit.
    """
    staff, enterprise = person[StaffUser], person[EnterpriseUser]
    user_name, role = _short(person.user_name), _member(Role, None if staff is None else staff.role)
    if staff is None or user_name is None or role is None or not staff.profession:
        raise ScimInvalid("invalidValue")
    if staff.valid_until is not None and staff.valid_until.tzinfo is None:
        raise ScimInvalid("invalidValue")
    name = person.name or Name()
    responsible = _member(UUID, staff.responsible)
    return Wanted(
        naming=Naming(
            user_name=user_name,
            external_id=_short(person.external_id),
            given=_short(name.given_name, 100),
            middle=_short(name.middle_name, 100),
            family=_short(name.family_name, 100),
            formatted=_short(name.formatted),
            display=_short(person.display_name),
        ),
        capacity=Capacity(
            role=role,
            profession=_fits(staff.profession, WORD) or "",
            speciality=_fits(staff.speciality, WORD),
            domain=domain_of(role, _member(Domain, staff.domain)),
            law=_member(Law, staff.law),
            responsible_id=None if responsible is None else EngagementId(responsible),
        ),
        active=active if person.active is None else person.active,
        employee_number=_fits(None if enterprise is None else enterprise.employee_number, EMPLOYEE_NUMBER),
        valid_until=staff.valid_until,
        registrations={kind: number for kind in REGISTERS if (number := getattr(staff, kind)) is not None},
    )


# Showing what is there


def resource_of(ctx: RoleContext, user: provisioning.User) -> Any:
    """Return a user as a resource of the standard."""
    person, naming = user.person, user.naming
    resource = Person(
        id=str(person.id),
        external_id=naming.external_id,
        user_name=naming.user_name,
        name=Name(
            formatted=naming.formatted or provisioning.shown_name(naming),
            given_name=naming.given,
            middle_name=naming.middle,
            family_name=naming.family,
        ),
        display_name=naming.display or provisioning.shown_name(naming),
        active=person.suspended_at is None,
        meta=Meta(
            resource_type="User",
            created=user.created_at,
            last_modified=user.changed_at,
            location=location(ctx, "Users", str(person.id)),
            version=version_of(ctx, user),
        ),
    )
    resource[EnterpriseUser] = EnterpriseUser(employee_number=person.employee_number)
    resource[StaffUser] = _staff_of(person)
    return resource


def _staff_of(person: Colleague) -> StaffUser:
    return StaffUser(
        role=person.role,
        profession=person.profession,
        speciality=person.speciality,
        domain=person.domain,
        law=person.law,
        responsible=None if person.responsible_id is None else str(person.responsible_id),
        valid_until=person.valid_until,
        confirmed_until=person.confirmed_until,
        **person.registrations,
    )


def location(ctx: RoleContext, *parts: str) -> str:
    """Return the absolute address of something here."""
    return "/".join((ctx.services.settings.base_url + BASE, *parts))


def version_of(ctx: RoleContext, user: provisioning.User) -> str:
    """Return the entity tag of a user."""
    version = ctx.etag(*user.version())
    del ctx.headers["ETag"]  # of one resource only when the answer is that one
    return version


def message(resource: Any, context: Context, query: ScimQuery | ShownQuery | None = None) -> Message:
    """Return a resource as it goes out, whole or those attributes that were asked for."""
    shown = {} if query is None else _selected(query)
    return Message(resource.model_dump(scim_ctx=context, **shown))


def _selected(query: ScimQuery | ShownQuery) -> dict[str, Any]:
    given = {"attributes": query.attributes, "excludedAttributes": query.excluded_attributes}
    asked = {name: value.split(",") for name, value in given.items() if value}
    if not asked:
        return {}
    with ScimFaults():
        return {"response_parameters": ResponseParameters[Person].model_validate(asked, scim_policy=_TOLERANT)}


def sought(text: str) -> tuple[str, str]:
    """Return attribute and value of a filter.

    Raises:
        ScimInvalid: it is none of those we know.
    """
    match = _FILTER.fullmatch(text)
    if match is None:
        raise ScimInvalid("invalidFilter")
    try:
        value = orjson.loads(match[2])
    except ValueError:
        raise ScimInvalid("invalidFilter") from None
    return _ATTRIBUTES[match[1].lower()], value
