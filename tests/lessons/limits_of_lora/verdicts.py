"""The verdicts of the lesson's claims, as its record had them when they were written down."""

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
