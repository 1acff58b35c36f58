"""Chat: every score against plain Python and torch, one conversation, one answer, one token at a time."""

import json
import math
from collections import Counter

import numpy as np
import pytest

from tasks.compare.documents import read_documents
from tasks.compare.verdict import compare
from tasks.evaluate.__main__ import STAGE
from tasks.evaluate.chat.baselines import TrainingAnswers
from tasks.evaluate.chat.scores import Answer, AnswerMetric
from tasks.evaluate.chat.tables import by_turn, rates
from tasks.evaluate.rescore import rescore
from tasks.evaluate.score_tables import sums_by_part
from tasks.evaluate.settings import RougeSettings
from tasks.stage.errors import DataError, RecipeError
from tasks.stage.run import run
from tests.evaluate.chats import (
    CHATML,
    GROUPS,
    MARKED,
    PARTS,
    TEST,
    TRAINING,
    chat_project,
    make_chat_model,
    save_chat_tokenizer,
    turns,
    write_chat_model,
    write_chat_recipe,
    write_chat_tokens,
    write_chats,
)
from tests.evaluate.damage import edit_json, edit_weights
from tests.evaluate.outputs import read_output, read_scores, read_signature
from tests.evaluate.projects import run_once
from tests.evaluate.texts import FOLDER

SCORES = ("chrf", "rougeL", "exact_match", "ended")
NEW = 20


@pytest.fixture(scope="module")
def chat_base(chat_bpe):
    return make_chat_model(chat_bpe, steps=0)


@pytest.fixture(scope="module")
def chats(tmp_path_factory, chat_bpe, chat_model, chat_base):
    """The folder with the outputs for a model with a base, on a mixture."""
    return run_once(chat_project, tmp_path_factory.mktemp("chats"), chat_bpe, chat_model, chat_base, part=PARTS)


@pytest.fixture
def chat(tmp_path, monkeypatch, chat_bpe, chat_model):
    return chat_project(tmp_path, monkeypatch, chat_bpe, chat_model)


def plain(model, loaded, messages, place):
    """One answer by plain torch: its bytes, tokens, loss, the generated text, and its scores by the references."""
    import torch
    from rouge_score.rouge_scorer import RougeScorer
    from sacrebleu import sentence_chrf

    prompt = loaded.apply_chat_template(messages[:place], add_generation_prompt=True, return_dict=False)
    whole = loaded.apply_chat_template(messages[: place + 1], return_dict=False)
    end = len(whole) - 1 - whole[::-1].index(loaded.convert_tokens_to_ids("<|im_end|>"))
    ids, loss = list(prompt), 0.0
    with torch.inference_mode():
        logits = model(torch.tensor([whole])).logits[0].double().log_softmax(-1)
        for at in range(len(prompt), end + 1):
            loss -= float(logits[at - 1, whole[at]])
        ended = False
        while len(ids) < len(prompt) + NEW and not ended:
            token = int(model(torch.tensor([ids])).logits[0, -1].argmax())
            ended = token in loaded.convert_tokens_to_ids(["<|im_end|>", "<|endoftext|>"])
            ids += [] if ended else [token]
    text = loaded.decode(ids[len(prompt) :], skip_special_tokens=True).strip()
    reference = messages[place]["content"]
    rouge = RougeScorer(["rougeL"], use_stemmer=True).score(reference.strip(), text)["rougeL"].fmeasure
    scores = (sentence_chrf(text, [reference.strip()]).score, 100 * rouge, text == reference.strip(), ended)
    return {
        "bytes": len(reference.encode()), "tokens": end + 1 - len(prompt), "loss": loss, "text": text,
        **dict(zip(SCORES, map(float, scores), strict=True)),
    }  # fmt: skip


