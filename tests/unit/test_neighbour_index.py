"""Numbers that call alike: points, the index over them, and campaigns."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from services.common.numbering import parse_column
from services.features.definitions import NAMES
from services.features.similar import campaigns, embedding
from services.features.similar.index import NeighbourIndex

WIDTH = len(embedding.TRAITS)
FIRST = (1 << 60) + 8613800000000


def made(count: int, seed: int = 1) -> tuple[np.ndarray, np.ndarray]:
    rng = np.random.default_rng(seed)
    numbers = FIRST + rng.choice(10**8, count, replace=False)
    return np.sort(numbers), rng.normal(size=(count, WIDTH)).astype(np.float32)


def indexed(numbers: np.ndarray, points: np.ndarray, **more: int) -> NeighbourIndex:
    scale = embedding.Scale(np.zeros(WIDTH, np.float32), np.ones(WIDTH, np.float32))
    return NeighbourIndex.of(7, 1_000, scale, numbers, points, **more)


def nearest(numbers: np.ndarray, points: np.ndarray, at: int, count: int) -> list[int]:
    distance = np.linalg.norm(points - points[at], axis=1)
    distance[at] = np.inf
    return numbers[np.argsort(distance)[:count]].tolist()


def test_a_search_finds_the_nearest_others_and_never_the_number_itself() -> None:
    numbers, points = made(500)
    index = indexed(numbers, points)

    found, distances = index.search(int(numbers[3]), points[3], 8)

    assert found.tolist() == nearest(numbers, points, 3, 8)
    assert np.all(np.diff(distances) >= 0)


def test_a_number_that_is_not_in_the_index_gets_as_many_neighbours() -> None:
    numbers, points = made(50)
    index = indexed(numbers[1:], points[1:])

    found, _ = index.search(int(numbers[0]), points[0], 5)

    assert found.tolist() == nearest(numbers, points, 0, 5)


@pytest.mark.parametrize("exact", [10**6, 100])
def test_an_update_moves_adds_and_drops_numbers(exact: int) -> None:
    numbers, points = made(3_000)
    index = indexed(numbers[:2_900], points[:2_900], exact=exact)
    moved = points.copy()
    moved[5] = points[100] + 0.001

    index.update(numbers[[5, 2_950]], moved[[5, 2_950]], numbers[[200]])

    found, _ = index.search(int(numbers[100]), points[100], 1)
    assert found.tolist() == [numbers[5]]
    assert len(index) == 2_900
    assert len(index.points_there(numbers[[200]])) == 0
    assert index.points(numbers[[2_950]]) == pytest.approx(points[[2_950]])


def test_cells_find_nearly_all_that_comparing_every_point_finds() -> None:
    numbers, points = made(20_000)
    index = indexed(numbers, points, exact=100)
    asked = range(0, 20_000, 400)

    right = [
        len({*index.search(int(numbers[i]), points[i], 10)[0]} & {*nearest(numbers, points, i, 10)})
        for i in asked
    ]

    assert sum(right) / (10 * len(right)) > 0.6  # normal noise has no clusters: the worst case


def test_an_index_is_loaded_as_it_was_saved_and_replaces_the_one_before(tmp_path) -> None:
    numbers, points = made(300)
    indexed(numbers[:10], points[:10]).save(tmp_path)
    later = indexed(numbers, points)
    later.run = 8

    later.save(tmp_path)

    loaded = NeighbourIndex.load(tmp_path, 8)
    assert loaded.search(int(numbers[0]), points[0], 5)[0].tolist() == nearest(
        numbers, points, 0, 5
    )
    assert NeighbourIndex.load(tmp_path, 7) is None
    assert sorted(p.name for p in tmp_path.iterdir()) == ["8.faiss", "8.json"]


@pytest.mark.parametrize("ending", ["faiss", "json"])
def test_a_spoilt_file_is_not_loaded(tmp_path, ending) -> None:
    numbers, points = made(300)
    indexed(numbers, points).save(tmp_path)
    file = tmp_path / f"7.{ending}"
    file.write_bytes(file.read_bytes()[:100])

    assert NeighbourIndex.load(tmp_path, 7) is None


def test_an_index_of_other_traits_is_not_loaded(tmp_path) -> None:
    numbers, points = made(300)
    indexed(numbers, points).save(tmp_path)
    card = tmp_path / "7.json"
    card.write_text(card.read_text().replace("night_ratio", "moon_ratio"))

    assert NeighbourIndex.load(tmp_path, 7) is None


def test_what_is_said_of_a_number_does_not_move_its_point() -> None:
    rows = np.full((2, len(NAMES)), 3, dtype=np.float32)
    for i, name in enumerate(NAMES):
        if "mark" in name:
            rows[1, i] = 50
    _, values = embedding.traits(rows)

    points = embedding.Scale.of(values).points(values)

    assert points[0].tolist() == points[1].tolist()


@settings(max_examples=50, deadline=None)
@given(st.lists(st.floats(0, 1e6, width=32) | st.just(float("nan")), min_size=1, max_size=40))
def test_points_are_finite_whatever_is_not_known(column: list[float]) -> None:
    values = np.repeat(np.array(column, dtype=np.float32)[:, None], WIDTH, axis=1)

    points = embedding.Scale.of(values).points(values)

    assert np.isfinite(points).all()
    assert np.abs(points).max() <= embedding.FARTHEST


def test_shared_traits_are_those_off_the_mean_on_the_same_side() -> None:
    first, second = np.zeros(WIDTH, np.float32), np.zeros(WIDTH, np.float32)
    first[[1, 2, 3]], second[[1, 2, 3]] = [3, -2, 4], [1.5, -4, -4]

    assert embedding.shared(first, second) == [(2, -2.0), (1, 1.5)]


def gang(block: int, days: int, label: int, centre: float, size: int = 6) -> tuple:
    rng = np.random.default_rng(block)
    return (
        FIRST + block * campaigns.BLOCK + np.arange(size),
        centre + rng.normal(scale=0.02, size=(size, WIDTH)).astype(np.float32),
        np.full(size, days, np.uint32),
        np.full(size, label),
    )


def found(*gangs: tuple) -> list[int]:
    columns = [np.concatenate(column) for column in zip(*gangs, strict=True)]
    return campaigns.find(*columns).tolist()


def test_numbers_of_a_block_that_call_alike_are_a_campaign_on_whatever_days() -> None:
    numbers, points, days, labels = gang(1, 0, 0, 0.0)

    of = found((numbers, points, 1 << np.arange(6, dtype=np.uint32), labels), gang(9, 0, 0, 4.0))

    assert of == [0] * 6 + [1] * 6


def test_without_a_block_the_same_days_and_the_same_words_tie() -> None:
    numbers, points, days, labels = gang(1, 0b1110, 5, 0.0)
    apart = FIRST + np.arange(6) * 3 * campaigns.BLOCK

    assert found((apart, points, days, labels)) == [0] * 6
    assert found((apart, points, days, np.arange(1, 7))) == [campaigns.NONE] * 6
    assert found((apart, points, 1 << np.arange(6, dtype=np.uint32), labels)) == [-1] * 6


def test_two_numbers_are_no_campaign() -> None:
    assert found(gang(1, 7, 5, 0.0, size=2)) == [campaigns.NONE] * 2


def test_a_block_is_what_shares_all_but_the_last_four_digits() -> None:
    edge = parse_column(["13612340000", "13612349999", "13612350000", "95588", "95599"]).keys

    blocks = campaigns.blocks_of(edge)

    assert blocks[0] == blocks[1] != blocks[2]
    assert blocks[2] != blocks[3]
