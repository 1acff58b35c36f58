import subprocess
import sys

import pytest

from tasks.stage.errors import RecipeError
from tasks.stage.settings import validate
from tasks.validate.catalogue import OUR_OWN, canonical_name, expectation_names, signature
from tasks.validate.settings import ValidateSettings


def test_the_catalogue_is_that_of_the_library() -> None:
    import great_expectations.expectations as gxe

    built_in = {name for name in dir(gxe) if name.startswith("Expect") or name.endswith("RowsExpectation")}
    built_in -= {"Expectation"}
    assert {signature(name).class_name for name in expectation_names()} == built_in
    compared = 0
    for name in expectation_names():
        model = getattr(gxe, signature(name).class_name)
        if hasattr(model, "__fields__"):
            fields = {key: field.required for key, field in model.__fields__.items() if key not in OUR_OWN}
            assert (name, signature(name).arguments) == (name, set(fields))
            assert (name, signature(name).required) == (name, {key for key, needed in fields.items() if needed})
            compared += 1
    assert compared > 50


def test_both_spellings_are_known() -> None:
    assert canonical_name("ExpectColumnKLDivergenceToBeLessThan") == "expect_column_kl_divergence_to_be_less_than"
    assert canonical_name("expect_column_to_exist") == canonical_name("ExpectColumnToExist") == "expect_column_to_exist"
    assert canonical_name("expect_nothing") is None


def test_settings_are_checked_without_importing_the_library() -> None:
    code = (
        "import sys; from tasks.validate.settings import ValidateSettings; ValidateSettings();"
        "heavy = {'great_expectations', 'pandas', 'polars', 'pyarrow'} & set(sys.modules);"
        "sys.exit(str(heavy) if heavy else 0)"
    )
    assert subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False).stderr == ""


@pytest.mark.parametrize(
    ("expectation", "message"),
    [
        ({"expectation": "expect_column_values_to_be_bewteen"}, "did you mean expect_column_values_to_be_between?"),
        (
            {"expectation": "expect_column_values_to_be_between", "column": "words", "min_vaule": 1},
            "has no argument 'min_vaule'; did you mean min_value?",
        ),
        ({"expectation": "expect_column_values_to_be_between", "min_value": 1}, "requires the argument column"),
        (
            {"expectation": "ExpectColumnMeanToBeBetween", "column": "word", "min_value": 1},
            "column: no column 'word'; did you mean words?",
        ),
        ({"expectation": "expect_compound_columns_to_be_unique", "column_list": ["id", "x"]}, "no column 'x'"),
        ({"expectation": "expect_column_to_exist", "column": "x", "mostly": 1}, "has no argument 'mostly'"),
        ({"expectation": "unexpected_rows_expectation", "unexpected_rows_query": "x"}, "works on database tables only"),
        ({"expectation": "expect_column_to_exist", "column": "x", "severity": "fatal"}, "severity"),
        ({"column": "x"}, "expectations.0.expectation: missing"),
    ],
)
def test_a_wrong_expectation_is_told_by_its_key(expectation: dict, message: str, tmp_path) -> None:
    good = {"expectation": "expect_column_to_exist", "column": "text"}
    with pytest.raises(RecipeError) as error:
        validate(ValidateSettings, {"expectations": [expectation, good]}, tmp_path / "x.yaml", "validate")
    assert message in str(error.value)
    assert "x.yaml: validate.expectations.0" in str(error.value) and "\n" not in str(error.value)
