"""Whether numbers that behave alike tell more: python -m loadtests.bench_neighbours [--unseen].

Simulated cities, each with a seed of its own. A risk model learns from all cities but one and is
judged on that one: without the feature `alike_distance`, with it, and without it but with other
columns about the nearest (`--beside`: with it, and with these besides); the differences are paired
by city. Embeddings: standardised behaviour, and the leaves that a behaviour-only LightGBM (learned
on the other cities) puts a number into. Known bad: two marks and more, or a posterior against the
number; a number's own marks never count for itself. `--unseen`: for each category, by a model that
learned from none of its numbers, and judged on them and the ordinary ones: how a kind of nuisance
is met that is new.
"""

import argparse
import tempfile
import time
from collections.abc import Mapping
from pathlib import Path

import faiss
import lightgbm as lgb
import numpy as np
import numpy.typing as npt
from sklearn.decomposition import TruncatedSVD
from sklearn.metrics import average_precision_score, log_loss, roc_auc_score
from sklearn.preprocessing import OneHotEncoder

from loadtests.simulated_rows import CityRows, city_rows
from services.features.similar.embedding import TRAITS, Scale
from services.features.similar.index import NeighbourIndex
from services.scoring import domain

F32 = npt.NDArray[np.float32]
FEATURE = "alike_distance"
K = 20
UNSEEN_NUMBERS = 200
"""Categories of fewer bad numbers in all cities are not left out by turns."""
UNSEEN_TREES = 150
LEAF_TREES = 60
LEAF_DIMENSIONS = 32
FEW_MARKS = 1


def standardised(rows: F32) -> F32:
    """As the index has them."""
    return Scale.of(rows).points(rows)


def leaves(train: list[tuple[F32, npt.NDArray[np.bool_]]], rows: F32) -> F32:
    """Leaves of a behaviour-only model of other cities, one-hot and reduced, (n, d)."""
    x, y = np.concatenate([t[0] for t in train]), np.concatenate([t[1] for t in train])
    booster = lgb.train(
        {**domain.PARAMETERS, "objective": "binary", "seed": 1}, lgb.Dataset(x, y), LEAF_TREES
    )
    at = booster.predict(rows, pred_leaf=True).astype(np.int32)
    hot = OneHotEncoder(handle_unknown="ignore").fit_transform(at)
    return np.ascontiguousarray(
        TruncatedSVD(LEAF_DIMENSIONS, random_state=1).fit_transform(hot), dtype=np.float32
    )


def nearest(embedding: F32) -> tuple[npt.NDArray[np.int64], F32]:
    """The K nearest others of each row and their squared distances, (n, K)."""
    index = faiss.IndexFlatL2(embedding.shape[1])
    index.add(embedding)
    distance, at = index.search(embedding, K + 1)
    own = at == np.arange(len(at))[:, None]
    own[~own.any(axis=1), -1] = True  # twins may crowd a row itself out
    keep = ~own
    return at[keep].reshape(-1, K), distance[keep].reshape(-1, K)


def known_bad(city: CityRows) -> dict[str, npt.NDArray[np.float64]]:
    """How bad each number is known to be, by what the marks say, (n,)."""
    marks = city.rows[:, city.names.index("marks_count")]
    parts = [city.rows[:, city.names.index(name)] for name in BAD_POSTERIORS]
    return {
        "two marks": (marks >= 2).astype(float),
        "posterior": np.where(marks > 0, np.nan_to_num(sum(parts)), 0.0),
    }


BAD_POSTERIORS = ("posterior_illegal", "posterior_malicious", "posterior_marketing")


def densities(city: CityRows, alike: Mapping[str, F32]) -> dict[str, F32]:
    """By variant: columns for the numbers of a city, NaN without behaviour, (n, columns)."""
    have = has_behaviour(city)
    found = {}
    for name, embedding in alike.items():
        at, distance = nearest(embedding)
        near = np.exp(-distance / (np.median(distance[:, -1]) + 1e-9))
        columns = {f"{name}, mean distance": [distance.mean(axis=1)]}
        for what, bad in known_bad(city).items():
            weighted = (bad[have][at] * near).sum(axis=1) / near.sum(axis=1)
            columns[f"{name}, {what}"] = [bad[have][at].mean(axis=1), weighted]
        for variant, some in columns.items():
            whole = np.full((len(have), len(some)), np.nan, dtype=np.float32)
            whole[have] = np.stack(some, axis=1)
            found[variant] = whole
    return found


def has_behaviour(city: CityRows) -> npt.NDArray[np.bool_]:
    """Which numbers carriers tell of, (n,)."""
    return np.asarray(city.rows[:, city.names.index("active_days")] > 0)


def behaviour(city: CityRows) -> F32:
    """Behaviour of the numbers that have it, (m, d)."""
    columns = [city.names.index(name) for name in TRAITS]
    return city.rows[has_behaviour(city)][:, columns]