def plain_answers(model, bpe):
    """Each answer of TEST, by conversation; a special token in a message is text here, too."""
    from transformers import AutoTokenizer

    loaded = AutoTokenizer.from_pretrained(bpe)
    ids = loaded.convert_tokens_to_ids
    found = []
    for messages in TEST:
        safe = [{**turn, "content": turn["content"].replace("<|im_end|>", "~~~~")} for turn in messages]
        if safe != messages:
            loaded = AutoTokenizer.from_pretrained(bpe)
            loaded.apply_chat_template = lambda said, loaded=loaded, **how: _as_text(loaded, said, **how)
        places = [place for place, turn in enumerate(messages) if turn["role"] == "assistant"]
        found.append([plain(model, loaded, messages, place) for place in places])
    assert ids("<|im_end|>") is not None
    return found


def _as_text(loaded, messages, add_generation_prompt=False, **_):
    """CHATML by hand, with a tokenizer that reads no special tokens in the contents."""
    start, end = loaded.convert_tokens_to_ids(["<|im_start|>", "<|im_end|>"])

    def text(content):
        return loaded(content, add_special_tokens=False, split_special_tokens=True)["input_ids"]

    ids = []
    for turn in messages:
        ids += [start, *text(f"{turn['role']}\n{turn['content']}"), end, *text("\n")]
    return [*ids, start, *text("assistant\n")] if add_generation_prompt else ids


def mean(values):
    values = list(values)
    return sum(values) / len(values)


def metrics_of(conversations):
    flat = [answer for answers in conversations for answer in answers]
    found = {name: mean(mean(answer[name] for answer in answers) for answers in conversations) for name in SCORES}
    bits = sum(answer["loss"] for answer in flat) / math.log(2) / sum(answer["bytes"] for answer in flat)
    return {"bits_per_byte": bits, **found}


def test_scores_are_those_of_a_plain_loop(chats, chat_bpe, chat_model, chat_base):
    found, rows = read_output("metrics.json", chats), read_scores(chats)
    wanted = plain_answers(chat_model, chat_bpe)
    assert {answer["exact_match"] for answers in wanted for answer in answers} == {0.0, 1.0}
    for prefix, answers in (("", wanted), ("base_", plain_answers(chat_base, chat_bpe))):
        for name, value in metrics_of(answers).items():
            assert found[f"{prefix}{name}"] == pytest.approx(value, rel=1e-5, abs=2e-6), f"{prefix}{name}"
        for turn in (1, 2, 3):
            own = [each[turn - 1 : turn] for each in answers if len(each) >= turn]
            assert found[f"{prefix}by_turn"][str(turn)] == pytest.approx(
                {"answers": len(own), **metrics_of(own)}, rel=1e-5, abs=2e-6
            )
        for part in ("short", "long"):
            own = [each for each, name in zip(answers, PARTS, strict=True) if name == part]
            assert found[f"{prefix}by_part"][part] == pytest.approx(
                {"documents": len(own), **metrics_of(own)}, rel=1e-5, abs=2e-6
            )
    for row, answers, messages in zip(rows, wanted, TEST, strict=True):
        for name in ("bytes", "tokens", "loss"):
            assert row[name] == pytest.approx(sum(answer[name] for answer in answers), rel=1e-5, abs=1e-5)
        assert {name: row[name] for name in SCORES} == pytest.approx(
            {name: mean(answer[name] for answer in answers) for name in SCORES}, abs=1e-5
        )
        assert (row["turns"], row["prediction"], row["reference"]) == (
            len(answers), answers[-1]["text"], messages[-1]["content"],
        )  # fmt: skip
    flat = [answer for answers in wanted for answer in answers]
    assert found["answers"] == found["generated"] == len(flat) and found["cut"] == 0
    assert found["loss"] == pytest.approx(sum(a["loss"] for a in flat) / found["tokens"], rel=1e-5)
    assert list(rows[0]) == [
        "id", "group", "part", "bytes", "tokens", "loss", "turns", "prediction", "reference", *SCORES,
    ]  # fmt: skip


def test_sources_are_told_in_the_order_of_the_corpus_and_turns_by_number():
    row = {"loss": 1.0, "bytes": 1, **dict.fromkeys(SCORES, 1.0)}
    of_sources = sums_by_part(["words", "exam", "words"], [row] * 3, rates)["by_part"]
    assert list(of_sources) == ["words", "exam"]
    assert list(by_turn([row | {"turn": turn} for turn in (2, 1, 3, 1)]))[:2] == ["1", "2"]


