"""The estimator behind `zhengming model`: what reaches a row's features, what its seed fixes."""

import numpy as np
import pyarrow as pa
import pytest

from services.common.errors import InvalidArgument
from services.scoring.tables import calibration
from services.scoring.tables.candidates import Candidate, blend_shares, worth_going_on
from services.scoring.tables.estimator import TableClassifier, figures
from services.scoring.tables.features import GROUPS, LABELS, Table, group_of, learn_describer
from services.scoring.tables.graph import Edges

COUNT = 240
US_BLOCKS = ("1212555", "1310555", "1415555", "1305555")


def callers(seed):
    """Rows that are numbers, linked to called lines; robots call the same few lines."""
    chance = np.random.default_rng(seed)
    label = (chance.random(COUNT) < 0.3).astype(float)
    ids = [f"{US_BLOCKS[chance.integers(4)]}{at:04d}" for at in range(COUNT)]
    a, b = [], []
    for row, bad in enumerate(label):
        for _ in range(chance.integers(1, 5)):
            line = chance.integers(10) if bad and chance.random() < 0.7 else chance.integers(120)
            a.append(ids[row])
            b.append(f"1202555{line:04d}")
    edges = Edges(pa.array(a), pa.array(b), chance.integers(1, 6, len(a)).astype(float))
    texts = {
        "age": pa.array([f"{value:.2f}" for value in chance.normal(size=COUNT)]),
        "time": pa.array(chance.choice(["am", "pm", ""], COUNT).tolist()),
    }
    return Table(ids, texts), label, edges


def part_of(table, rows):
    texts = {name: column.take(pa.array(rows)) for name, column in table.texts.items()}
    return Table([table.ids[row] for row in rows], texts)


@pytest.fixture(scope="module")
def fitted():
    table, label, edges = callers(1)
    return TableClassifier(bag_count=2).fit(table, label, edges), table, label, edges


def label_features(model, table, label, row):
    """The features that hang on labels, of one row as it is described when it is fitted."""
    rows = model.describer_.fitted_rows().take(np.array([row]))
    return model._label_block(rows, model.fold_[[row]], label).matrix[0]


def test_a_rows_own_label_never_changes_its_features(fitted):
    model, table, label, _ = fitted
    for row in range(0, COUNT, 11):
        turned = label.copy()
        turned[row] = 1 - turned[row]

        before = label_features(model, table, label, row)
        after = label_features(model, table, turned, row)

        np.testing.assert_array_equal(before, after)


def test_no_label_of_a_rows_own_fold_changes_its_features_but_others_do(fitted):
    model, table, label, _ = fitted
    row = 0
    own, others = label.copy(), label.copy()
    own[model.fold_ == model.fold_[row]] = 0
    others[model.fold_ != model.fold_[row]] = 1 - others[model.fold_ != model.fold_[row]]

    before = label_features(model, table, label, row)

    np.testing.assert_array_equal(label_features(model, table, own, row), before)
    assert (label_features(model, table, others, row) != before).any()


def test_features_without_labels_hang_on_no_label():
    table, label, edges = callers(1)
    describer = learn_describer(table, edges)

    blocks = describer.blocks(describer.values, describer.fitted_rows())

    # Labels are no argument of any of them: only the block of labels takes them.
    assert LABELS not in blocks
    assert {group_of(name) for part in blocks.values() for name in part.names} == set(GROUPS) - {
        LABELS
    }


def test_a_row_of_the_graph_and_the_same_row_as_a_new_one_are_described_alike():
    """What is learned from fitted rows must mean the same of rows asked about."""
    table, label, edges = callers(1)
    row = 5
    rest = [at for at in range(COUNT) if at != row]
    others = [a != table.ids[row] for a in edges.a.to_pylist()]
    fewer = Edges(edges.a.filter(others), edges.b.filter(others), edges.weight[others])
    whole, without = learn_describer(table, edges), learn_describer(part_of(table, rest), fewer)
    hidden = label.copy()
    hidden[row] = np.nan

    inside = whole.rows([table.ids[row]], None)
    outside = without.rows([table.ids[row]], edges)
    values = whole.values[[row]]

    for group, features in whole.blocks(values, inside).items():
        np.testing.assert_allclose(features.matrix, without.blocks(values, outside)[group].matrix)
    rates = whole.label_block(inside, hidden), without.label_block(outside, label[rest])
    assert rates[0].names == rates[1].names
    for name, known, new in zip(rates[0].names, *(r.matrix[0] for r in rates), strict=True):
        # Walks pass through the row itself where the graph has it.
        if "walk" not in name:
            assert known == pytest.approx(new), name


