"""The verdicts on the claims of the lesson by its recorded runs; a key is words of the claim."""

from helpers.verdicts import HOLDS, NOT, OPEN

VERDICTS = {
    "A student learns more from a teacher than from the labels alone": HOLDS,
    "On the same few rows soft targets teach more than labels": OPEN,
    "Soft targets teach more than the same teacher's hard decisions": NOT,
    "A teacher's soft targets teach more than true labels would": NOT,
    "Unlabelled rows that the teacher labels make a better student": HOLDS,
    "A temperature above 1 teaches better": NOT,
    "A student should start from layers of a larger": HOLDS,
    "The better teacher makes the better student": OPEN,
    "A distilled student keeps 97 % of its teacher's accuracy": NOT,
}
