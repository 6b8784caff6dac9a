"""What do I type? Presets, stages, commands."""

from debias_nb.core.rooms import room

__getattr__, __dir__ = room(__name__)