def test_labels_at_random_are_not_learned_from_links():
    """Whatever is above chance would be a leak; every row has the same number of links."""
    chance = np.random.default_rng(3)
    ids = [f"p{row}" for row in range(COUNT)]
    label = chance.permutation(np.repeat([0.0, 1.0], COUNT // 2))
    ends = chance.integers(0, 40, COUNT * 3)
    edges = Edges(
        pa.array(np.repeat(ids, 3).tolist()),
        pa.array([f"line{end}" for end in ends]),
        np.ones(len(ends)),
    )
    half = list(range(COUNT // 2))

    model = TableClassifier(bag_count=1).fit(
        part_of(Table(ids, {}), half), label[: COUNT // 2], edges
    )
    found = model.predict(part_of(Table(ids, {}), list(range(COUNT // 2, COUNT))), edges)

    assert 0.35 < figures(found, label[COUNT // 2 :])["auc"] < 0.65
    assert 0.35 < model.figures_["auc"] < 0.65


def test_the_same_seed_gives_the_same_probabilities_and_another_seed_others(fitted):
    model, table, label, edges = fitted

    again = TableClassifier(bag_count=2).fit(table, label, edges)
    other = TableClassifier(bag_count=2, seed=8).fit(table, label, edges)

    expected = model.predict(table, edges)
    np.testing.assert_array_equal(again.predict(table, edges), expected)
    assert (other.predict(table, edges) != expected).any()
    assert again.figures_ == model.figures_


def test_an_answer_does_not_hang_on_the_rows_asked_about_with_it(fitted):
    model, table, _, edges = fitted
    rows = [7, 3, 200]

    together = model.predict(table, edges)
    some = model.predict(part_of(table, rows), edges)

    np.testing.assert_allclose(some, together[rows])


def test_features_that_do_not_match_are_refused_by_name(fitted):
    model, table, _, edges = fitted
    without = TableClassifier()
    without.__dict__.update(model.__dict__)
    without.without = ("links",)

    with pytest.raises(InvalidArgument) as caught:
        without.predict(table, edges)

    assert caught.value.reason == "MODEL_FEATURES_MISMATCH"
    assert "links:degree" in str(caught.value)


def test_a_column_that_is_gone_is_refused_by_name(fitted):
    model, table, _, edges = fitted
    texts = {name: column for name, column in table.texts.items() if name != "age"}

    with pytest.raises(InvalidArgument) as caught:
        model.predict(Table(table.ids, texts), edges)

    assert caught.value.reason == "COLUMN_MISSING"
    assert caught.value.metadata["columns"] == "age"


@pytest.mark.parametrize("group", GROUPS)
def test_a_group_that_is_left_out_is_in_no_part(group):
    table, label, edges = callers(2)

    model = TableClassifier(bag_count=1, without=(group,)).fit(table, label, edges)

    names = [name for part in model.parts_.values() for name in part.names]
    assert names
    assert group not in {group_of(name) for name in names}
    assert np.isfinite(model.predict(table, edges)).all()


def test_a_table_all_of_whose_groups_are_left_out_is_refused():
    table, label, edges = callers(2)

    with pytest.raises(InvalidArgument) as caught:
        TableClassifier(without=GROUPS).fit(table, label, edges)

    assert caught.value.reason == "COLUMN_MISSING"


def test_shares_add_up_to_one_and_links_that_only_add_noise_get_none():
    chance = np.random.default_rng(5)
    label = (chance.random(500) < 0.4).astype(float)
    own, links = Candidate("own", "random"), Candidate("all", "random")
    good = 3 * (label - 0.5) + chance.normal(size=500)

    noisy = blend_shares({own: good, links: chance.normal(size=500)}, label)
    better = blend_shares({own: chance.normal(size=500), links: good}, label)

    assert noisy == {own: 1.0}
    assert sum(better.values()) == pytest.approx(1)
    assert better[links] > 0.5


def test_a_candidate_far_behind_in_one_fold_is_out_and_a_close_one_stays():
    chance = np.random.default_rng(7)
    label = (chance.random(400) < 0.4).astype(float)
    good = 3 * (label - 0.5) + chance.normal(size=400)
    first, close, far = (Candidate(view, "random") for view in ("own", "all", "links"))

    odds = {first: good, close: good + chance.normal(scale=0.3, size=400), far: -good}

    assert worth_going_on(odds, label) == (first, close)


def test_probabilities_are_calibrated_out_of_fold():
    chance = np.random.default_rng(6)
    truth = chance.beta(1, 3, 4000)
    label = (chance.random(4000) < truth).astype(float)
    crooked = truth**3 / (truth**3 + (1 - truth) ** 3)

    _, found = calibration.choose(crooked, label, seed=1)

    assert figures(found, label)["ece"] < 0.03 < figures(crooked, label)["ece"]
