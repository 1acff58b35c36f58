"""What a hand did in MLflow's pages stays; what belongs to somebody else is left alone or told."""

from pathlib import Path

import pytest
from mlflow import MlflowClient

from tasks.register import champion as questions
from tasks.register.predict import Champion
from tasks.register.recorded import tell, whole
from tasks.register.registration import run
from tasks.stage.errors import GristmillError
from tests.register import IDENTITY, evaluate, train

WORSE, BETTER, BEST = "c0" * 32, "ab" * 32, "de" * 32


@pytest.fixture
def two(project: Path) -> Path:
    """`data/tiny` after a champion, version 1, and a better one, version 2."""
    data = project / "data" / "tiny"
    run("tiny")
    train(data, BETTER, seed=1)
    evaluate(data, 2.4)
    run("tiny")
    assert aliases() == {"champion": 2}
    return data


def aliases() -> dict[str, int]:
    return {alias: int(number) for alias, number in MlflowClient().get_registered_model("tiny").aliases.items()}


def give(alias: str, number: int) -> None:
    MlflowClient().set_registered_model_alias("tiny", alias, str(number))


def idle() -> dict:
    """Register again what is registered: nothing may change, and the next time nothing is done."""
    assert whole("tiny") is None
    before, found = aliases(), run("tiny")
    assert before.items() <= aliases().items() and run("tiny") == found and whole("tiny") == found
    return found


def test_a_champion_made_in_the_pages_stays_until_a_new_version_is_better(two: Path) -> None:
    give("champion", 1)
    assert (idle()["alias"], aliases()) == ("challenger", {"champion": 1, "challenger": 2})
    assert questions.champion("tiny")["reason"] == "made champion by hand"
    train(two, BEST, seed=2)
    evaluate(two, 2.3)
    assert run("tiny")["champion"] == 3


def test_a_challenger_made_champion_in_the_pages_is_one(two: Path) -> None:
    train(two, WORSE, seed=2)
    evaluate(two, 2.6)
    assert run("tiny")["alias"] == "challenger"
    give("champion", 3)
    assert run("tiny")["alias"] == "champion"
    assert aliases() == {"champion": 3}
    assert MlflowClient().get_model_version("tiny", "2").description.startswith("was champion until version 3")


def test_an_alias_taken_away_in_the_pages_stays_away(two: Path) -> None:
    MlflowClient().delete_registered_model_alias("tiny", "champion")
    found = run("tiny")
    assert (found["champion"], found["reason"]) == (None, "the alias champion was taken away by hand")
    assert "champion" not in aliases() and questions.champion("tiny") is None
    assert run("tiny") == found
    train(two, WORSE, seed=2)
    assert run("tiny")["champion"] == 3


def test_a_challenger_and_other_aliases_stay_where_a_hand_put_them(two: Path) -> None:
    train(two, WORSE, seed=2)
    evaluate(two, 2.6)
    run("tiny")
    give("challenger", 1)
    give("production", 1)
    found = idle()
    assert found["alias"] is None and found["model_uri"] == "models:/tiny/3"
    assert aliases() == {"champion": 2, "challenger": 1, "production": 1}


def test_a_description_written_in_the_pages_stays(two: Path) -> None:
    MlflowClient().update_model_version("tiny", "2", "the one for the fair")
    run("tiny")
    questions.promote("tiny", 1)
    assert MlflowClient().get_model_version("tiny", "2").description == "the one for the fair"


def test_a_crash_while_an_alias_moves_is_no_hand(project: Path, monkeypatch) -> None:
    def crash(*_: object) -> None:
        raise KeyboardInterrupt

    data = project / "data" / "tiny"
    run("tiny")
    train(data, BETTER, seed=1)
    evaluate(data, 2.4)
    with monkeypatch.context() as patch, pytest.raises(KeyboardInterrupt):
        patch.setattr(MlflowClient, "set_registered_model_alias", crash)
        run("tiny")
    assert run("tiny")["reason"].startswith("better: ") and aliases() == {"champion": 2}


@pytest.fixture
def foreign(project: Path) -> MlflowClient:
    """A registered model `tiny` of somebody else, with a version that is champion and tags of all kinds."""
    client = MlflowClient()
    client.create_registered_model("tiny")
    client.create_model_version("tiny", "s3://elsewhere/model", tags={"gristmill.value": "high", "stage": "x"})
    client.update_model_version("tiny", "1", "of the other team")
    client.set_registered_model_tag("tiny", "gristmill.champion", "ours")
    give("champion", 1)
    return client


def test_a_champion_of_somebody_else_is_named_and_stays(foreign: MlflowClient) -> None:
    found = run("tiny")
    assert (found["version"], found["alias"], found["champion"]) == (2, "challenger", 1)
    assert found["reason"] == "version 1 is champion and has no score of Gristmill to compare with"
    assert questions.champion("tiny")["value"] is None
    assert questions.runs("tiny")[0]["version"] == 2
    assert whole("tiny") is not None


