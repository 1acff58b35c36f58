"""Training of chat models: what is asked, that packed rows are as good as separate ones, and the adapters."""

import csv
import json
import math
import shutil
from collections import Counter
from collections.abc import Callable
from itertools import pairwise
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from tasks.formats.chat_ids import ChatTemplate
from tasks.formats.rows import IGNORED
from tasks.formats.tokens import Answers, Tokens
from tasks.stage.errors import DataError, GristmillError, RecipeError
from tasks.stage.run import run
from tasks.train import checkpoints
from tasks.train.__main__ import STAGE
from tasks.train.batches import Batch, find_asked
from tasks.train.buckets import Sides
from tasks.train.conversations import ConversationBatches, best_rows, chat_data, pack
from tasks.train.loss import summed_loss
from tasks.train.precision import Machine
from tasks.train.settings import ChatTraining
from tests.train.chats import CONFIGS, Messages, chat, chat_tokenizer, conversations, write_chats
from tests.train.conftest import refuses
from tests.train.test_training import outputs

__all__ = ["chat", "chat_tokenizer"]
CONSTANT = {"name": "linear", "warmup_steps": 0, "final": 1.0}
RATE = 0.01
Chat = Callable[..., Path]


def losses(folder: Path) -> list[float]:
    return [float(row["loss"]) for row in csv.DictReader((folder / "training/history.csv").open())]


def sides_of(folder: Path, tokenizer: Path, chats: list[Messages]) -> Sides:
    shutil.rmtree(folder, ignore_errors=True)
    write_chats(folder, ChatTemplate.open(tokenizer), chats)
    tokens = Tokens.open(folder)
    return Sides(tokens, answers=Answers.open(folder, tokens))


def batches_of(sides: Sides, **train: Any) -> ConversationBatches:
    keys = {"steps": 1, "context_length": 64, "batch_tokens": 256, **train}
    made = chat_data(sides, sides, ChatTraining.model_validate(keys), 0, "recipes/tiny.yaml").training
    assert isinstance(made, ConversationBatches)
    return made


def content(batch: Batch) -> Counter[tuple[tuple[int, int], ...]]:
    """The conversations of a batch, each as its ids and labels, without padding."""
    found: Counter[tuple[tuple[int, int], ...]] = Counter()
    for row, ids in enumerate(batch["input_ids"].tolist()):
        labels = batch["labels"][row].tolist()
        if "attention_mask" in batch:
            borders = [0, int(batch["attention_mask"][row].sum())]
        else:
            starts = [place for place, position in enumerate(batch["position_ids"][row].tolist()) if position == 0]
            borders = [*starts, len(ids)]
        for start, end in pairwise(borders):
            if end - start > 1:  # padding is a sequence of one token
                found[tuple(zip(ids[start:end], labels[start:end], strict=True))] += 1
    return found


def build(architecture: str, attention: str, size: int) -> Any:
    import torch
    from transformers import AutoConfig, AutoModelForCausalLM

    torch.manual_seed(0)
    known = {"vocab_size": size, "bos_token_id": 0, "eos_token_id": 0, **CONFIGS[architecture]}
    config = AutoConfig.for_model(architecture, **known)
    model = AutoModelForCausalLM.from_config(config, attn_implementation=attention)
    model.config.use_cache = False
    return model.eval()  # without dropout


@pytest.mark.parametrize(("architecture", "attention"), [("llama", "sdpa"), ("llama", "eager"), ("gpt2", "sdpa")])
def test_a_packed_batch_has_the_loss_and_gradients_of_separate_rows(
    tmp_path: Path, chat_tokenizer: Path, architecture: str, attention: str
) -> None:
    import torch

    sides = sides_of(tmp_path / "t", chat_tokenizer, conversations(20))
    packed = batches_of(sides, batch_tokens=4096)
    model = build(architecture, attention, sides.text.index.vocab_size)
    batch = find_asked(packed.batch(0))
    assert packed.count == 1 and (batch["position_ids"][0] == 0).sum() > 2
    summed_loss(model, batch).backward()
    found = {name: weight.grad.clone() for name, weight in model.named_parameters()}
    model.zero_grad()
    alone = 0.0
    for place in range(20):
        ids, labels = (torch.from_numpy(part)[None] for part in packed.conversations.row(place))
        logits = model(input_ids=ids).logits
        loss = torch.nn.functional.cross_entropy(logits[0], labels[0], ignore_index=IGNORED, reduction="sum")
        loss.backward()
        alone += loss.item()
    assert summed_loss(model, batch).item() == pytest.approx(alone, rel=1e-6)
    for name, weight in model.named_parameters():
        assert torch.allclose(found[name], weight.grad, rtol=1e-4, atol=1e-5), name


