"""How each thing is drawn: by its shape alone it can be told from every other."""

from training.data.world.shapes.animals import ANIMALS
from training.data.world.shapes.food import FOOD
from training.data.world.shapes.home import HOME
from training.data.world.shapes.marks import Shape, Thing
from training.data.world.shapes.plants import PLANTS
from training.data.world.shapes.play import PLAY
from training.data.world.shapes.tools import TOOLS
from training.data.world.shapes.vehicles import VEHICLES
from training.data.world.shapes.wear import WEAR

__all__ = ["SHAPES", "Shape", "Thing"]

SHAPES: dict[str, Thing] = {
    **ANIMALS,
    **FOOD,
    **VEHICLES,
    **HOME,
    **WEAR,
    **PLAY,
    **TOOLS,
    **PLANTS,
}
