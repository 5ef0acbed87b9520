"""Answers to the exercises on gradient surgery and on the front: wrong ones with the words that
name the fault, and right ones."""

from typing import Any

import torch


def wrong_surgery() -> dict[str, tuple[Any, str]]:
    def part(row: Any, other: Any) -> Any:
        return (row @ other) / (other @ other) * other

    def each(step: Any, others: Any = None, asked: Any = lambda row, other: row @ other < 0) -> Any:
        """Loops over rows and over the others, with a fault in `step`, in the order of the
        `others`, or in what is `asked`."""

        def answer(gradients: Any) -> Any:
            new = gradients.clone()
            for i in range(len(new)):
                for j in others(len(new)) if others else range(len(new)):
                    if i != j and asked(new[i], gradients[j]):
                        new[i] = step(new[i], gradients[j])
            return new

        return answer

    def one_after_the_other(gradients: Any) -> Any:
        new = gradients.clone()
        for i in range(len(new)):
            for j in range(len(new)):
                if i != j and new[i] @ new[j] < 0:
                    new[i] -= part(new[i], new[j])
        return new

    def at_once(gradients: Any) -> Any:
        products = (gradients @ gradients.T).clamp(max=0).fill_diagonal_(0)
        return gradients - products / gradients.square().sum(1) @ gradients

    def shown(a: Any, b: Any) -> Any:
        return (a, b) if a @ b >= 0 else (a - part(a, b), b - part(b, a))

    def pairs_only(gradients: Any) -> Any:
        return torch.stack(shown(gradients[0], gradients[1]))

    def in_place(gradients: Any) -> Any:
        gradients[0] -= part(gradients[0], gradients[1])
        return gradients

    off = each(lambda row, other: row - part(row, other))
    return {
        "one after the other": (one_after_the_other, "use the others as they were"),
        "backwards": (
            each(lambda row, other: row - part(row, other), lambda n: reversed(range(n))),
            "from first to last",
        ),
        "at once": (at_once, "all parts are removed at once"),
        "always": (
            each(lambda row, other: row - part(row, other), asked=lambda *_: True),
            "where two agree as well",
        ),
        "the wrong way round": (
            each(
                lambda row, other: row - part(row, other), asked=lambda row, other: row @ other > 0
            ),
            "where they agree, and not where they oppose",
        ),
        "by the length": (
            each(lambda row, other: row - (row @ other) * other / other.norm()),
            "by the length of the other",
        ),
        "by its own square": (
            each(lambda row, other: row - (row @ other) * other / (row @ row)),
            "by its own square",
        ),
        "along itself": (
            each(lambda row, other: row - (row @ other) * row / (other @ other)),
            "along itself, not along the other",
        ),
        "added": (each(lambda row, other: row + part(row, other)), "must be subtracted"),
        "the part": (each(part), "not what remains"),
        "dropped": (each(lambda row, other: 0 * row), "only its opposed part should go"),
        "the first alone": (
            lambda gradients: torch.stack([off(gradients)[0], *gradients[1:]]),
            "only the first is changed",
        ),
        "nothing": (lambda gradients: gradients.clone(), "nothing is removed"),
        "length 1": (
            lambda gradients: torch.nn.functional.normalize(off(gradients)),
            "scaled to length 1",
        ),
        "no square": (each(lambda row, other: row - (row @ other) * other), "row 0 must become"),
        "the sum": (
            lambda gradients: off(gradients).sum(0),
            "must have the shape (tasks, width) = (2, 3)",
        ),
        "as in the lesson": (shown, "must take (gradients)"),
        "two tasks alone": (pairs_only, "must have the shape (tasks, width) = (3, 2)"),
        "in place": (in_place, "writes into `gradients`"),
        "rounded": (lambda gradients: off(gradients).float(), "the dtype of the input"),
        "a list of one": (
            lambda gradients: [off(gradients)],
            "the same number of new gradients, one per row, got a list",
        ),
    }


