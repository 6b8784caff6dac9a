"""What every room needs: errors, seeds, files, run folders, settings."""

from debias_nb.core.rooms import room

__getattr__, __dir__ = room(__name__)
