"""Models on disk: activated, rolled back, and noticed by every process that shares the folder."""

import lightgbm as lgb
import numpy as np
import pytest

from services.common.errors import InvalidArgument, NotFound
from services.scoring.lifecycle import compare
from services.scoring.registry import Registry

NAMES = ["a", "b"]


def store_model(registry, version, flip=False):
    """A model whose risk rises with the first feature, or falls."""
    chance = np.random.default_rng(1)
    rows = chance.normal(size=(200, 2))
    bad = (rows[:, 0] > 0) != flip
    parameters = {"objective": "binary", "verbosity": -1, "num_threads": 1}
    booster = lgb.train(parameters, lgb.Dataset(rows, bad.astype(float)), 5)
    card = {"features": NAMES, "calibration": {"slope": 1.0, "intercept": 0.0}}
    registry.save("risk", version, booster, card)


@pytest.fixture
def folder(tmp_path):
    return tmp_path / "own"


@pytest.fixture
def registry(tmp_path, folder):
    """Three models of our own and a shipped one, which is active."""
    shipped = Registry(tmp_path / "none", tmp_path / "shipped")
    store_model(shipped, "0-shipped")
    shipped.activate("risk", "0-shipped")
    made = Registry(tmp_path / "shipped", folder)
    for version in ("1", "2"):
        store_model(made, version)
    store_model(made, "3", flip=True)
    return made


def test_rolling_back_goes_through_the_models_that_were_active(registry):
    for version in ("1", "2", "1", "3"):
        registry.activate("risk", version)

    back = [registry.rollback("risk").version for _ in range(3)]

    assert back == ["1", "2", "0-shipped"]
    assert registry.active("risk").version == "0-shipped"
    with pytest.raises(NotFound) as failure:
        registry.rollback("risk")
    assert failure.value.reason == "MODEL_NOT_FOUND"


def test_another_process_notices_what_was_activated(registry, tmp_path, folder):
    other = Registry(tmp_path / "shipped", folder)
    row = np.array([[2.0, 0.0]], dtype=np.float32)
    before = other.active("risk")

    registry.activate("risk", "3")
    after = other.active("risk")

    assert (before.version, after.version) == ("0-shipped", "3")
    assert before.risk(row) > 0.5 > after.risk(row)  # a call under way keeps what it had


def test_a_model_that_cannot_be_read_does_not_take_over(registry, tmp_path, folder):
    other = Registry(tmp_path / "shipped", folder)
    other.active("risk")
    registry.activate("risk", "2")
    (folder / "risk" / "2" / "model.txt").write_text("torn")

    assert other.active("risk").version == "0-shipped"
    with pytest.raises(InvalidArgument) as refused:
        registry.activate("risk", "2")
    assert refused.value.reason == "FILE_UNREADABLE"


def test_the_list_says_which_model_is_active(registry):
    registry.activate("risk", "2")

    listed = [(version, active) for version, _, active in registry.cards("risk")]

    assert listed == [("3", False), ("2", True), ("1", False), ("0-shipped", False)]


def test_what_was_found_is_written_into_the_card(registry):
    registry.annotate("risk", "2", "comparison", {"difference": -0.1})

    cards = {version: card for version, card, _ in registry.cards("risk")}

    assert '"difference": -0.1' in cards["2"]
    assert registry.load("risk", "2").names == tuple(NAMES)


@pytest.mark.parametrize("version", ["", "9", "../risk/1"])
def test_a_version_that_is_not_there_is_refused(registry, version):
    with pytest.raises(NotFound):
        registry.load("risk", version)


def test_a_name_that_no_model_has_is_refused(registry):
    with pytest.raises(InvalidArgument):
        registry.load("luck", "1")


def test_a_better_model_is_found_better_and_a_worse_one_is_not():
    chance = np.random.default_rng(2)
    truth = chance.random(2_000)
    bad, ones = chance.random(2_000) < truth, np.ones(2_000, dtype=np.float32)
    blurred = 0.5 + (truth - 0.5) / 4

    better = compare("old", truth, blurred, bad, ones)
    worse = compare("old", blurred, truth, bad, ones)

    assert better.activated
    assert better.upper < 0
    assert not worse.activated
    assert worse.lower > 0
    assert better.difference == pytest.approx(-worse.difference)


def test_rows_that_stand_for_others_count_as_many():
    bad = np.array([True, False, False])
    weights = np.array([1, 1, 2], dtype=np.float32)

    found = compare("old", np.array([0.9, 0.1, 0.4]), np.array([0.5, 0.5, 0.5]), bad, weights)

    expected = -(np.log(0.9) + np.log(0.9) + 2 * np.log(0.6)) / 4
    assert found.log_loss == pytest.approx(expected)
    assert found.active_log_loss == pytest.approx(np.log(2))


def test_a_model_that_is_as_good_does_not_take_over():
    bad = np.array([True, False])
    same = np.array([0.6, 0.4])

    assert not compare("old", same, same, bad, np.ones(2, dtype=np.float32)).activated
