"""The verdicts on the lesson's claims by its recorded runs, in their order."""

from helpers.verdicts import HOLDS, NOT, OPEN

VERDICTS = [NOT, NOT, OPEN, NOT, HOLDS, NOT, OPEN, NOT]