def test_white_space_at_the_ends_does_not_count_and_case_does():
    metric = AnswerMetric(RougeSettings())
    texts = [("a cat\n", " a cat"), ("A cat", "a cat"), ("", "a cat"), ("a  cat", "a cat")]
    found = metric.of([Answer(*pair) for pair in texts])
    assert [row["exact_match"] for row in found] == [1.0, 0.0, 0.0, 0.0]
    assert [row["rougeL"] for row in found] == [100.0, 100.0, 0.0, 100.0]
    assert (found[0]["chrf"], found[2]["chrf"]) == (100.0, 0.0) and found[1]["chrf"] < 100 and "ended" not in found[0]
    unicode = AnswerMetric(RougeSettings(tokenizer="unicode")).of([Answer("кошка спит", "кошка", ended=True)])
    assert unicode[0]["rougeL"] == pytest.approx(200 / 3, abs=1e-6) and unicode[0]["ended"] == 1.0


def test_answers_that_a_template_rewrites_later_are_scored_as_they_were_said(chat, chat_bpe, chat_base, tmp_path):
    """As Qwen3's template leaves earlier thoughts out: each answer against the conversation up to it."""
    from transformers import AutoTokenizer

    thoughtless = CHATML.replace("m['content']", "(m['content'] if loop.last else m['content'].split('|')[-1])")
    (tmp_path / "thinking").mkdir()
    bpe = save_chat_tokenizer(tmp_path / "thinking", thoughtless)
    write_chat_model(FOLDER / "model", chat_base, bpe)
    write_chat_tokens(FOLDER / "tokens/train", bpe)
    messages = turns("what is a dog?", "a pet|an animal that barks", "and a house?", "a wall|a building")
    write_chats(FOLDER / "clean/test", [messages, TEST[0]], ["a", "b"])
    run(STAGE, "tiny")
    loaded, row = AutoTokenizer.from_pretrained(bpe), read_scores()[0]
    wanted = [plain(chat_base, loaded, messages, place) for place in (1, 3)]
    assert row["loss"] == pytest.approx(sum(answer["loss"] for answer in wanted), rel=1e-5)
    assert (row["tokens"], row["turns"]) == (sum(answer["tokens"] for answer in wanted), 2)
    assert read_output("metrics.json")["cut"] == 0


def test_samples_show_the_conversation_and_both_models(chats):
    samples = read_output("samples.json", chats)
    assert [sample["id"] for sample in samples] == ["d0", "d1", "d3"]
    rows = {row["id"]: row for row in read_scores(chats)}
    for sample in samples:
        assert sample["text"] == rows[sample["id"]]["prediction"] != sample["base"]
    assert samples[1]["messages"] == TEST[1][:3] and samples[1]["reference"] == TEST[1][3]["content"]
    assert samples[1]["prompt"] == "user: what is a dog?\nassistant: an animal that barks\nuser: and a house?"
    details = read_output("report.json", chats)["details"]
    assert [row["id"] for row in details["best"]] == ["d0", "d1", "d2", "d3", "d4"] == [
        row["id"] for row in details["worst"][::-1]
    ]  # fmt: skip
    assert details["generation"]["max_new_tokens"] == NEW


def slow_nearest(question):
    """TF-IDF of letter trigrams within words, with dictionaries."""

    def grams(text):
        padded = [f" {word} " for word in text.lower().split()]
        return Counter(word[at : at + 3] for word in padded for at in range(len(word) - 2))

    asked = []
    for messages in TRAINING:
        for place in range(1, len(messages)):
            if messages[place]["role"] == "assistant":
                asked.append((messages[place - 1]["content"], messages[place]["content"]))
    texts = [grams(text) for text, _ in asked]

    def vector(counts):
        idf = {g: math.log((1 + len(texts)) / (1 + sum(g in text for text in texts))) + 1 for g in counts}
        weights = {gram: (1 + math.log(count)) * idf[gram] for gram, count in counts.items()}
        size = math.sqrt(sum(weight**2 for weight in weights.values())) or 1
        return {gram: weight / size for gram, weight in weights.items()}

    own = vector(grams(question))
    cosines = [sum(own.get(gram, 0) * weight for gram, weight in vector(text).items()) for text in texts]
    return asked[int(np.argmax(np.round(cosines, 5)))][1]


