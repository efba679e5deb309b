"""Which recordings validate: some of each class, or of users that are not trained on."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from eventsim_bridge.training.loop import split_validation
from eventsim_bridge.training.settings import TrainingError


@given(
    labels=st.lists(st.integers(0, 4), min_size=2, max_size=60),
    share=st.floats(0.01, 0.99),
    seed=st.integers(0, 2**63 - 1),
)
def test_the_validation_split_is_stratified_and_apart(
    labels: list[int], share: float, seed: int
) -> None:
    array = np.array(labels)
    if len(set(labels)) == len(labels):
        with pytest.raises(TrainingError, match="two or more of a class"):
            split_validation(array, share, seed)
        return
    train_part, validation = split_validation(array, share, seed)
    assert sorted([*train_part, *validation]) == list(range(len(labels)))
    for label in set(labels):
        members = labels.count(label)
        taken = (array[validation] == label).sum()
        assert taken < members
        assert members == 1 or (taken >= 1 and abs(taken - share * members) <= 1)
    again = split_validation(array, share, seed)
    np.testing.assert_array_equal(validation, again[1])


@given(users=st.integers(2, 30), share=st.floats(0.01, 0.99), seed=st.integers(0, 2**63 - 1))
def test_users_that_validate_are_not_trained_on(users: int, share: float, seed: int) -> None:
    names = np.array([f"user{n}" for n in range(users)]).repeat(4)
    labels = np.tile(np.arange(4), users)
    train_part, validation = split_validation(labels, share, seed, names)
    assert sorted([*train_part, *validation]) == list(range(len(labels)))
    assert not set(names[train_part]) & set(names[validation])
    count = len(set(names[validation]))
    assert 1 <= count < users
    assert abs(count - share * users) <= 1
    assert len(validation) == 4 * count


def test_one_user_alone_is_split_by_class() -> None:
    labels = np.arange(40) % 4
    alone = split_validation(labels, 0.2, 3, ["user01"] * 40)
    for one, other in zip(alone, split_validation(labels, 0.2, 3), strict=True):
        np.testing.assert_array_equal(one, other)


def test_another_seed_validates_on_other_recordings() -> None:
    labels = np.arange(200) % 4
    first, second = (split_validation(labels, 0.2, seed)[1] for seed in (0, 1))
    assert len(first) == len(second) == 40
    assert set(first) != set(second)
