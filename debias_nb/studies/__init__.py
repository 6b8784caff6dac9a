"""Experiments of our own. Nothing imports them."""

from debias_nb.core.rooms import room

__getattr__, __dir__ = room(__name__)