def test_the_nearest_and_the_most_frequent_answer_are_those_of_plain_python(chats):
    from sacrebleu import sentence_chrf

    found = read_output("metrics.json", chats)
    own = TrainingAnswers(chats / "clean/train")
    near, frequent, exact = [], [], []
    for messages in TEST:
        places = [place for place, turn in enumerate(messages) if turn["role"] == "assistant"]
        answers = [slow_nearest(messages[place - 1]["content"]) for place in places]
        assert list(own.nearest([messages[place - 1]["content"] for place in places])) == answers
        references = [messages[place]["content"].strip() for place in places]
        near.append(mean(sentence_chrf(a, [r]).score for a, r in zip(answers, references, strict=True)))
        exact.append(mean(a == r for a, r in zip(answers, references, strict=True)))
        frequent.append(mean(sentence_chrf("frozen water", [r]).score for r in references))
    assert own.most_frequent == "frozen water"
    assert found["nearest_chrf"] == pytest.approx(mean(near), abs=1e-5)
    assert found["nearest_exact_match"] == pytest.approx(mean(exact), abs=1e-6)
    assert found["frequent_chrf"] == pytest.approx(mean(frequent), abs=1e-5)
    assert 0 < found["frequent_exact_match"] < found["nearest_exact_match"] < 1


def test_the_gain_over_the_base_is_the_paired_difference_of_the_gate(chats, tmp_path, monkeypatch):
    """As `tasks.compare` judges two models, from the scores of both."""
    monkeypatch.chdir(chats.parents[1])
    edit_json_of(chats / "base/gristmill.json", task="chat")
    rescore("tiny", FOLDER / "base", tmp_path / "base")
    new, old = (read_documents(path / "scores.parquet", "chat") for path in (chats / "evaluation", tmp_path / "base"))
    found = read_output("metrics.json", chats)
    for metric in ("bits_per_byte", *SCORES):
        wanted = compare(new, old, metric, {})
        assert found[f"{metric}_gain"] == pytest.approx(wanted.gain, abs=1e-5)
        assert found[f"{metric}_gain_low"] == pytest.approx(wanted.low, abs=1e-4)
        assert found[f"{metric}_gain_high"] == pytest.approx(wanted.high, abs=1e-4)
    assert found["chrf_gain"] == pytest.approx(found["chrf"] - found["base_chrf"], abs=2e-6)
    assert found["bits_per_byte_gain"] == pytest.approx(found["base_bits_per_byte"] - found["bits_per_byte"], abs=2e-6)


def edit_json_of(path, **content):
    path.write_text(json.dumps(content))


def test_intervals_are_of_resampled_groups(chats):
    found, rows = read_output("metrics.json", chats), read_scores(chats)
    names = list(dict.fromkeys(GROUPS))
    random, values = np.random.default_rng(7), []
    for _ in range(50):
        drawn = [row for at in random.choice(3, size=3, replace=True) for row in rows if row["group"] == names[at]]
        values.append(sum(row["loss"] for row in drawn) / math.log(2) / sum(row["bytes"] for row in drawn))
    values.sort()
    assert (found["bits_per_byte_low"], found["bits_per_byte_high"]) == pytest.approx((values[1], values[-2]), abs=1e-5)


def test_one_group_has_no_interval(chat):
    write_chats(FOLDER / "clean/test", TEST, ["a"] * len(TEST))
    run(STAGE, "tiny")
    assert not any(key.endswith(("_low", "_high")) for key in read_output("metrics.json"))