def test_a_version_of_somebody_else_can_be_promoted(foreign: MlflowClient) -> None:
    give("champion", 1)
    run("tiny")
    assert questions.promote("tiny", 2) == "version 2 of tiny is now champion; version 1 was before"
    assert questions.promote("tiny", 1) == "version 1 of tiny is now champion; version 2 was before"
    assert foreign.get_model_version("tiny", "1").description == "of the other team"
    assert run("tiny")["champion"] == 1


@pytest.mark.parametrize("value", ["high", "nan", ""])
def test_a_score_that_is_no_number_is_never_beaten(project: Path, value: str) -> None:
    run("tiny")
    MlflowClient().set_model_version_tag("tiny", "1", "gristmill.value", value)
    MlflowClient().set_model_version_tag("tiny", "1", "gristmill.baselines", value)
    train(project / "data" / "tiny", BETTER, seed=1)
    assert run("tiny")["champion"] == 1


def test_a_name_that_a_prompt_has_is_told(project: Path) -> None:
    import mlflow

    mlflow.genai.register_prompt("tiny", "Say {{what}}.")
    with pytest.raises(GristmillError, match=r"^tiny is a prompt in MLflow.*register\.model_name"):
        run("tiny")


def test_a_champion_worse_than_a_baseline_is_told_everywhere(project: Path, capsys) -> None:
    evaluate(project / "data" / "tiny", 3.5)
    warning = "version 1 is champion with bits_per_byte 3.5000, which is not better than the baseline (xz 3.0000)"
    found = run("tiny")
    assert found["warnings"] == [warning]
    assert f"WARNING: {warning}" in capsys.readouterr().err
    assert warning in MlflowClient().get_model_version("tiny", "1").description
    assert questions.champion("tiny")["warnings"] == questions.runs("tiny")[0]["warnings"] == [warning]
    assert questions.promote("tiny", 1).endswith(f"warning: {warning}")
    tell(whole("tiny"))
    assert warning in capsys.readouterr().err
    evaluate(project / "data" / "tiny", 5.0)
    assert "not better than any baseline (unigram 4.5000, xz 3.0000)" in run("tiny")["warnings"][0]
    evaluate(project / "data" / "tiny", 2.5)
    assert run("tiny")["warnings"] == [] and "Warning" not in MlflowClient().get_model_version("tiny", "1").description


def test_a_champion_worse_than_an_earlier_challenger_is_told(project: Path) -> None:
    recipe, data = Path("recipes/tiny.yaml"), project / "data" / "tiny"
    text = recipe.read_text()
    recipe.write_text(f"{text}\nregister: {{at_most: 2.0}}\n")
    assert run("tiny")["champion"] is None
    recipe.write_text(text)
    train(data, WORSE, seed=1)
    evaluate(data, 2.6)
    found = run("tiny")
    assert found["champion"] == 2
    assert found["warnings"] == [
        "version 2 is champion with bits_per_byte 2.6000, but version 1 has 2.5000;"
        " to promote it: gristmill promote tiny 1"
    ]
    assert IDENTITY in MlflowClient().get_model_version("tiny", "1").tags.values()


def test_a_renamed_model_is_told_once(project: Path, capfd: pytest.CaptureFixture[str]) -> None:
    run("tiny")
    MlflowClient().rename_registered_model("tiny", "grand")
    capfd.readouterr()
    assert run("tiny")["new"]
    assert (
        "WARNING: this training is also registered as grand; if somebody renamed tiny, write" in capfd.readouterr().err
    )
    MlflowClient().copy_model_version("models:/tiny/1", "production")
    MlflowClient().delete_registered_model("grand")
    MlflowClient().delete_model_version("tiny", "1")
    assert run("tiny")["new"]
    assert "also registered" not in capfd.readouterr().err


def test_a_champion_that_does_not_load_is_named(foreign: MlflowClient, tmp_path: Path) -> None:
    (tmp_path / "model").mkdir()
    for number, source in enumerate(("s3://127.0.0.1/none", str(tmp_path / "model")), start=2):
        foreign.create_model_version("tiny", source)
        give("champion", number)
        with pytest.raises(GristmillError, match=rf"^version {number} of tiny cannot be loaded \([^\n]+\)$"):
            Champion("tiny").predict(["a"], {})


def test_a_champion_whose_weights_are_damaged_says_what_to_run(project: Path) -> None:
    run("tiny")
    next(Path("mlruns").rglob("*.safetensors")).write_bytes(b"x")
    with pytest.raises(
        GristmillError, match=r"^version 1 of tiny cannot .*; `gristmill run tiny` stores the model again"
    ):
        Champion("tiny").predict(["a"], {})
    run("tiny")
    assert Champion("tiny").predict(["a"], {"max_new_tokens": 2})


def test_where_an_alias_was_taken_away_predict_says_how_to_give_it(two: Path) -> None:
    MlflowClient().delete_registered_model_alias("tiny", "champion")
    with pytest.raises(GristmillError, match=r"^tiny has no champion; make one: gristmill promote tiny N \(N: 1, 2\)$"):
        Champion("tiny")
