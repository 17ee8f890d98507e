"""The settings of an evaluation check themselves."""

import dataclasses

import pytest

from tfdfd.evaluation.config import AGGREGATION_NAMES, TRACK_RULE_NAMES, EvalConfig, RuleConfig
from tfdfd.models.aggregation import AGGREGATIONS, TRACK_RULES


def test_the_names_that_help_lists_are_those_of_the_rules():
    assert tuple(AGGREGATIONS) == AGGREGATION_NAMES
    assert tuple(TRACK_RULES) == TRACK_RULE_NAMES


@pytest.mark.parametrize(
    ("name", "value"),
    [("clip_low", 0.95), ("clip_high", 1.5), ("replicates", 10), ("robustness_clips", 1), ("mistakes", -1)],
)
def test_a_value_out_of_its_range_is_named(name, value):
    with pytest.raises(ValueError, match=f"--{name.replace('_', '-')}"):
        dataclasses.replace(EvalConfig(), **{name: value})


def test_what_is_fitted_cannot_be_given_too():
    with pytest.raises(ValueError, match="fits the temperature"):
        RuleConfig(calibrate_folders="a", temperature=2.0)
    with pytest.raises(ValueError, match="fits the threshold"):
        RuleConfig(calibrate_folders="a", threshold=0.4)


def test_a_rule_that_is_the_models_need_not_be_saved():
    with pytest.raises(ValueError, match="say which"):
        RuleConfig(save_rule=True)
    assert RuleConfig(save_rule=True, aggregate="median").aggregate == "median"