@pytest.mark.parametrize(
    "generation", [{}, {"num_beams": 3, "length_penalty": 0.5}, {"temperature": 1.5, "seed": 3}, {"temperature": 1.5,
     "top_k": 20, "top_p": 0.9, "repetition_penalty": 1.2}],
)  # fmt: skip
def test_an_answer_does_not_depend_on_its_batch(chat, generation):
    found = []
    for size in (1, 3, 8):
        write_chat_recipe(generation=generation, batch_size=size)
        rescore("tiny", FOLDER / "model", chat / f"out{size}")
        found.append(read_documents(chat / f"out{size}/scores.parquet", "chat").table.to_pylist())
    for rows in found[1:]:
        for row, wanted in zip(rows, found[0], strict=True):
            assert row["loss"] == pytest.approx(wanted.pop("loss", row["loss"]), abs=1e-3)
            assert {key: value for key, value in row.items() if key != "loss"} == wanted


def test_the_seed_decides_what_is_sampled(chat):
    def predictions(**generation):
        write_chat_recipe(generation=generation)
        rescore("tiny", FOLDER / "model", chat / "out")
        return read_documents(chat / "out/scores.parquet", "chat").strings("prediction")

    first = predictions(temperature=2.0, seed=1)
    assert first == predictions(temperature=2.0, seed=1) != predictions(temperature=2.0, seed=2)
    assert predictions(temperature=2.0, top_k=1) == predictions()


def test_samples_follow_the_models_distribution():
    """The noise of many answers against the softmax."""
    import torch

    from tasks.evaluate.chat.generation import _sampling
    from tasks.evaluate.settings import ChatGenerationSettings

    logits = torch.tensor([[2.0, 1.0, 0.0, -1.0, -torch.inf]]).repeat(4000, 1)
    scores = logits
    settings = ChatGenerationSettings(temperature=0.7)
    for processor in _sampling([f"d{number} turn 1" for number in range(4000)], settings):
        scores = processor(None, scores)
    shares = np.bincount(scores.argmax(-1).numpy(), minlength=5) / 4000
    np.testing.assert_allclose(shares, (logits[0] / 0.7).softmax(-1).numpy(), atol=0.025)


def test_fewer_answers_can_be_generated_while_all_are_scored(chat):
    run(STAGE, "tiny")
    every, rows = read_output("metrics.json"), read_scores()
    write_chat_recipe(answers="last")
    run(STAGE, "tiny")
    last = read_output("metrics.json")
    assert (last["generated"], last["answers"]) == (5, 8)
    assert last["bits_per_byte"] == every["bits_per_byte"] and last["chrf"] != every["chrf"]
    assert last["by_turn"]["2"] != every["by_turn"]["2"] and last["by_turn"]["3"] == every["by_turn"]["3"]
    write_chat_recipe(generated=2, samples=1)
    run(STAGE, "tiny")
    some, found = read_output("metrics.json"), read_scores()
    assert some["bits_per_byte"] == every["bits_per_byte"] and some["generated"] == 2
    assert [row["prediction"] is None for row in found] == [False, True, False, True, True]
    for row, wanted in zip(found, rows, strict=True):
        assert row in (wanted, wanted | dict.fromkeys(("prediction", *SCORES)))
    assert some["chrf"] == pytest.approx((rows[0]["chrf"] + rows[2]["chrf"]) / 2, abs=1e-6)
    assert some["nearest_chrf"] != every["nearest_chrf"] and len(read_output("samples.json")) == 1


LONG = turns(
    *(
        text
        for number in range(6)
        for text in (f"what is the number {number} of things?", f"it is the number {number}")
    ),
    system="Be brief.",
)


def cut_project(positions, conversations, chat_bpe):
    write_chat_model(FOLDER / "model", make_chat_model(chat_bpe, positions, steps=0), chat_bpe)
    write_chats(FOLDER / "clean/test", conversations, ["a"] * len(conversations))
    write_chat_recipe(generation={"max_new_tokens": 8})
    run(STAGE, "tiny")
    return read_output("metrics.json"), read_scores()


