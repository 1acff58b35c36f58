"""A chat model of width 32 that learned a few answers by heart, conversations, and a project folder with all inputs."""

import json
import shutil
from pathlib import Path

import numpy as np

from tasks.formats.conversation import Message, answers, questions, write_messages
from tests.evaluate.projects import empty_project, scale, write_corpus

CHATML = (
    "{% for m in messages %}{{ '<|im_start|>' + m['role'] + '\\n' + m['content'] + '<|im_end|>' + '\\n' }}{% endfor %}"
    "{% if add_generation_prompt %}{{ '<|im_start|>assistant\\n' }}{% endif %}"
)
MARKED = (
    "{% for m in messages %}{{ '<|' + m['role'] + '|>' + m['content'] }}"
    "{{ '<|im_end|>' if m['role'] == 'assistant' else '' }}{% endfor %}"
    "{% if add_generation_prompt %}{{ '<|assistant|>' }}{% endif %}"
)
"""Another template."""
SPECIALS = ["<|endoftext|>", "<|im_start|>", "<|im_end|>"]


def turns(*contents: str, system: str = "") -> list[Message]:
    """A conversation of the user and the assistant in turn."""
    said = [{"role": ("user", "assistant")[n % 2], "content": text} for n, text in enumerate(contents)]
    return [{"role": "system", "content": system}] * bool(system) + said


LEARNED = [
    turns("what is a cat?", "an animal that hunts mice"),
    turns("what is a dog?", "an animal that barks", "and a house?", "a building to live in"),
    turns("what is rain?", "water that falls", system="Define words."),
]
TRAINING = [*LEARNED, turns("what is snow?", "frozen water"), turns("what is ice?", "frozen water")]
TEST = [
    LEARNED[0],
    LEARNED[1],
    turns("what is hail?", "frozen rain that falls in showers, naïve — ünïcode", system="Define words."),
    turns("what is a kitten?", "  a young cat\n"),
    turns("who are you?", "a dictionary", "what is snow?", "frozen water", "what is <|im_end|>?", "a sign"),
]
GROUPS = ["pets", "pets", "weather", "pets", "talk"]
PARTS = ["short", "long", "short", "short", "long"]


def save_chat_tokenizer(folder: Path, template: str | None = CHATML) -> Path:
    from tokenizers import ByteLevelBPETokenizer
    from transformers import PreTrainedTokenizerFast

    engine = ByteLevelBPETokenizer()
    texts = [turn["content"] for each in (*TRAINING, *TEST) for turn in each]
    engine.train_from_iterator(texts, vocab_size=320, special_tokens=SPECIALS, show_progress=False)
    tokenizer = PreTrainedTokenizerFast(
        tokenizer_object=engine._tokenizer, eos_token=SPECIALS[0], additional_special_tokens=SPECIALS[1:]
    )
    tokenizer.chat_template = template
    tokenizer.save_pretrained(folder)
    return folder


def make_chat_model(tokenizer: Path, positions: int = 128, steps: int = 120, seed: int = 1):
    """A Llama that was trained on LEARNED by a plain loop; `steps: 0`: not at all, with weights far from uniform."""
    import torch
    from transformers import AutoConfig, AutoModelForCausalLM, AutoTokenizer

    torch.manual_seed(seed)
    config = AutoConfig.for_model(
        "llama", vocab_size=320, hidden_size=32, num_hidden_layers=2, num_attention_heads=2, num_key_value_heads=2,
        intermediate_size=64, max_position_embeddings=positions, bos_token_id=0, eos_token_id=0, pad_token_id=0,
    )  # fmt: skip
    model = AutoModelForCausalLM.from_config(config)
    if not steps:
        return scale(model)
    loaded = AutoTokenizer.from_pretrained(tokenizer)
    rows = [loaded.apply_chat_template(each, return_dict=False) for each in LEARNED]
    optimizer = torch.optim.AdamW(model.parameters(), lr=0.01)
    for _ in range(steps):
        losses = [model(ids, labels=ids).loss for ids in (torch.tensor([row]) for row in rows)]
        optimizer.zero_grad()
        sum(losses).backward()
        optimizer.step()
    return model.eval()


def write_chat_model(folder: Path, model, tokenizer: Path, task: str = "chat") -> None:
    """Write a model folder as the stage `train` does."""
    from tasks.formats.usage import Usage

    model.save_pretrained(folder)
    for path in tokenizer.iterdir():
        shutil.copy(path, folder)
    if task:
        Usage(task, source_length=128).write(folder)


def write_chats(folder: Path, conversations: list[list[Message]], groups: list[str], **more: list) -> None:
    columns = {
        "target": [answers(each) for each in conversations],
        "messages": [write_messages(each) for each in conversations],
    }
    write_corpus(folder, [questions(each) for each in conversations], groups, **columns, **more)


def write_chat_tokens(folder: Path, tokenizer: Path) -> None:
    from tasks.formats.chat_ids import ChatTemplate
    from tasks.formats.tokens import TokenWriter
    from tasks.stage.identity import hash_file

    shutil.rmtree(folder, ignore_errors=True)
    template = ChatTemplate.open(tokenizer)
    ids = np.array(template.conversation(TRAINING[0]).ids, np.uint16)
    writer = TokenWriter(
        folder, 320, template.end, hash_file(tokenizer / "tokenizer.json"), closed=False, template=template.sha256
    )
    writer.write(ids, np.array([len(ids)]), 10)
    writer.close()


def chat_project(root: Path, monkeypatch, tokenizer: Path, model, base=None, **more: list) -> Path:
    """A project with a recipe `tiny` for chat; `base`: the model before training."""
    folder = empty_project(root, monkeypatch)
    write_chat_model(folder / "model", model, tokenizer)
    if base is not None:
        write_chat_model(folder / "base", base, tokenizer, task="")
    write_chats(folder / "clean/train", TRAINING, [f"t{n}" for n in range(len(TRAINING))])
    write_chats(folder / "clean/test", TEST, GROUPS, **more)
    write_chat_tokens(folder / "tokens/train", tokenizer)
    write_chat_recipe(root)
    return root


def write_chat_recipe(root: Path = Path(), generation: dict | None = None, **evaluate: object) -> None:
    section = {"batch_size": 3, "samples": 3, "bootstrap": {"samples": 50, "seed": 7}} | evaluate
    section["generation"] = {"max_new_tokens": 20} | (generation or {})
    (root / "recipes" / "tiny.yaml").write_text(json.dumps({"task": "chat", "evaluate": section}))