def purity(city: CityRows, alike: Mapping[str, F32]) -> dict[str, tuple[float, float]]:
    """Share of the ten nearest of bad numbers that are bad, and of their very category."""
    have = has_behaviour(city)
    bad, category = city.bad[have], city.category[have]
    found = {
        "by chance": (
            float(bad.mean()),
            float(np.mean([(category == c).mean() for c in category[bad]])),
        )
    }
    for name, embedding in alike.items():
        at = nearest(embedding)[0][bad][:, :10]
        found[name] = float(bad[at].mean()), float((category[at] == category[bad][:, None]).mean())
    return found


def judged(rows: list[F32], cities: list[CityRows], held: int) -> npt.NDArray[np.float64]:
    """Risk of the numbers of one city by a model of the others."""
    others = [i for i in range(len(cities)) if i != held]
    bad = np.concatenate([cities[i].bad for i in others])
    graded = bad.astype(np.float32)
    booster, slope, intercept, _, _ = domain.fit(
        np.concatenate([rows[i] for i in others]),
        bad,
        graded,
        np.ones_like(graded),
        np.concatenate([cities[i].numbers for i in others]),
        seed=0,
    )
    return domain.sigmoid(slope * domain.margins(booster, rows[held]) + intercept)


def judged_unseen(
    rows: list[F32], cities: list[CityRows], held: int, category: str
) -> npt.NDArray[np.float64]:
    """Margins of the numbers of one city by trees that learned from the others, but for a category.

    A fixed count of trees: there are very many models, and only their order is looked at.
    """
    kept = {i: city.category != category for i, city in enumerate(cities) if i != held}
    train = lgb.Dataset(
        np.concatenate([rows[i][at] for i, at in kept.items()]),
        np.concatenate([cities[i].bad[at] for i, at in kept.items()]).astype(np.float32),
    )
    booster = lgb.train({**domain.PARAMETERS, "seed": 0}, train, UNSEEN_TREES)
    return domain.margins(booster, rows[held])


def figures(risk: npt.NDArray[np.float64], bad: npt.NDArray[np.bool_]) -> npt.NDArray[np.float64]:
    """AUC, average precision, log loss."""
    return np.append(ranking(risk, bad), log_loss(bad, risk))


def ranking(risk: npt.NDArray[np.float64], bad: npt.NDArray[np.bool_]) -> npt.NDArray[np.float64]:
    """AUC, average precision."""
    return np.array([roc_auc_score(bad, risk), average_precision_score(bad, risk)])


def cells(points: F32, count: int) -> None:
    """What the inverted file finds of what comparing every point finds, and how fast both are."""
    rng = np.random.default_rng(1)
    more = points[rng.integers(0, len(points), count)]
    more = (more + rng.normal(scale=0.2, size=more.shape)).astype(np.float32)
    numbers = np.arange(1, count + 1, dtype=np.int64)
    none = np.zeros(points.shape[1], dtype=np.float32)
    asked = rng.integers(0, count, 200).tolist()
    answers = []
    for name, exact in (("every point", count), ("cells", 0)):
        began = time.perf_counter()
        index = NeighbourIndex.of(1, 0, Scale(none, none + 1), numbers, more, exact)
        made = time.perf_counter() - began
        began = time.perf_counter()
        answers.append([set(index.search(int(numbers[i]), more[i], 10)[0]) for i in asked])
        each_ms = (time.perf_counter() - began) / len(asked) * 1000
        print(f"{count:,} numbers, {name:12} made in {made:.1f} s, {each_ms:.1f} ms a search")
    found = np.mean([len(a & b) / 10 for a, b in zip(*answers, strict=True)])
    print(f"of the ten nearest, cells find {found:.3f}")


def main() -> None:
    """Print what each set of columns adds, and how pure neighbourhoods are."""
    parser = argparse.ArgumentParser()
    parser.add_argument("--cities", type=int, default=6)
    parser.add_argument("--numbers", type=int, default=12_000)
    parser.add_argument("--variants", nargs="+", help="Only these; default: all.")
    parser.add_argument("--indexed", type=int, default=1_000_000, help="Size of the index timed.")
    parser.add_argument("--rows", type=Path, help="Keep the rows here, and read them if there.")
    parser.add_argument("--beside", action="store_true", help="Add columns to rows that have it.")
    parser.add_argument("--unseen", action="store_true", help="Leave out a category at a time.")
    given = parser.parse_args()
    cities = read(given.cities, given.numbers, given.rows)
    trained = [(behaviour(city), city.bad[has_behaviour(city)]) for city in cities]
    alike = [
        {
            "standardised": standardised(behaviour(city)),
            "leaves": leaves([t for j, t in enumerate(trained) if j != i], behaviour(city)),
        }
        for i, city in enumerate(cities)
    ]
    print(
        f"{len(cities)} cities, {sum(len(c.bad) for c in cities)} numbers, known: {BAD_POSTERIORS}"
    )
    cells(np.concatenate([a["standardised"] for a in alike]), given.indexed)
    pure = [purity(city, a) for city, a in zip(cities, alike, strict=True)]
    for name in pure[0]:
        means = np.mean([p[name] for p in pure], axis=0)
        print(
            f"of ten nearest of a bad number, {name:13} bad {means[0]:.3f}  "
            f"same category {means[1]:.3f}"
        )
    near = [densities(city, a) for city, a in zip(cities, alike, strict=True)]
    shipped = [city.rows for city in cities]
    plain = [np.delete(city.rows, city.names.index(FEATURE), axis=1) for city in cities]
    base = shipped if given.beside else plain
    variants = {"without": base} if given.beside else {"without": base, FEATURE: shipped}
    for name in given.variants or near[0]:
        variants[name] = [np.hstack([b, n[name]]) for b, n in zip(base, near, strict=True)]
    tell(compare_unseen(cities, variants) if given.unseen else compare(cities, variants))