def test_long_conversations_lose_whole_turns_at_the_front(chat, chat_bpe):
    """Each answer against a plain loop over all turns that fit behind the system prompt."""
    import torch
    from transformers import AutoTokenizer

    positions = 100
    found, rows = cut_project(positions, [LONG, TEST[0]], chat_bpe)
    loaded = AutoTokenizer.from_pretrained(chat_bpe)
    model, total, lengths = make_chat_model(chat_bpe, positions, steps=0), 0.0, []
    for place in range(2, len(LONG), 2):
        for begin in range(1, place, 2):
            messages = [LONG[0], *LONG[begin : place + 1]]
            ids = loaded.apply_chat_template(messages, return_dict=False)[:-1]  # without the line break at the end
            if len(ids) - 1 <= positions:
                break
        start = len(loaded.apply_chat_template(messages[:-1], add_generation_prompt=True, return_dict=False))
        lengths.append((begin, len(ids)))
        with torch.inference_mode():
            logits = model(torch.tensor([ids])).logits[0].log_softmax(-1)
        total -= sum(float(logits[at - 1, ids[at]]) for at in range(start, len(ids)))
    assert lengths[0][0] == 1 < lengths[-1][0] and max(length for _, length in lengths) <= positions + 1
    assert rows[0]["loss"] == pytest.approx(total, rel=1e-5)
    assert (found["cut"], found["answers"], found["generated"]) == (1, 7, 7)


def test_a_question_that_is_too_long_is_read_in_windows(chat, chat_bpe):
    """Every token of the answer is scored once, and the others do not matter."""
    from tasks.evaluate.chat.losses import piece_losses, windows_of
    from tasks.evaluate.chat.model import load_chat_model

    question = turns("why " * 60, "because " * 40)
    found, rows = cut_project(32, [question, TEST[0]], chat_bpe)
    model = load_chat_model(FOLDER / "model", "fp32")
    (piece,) = model.pieces([question])[0]
    windows = list(windows_of(0, piece, "d0", 32))
    scored = [at for window in windows for at in range(window.first, window.stop)]
    assert scored == list(piece.answers[0]) and len(windows) > 2 and piece.cut
    assert all(window.length <= 32 and window.context >= 15 for window in windows)
    assert found["cut"] == 1 and rows[0]["tokens"] == len(scored)
    (losses,) = piece_losses(model.model, [piece], ["d0"], 32, 2, "fp32", 1)
    assert np.isfinite(losses[piece.answers[0].start :]).all() and np.isnan(losses[: piece.answers[0].start]).all()
    assert rows[0]["loss"] == pytest.approx(float(np.nansum(losses)), abs=1e-3)


def test_a_base_without_a_template_gets_the_models_and_one_with_its_own_keeps_it(chat, chat_bpe, chat_base, tmp_path):
    from transformers import AutoTokenizer

    def base(template):
        folder = tmp_path / f"tokenizer{len(list(tmp_path.iterdir()))}"
        folder.mkdir()
        write_chat_model(FOLDER / "base", chat_base, save_chat_tokenizer(folder, template), task="")
        run(STAGE, "tiny")
        return read_output("metrics.json")["base_bits_per_byte"]

    with_models = base(CHATML)
    (FOLDER / "base/chat_template.jinja").unlink()
    run_without = base(None)
    assert AutoTokenizer.from_pretrained(FOLDER / "base").chat_template is None
    assert run_without == with_models
    assert abs(base(MARKED) - with_models) > 0.01


def test_a_model_from_scratch_has_no_base(chat):
    run(STAGE, "tiny")
    found = read_output("metrics.json")
    assert not any("base" in key or "gain" in key for key in found) and "nearest_chrf" in found
    assert "by_part" not in found and "part" not in read_scores()[0]


def write_template(text):
    (FOLDER / "model/chat_template.jinja").write_text(text)


