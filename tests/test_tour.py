"""The tour, against an instance in this process."""

from tests.serving import Instance
from tests.tour import tour


async def test_every_step_of_the_tour_holds(instance: Instance) -> None:
    told: list[str] = []
    await tour(instance.url, told.append)
    assert len(told) == 13
