"""An attested model is believed on any machine, and not after one bit of anything has changed."""

import json
import os
import shutil
import subprocess
import sys
from base64 import b64decode
from pathlib import Path
from urllib.parse import urlsplit

import mlflow.artifacts
import pytest
from click.testing import CliRunner, Result
from cyclonedx.schema import SchemaVersion
from cyclonedx.validation.json import JsonStrictValidator
from google.protobuf.json_format import ParseDict
from in_toto_attestation.predicates.provenance.v1.provenance_pb2 import Provenance
from in_toto_attestation.v1 import statement_pb2
from in_toto_attestation.v1.statement import Statement
from mlflow.cli import cli as mlflow_command

from flows.cli.main import main
from tasks.attest import statements
from tasks.attest.bom import find_problem
from tasks.attest.keys import PUBLIC, make_keys, read_private
from tasks.attest.layout import BOM, METRICS, SIGNATURE, STAGES, STATEMENT
from tasks.attest.sign import ATTESTED, attest
from tasks.attest.verify import verify_folder, verify_registered
from tasks.register import registration
from tasks.register.recorded import whole
from tasks.stage.errors import GristmillError
from tasks.stage.identity import hash_file, hash_tree
from tasks.tracking.client import connect
from tests.attest.conftest import Mill, change, settings
from tests.scratch import ROOT, command
from tests.scratch import STAGES as ALL

pytestmark = pytest.mark.xdist_group("attest")
TRAIN, CLEAN = (f"{STAGES}/{stage}@tiny.intoto.jsonl" for stage in ("train", "clean"))
WEIGHTS = "model/model.safetensors"


def payload(path: Path) -> dict:
    return json.loads(b64decode(json.loads(path.read_bytes())["payload"]))


def problems(folder: Path, mill: Mill) -> str:
    found = verify_folder(folder, mill.public).problems
    assert found
    return "\n".join(found)


def gristmill(*arguments: str | Path, **environment: str) -> Result:
    """The command in the working directory."""
    return CliRunner().invoke(main, [*map(str, arguments)], env={"COLUMNS": "200", **environment})


def stored_model() -> Path:
    """The folder of version 2 in MLflow."""
    client = connect()
    model = client.get_model_version("tiny", "2").source.removeprefix("models:/")
    return Path(urlsplit(client.get_logged_model(model).artifact_location).path)


def test_the_champion_is_proven_on_a_machine_without_a_project(mill: Mill, copy: Path) -> None:
    line = [sys.executable, "-m", "flows", "verify", "received", "--key", str(mill.public)]
    environment = {**os.environ, "PYTHONPATH": str(ROOT), "COLUMNS": "200"}
    done = subprocess.run(line, cwd=copy.parent, env=environment, capture_output=True, text=True)
    assert (done.returncode, done.stderr) == (0, "")
    assert "tiny version 2: proven" in done.stdout
    assert done.stdout.count(" holds ") == 5
    assert sorted(path.name for path in copy.parent.iterdir()) == ["received"]


def test_one_flipped_bit_ends_with_1_and_has_a_name(mill: Mill, copy: Path) -> None:
    change(copy / WEIGHTS)
    done = gristmill("verify", copy, "--key", mill.public)
    assert done.exit_code == 1
    assert f"{WEIGHTS}: changed: its hash is not that in {STATEMENT}" in done.stderr
    assert "tiny version 2: NOT PROVEN" in done.stderr and "proven" not in done.stdout


