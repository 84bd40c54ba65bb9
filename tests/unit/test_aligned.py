"""Columns of a table brought into line with what is asked."""

import numpy as np

from services.features.columns import Aligned

TABLE = {"key": np.array([3, 5, 8]), "value": np.array([30, 50, 80])}


def test_values_stand_where_their_keys_were_asked_in_any_order_and_more_than_once():
    for asked in ([3, 5, 8], [8, 3, 5], [5, 5, 3], [8], [5, 5, 5, 8]):
        found = Aligned(TABLE, "key", np.array(asked)).column("value", 0)

        assert found.tolist() == [key * 10 for key in asked]


def test_a_key_that_the_table_has_not_is_absent():
    found = Aligned(TABLE, "key", np.array([9, 5, 0])).column("value", -1)

    assert found.tolist() == [-1, 50, -1]
