"""Profiles and parameters are checked before anything runs."""

import pytest

from replication.errors import ReplicationError
from replication.settings import PROFILES, SETTINGS, start

PARAMETERS = {"content": "chelsea", "size": None, "iterations": None, "tv_strength": {"relu2_2": 1e-5}, "seed": 0}


def test_the_paper_profile_has_the_papers_settings():
    assert SETTINGS["01_feature_inversion"]["paper"] == {"size": 256, "iterations": 500}
    assert all(set(profiles) == set(PROFILES) for profiles in SETTINGS.values())


def test_none_takes_the_profiles_value_and_a_value_overrides_it():
    run = start("01_feature_inversion", "paper", **(PARAMETERS | {"iterations": 7}))
    assert (run.size, run.iterations, run.content, run.seed) == (256, 7, "chelsea", 0)


@pytest.mark.parametrize(
    ("wrong", "message"),
    [
        ({"sizes": 256}, "sizes must be a list; got 256"),
        ({"sizes": []}, r"sizes must be a list; got \[\]"),
        ({"sizes": [256, 0]}, "each of sizes must be a whole number of at least 1; got 0"),
        ({"precision": "half"}, "a precision is float32 or bfloat16; got 'half'"),
        ({"precisions": ["float32", "tf32"]}, "a precision is float32 or bfloat16; got 'tf32'"),
    ],
)
def test_lists_and_precisions_are_checked(wrong, message):
    parameters = {"sizes": None, "images": None, "iterations": None, "precision": "float32", "seed": 0}
    with pytest.raises(ReplicationError, match=message):
        start("06_objective", "quick", **(parameters | wrong))


@pytest.mark.parametrize(
    ("notebook", "profile", "wrong", "message"),
    [
        ("01_feature_inversion", "fast", {}, "unknown profile 'fast'; choose paper, quick, smoke"),
        ("99_nothing", "quick", {}, "unknown notebook '99_nothing'; there are 01_feature_inversion"),
        ("01_feature_inversion", "quick", {"iterations": 0}, "iterations must be a whole number of at least 1; got 0"),
        ("01_feature_inversion", "quick", {"size": "256"}, "size must be a whole number of at least 1; got '256'"),
        ("01_feature_inversion", "quick", {"iterations": 1.5}, "iterations must be a whole number"),
        ("01_feature_inversion", "quick", {"seed": None}, "seed must be a whole number; got None"),
    ],
)
def test_what_is_wrong_is_named(notebook, profile, wrong, message):
    with pytest.raises(ReplicationError, match=message):
        start(notebook, profile, **(PARAMETERS | wrong))