def test_one_flipped_bit_in_any_file_has_a_name(mill: Mill, copy: Path) -> None:
    files = sorted(path for path in copy.rglob("*") if path.is_file())
    assert {WEIGHTS, BOM, METRICS, SIGNATURE, STATEMENT, TRAIN} < {path.relative_to(copy).as_posix() for path in files}
    for path in files:
        before = path.read_bytes()
        for place in (0, len(before) // 2, -1):
            change(path, place)
            assert path.relative_to(copy).as_posix() in problems(copy, mill)
            path.write_bytes(before)
    assert verify_folder(copy, mill.public).problems == []


@pytest.mark.parametrize("name", [WEIGHTS, BOM, METRICS, SIGNATURE, STATEMENT, CLEAN, "model/README.md"])
def test_a_missing_file_has_a_name(mill: Mill, copy: Path, name: str) -> None:
    (copy / name).unlink()
    assert f"{name}: missing" in problems(copy, mill)


@pytest.mark.parametrize("name", ["model/more.bin", "model/.gitignore", "attestation/stages/x.intoto.jsonl", "run.sh"])
def test_an_additional_file_has_a_name(mill: Mill, copy: Path, name: str) -> None:
    (copy / name).write_text("{}")
    assert f"{name}: not in {STATEMENT}" in problems(copy, mill)


def test_a_link_is_no_file(mill: Mill, copy: Path) -> None:
    (copy / WEIGHTS).rename(copy.parent / "weights")
    (copy / WEIGHTS).symlink_to(copy.parent / "weights")
    assert f"{WEIGHTS}: not a plain file" in problems(copy, mill)


def test_another_key_proves_nothing(mill: Mill, copy: Path, tmp_path: Path) -> None:
    make_keys(tmp_path / "other")
    (problem, *_) = verify_folder(copy, tmp_path / "other" / PUBLIC).problems
    assert "signed with another key" in problem
    assert verify_folder(copy, tmp_path / "other" / PUBLIC).checks[0].problems


@pytest.mark.parametrize(
    ("spoil", "told"),
    [
        (lambda text: text[: len(text) // 2], "not a signed statement, or cut off"),
        (lambda text: "", "not a signed statement, or cut off"),
        (lambda text: "[" * 100_000, "not a signed statement, or cut off"),
        (lambda text: json.dumps({**json.loads(text), "signatures": []}), "not signed"),
        (lambda text: json.dumps({**json.loads(text), "payloadType": "text/plain"}), "changed after it was signed"),
        (lambda text: " " + text, "changed after it was signed"),
    ],
)
def test_an_unsigned_or_cut_off_statement(mill: Mill, copy: Path, spoil, told: str) -> None:
    for name in (STATEMENT, TRAIN):
        text = (copy / name).read_text()
        (copy / name).write_text(spoil(text))
        assert f"{name}: {told}" in problems(copy, mill)
        (copy / name).write_text(text)


def test_a_statement_of_another_model_does_not_fit(mill: Mill, copy: Path) -> None:
    """Each has a valid signature of the same key."""
    shutil.copy(mill.first / STATEMENT, copy / STATEMENT)
    told = problems(copy, mill)
    assert f"{WEIGHTS}: train@tiny wrote another file than {STATEMENT} names: a statement of another model" in told
    assert f"{WEIGHTS}: changed" in told
    shutil.copy(mill.second / STATEMENT, copy / STATEMENT)
    shutil.copy(mill.first / TRAIN, copy / TRAIN)
    told = problems(copy, mill)
    assert f"{TRAIN}: changed" in told and "data/tiny/model/model.safetensors: evaluate@tiny read other bytes" in told
    shutil.copy(mill.second / CLEAN, copy / TRAIN)
    assert f"{TRAIN}: the statement of clean@tiny, not of train@tiny" in problems(copy, mill)
    shutil.copy(mill.second / TRAIN, copy / TRAIN)
    shutil.copy(mill.second / TRAIN, copy / STATEMENT)
    assert f"{STATEMENT}: a statement about something else" in problems(copy, mill)


def test_a_stage_that_its_own_signer_leaves_out_breaks_the_chain(mill: Mill, copy: Path) -> None:
    """Also if the statement about the model is signed anew without it, by the same key."""
    (copy / CLEAN).unlink()
    statement = payload(copy / STATEMENT)
    definition = statement["predicate"]["buildDefinition"]
    kept = [item for item in definition["resolvedDependencies"] if item["name"] != CLEAN]
    definition["resolvedDependencies"] = kept
    (copy / STATEMENT).write_bytes(statements.sign(statement, read_private(mill.key)))
    verdict = verify_folder(copy, mill.public)
    assert f"{CLEAN}: a broken link: the statement is missing or does not hold" in verdict.problems
    assert [check.what for check in verdict.checks if check.problems] == ["chain", "bill of materials"]


def test_in_totos_own_library_reads_all_statements(mill: Mill) -> None:
    found = sorted((mill.second / STAGES).iterdir())
    assert [path.name.split(".")[0] for path in found] == sorted([*(f"{stage}@tiny" for stage in ALL), "code"])
    for path in (*found, mill.second / STATEMENT):
        statement = payload(path)
        Statement.copy_from_pb(ParseDict(statement, statement_pb2.Statement())).validate()
        read = ParseDict(statement["predicate"], Provenance())
        assert read.build_definition.build_type.startswith("urn:gristmill:")
        assert read.build_definition.resolved_dependencies
        subjects = {item["name"] for item in statement["subject"]}
        assert subjects and all(item["digest"]["sha256"] for item in statement["subject"])


def test_every_hash_is_that_of_a_file(mill: Mill) -> None:
    for path in (mill.second / STAGES).iterdir():
        for item in payload(path)["subject"]:
            assert item["digest"]["sha256"] == hash_file(mill.project / item["name"])
    source = payload(mill.second / f"{STAGES}/ingest@tiny.intoto.jsonl")["predicate"]["buildDefinition"]
    (texts,) = [item for item in source["resolvedDependencies"] if item["name"] == "texts/all.jsonl"]
    assert texts["digest"]["sha256"] == hash_file(mill.project / "texts/all.jsonl") and "annotations" not in texts
    model = payload(mill.second / STATEMENT)["predicate"]
    (commit,) = [item for item in model["buildDefinition"]["resolvedDependencies"] if item["name"] == "commit"]
    assert commit["digest"]["gitCommit"] == command(mill.project, "git", "rev-parse", "HEAD~").stdout.strip()
    assert model["buildDefinition"]["internalParameters"]["uncommitted_changes"] == "true"  # the recipe
    assert {METRICS, BOM, SIGNATURE} < {item["name"] for item in model["runDetails"]["byproducts"]}


def test_the_bill_of_materials_is_cyclonedx_and_says_what_is_in_the_model(mill: Mill) -> None:
    text = (mill.second / BOM).read_text()
    assert JsonStrictValidator(SchemaVersion.V1_6).validate_str(text) is None
    bom = json.loads(text)
    model = bom["metadata"]["component"]
    assert (model["type"], model["name"], model["version"]) == ("machine-learning-model", "tiny", "2")
    metrics = json.loads((mill.second / METRICS).read_text())
    (first, *_) = model["modelCard"]["quantitativeAnalysis"]["performanceMetrics"]
    assert first == {"type": "bits_per_byte", "value": repr(metrics["bits_per_byte"]), "slice": "test split"}
    by_name = {part["name"]: part for part in bom["components"]}
    raw = by_name["data/tiny/raw"]
    assert raw["type"] == "data" and raw["licenses"] == [{"license": {"id": "CC0-1.0"}}]
    assert {"data/tiny/clean/train", "data/tiny/clean/test"} < by_name.keys()
    torch = json.loads((mill.project / "data/code/train.json").read_text())["libraries"]["torch"]
    assert by_name["torch"]["purl"] == f"pkg:pypi/torch@{torch}"
    facts = {item["name"]: item["value"] for item in model["properties"]}
    assert facts["gristmill:training:energy"] == "unknown: not measured"
    assert float(facts["gristmill:training:seconds"]) > 0
    del bom["metadata"]["component"]["name"]
    assert "name" in str(find_problem(json.dumps(bom)))


def test_a_changed_bill_is_told_even_if_it_is_signed_anew(mill: Mill, copy: Path) -> None:
    text = (copy / BOM).read_text()
    digest = hash_file(mill.project / "data/tiny/raw/part-00000.parquet")
    assert digest in text
    (copy / BOM).write_text(text.replace(digest, "0" * 64))
    statement = payload(copy / STATEMENT)
    for item in statement["predicate"]["runDetails"]["byproducts"]:
        if item["name"] == BOM:
            item["digest"]["sha256"] = hash_file(copy / BOM)
    (copy / STATEMENT).write_bytes(statements.sign(statement, read_private(mill.key)))
    told = problems(copy, mill)
    assert told == f"{BOM}: data/tiny/raw/part-00000.parquet: no statement has this file"


def test_the_attestation_comes_with_the_version(mill: Mill, project: Path, tmp_path: Path) -> None:
    for text in ("tiny", "tiny@champion", "tiny:1", "tiny:2"):
        number = text.partition(":")[2]
        assert not number or verify_registered(text, mill.public).title == f"tiny version {number}"
        assert verify_registered(text, mill.public).problems == []
    client = connect()
    version = client.get_model_version("tiny", "2")
    assert "by key" in version.tags[ATTESTED]
    run_files = {item.path for item in client.list_artifacts(version.run_id, "attestation")}
    assert run_files == {STATEMENT, BOM, METRICS, SIGNATURE, STAGES}
    folder = Path(mlflow.artifacts.download_artifacts("models:/tiny/2", dst_path=str(tmp_path / "download")))
    verdict = verify_folder(folder, mill.public)
    assert (verdict.title, verdict.problems) == ("tiny version 2", [])
    change(folder / "served.py")
    (problem,) = verify_folder(folder, mill.public).problems
    assert problem.startswith("mlflow/served.py: changed") and problem.endswith("attest again")


def test_an_idle_run_leaves_the_attestation_valid(mill: Mill, project: Path) -> None:
    found = registration.run("tiny")
    assert verify_registered("tiny:2", mill.public).problems == []
    assert whole("tiny") == {**found, "new": False}


def test_an_attestation_is_renewed(mill: Mill, project: Path, tmp_path: Path) -> None:
    card = stored_model() / "artifacts/model/README.md"
    card.write_text("another card")  # as a register of another version of Gristmill does
    (problem,) = verify_registered("tiny:2", mill.public).problems
    assert problem.startswith("model/README.md: changed") and problem.endswith("attest again")
    client = connect()
    run_id = client.get_model_version("tiny", "2").run_id
    for watts in (100.0, 300.0):
        client.log_metric(run_id, "system/gpu_0_power_usage_watts", watts)
    out = tmp_path / "out"
    attest("tiny:2", mill.key, out=out)
    assert verify_registered("tiny:2", mill.public).problems == verify_folder(out, mill.public).problems == []
    assert (out / "model/README.md").read_text() == "another card"
    model = json.loads((out / BOM).read_text())["metadata"]["component"]
    (used,) = model["modelCard"]["considerations"]["environmentalConsiderations"]["energyConsumptions"]
    seconds = {item["name"]: item["value"] for item in model["properties"]}["gristmill:training:seconds"]
    assert used["activityEnergyCost"] == {"value": pytest.approx(200 * float(seconds) / 3.6e6), "unit": "kWh"}


def test_no_key_reaches_the_record_or_the_project(mill: Mill) -> None:
    secret = mill.key.read_bytes().splitlines()[1]
    for path in (*mill.project.rglob("*"), *mill.second.rglob("*")):
        assert not path.is_file() or secret not in path.read_bytes()


def refused(mill: Mill, told: str, text: str = "tiny") -> None:
    """`attest` says it in a sentence, and keeps nothing."""
    runs = Path("mlruns")
    before = hash_tree(runs)
    with pytest.raises(GristmillError, match=told):
        attest(text, mill.key)
    assert hash_tree(runs) == before


def test_a_file_that_differs_from_the_lock_has_a_name(mill: Mill, project: Path) -> None:
    change(project / "data/tiny/raw/part-00000.parquet")
    refused(mill, r"^data/tiny/raw/part-00000.parquet: differs from dvc.lock \(.*@tiny\); `dvc checkout data/tiny/raw`")
    (project / "data/tiny/raw/part-00000.parquet").unlink()
    refused(mill, r"^data/tiny/raw/part-00000.parquet: differs from dvc.lock")
    shutil.rmtree(project / "data/tiny/raw")
    refused(mill, r"^data/tiny/raw: missing, but dvc.lock \(.*@tiny\) has it; `dvc checkout data/tiny/raw`")
    command(project, "dvc", "checkout", "data/tiny/raw")
    attest("tiny", mill.key)


def test_sources_settings_and_code_must_be_those_of_the_lock(mill: Mill, project: Path) -> None:
    for path in (project / "texts/all.jsonl", project / "tasks/clean/text.py"):
        before = path.read_bytes()
        path.write_bytes(before + b"\n")
        refused(mill, rf"^{path.relative_to(project).parts[0]}.*: differs from dvc.lock .*; run `")
        path.write_bytes(before)
    (project / "recipes/tiny.yaml").write_text(json.dumps({**settings(8), "clean": {"min_words": 2}}))
    refused(mill, r"^recipes/tiny.yaml: clean: differs from dvc.lock \(clean@tiny\); run `gristmill run tiny`")


def test_a_stage_that_the_lock_lacks(mill: Mill, project: Path) -> None:
    (project / "dvc.lock").unlink()
    refused(mill, "^dvc.lock: knows no stage evaluate@tiny; run `gristmill run tiny`")


def test_a_version_whose_files_are_gone_is_refused_until_they_are_back(mill: Mill, project: Path) -> None:
    with pytest.raises(GristmillError, match=r"data/tiny holds training \w+, but tiny:1 is training \w+; ") as error:
        attest("tiny:1", mill.key)
    back = str(error.value).partition("come back with: ")[2]
    assert back.count("; ") == 2
    for line in back.split("; "):
        tool, *arguments = line.split()
        if tool == "mlflow":
            assert CliRunner().invoke(mlflow_command, arguments).exit_code == 0
        else:
            command(project, tool, *arguments)
    attest("tiny:1", mill.key)
    assert verify_registered("tiny:1", mill.public).problems == []


def test_the_model_in_mlflow_must_be_the_one_that_was_trained(mill: Mill, project: Path) -> None:
    change(stored_model() / "artifacts/model/config.json", 0)
    refused(mill, r"^model/config.json: of tiny:2 in MLflow is not that of data/tiny; `gristmill run tiny`", "tiny:2")


def test_other_bad_input_is_told_in_a_sentence(mill: Mill, project: Path, tmp_path: Path) -> None:
    make_keys(tmp_path / "locked", "sesame")
    wide = tmp_path / "wide"
    shutil.copy(mill.key, wide)
    wide.chmod(0o644)
    for arguments, told in (
        (("attest", "tiny", "--key", str(tmp_path / "none")), "none: no such key"),
        (("attest", "tiny", "--key", str(wide)), "others may read this key"),
        (("attest", "tiny", "--key", str(tmp_path / "locked/gristmill.key")), "set GRISTMILL_PASSPHRASE"),
        (("attest", "tinny", "--key", str(mill.key)), "tinny"),
        (("attest", "tiny:2", "--key", str(mill.key), "--out", str(mill.first)), "exists already"),
        (("verify", "nothing-here", "--key", str(mill.public)), "nothing-here"),
        (("verify", str(tmp_path / "no" / "folder"), "--key", str(mill.public)), "folder: not a folder"),
        (("verify", "tiny", "--key", str(mill.key)), "a private key; give its public one"),
        (("keys", "here"), "inside of the project"),
    ):
        done = gristmill(*arguments)
        assert (done.exit_code, done.stdout) == (2, ""), (arguments, done.output)
        assert told in done.stderr and "Traceback" not in done.stderr


def test_a_name_without_a_record_makes_none(mill: Mill, copy: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("MLFLOW_TRACKING_URI", raising=False)
    done = gristmill("verify", "tiny", "--key", mill.public)
    assert (done.exit_code, "tiny: no such folder, and no record of MLflow here" in done.stderr) == (2, True)
    assert [path.name for path in copy.parent.iterdir()] == ["received"]


def test_a_passphrase_comes_from_the_environment(mill: Mill, project: Path, tmp_path: Path) -> None:
    given = {"GRISTMILL_PASSPHRASE": "sesame"}
    assert gristmill("keys", tmp_path / "keys", "--passphrase", **given).exit_code == 0
    out = tmp_path / "out"
    done = gristmill("attest", "tiny:2", "--key", tmp_path / "keys/gristmill.key", "--out", out, **given)
    assert (done.exit_code, done.stderr) == (0, "")
    assert verify_folder(out, tmp_path / "keys" / PUBLIC).problems == []


def test_a_model_that_nobody_attested(mill: Mill, copy: Path) -> None:
    shutil.rmtree(copy / "attestation")
    assert f"{STATEMENT}: missing: this model is not attested" in problems(copy, mill)
