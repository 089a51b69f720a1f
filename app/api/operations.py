"""What every operation declares: who it is for, its action, how it is logged. An undeclared route cannot be built."""

from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from enum import StrEnum
from inspect import Parameter, Signature, signature
from typing import Annotated, Any, TypeVar
from uuid import UUID

from fastapi import Path
from fastapi import Query as QueryParams
from pydantic import BaseModel, ConfigDict
from pydantic.alias_generators import to_camel

from app.access.vocabulary import Action
from app.api.dialects import JSON, Dialect
from app.audit.records import ActionCode

F = TypeVar("F", bound=Callable[..., Any])

LIMIT_DEFAULT = 50
LIMIT_MAX = 100
ACCESS_MEMBER = "x-access"
"""The member of an operation in the OpenAPI document that says what it declares."""


class Scope(StrEnum):
    """On what a permit rests: nothing, one's own lists, the role, or one case."""

    PUBLIC = "public"
    SELF = "self"
    ROLE = "role"
    CASE = "case"


class Content(StrEnum):
    """What protected content an operation shows: none, who people are, what the case's cells hold, or the log."""

    NONE = "none"
    DIRECTORY = "directory"
    IDENTIFICATION = "identification"
    CASE = "case"
    LOG = "log"


@dataclass(frozen=True, slots=True)
class EntityPath:
    """The thing in the path that leads to a case: its kind, and the endpoint's parameter that holds its id."""

    kind: str
    parameter: str


@dataclass(frozen=True, slots=True)
class Operation:
    """The declaration of one operation.

    ``replay`` renders what an earlier request with the same key made. ``appends`` means that the appender decides and
    writes; ``demo`` that outside demo mode there is no such operation. ``dialect`` is how bodies and refusals are
    spelt. ``exports`` means that the answer comes in pages, each of a transaction of its own.
    """

    scope: Scope
    action: Action
    audit: ActionCode
    content: Content
    entity: EntityPath | None = None
    replay: Callable[[Any, UUID], Awaitable[BaseModel]] | None = None
    body_optional: bool = False
    appends: bool = False
    demo: bool = False
    dialect: Dialect = JSON
    prepare: Callable[[Any, Any], Awaitable[object]] | None = None
    exports: bool = False

    @property
    def limited(self) -> bool:
        """Whether those who ask without a name are counted: but for what says that the service is well, and demos."""
        return not self.demo and self.action is not Action.SYSTEM_READ

    @property
    def takes_key(self) -> bool:
        """Whether an ``Idempotency-Key`` means anything here."""
        return self.appends or self.replay is not None

    def described(self) -> dict[str, str]:
        """Return the declaration as the OpenAPI document shows it."""
        return {"scope": self.scope, "action": self.action, "content": self.content, "audit": self.audit}


def operation(
    scope: Scope,
    action: Action,
    audit: ActionCode,
    content: Content,
    *,
    entity: EntityPath | None = None,
    replay: Callable[[Any, UUID], Awaitable[BaseModel]] | None = None,
    body_optional: bool = False,
    appends: bool = False,
    demo: bool = False,
    dialect: Dialect = JSON,
    prepare: Callable[[Any, Any], Awaitable[object]] | None = None,
    exports: bool = False,
) -> Callable[[F], F]:
    """Declare an endpoint; see :class:`Operation`.

    Raises:
        TypeError: a case operation that names no entity, or an entity without a case.
    """
    if (scope is Scope.CASE) != (entity is not None):
        raise TypeError(f"{action}: an operation on a case names the thing in its path, and no other does")

    def declare(endpoint: F) -> F:
        declared = Operation(
            scope, action, audit, content, entity, replay, body_optional, appends, demo, dialect, prepare, exports
        )
        endpoint.operation = declared  # type: ignore[attr-defined]  # read back by OperationRoute
        # The first parameter is the edge's to give; the framework, which documents the others, must not see it.
        whole = signature(endpoint)
        _context, *others = whole.parameters.values()
        endpoint.__signature__ = Signature(  # type: ignore[attr-defined]  # honoured by inspect
            [_documented(parameter) for parameter in others], return_annotation=whole.return_annotation
        )
        return endpoint

    return declare


def _documented(parameter: Parameter) -> Parameter:
    """Return a parameter as the framework documents it: a model of query parameters says that it is one."""
    if isinstance(parameter.annotation, type) and issubclass(parameter.annotation, Query):
        return parameter.replace(annotation=Annotated[parameter.annotation, QueryParams()])
    return parameter


CASE = EntityPath("case", "case_id")
THREAD = EntityPath("thread", "thread_id")
MESSAGE = EntityPath("message", "message_id")
CONSENT = EntityPath("consent", "consent_id")

CaseIdPath = Annotated[UUID, Path(alias="caseId", description="The case.")]
ThreadIdPath = Annotated[UUID, Path(alias="threadId", description="The thread.")]
MessageIdPath = Annotated[UUID, Path(alias="messageId", description="The message.")]
ConsentIdPath = Annotated[UUID, Path(alias="consentId", description="The consent.")]
MemberIdPath = Annotated[UUID, Path(alias="memberId", description="The member.")]
TaskIdPath = Annotated[UUID, Path(alias="taskId", description="The public task.")]


class Query(BaseModel):
    """Base of query parameters: lowerCamelCase, unknown ones refused."""

    model_config = ConfigDict(alias_generator=to_camel, extra="forbid", frozen=True)


class Out(BaseModel):
    """Base of what an operation answers. A field that is not set is hidden: absent from the answer."""

    model_config = ConfigDict(alias_generator=to_camel, populate_by_name=True, frozen=True)
