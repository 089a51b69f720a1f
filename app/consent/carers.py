"""What an informal carer may be shown by consent, in three levels; read only. Pure. Source: BUNDLES 3a to 3c."""

from collections.abc import Iterable, Iterator, Mapping
from enum import StrEnum
from types import MappingProxyType

from app.access.vocabulary import Category
from app.core.errors import Fault


class Level(StrEnum):
    """How much somebody near to the citizen thinks along."""

    AGENDA = "agenda"
    PLAN = "plan"
    CHOSEN = "chosen"


_AGENDA = frozenset({Category.PRACTICAL_COORDINATION})
_PLAN = _AGENDA | {Category.PLAN_GOALS_ACTIONS, Category.CONTACT_NETWORK, Category.MDO_REPORT}

LEVELS: Mapping[Level, frozenset[Category]] = MappingProxyType(
    {Level.AGENDA: _AGENDA, Level.PLAN: _PLAN, Level.CHOSEN: _PLAN}
)
"""The categories of each level; ``chosen`` has those of ``plan``, and whichever the citizen chose besides."""


def level_faults(level: Level, categories: Iterable[Category]) -> Iterator[Fault]:
    """Yield what does not fit between a level and the categories that are asked about."""
    asked = frozenset(categories)
    fits = asked > LEVELS[level] if level is Level.CHOSEN else asked == LEVELS[level]
    if not fits:
        yield Fault("/categories", "other-level", "These are not the categories of this level.")