def right_surgery() -> dict[str, Any]:
    def by_units(gradients: Any) -> list[Any]:
        made = []
        for i, row in enumerate(gradients):
            for j, other in enumerate(gradients):
                unit = other / other.norm()
                row = row - min(0.0, float(row @ unit)) * unit if i != j else row
            made.append(row)
        return made

    def all_rows_together(gradients: Any) -> Any:
        new = gradients.clone()
        for j, other in enumerate(gradients):
            dots = (new @ other).clamp(max=0)
            dots[j] = 0
            new = new - dots[:, None] * other / (other @ other)
        return new

    return {"by unit vectors": by_units, "all rows together": all_rows_together}


def wrong_undominated() -> dict[str, tuple[Any, str]]:
    def kept(gone: Any) -> Any:
        return lambda points: [
            i
            for i, p in enumerate(points)
            if not any(gone(q, p) for j, q in enumerate(points) if j != i)
        ]

    def beats(q: Any, p: Any) -> bool:
        return q[0] >= p[0] and q[1] >= p[1] and q != p

    def sweep(points: Any) -> list[int]:
        """In the order of the target, best first; what ties with the last one kept is lost."""
        best, found = -1.0, []
        for i in sorted(range(len(points)), key=lambda i: (-points[i][0], -points[i][1])):
            if points[i][1] > best:
                found, best = [*found, i], points[i][1]
        return sorted(found)

    def sorts(points: Any) -> Any:
        points.sort()
        return [0]

    right = kept(beats)
    return {
        "better on both": (
            kept(lambda q, p: q[0] > p[0] and q[1] > p[1]),
            "yours asks for better on both",
        ),
        "equal ones go": (
            kept(lambda q, p: q[0] >= p[0] and q[1] >= p[1]),
            "of two equal points neither is better",
        ),
        "one of equals": (sweep, "two equal points, neither better"),
        "beaten on one": (kept(lambda q, p: q[0] > p[0] or q[1] > p[1]), "beaten on one task"),
        "best mean": (
            lambda points: [i for i, p in enumerate(points) if sum(p) == max(map(sum, points))],
            "the best mean alone",
        ),
        "best on either": (
            lambda points: [
                i
                for i, p in enumerate(points)
                if p[0] == max(q[0] for q in points) or p[1] == max(q[1] for q in points)
            ],
            "the best on either task alone",
        ),
        "the beaten": (
            lambda points: [i for i in range(len(points)) if i not in right(points)],
            "points that are dominated",
        ),
        "all": (lambda points: range(len(points)), "that is every point"),
        "the lowest": (
            kept(lambda q, p: q[0] <= p[0] and q[1] <= p[1] and q != p),
            "keeps the lowest",
        ),
        "from 1": (lambda points: [i + 1 for i in right(points)], "must count from 0"),
        "falling": (lambda points: right(points)[::-1], "sort the indices"),
        "points": (
            lambda points: [points[i] for i in right(points)],
            "return positions, not points",
        ),
        "flags": (
            lambda points: [i in right(points) for i in range(len(points))],
            "return positions, not points or flags",
        ),
        "one": (lambda points: right(points)[0], "must be a list of indices, got an int"),
        "in place": (sorts, "writes into `points`"),
    }


def right_undominated() -> dict[str, Any]:
    def by_tensor(points: Any) -> Any:
        p = torch.tensor(points, dtype=torch.float64)
        as_good, better = (p[:, None] >= p[None]).all(-1), (p[:, None] > p[None]).any(-1)
        return torch.nonzero(~(as_good & better).any(0)).flatten()

    def by_loop(points: Any) -> list[int]:
        found = []
        for i, (x, y) in enumerate(points):
            for a, b in points:
                if (a > x and b >= y) or (a >= x and b > y):
                    break
            else:
                found.append(i)
        return found

    return {"by tensor": by_tensor, "by loop": by_loop}
