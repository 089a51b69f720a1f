"""SQL of moves."""

from uuid import UUID

from sqlalchemy import insert, text
from sqlalchemy.engine import RowMapping
from sqlalchemy.ext.asyncio import AsyncSession

from app.access.policy import CasePermit
from app.entitlement.model import Move


async def add(db: AsyncSession, permit: CasePermit, row: Move) -> int:
    """Insert a move, end what it ends, and return how many public tasks that were."""
    await db.execute(insert(Move).values(row.model_dump()))
    statement = text("select end_tasks_of_the_moved(:case)")
    return int((await db.execute(statement, {"case": permit.case_id})).scalar_one())


async def one(db: AsyncSession, permit: CasePermit, move_id: UUID) -> RowMapping | None:
    """Return one move of the permitted case."""
    statement = text("select * from move where case_id = :case and id = :id")
    return (await db.execute(statement, {"case": permit.case_id, "id": move_id})).mappings().first()