def refuse_kittens():
    wanted = "{{ raise_exception('No kittens.') if messages[0]['content'] == 'what is a kitten?' }}"
    write_template(wanted + CHATML)
    write_chat_tokens(FOLDER / "tokens/train", FOLDER / "model")


@pytest.mark.parametrize(
    ("damage", "error", "sentence"),
    [
        (lambda: write_chat_recipe(generation={"max_new_tokens": 128}), RecipeError,
         "evaluate.generation.max_new_tokens: 128 leaves no room for a question in 128 positions"),
        (lambda: write_chat_recipe(generation={"temperature": 1.0, "num_beams": 2}), RecipeError,
         "evaluate.generation: temperature 1 samples, which needs num_beams: 1, not 2"),
        (lambda: write_chat_recipe(answers="first"), RecipeError, "evaluate.answers: "),
        (lambda: write_chat_recipe(generated=0), RecipeError, "evaluate.generated: "),
        (lambda: write_chats(FOLDER / "clean/test", [turns("что это?", "это кошка, она спит")], ["a"]), RecipeError,
         "evaluate.rouge.tokenizer: latin keeps only a-z"),
        (lambda: write_template(MARKED), DataError,
         "data/tiny/tokens/train/index.json: rendered with another chat template"),
        (refuse_kittens, DataError,
         "model: document d3 of data/tiny/clean/test cannot be rendered: the chat template says: No kittens."),
        (lambda: write_template("{{ messages"), DataError,
         "data/tiny/model: no conversation can be rendered: the chat template is not valid Jinja: line 1"),
        (lambda: (FOLDER / "model/chat_template.jinja").unlink(), DataError,
         "data/tiny/model: no conversation can be rendered: the tokenizer has no chat template"),
        (lambda: edit_weights(lambda weights: weights["model.norm.weight"].mul_(1e38), FOLDER / "model"), DataError,
         "data/tiny/model: the loss on document d0 is not finite"),
        (lambda: edit_json(FOLDER / "tokens/train/index.json", tokenizer="0" * 64), DataError,
         "made with a different tokenizer"),
    ],
)  # fmt: skip
def test_what_cannot_be_scored_is_told_in_a_sentence(chat, damage, error, sentence):
    damage()
    with pytest.raises(error) as caught:
        run(STAGE, "tiny")
    assert sentence in str(caught.value) and "\n" not in str(caught.value)


def test_the_signature_names_what_changes_a_score(chats, chat):
    before = read_signature(chats)
    assert (before["answers"], before["generated"], before["beams"], before["sampling"]) == ("all", "all", "1", "none")
    assert before["source_length"] == "128" and before["rouge"].startswith("fmeasure;tok=latin;stem=yes;version=")
    changes = {
        "answers": {"answers": "last"}, "generated": {"generated": 2}, "precision": {"precision": "bf16"},
        "rouge": {"rouge": {"stemmer": False}}, "beams": {"generation": {"num_beams": 2}},
        "new_tokens": {"generation": {"max_new_tokens": 4}},
        "sampling": {"generation": {"temperature": 1.0, "seed": 1}},
        "bootstrap": {"bootstrap": {"samples": 60}}, "no_repeat_ngram": {"generation": {"no_repeat_ngram_size": 2}},
    }  # fmt: skip
    from tasks.evaluate.chat.scorer import ChatScorer
    from tasks.evaluate.exam import Exam
    from tasks.evaluate.settings import ChatEvaluateSettings
    from tasks.evaluate.split import measure_split

    def signature(section):
        section = {"bootstrap": {"samples": 50, "seed": 7}} | section
        section["generation"] = {"max_new_tokens": 20} | section.get("generation", {})
        exam = Exam("tiny", FOLDER / "model", FOLDER / "clean/test", split)
        text = ChatScorer(exam, ChatEvaluateSettings.model_validate(section))._signature()
        return dict(part.split(":") for part in text.split("|"))

    split = measure_split(FOLDER / "clean/test", ("text", "messages"))
    assert signature({}) == before
    for name, section in changes.items():
        found = signature(section)
        assert {key for key in found if found[key] != before[key]} == {name}
