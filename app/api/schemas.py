"""Shapes that several resources share: people, cells, pages of lists."""

from collections.abc import Callable, Mapping, Sequence
from datetime import datetime
from typing import Annotated, Any, TypeVar
from uuid import UUID

from pydantic import Field, PlainSerializer, WithJsonSchema

from app.access.vocabulary import Role
from app.api.deps import Context
from app.api.operations import LIMIT_DEFAULT, LIMIT_MAX, Out, Query
from app.core.clock import utc
from app.core.errors import Fault
from app.crypto.cursors import Scalar
from app.crypto.errors import CursorInvalid
from app.identity.directory import Person

At = Annotated[
    datetime,
    PlainSerializer(utc, return_type=str, when_used="json"),
    WithJsonSchema({"type": "string", "format": "date-time"}),
]
"""An instant in UTC, RFC 3339 with milliseconds."""


T = TypeVar("T")


class CursorQuery(Query):
    """From where on."""

    cursor: str | None = Field(default=None, max_length=512, description="Where the previous page ended.")


class PageQuery(CursorQuery):
    """Which part of a list."""

    limit: int = Field(default=LIMIT_DEFAULT, ge=1, le=LIMIT_MAX, description="How many items at most.")


class WholeQuery(CursorQuery):
    """Which part of a list that comes whole unless a limit is asked for."""

    limit: int | None = Field(default=None, ge=1, le=LIMIT_MAX, description="How many items at most; else all.")


class OrganisationRef(Out):
    """An organisation by name."""

    id: UUID
    name: str


class PersonRef(Out):
    """A person in the engagement they act in."""

    id: UUID
    name: str
    role: Role
    organisation: OrganisationRef | None


class AuthorRef(Out):
    """Who wrote something."""

    id: UUID
    name: str
    role: Role


def person_ref(person: Person) -> PersonRef:
    """Return a person as answers show them; the id is the account's."""
    organisation = None
    if person.organisation_id is not None and person.organisation is not None:
        organisation = OrganisationRef(id=person.organisation_id, name=person.organisation)
    return PersonRef(id=person.account_id, name=person.name, role=person.role, organisation=organisation)


def author_ref(people: Mapping[UUID, Person], engagement_id: UUID) -> AuthorRef:
    """Return an author as answers show them."""
    person = people[engagement_id]
    return AuthorRef(id=person.account_id, name=person.name, role=person.role)


def before(context: Context[Any], cursor: str | None, label: str) -> tuple[datetime, UUID] | None:
    """Return the position a cursor of a newest-first list holds.

    Raises:
        CursorInvalid: forged, or another account's or query's.
    """
    if cursor is None:
        return None
    match open_cursor(context, cursor, label):
        case (str(at), str(last)):
            return datetime.fromisoformat(at), UUID(last)
        case _:
            raise no_cursor()


def open_cursor(context: Context[Any], cursor: str, label: str) -> tuple[Scalar, ...]:
    """Return the position that a cursor holds.

    Raises:
        CursorInvalid: forged, or another account's or query's; it says which parameter that is.
    """
    try:
        return context.crypto.page_cursors.open(cursor, account=context.actor.account_id, query=label.encode())
    except CursorInvalid:
        raise no_cursor() from None


def no_cursor() -> CursorInvalid:
    """Return the refusal of a cursor, with the parameter that it came in."""
    return CursorInvalid(Fault("?cursor", CursorInvalid.code, "This is not a cursor of this list, given to you."))


def page_of(
    context: Context[Any], items: Sequence[T], query: PageQuery | WholeQuery, label: str, id_of: Callable[[T], object]
) -> tuple[Sequence[T], str | None]:
    """Return one page of a list that is whole at hand, and the cursor to the next; ``id_of`` tells items apart.

    Raises:
        CursorInvalid: forged, another account's or list's, or the item it ended at is there no longer.
    """
    ids = [str(id_of(item)) for item in items]
    first = 0
    if query.cursor is not None:
        match open_cursor(context, query.cursor, label):
            case (str(last),) if last in ids:
                first = ids.index(last) + 1
            case _:
                raise no_cursor()
    end = first + (query.limit or len(items))
    if end >= len(items):
        return items[first:], None
    cursor = context.crypto.page_cursors.seal((ids[end - 1],), account=context.actor.account_id, query=label.encode())
    return items[first:end], cursor


def next_cursor(context: Context[Any], at: datetime, last: UUID, label: str) -> str:
    """Return the cursor after an item of a newest-first list."""
    return context.crypto.page_cursors.seal(
        (at.isoformat(), str(last)), account=context.actor.account_id, query=label.encode()
    )
