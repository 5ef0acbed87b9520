"""The verdicts on the lesson's claims by its recorded runs, in their order."""

from helpers.verdicts import HOLDS, NOT, OPEN

VERDICTS = [
    NOT,
    NOT,
    NOT,
    NOT,
    HOLDS,
    NOT,
    NOT,
    OPEN,
    OPEN,
    OPEN,
    HOLDS,
    OPEN,
    NOT,
    HOLDS,
    NOT,
    NOT,
]