def test_the_losses_of_every_step_are_those_of_a_plain_loop_and_of_trl(
    chat: Chat, tmp_path: Path, chat_tokenizer: Path
) -> None:
    import torch
    from datasets import Dataset
    from transformers import AutoModelForCausalLM, AutoTokenizer
    from trl import SFTConfig, SFTTrainer

    chats = conversations(24)
    tokenizer = AutoTokenizer.from_pretrained(chat_tokenizer)
    base = tmp_path / "start" / "model"
    build("llama", "sdpa", len(tokenizer)).save_pretrained(base)
    whole = {"batch_tokens": 10_000, "context_length": 128}  # every batch has all conversations
    folder = chat(None, base.parent, chats=chats, steps=4, schedule=CONSTANT, **whole)
    run(STAGE, "tiny")
    ours = losses(folder)

    model, plain = AutoModelForCausalLM.from_pretrained(base), []
    optimizer = torch.optim.AdamW(model.parameters(), RATE, betas=(0.9, 0.95), weight_decay=0.0)
    for _ in range(4):
        total, asked = torch.zeros(()), 0
        for messages in chats:
            told = tokenizer.apply_chat_template(messages, return_dict=True, return_assistant_tokens_mask=True)
            ids, answer = torch.tensor(told["input_ids"]), torch.tensor(told["assistant_masks"])[1:] == 1
            logits = model(input_ids=ids[None]).logits[0, :-1]
            total = total - logits.log_softmax(-1)[torch.arange(len(ids) - 1), ids[1:]][answer].sum()
            asked += int(answer.sum())
        optimizer.zero_grad()
        (total / asked).backward()
        torch.nn.utils.clip_grad_norm_(model.parameters(), 1.0)
        optimizer.step()
        plain.append(total.item() / asked)
    assert ours == pytest.approx(plain, abs=1e-5)

    theirs: list[float] = []

    class Reference(SFTTrainer):
        """Keeps the losses, which its log rounds."""

        def training_step(self, *arguments: Any, **more: Any) -> Any:
            theirs.append((loss := super().training_step(*arguments, **more)).item())
            return loss

    keys = SFTConfig(
        output_dir=str(tmp_path / "trl"), max_steps=4, per_device_train_batch_size=24, learning_rate=RATE,
        adam_beta2=0.95, lr_scheduler_type="constant", max_grad_norm=1.0, assistant_only_loss=True, max_length=128,
        bf16=False, use_cpu=True, report_to="none", logging_steps=1, save_strategy="no", gradient_checkpointing=False,
        disable_tqdm=True,
    )  # fmt: skip
    start = AutoModelForCausalLM.from_pretrained(base)
    Reference(start, keys, train_dataset=Dataset.from_list([{"messages": m} for m in chats]),
              processing_class=tokenizer).train()  # fmt: skip
    assert ours == pytest.approx(theirs, abs=1e-5)


@pytest.mark.parametrize("packing", [True, False])
def test_every_conversation_comes_once_in_a_pass_and_the_same_after_a_jump(
    tmp_path: Path, chat_tokenizer: Path, packing: bool
) -> None:
    sides = sides_of(tmp_path / "t", chat_tokenizer, conversations(70))
    one, other = (batches_of(sides, packing=packing) for _ in range(2))
    passes, orders = [], []
    for start in (0, one.count):
        made = [one.batch(position) for position in range(start, start + one.count)]
        assert all(batch["input_ids"].numel() <= 256 for batch in made)
        passes.append(sum((content(batch) for batch in made), Counter()))
        orders.append([batch["input_ids"].tolist() for batch in made])
    assert passes[0] == passes[1] and passes[0].total() == 70 and orders[0] != orders[1]
    for position in (2 * one.count - 1, 0, one.count, 1):
        number, place = divmod(position, one.count)
        assert other.batch(position)["input_ids"].tolist() == orders[number][place]
    assert passes[0] == content(batches_of(sides, packing=not packing, batch_tokens=9999).batch(0))


