"""Answers to the exercises on gradient surgery and on the front: wrong ones with the words that name the fault, and right ones."""

from typing import Any

import torch


def wrong_surgery() -> dict[str, tuple[Any, str]]:
    def part(a: Any, b: Any) -> Any:
        return (a @ b) / (b @ b) * b

    def one_after_the_other(a: Any, b: Any) -> Any:
        a = a - part(a, b) if a @ b < 0 else a
        return a, b - part(b, a) if a @ b < 0 else b

    def where(mend: Any) -> Any:
        return lambda a, b: mend(a, b) if a @ b < 0 else (a, b)

    def in_place(a: Any, b: Any) -> Any:
        if a @ b < 0:
            a -= part(a, b)
        return a, b

    def summed(a: Any, b: Any) -> Any:
        return a + b

    def as_floats(a: Any, b: Any) -> Any:
        return a.float(), b.float()

    return {
        "one after the other": (one_after_the_other, "to the first as it was"),
        "always": (lambda a, b: (a - part(a, b), b - part(b, a)), "where the two agree as well"),
        "the wrong way round": (
            lambda a, b: (a - part(a, b), b - part(b, a)) if a @ b > 0 else (a, b),
            "where they agree, and not where they oppose",
        ),
        "by the length": (
            where(lambda a, b: (a - (a @ b) * b / b.norm(), b - (a @ b) * a / a.norm())),
            "by the length of the other, not by its square",
        ),
        "by its own square": (where(lambda a, b: (a - (a @ b) * b / (a @ a), b - (a @ b) * a / (b @ b))), "by its own square"),
        "along itself": (where(lambda a, b: (a - (a @ b) * a / (b @ b), b - (a @ b) * b / (a @ a))), "along itself, not along the other"),
        "added": (where(lambda a, b: (a + part(a, b), b + part(b, a))), "must be taken away"),
        "the first alone": (where(lambda a, b: (a - part(a, b), b)), "only the first gives way"),
        "the second alone": (where(lambda a, b: (a, b - part(b, a))), "only the second gives way"),
        "the part": (where(lambda a, b: (part(a, b), part(b, a))), "not what is left"),
        "nothing": (lambda a, b: (a.clone(), b.clone()), "nothing is taken away"),
        "swapped": (where(lambda a, b: (b - part(b, a), a - part(a, b))), "a must become"),
        "dropped": (where(lambda a, b: (0 * a, 0 * b)), "only its opposed part should go"),
        "no square": (where(lambda a, b: (a - (a @ b) * b, b - (a @ b) * a)), "a must become"),
        "the sum": (summed, "must be the two new gradients, got a torch.Tensor"),
        "in place": (in_place, "writes into `a`"),
        "rounded": (as_floats, "the dtype of what it was made from"),
        "a number": (lambda a, b: (a @ b, b @ b), "must have the shape that of the old"),
    }


def right_surgery() -> dict[str, Any]:
    def as_rows(a: Any, b: Any) -> Any:
        rows, dot = torch.stack([a, b]), (a @ b).clamp(max=0)
        return rows - dot * rows.flip(0) / rows.flip(0).square().sum(1, keepdim=True)

    def by_units(a: Any, b: Any) -> list[Any]:
        made = []
        for one, other in ((a, b), (b, a)):
            unit = other / other.norm()
            made.append(one - min(0.0, float(one @ unit)) * unit)
        return made

    return {"as rows": as_rows, "by unit vectors": by_units}


def wrong_undominated() -> dict[str, tuple[Any, str]]:
    def kept(gone: Any) -> Any:
        return lambda points: [i for i, p in enumerate(points) if not any(gone(q, p) for j, q in enumerate(points) if j != i)]

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
        "better on both": (kept(lambda q, p: q[0] > p[0] and q[1] > p[1]), "yours asks for better on both"),
        "equal ones go": (kept(lambda q, p: q[0] >= p[0] and q[1] >= p[1]), "of two equal points neither is better"),
        "one of equals": (sweep, "two equal points, neither better"),
        "beaten on one": (kept(lambda q, p: q[0] > p[0] or q[1] > p[1]), "beaten on one task"),
        "best mean": (lambda points: [i for i, p in enumerate(points) if sum(p) == max(map(sum, points))], "the best of the means"),
        "best on either": (
            lambda points: [i for i, p in enumerate(points) if p[0] == max(q[0] for q in points) or p[1] == max(q[1] for q in points)],
            "the best on either task alone",
        ),
        "the beaten": (lambda points: [i for i in range(len(points)) if i not in right(points)], "points that are beaten"),
        "all": (lambda points: range(len(points)), "that is every point"),
        "the lowest": (kept(lambda q, p: q[0] <= p[0] and q[1] <= p[1] and q != p), "keeps the lowest"),
        "from 1": (lambda points: [i + 1 for i in right(points)], "must count from 0"),
        "falling": (lambda points: right(points)[::-1], "list them rising"),
        "points": (lambda points: [points[i] for i in right(points)], "return places, not points"),
        "flags": (lambda points: [i in right(points) for i in range(len(points))], "return places, not points or flags"),
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
