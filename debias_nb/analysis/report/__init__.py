"""Figures and the page of a run."""

from debias_nb.core.rooms import room

__getattr__, __dir__ = room(__name__)
