"""The verdicts of the lesson's claims, as its record had them when they were written down."""

from helpers.verdicts import HOLDS, NOT, OPEN

VERDICTS = [HOLDS, OPEN, NOT, NOT, HOLDS, NOT, HOLDS, OPEN, NOT]