def slices(city: CityRows) -> dict[str, npt.NDArray[np.bool_]]:
    """The numbers that figures are about, (n,) each."""
    marks = city.rows[:, city.names.index("marks_count")]
    return {
        "all": np.ones(len(marks), dtype=bool),
        f"at most {FEW_MARKS} mark": marks <= FEW_MARKS,
        "no mark": marks == 0,
    }


Found = dict[str, dict[str, list[npt.NDArray[np.float64]]]]
"""Figures by slice and variant, of one city or category after the other."""


def compare(cities: list[CityRows], variants: Mapping[str, list[F32]]) -> Found:
    """Figures of each city."""
    found: Found = {}
    for held, city in enumerate(cities):
        for variant, rows in variants.items():
            risk = judged(rows, cities, held)
            for name, at in slices(city).items():
                of = found.setdefault(name, {}).setdefault(variant, [])
                of.append(figures(risk[at], city.bad[at]))
        print(f"city {held + 1} of {len(cities)} judged", flush=True)
    return found


def compare_unseen(cities: list[CityRows], variants: Mapping[str, list[F32]]) -> Found:
    """Figures of each category that was left out, means over the cities."""
    bad = np.concatenate([city.category[city.bad] for city in cities])
    categories, counts = np.unique(bad, return_counts=True)
    found: Found = {}
    for category in categories[counts >= UNSEEN_NUMBERS].tolist():
        each: Found = {}
        for held, city in enumerate(cities):
            asked = ~city.bad | (city.category == category)
            for variant, rows in variants.items():
                margin = judged_unseen(rows, cities, held, category)
                for name, some in slices(city).items():
                    at = some & asked
                    if city.bad[at].any():
                        of = each.setdefault(name, {}).setdefault(variant, [])
                        of.append(ranking(margin[at], city.bad[at]))
        for name, of_variants in each.items():
            for variant, values in of_variants.items():
                of = found.setdefault(name, {}).setdefault(variant, [])
                of.append(np.mean(values, axis=0))
        print(f"{category}, {counts[categories == category][0]} numbers, judged", flush=True)
    return found


def tell(found: Found) -> None:
    """Print means, and means of the paired differences with their standard errors."""
    for name, by_variant in found.items():
        base = np.array(by_variant["without"])
        whats = ("AUC", "PR-AUC", "log loss")[: base.shape[1]]
        shown = " ".join(f"{w} {m:.4f}" for w, m in zip(whats, base.mean(axis=0), strict=True))
        print(f"{name}, {len(base)} paired: without {shown}")
        for variant in list(by_variant)[1:]:
            difference = np.array(by_variant[variant]) - base
            mean = difference.mean(axis=0)
            error = difference.std(axis=0, ddof=1) / np.sqrt(len(difference))
            shown = "  ".join(
                f"{what} {m:+.4f} ± {e:.4f}" for what, m, e in zip(whats, mean, error, strict=True)
            )
            print(f"  with {variant:30} {shown}")


def read(count: int, numbers: int, kept: Path | None) -> list[CityRows]:
    """Rows of cities 1 to count."""
    cities = []
    with tempfile.TemporaryDirectory() as name:
        for seed in range(1, count + 1):
            file = kept / f"city{seed}.npz" if kept else None
            if file and file.exists():
                with np.load(file) as saved:
                    names = tuple(saved["names"].tolist())
                    columns = (saved[name] for name in ("rows", "bad", "category"))
                    cities.append(CityRows(saved["numbers"], names, *columns))
                continue
            city = city_rows(seed, numbers, Path(name) / "engine")
            if file:
                np.savez(file, numbers=city.numbers, names=np.array(city.names), rows=city.rows,
                         bad=city.bad, category=city.category)  # fmt: skip
            cities.append(city)
    return cities


if __name__ == "__main__":
    main()
