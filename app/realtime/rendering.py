"""From an event of the stream to what its readers hear: opened once, serialised once. Pure."""

from collections.abc import Mapping
from datetime import datetime
from typing import Any
from uuid import UUID

from app.core.clock import utc
from app.core.ids import CaseId
from app.events.appender import Appended
from app.events.drafts import EventType
from app.identity.directory import Person
from app.realtime import frames


def person_object(person: Person) -> dict[str, object]:
    """Return a person as frames name them; the id is the account's."""
    return {
        "id": person.account_id,
        "name": person.name,
        "role": person.role,
        "organisationId": person.organisation_id,
    }


def posted(appended: Appended, author: Person, client_id: str | None = None) -> bytes:
    """Return the shared body of a message that was just appended; its author's copy names the client's own id."""
    post = appended.post
    data: dict[str, object] = {
        "id": appended.event_id,
        "threadId": post.thread_id,
        "patientId": appended.cell.patient_id,
        "category": appended.cell.category,
        "text": post.text,
        "kind": post.kind,
    }
    if client_id is not None:
        data["clientId"] = client_id
    return frames.event_body(
        appended.case_id, EventType.MESSAGE_POSTED, utc(appended.at), actor=person_object(author), data=data
    )


def event_body(
    row: Mapping[str, Any],
    case_id: CaseId,
    text: str | None,
    people: Mapping[UUID, Person],
    client_id: str | None = None,
) -> bytes | None:
    """Return the shared body of an event read from the stream; None for what is not told over sockets.

    A retracted message is not told: its tombstone is an event of its own.
    """
    data = _data(row, text, people)
    if data is None or row["retracted"]:
        return None
    if client_id is not None:
        data["clientId"] = client_id
    actor = people.get(row["actor_engagement_id"])
    at: datetime = row["at"]
    return frames.event_body(
        case_id, row["type"], utc(at), actor=None if actor is None else person_object(actor), data=data
    )


def _data(row: Mapping[str, Any], text: str | None, people: Mapping[UUID, Person]) -> dict[str, object] | None:
    stored: dict[str, Any] = row["data"] or {}
    about = {"threadId": row["thread_id"], "patientId": row["patient_id"], "category": row["category"]}
    match EventType(row["type"]):
        case EventType.MESSAGE_POSTED:
            return {"id": row["id"], **about, "text": text, "kind": row["kind"]}
        case EventType.MESSAGE_CORRECTED:
            return {"id": row["id"], **about, "corrects": row["refers_to"], "text": text}
        case EventType.MESSAGE_RETRACTED:
            return {"id": row["refers_to"], "threadId": row["thread_id"], "reason": stored.get("reason")}
        case EventType.THREAD_OPENED:
            return thread_data(row, text)
        case EventType.THREAD_RELEASED:
            about["id"] = about.pop("threadId")
            return {**about, "why": stored["why"]}
        case EventType.MEMBER_INVITED | EventType.MEMBER_ACCEPTED | EventType.MEMBER_LEFT:
            person = people.get(UUID(stored["engagementId"]))
            told = {"memberId": stored["memberId"], "person": person_object(person) if person else None}
            return {**told, "why": stored["why"]} if "why" in stored else told
        case EventType.CONSENT_GIVEN | EventType.CONSENT_WITHDRAWN | EventType.CONSENT_EXPIRED:
            return {"id": stored["id"], "patientId": stored["patientId"]}
        case EventType.STATEMENT_ADDED:
            told = {"id": stored["id"], "about": stored["about"], "patientId": row["patient_id"]}
            return told if row["thread_id"] is None else {**told, **about}
        case EventType.ACCESS_CHANGED:
            return {
                "patientId": row["patient_id"],
                "gained": categories(stored["gained"]),
                "lost": categories(stored["lost"]),
                "why": stored["why"],
                "cells": {"gained": stored["gained"], "lost": stored["lost"]},
            }
        case EventType.CASE_OPENED:
            return None


def thread_data(row: Mapping[str, Any], title: str | None) -> dict[str, object]:
    """Return what is told of a thread; its title is absent where it was given before the reader's bound."""
    data = {
        "id": row["thread_id"],
        "patientId": row["patient_id"],
        "category": row["category"],
        "domain": row["domain"],
    }
    return data if title is None else {**data, "title": title}


def thread_body(row: Mapping[str, Any], case_id: CaseId, title: str | None, people: Mapping[UUID, Person]) -> bytes:
    """Return the body of ``thread.opened`` for a thread that just opened to one reader."""
    actor = people.get(row["actor_engagement_id"])
    return frames.event_body(
        case_id,
        EventType.THREAD_OPENED,
        utc(row["at"]),
        actor=None if actor is None else person_object(actor),
        data=thread_data(row, title),
    )


def categories(cells: list[dict[str, Any]]) -> list[str]:
    """Return the categories of some cells, each once, in order."""
    return sorted({cell["category"] for cell in cells})