def test_packing_leaves_little_room() -> None:
    generator = np.random.default_rng(0)
    lengths = np.sort(np.clip(generator.lognormal(3, 0.8, 3000).astype(int), 3, 200))[::-1]
    rows = pack(lengths, 200)
    filled = np.bincount(rows, lengths)
    longest = int(lengths[0])
    assert best_rows(lengths, longest)[0] == longest == best_rows(lengths, longest // 2)[0]
    assert best_rows(np.full(100, 70), 500)[0] == 70, "two in a row would have no less padding"
    assert best_rows(np.repeat([61, 40, 38], 50), 500)[0] == 122, "one alone in a row would leave much"
    assert filled.max() <= 200 and (np.diff(np.unique(rows)) == 1).all()
    assert len(filled) <= math.ceil(lengths.sum() / 200) + 1


@pytest.mark.parametrize("loss_on", ["answers", "all", "last_answer"])
def test_what_is_asked_reads_as_the_answers_with_their_ends(tmp_path: Path, chat_tokenizer: Path, loss_on: str) -> None:
    chats = [[{"role": "system", "content": "ka"}, *messages] for messages in conversations(9, turns=3)]
    sides = sides_of(tmp_path / "t", chat_tokenizer, chats)
    made = batches_of(sides, loss_on=loss_on, context_length=512).conversations
    tokenizer = ChatTemplate.open(chat_tokenizer).tokenizer
    for place, messages in enumerate(chats):
        ids, labels = made.row(place)
        asked = np.flatnonzero(labels != IGNORED)
        assert np.array_equal(labels[asked], ids[asked + 1])
        answers = [turn["content"] + "<|im_end|>" for turn in messages if turn["role"] == "assistant"]
        whole = tokenizer.apply_chat_template(messages, tokenize=False)
        wanted = {"answers": "".join(answers), "last_answer": answers[-1], "all": whole.removeprefix("<|im_start|>")}
        assert tokenizer.decode(labels[asked]) == wanted[loss_on]
    if loss_on != "all":
        said = [[turn["content"] for turn in messages if turn["role"] == "assistant"] for messages in chats]
        kept = [answer for answers in said for answer in (answers if loss_on == "answers" else answers[-1:])]
        counted = made.counted(tokenizer)
        assert (counted.text_bytes, counted.tokens) == (sum(map(len, kept)), made.asked())


def test_long_conversations_end_with_the_last_answer_that_fits_or_are_left_out(
    tmp_path: Path, chat_tokenizer: Path, chat: Chat
) -> None:
    template = ChatTemplate.open(chat_tokenizer)
    chats = conversations(40, turns=4)
    sides = sides_of(tmp_path / "t", chat_tokenizer, chats)
    rendered = template.conversations(chats)
    first = [one.answers[0][1] for one in rendered if len(one.answers) > 2]
    most = sorted(first)[len(first) // 2]  # one fits exactly
    made = batches_of(sides, context_length=most).conversations
    wanted = []
    for one in rendered:
        ends = [end for _, end in one.answers if end <= most]
        wanted.append(len(one.ids) if len(one.ids) <= most else ends[-1] if ends else None)
    assert made.lengths.tolist() == [length for length in wanted if length is not None]
    assert made.numbers.tolist() == [number for number, length in enumerate(wanted) if length is not None]
    facts = chat_data(sides, sides, ChatTraining(steps=1, context_length=most), 0, "r").facts["training"]
    cut = sum(length is not None and length < len(one.ids) for one, length in zip(rendered, wanted, strict=True))
    assert facts["cut"] == cut > 0 and facts["left_out"] == wanted.count(None) > 0
    assert facts["asked_tokens"] == sum(
        min(end, length) - start for one, length in zip(rendered, wanted, strict=True) if length
        for start, end in one.answers if end <= length
    )  # fmt: skip

    chat(context_length=8)
    refuses(
        RecipeError,
        r"^recipes/tiny\.yaml: train\.context_length: 8 tokens hold no answer of the training split; the shortest "
        r"conversation has \d\d tokens up to the end of its first answer$",
    )


def test_an_architecture_that_mixes_what_shares_a_row_is_told_and_trains_in_buckets(chat: Chat) -> None:
    chat("lfm2")  # by its short convolutions, so little that the logits differ in the fifth digit
    refuses(RecipeError, r"^recipes/tiny\.yaml: train\.packing: lfm2 mixes the conversations of a row; ")
    chat("opt")
    refuses(RecipeError, r"^recipes/tiny\.yaml: train\.packing: opt mixes the conversations of a row; set it to false$")
    folder = chat("opt", packing=False, steps=6)
    run(STAGE, "tiny")
    assert losses(folder)[-1] < losses(folder)[0]


def test_the_noise_is_that_of_neftune_in_training_only(tmp_path: Path, chat_tokenizer: Path) -> None:
    """By the formula of transformers, whose hook takes the length of the row for that of the text."""
    import torch
    from transformers.integrations.neftune import neftune_post_forward_hook

    sides = sides_of(tmp_path / "t", chat_tokenizer, conversations(1))
    batch = find_asked(batches_of(sides, neftune_alpha=5.0).batch(0))
    model = build("llama", "sdpa", sides.text.index.vocab_size)
    torch.manual_seed(7)
    found = summed_loss(model, batch, noise=5.0).item()
    still = summed_loss(model, batch).item()
    embeddings = model.get_input_embeddings().train()
    embeddings.neftune_noise_alpha = 5.0
    hook = embeddings.register_forward_hook(neftune_post_forward_hook)
    torch.manual_seed(7)
    assert summed_loss(model, batch).item() == pytest.approx(found, rel=1e-6)
    hook.remove()
    assert abs(found - still) > 1e-4

    many = batches_of(sides_of(tmp_path / "m", chat_tokenizer, conversations(9)), neftune_alpha=5.0, batch_tokens=999)
    rows, seen = many.batch(0), []
    listening = model.model.layers[0].register_forward_pre_hook(lambda _, given: seen.append(given[0]))
    for noise in (None, 5.0):
        summed_loss(model, find_asked(rows), noise=noise)
    listening.remove()
    most = (seen[1] - seen[0]).abs().amax(-1)
    limit = 5.0 / (rows["lengths"] * 32).sqrt()
    inside = rows["lengths"] > 0
    assert (most[inside] <= limit[inside] * 1.0001).all() and (most[inside] > limit[inside] * 0.7).all()


def test_a_training_stopped_at_every_checkpoint_and_a_second_one_end_with_the_same_bytes(
    chat: Chat, monkeypatch: pytest.MonkeyPatch
) -> None:
    folder = chat("gpt2", neftune_alpha=5.0, accumulation=2, checkpoint_every=5, keep="best")
    run(STAGE, "tiny")
    whole = outputs(folder)
    save, stops, finished = checkpoints.save, 0, False

    class Stopped(BaseException):
        pass

    def save_and_stop(*args: Any) -> None:
        save(*args)
        raise Stopped

    monkeypatch.setattr(checkpoints, "save", save_and_stop)
    while not finished:
        try:
            run(STAGE, "tiny")
            finished = True
        except Stopped:
            stops += 1
    assert stops == 3 and outputs(folder) == whole  # after 5, after 10, and before the decay


def test_activations_that_are_computed_again_give_the_same_weights(chat: Chat) -> None:
    folder = chat("gpt2", neftune_alpha=5.0, steps=3)
    run(STAGE, "tiny")
    noisy, weights = losses(folder), (folder / "model/model.safetensors").read_bytes()
    run(STAGE, chat("gpt2", neftune_alpha=5.0, steps=3, gradient_checkpointing=True).name)
    assert (folder / "model/model.safetensors").read_bytes() == weights
    run(STAGE, chat("gpt2", steps=3).name)
    assert losses(folder)[0] != noisy[0], "without noise, the first loss is another"


def test_the_adapter_is_kept_beside_the_model_that_holds_it(chat: Chat) -> None:
    import torch
    from peft import PeftModel
    from transformers import AutoModelForCausalLM

    base = chat(name="start", steps=2)
    run(STAGE, "start")
    lora = {"rank": 2, "targets": ["v_proj", "q_proj"], "keep_adapter": True}
    folder = chat(None, base, model={"lora": lora}, steps=3)
    report = run(STAGE, "tiny")
    assert report.details["settings"]["model"]["lora"]["keep_adapter"] is True
    assert sorted(p.name for p in (folder / "model/adapter").iterdir()) == [
        "adapter_config.json", "adapter_model.safetensors"
    ]  # fmt: skip
    config = json.loads((folder / "model/adapter/adapter_config.json").read_text())
    assert config["target_modules"] == ["q_proj", "v_proj"]
    start = AutoModelForCausalLM.from_pretrained(folder / "base")
    adapted = PeftModel.from_pretrained(start, folder / "model/adapter").merge_and_unload()
    trained = AutoModelForCausalLM.from_pretrained(folder / "model")
    for name, weight in trained.named_parameters():
        assert torch.equal(weight, adapted.get_parameter(name)), name
    first = outputs(folder)
    run(STAGE, "tiny")
    assert outputs(folder) == first


def test_four_bits_train_an_adapter_and_end_in_an_ordinary_model(chat: Chat, monkeypatch: pytest.MonkeyPatch) -> None:
    import torch
    from bitsandbytes.functional import dequantize_4bit, quantize_4bit
    from peft import PeftModel
    from safetensors.torch import load_file
    from transformers import AutoModelForCausalLM

    base = chat(name="start", steps=2)
    run(STAGE, "start")
    lora, curves = {"rank": 4, "keep_adapter": True}, []
    for kind in ({}, {"quantize": "nf4"}):
        folder = chat(None, base, model={"lora": lora | kind}, steps=6, checkpoint_every=5)
        run(STAGE, "tiny")
        curves.append(losses(folder))
    assert curves[0] != curves[1] and curves[0] == pytest.approx(curves[1], abs=0.05)
    whole = load_file(folder / "model/model.safetensors")
    assert whole.keys() == load_file(folder / "base/model.safetensors").keys()
    start = AutoModelForCausalLM.from_pretrained(folder / "base")
    for layer in start.model.modules():
        if isinstance(layer, torch.nn.Linear):
            layer.weight.data = dequantize_4bit(*quantize_4bit(layer.weight.data, quant_type="nf4",
                                                               compress_statistics=True))  # fmt: skip
    adapted = PeftModel.from_pretrained(start, folder / "model/adapter").merge_and_unload()
    for name, weight in whole.items():
        assert torch.allclose(weight, adapted.get_parameter(name), atol=1e-6), name
    first = outputs(folder)
    run(STAGE, "tiny")
    assert outputs(folder) == first

    monkeypatch.setattr("tasks.train.work.resolve", lambda *_: Machine("mps", "fp32", "sdpa"))
    refuses(
        GristmillError, r"^recipes/tiny.yaml: model.lora.quantize: nf4 is for NVIDIA and AMD GPUs and for CPUs, not"
    )


def test_other_recipes_do_not_have_the_new_keys() -> None:
    from tasks.train.settings import LoraSettings

    plain = {"rank": 8, "alpha": 16, "dropout": 0.0, "targets": "all-linear"}
    assert LoraSettings().model_dump(mode="json") == plain
    assert "gradient_checkpointing" not in ChatTraining(steps=1).model_dump(mode="json")
    assert LoraSettings(quantize="nf4").model_dump(mode="json") == {**plain, "quantize": "nf4"}


def test_tokens_of_another_template_are_told(chat: Chat) -> None:
    folder = chat()
    path = folder / "tokenizer/chat_template.jinja"
    path.write_text("{# mine #}" + path.read_text())
    refuses(DataError, r"^data/tiny/tokens/train/index.json: rendered by another chat template than that in data/tiny/")


def test_a_template_that_rewrites_earlier_answers_needs_the_loss_on_the_last_one(chat: Chat) -> None:
    folder = chat()
    path = folder / "tokens/train/index.json"
    path.write_text(json.dumps(json.loads(path.read_text()) | {"last_only": True}))
    refuses(RecipeError, r"^recipes/tiny\.yaml: train\.loss_on: answers, but the .* set loss_on: last_answer$")
