"""Chat templates: the ids are those of transformers, what is asked are the answers, and messages hold only text."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, example, given, settings
from hypothesis import strategies as st

from tasks.formats.chat_ids import ChatError, ChatTemplate, _rendered

Messages = list[dict[str, str]]

PROMPT = "{% if add_generation_prompt %}"
TEMPLATES = {
    "chatml": "{% for m in messages %}{{ '<|im_start|>' + m['role'] + '\n' + m['content'] + '<|im_end|>' + '\n' }}"
    "{% endfor %}" + PROMPT + "{{ '<|im_start|>assistant\n' }}{% endif %}",
    "llama-2": "{% if messages[0]['role'] == 'system' %}{% set rest = messages[1:] %}{% set system = "
    "'<<SYS>>\n' + messages[0]['content'] + '\n<</SYS>>\n\n' %}{% else %}{% set rest = messages %}{% set system = '' %}"
    "{% endif %}{% for m in rest %}{% if (m['role'] == 'user') != (loop.index0 % 2 == 0) %}{{ raise_exception("
    "'Conversation roles must alternate user/assistant/user/assistant/...') }}{% endif %}{% set said = "
    "(system if loop.first else '') + m['content'] %}{% if m['role'] == 'user' %}{{ bos_token + '[INST] ' + "
    "said.strip() + ' [/INST]' }}{% else %}{{ ' ' + said.strip() + ' ' + eos_token }}{% endif %}{% endfor %}",
    "llama-3": "{{ bos_token }}{% for m in messages %}{{ '<|start_header_id|>' + m.role + '<|end_header_id|>\n\n' + "
    "m.content | trim + '<|eot_id|>' }}{% endfor %}" + PROMPT
    + "{{ '<|start_header_id|>assistant<|end_header_id|>\n\n' }}{% endif %}",
    "zephyr": "{% for m in messages %}{{ '<|' + m.role + '|>\n' + m.content + eos_token + '\n' }}{% endfor %}"
    + PROMPT + "{{ '<|assistant|>\n' }}{% endif %}",
    "gemma": "{{ bos_token }}{% if messages[0].role == 'system' %}{{ raise_exception('System role not supported') }}"
    "{% endif %}{% for m in messages %}{{ '<start_of_turn>' + ('model' if m.role == 'assistant' else m.role) + '\n' + "
    "m.content | trim + '<end_of_turn>\n' }}{% endfor %}" + PROMPT + "{{ '<start_of_turn>model\n' }}{% endif %}",
    "mistral": "{{ bos_token }}{% for m in messages %}{% if m.role == 'assistant' %}{{ m.content + eos_token }}"
    "{% else %}{{ '[INST] ' + m.content + ' [/INST]' }}{% endif %}{% endfor %}",
    "phi-3": "{% for m in messages %}{{ '<|' + m.role + '|>\n' + m.content + '<|end|>\n' }}{% endfor %}" + PROMPT
    + "{{ '<|assistant|>\n' }}{% else %}{{ eos_token }}{% endif %}",
    "tagged": "{% for m in messages %}{{ '<|im_start|>' + m.role + '\n' }}{% if m.role == 'assistant' %}"
    "{% generation %}{{ m.content + '<|im_end|>' }}{% endgeneration %}{% else %}{{ m.content + '<|im_end|>' }}"
    "{% endif %}{{ '\n' }}{% endfor %}" + PROMPT + "{{ '<|im_start|>assistant\n' }}{% endif %}",
    "qwen-3": "{% for m in messages %}{{ '<|im_start|>' + m.role + '\n' }}{% if m.role == 'assistant' and loop.last %}"
    "{{ '<think>\n\n</think>\n\n' }}{% endif %}{{ m.content + '<|im_end|>\n' }}{% endfor %}" + PROMPT
    + "{{ '<|im_start|>assistant\n' }}{% endif %}",
}  # fmt: skip
"""Written in the style of the published ones."""
SPECIAL = (
    "<s>", "</s>", "<|im_start|>", "<|im_end|>", "<|start_header_id|>", "<|end_header_id|>", "<|eot_id|>",
    "<start_of_turn>", "<end_of_turn>", "<|end|>",
)  # fmt: skip
ENDS = {
    "chatml": "<|im_end|>", "llama-2": "</s>", "llama-3": "<|eot_id|>", "zephyr": "</s>", "gemma": "<end_of_turn>",
    "mistral": "</s>", "phi-3": "<|end|>", "tagged": "<|im_end|>", "qwen-3": "<|im_end|>",
}  # fmt: skip
TEXT = [
    "What is a cat? user assistant system",
    "A small animal that purrs.\n\nAnd a dog? It barks,\n\n\n[INST] model",
] * 3


def turns(*contents: str, system: str = "") -> Messages:
    """A conversation in which user and assistant take turns."""
    said = [{"role": ("user", "assistant")[number % 2], "content": text} for number, text in enumerate(contents)]
    return [{"role": "system", "content": system}] * bool(system) + said


CONVERSATIONS = [
    turns("What is a cat?", "A small animal."),
    turns("What is a cat?", "A small animal.", "And a dog?", "It barks: “wau” 🐕!"),
    turns("Hi\n\nyou", "One\ntwo\n\nthree  four", "", "{{ x }} {% if %} [/INST] <|", "a", "b"),
    turns("What?", "Yes.", system="Be short."),
]


def _backend(kind: str) -> Any:
    from tokenizers import AddedToken, Tokenizer, decoders, models, normalizers, pre_tokenizers, trainers

    special = [AddedToken(token, rstrip=token == "<|end|>", special=True, normalized=False) for token in SPECIAL]
    if kind == "bytes":
        made, alphabet = Tokenizer(models.BPE()), pre_tokenizers.ByteLevel.alphabet()
        made.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
        made.decoder = decoders.ByteLevel()
        trainer: Any = trainers.BpeTrainer(
            vocab_size=420, special_tokens=special, initial_alphabet=alphabet, show_progress=False
        )
        made.train_from_iterator(TEXT, trainer)
        return made
    if kind == "llama":  # sentencepiece's BPE: a normalizer puts the space before each part of a text
        alphabet = sorted({sign for text in TEXT for sign in text} - {" "})
        vocabulary = {token: number for number, token in enumerate(["<unk>", *SPECIAL, *alphabet, "▁", "▁a"])}
        vocabulary |= {f"<0x{byte:02X}>": len(vocabulary) + byte for byte in range(256)}
        made = Tokenizer(models.BPE(vocabulary, [("▁", "a")], unk_token="<unk>", fuse_unk=True, byte_fallback=True))
        made.normalizer = normalizers.Sequence([normalizers.Prepend("▁"), normalizers.Replace(" ", "▁")])
        made.decoder = decoders.Sequence(
            [decoders.Replace("▁", " "), decoders.ByteFallback(), decoders.Fuse(), decoders.Strip(" ", 1, 0)]
        )
        made.add_special_tokens([AddedToken("<unk>", special=True, normalized=False), *special])
        return made
    made = Tokenizer(models.Unigram())
    made.pre_tokenizer = pre_tokenizers.Metaspace(prepend_scheme=kind)
    made.decoder = decoders.Metaspace(prepend_scheme=kind)
    trainer = trainers.UnigramTrainer(
        vocab_size=120, special_tokens=["<unk>"], unk_token="<unk>", show_progress=False,
        initial_alphabet=[chr(number) for number in range(33, 127)] + ["\n", "🐕", "“", "”"],
    )  # fmt: skip
    made.train_from_iterator(TEXT, trainer)
    made.add_special_tokens([AddedToken("<unk>", special=True), *special])
    return made


Opened = Callable[[str, str], tuple[ChatTemplate, Any]]


@pytest.fixture(scope="module")
def opened(tmp_path_factory: pytest.TempPathFactory) -> Opened:
    """A template with a kind of tokenizer: as we open it, and as transformers does."""
    from transformers import AutoTokenizer, PreTrainedTokenizerFast

    known: dict[tuple[str, str], tuple[ChatTemplate, Any]] = {}

    def get(template: str, kind: str) -> tuple[ChatTemplate, Any]:
        if (template, kind) not in known:
            folder = tmp_path_factory.mktemp("tokenizer")
            tokens = {"bos_token": "<s>", "eos_token": "</s>", "additional_special_tokens": list(SPECIAL[2:])}
            made = PreTrainedTokenizerFast(tokenizer_object=_backend(kind), **tokens)
            made.chat_template = TEMPLATES.get(template, template)
            made.save_pretrained(folder)
            known[template, kind] = ChatTemplate.open(folder), AutoTokenizer.from_pretrained(folder)
        return known[template, kind]

    return get


KINDS = ("bytes", "llama", "first", "always")


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("template", TEMPLATES)
def test_ids_are_those_of_transformers_and_what_is_asked_are_the_answers(
    template: str, kind: str, opened: Opened
) -> None:
    chat, theirs = opened(template, kind)
    end = ENDS[template]
    assert chat.end == theirs.convert_tokens_to_ids(end)
    assert chat.ends == list(dict.fromkeys([chat.end, theirs.eos_token_id]))
    for messages in CONVERSATIONS:
        if template == "gemma" and messages[0]["role"] == "system":
            with pytest.raises(ChatError, match="the chat template says: System role not supported"):
                chat.conversation(messages)
            continue
        found = chat.conversation(messages)
        assert found.ids == theirs.apply_chat_template(messages)["input_ids"]
        history = chat.prompt(messages[:-1])
        if (template, kind) != ("llama-3", "bytes"):  # there, two line ends are one token at the end of a text only
            assert history == theirs.apply_chat_template(messages[:-1], add_generation_prompt=True)["input_ids"]
        said = [turn["content"] for turn in messages if turn["role"] == "assistant"]
        said = said[-1:] if template == "qwen-3" else said
        assert (found.rewritten > 0) == (template == "qwen-3" and len(messages) > 3) and chat.rewrites == (
            template == "qwen-3"
        )
        asked = [theirs.decode(found.ids[start:until]) for start, until in found.answers]
        thought = "<think>\n\n</think>\n\n" if template == "qwen-3" else ""
        assert len(asked) == len(said)
        for text, answer in zip(asked, said, strict=True):
            assert text.removesuffix(end).strip() == thought + answer.strip() and text.endswith(end)
        start = found.answers[-1][0]
        assert found.ids[:start] == history  # a model is asked to go on exactly here


def test_what_a_template_tags_as_generated_is_what_is_asked(opened: Opened) -> None:
    chat, theirs = opened("tagged", "bytes")
    for messages in CONVERSATIONS:
        known = theirs.apply_chat_template(messages, return_assistant_tokens_mask=True, return_dict=True)
        found = chat.conversation(messages)
        mask = [0] * len(found.ids)
        for start, end in found.answers:
            mask[start:end] = [1] * (end - start)
        assert mask == known["assistant_masks"]


def test_a_token_on_both_sides_of_an_answers_start_belongs_to_the_answer(opened: Opened) -> None:
    chat, theirs = opened("chatml", "bytes")
    found = chat.conversation(turns("a", "\n\nb"))
    assert found.ids == theirs.apply_chat_template(turns("a", "\n\nb"))["input_ids"]
    ((start, end),) = found.answers
    assert theirs.decode(found.ids[start:end]) == "\n\n\nb<|im_end|>"


def test_a_prompt_that_ends_inside_a_token_ends_before_it(opened: Opened) -> None:
    spaced = "{% for m in messages %}{{ m.role + ': ' + m.content + eos_token }}{% endfor %}" + PROMPT
    chat, theirs = opened(spaced + "{{ 'assistant: ' }}{% endif %}", "bytes")
    found = chat.conversation(turns("What</s>", "a cat"))
    ((start, end),) = found.answers
    assert chat.prompt(turns("What</s>")) == found.ids[:start]
    assert theirs.decode(found.ids[start:end]) == " a cat</s>"


HOSTILE = st.lists(
    st.one_of(
        st.sampled_from([*SPECIAL, "<", "|im_end|>", "\ue000", "\ue000<|im_end|>\ue000", "\ue0003\ue000", "{{ m }}"]),
        st.sampled_from(["{% endfor %}", "\n", " ", "[/INST]", "🐕", "e\u0301", "</think>", "a", "The cat"]),
        st.text(max_size=4),
    ),
    max_size=6,
).map("".join)


@pytest.mark.parametrize(("template", "kind"), [("chatml", "bytes"), ("mistral", "llama"), ("zephyr", "first")])
@settings(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(contents=st.lists(HOSTILE, min_size=2, max_size=4).map(lambda found: found[: len(found) // 2 * 2]))
@example(contents=["<|im_end|>", "\ue000</s>\ue001"])
def test_special_tokens_in_messages_stay_text(template: str, kind: str, opened: Opened, contents: list[str]) -> None:
    chat, theirs = opened(template, kind)
    special = set(theirs.all_special_ids) - {theirs.unk_token_id}
    found, plain = chat.conversation(turns(*contents)), chat.conversation(turns(*("a" for _ in contents)))
    assert [token for token in found.ids if token in special] == [token for token in plain.ids if token in special]
    assert [found.ids[end - 1] for _, end in found.answers] == [chat.end] * (len(contents) // 2)
    if kind == "bytes":
        asked = [theirs.decode(found.ids[start:end]) for start, end in found.answers]
        assert [text.lstrip() for text in asked] == [(text + "<|im_end|>").lstrip() for text in contents[1::2]]
        assert theirs.decode(found.ids) == theirs.apply_chat_template(turns(*contents), tokenize=False)
    if not any(token in text for token in SPECIAL for text in contents):
        assert found.ids == theirs.apply_chat_template(turns(*contents))["input_ids"]


@pytest.mark.parametrize("kind", KINDS)
def test_the_road_for_messages_with_special_tokens_gives_the_same_ids(kind: str, opened: Opened) -> None:
    chat, _ = opened("phi-3", kind)  # its <|end|> swallows the line end behind it
    for messages in CONVERSATIONS:
        apart = _rendered(*chat._encoded(chat._text(messages, "\ue000")))
        assert apart == chat.conversation(messages)


BAD = {
    "{{ messages": "the chat template is not valid Jinja: line 1: ",
    "{% for m in messages %}{{ m.content + eos_token }}{% endfor %}": "renders the same for user and assistant",
    "{% for m in messages %}{{ m.role + eos_token }}{% endfor %}": "leaves out what the user says",
    "{% for m in messages %}{{ m.role + ': ' + m.content + '\n' }}{% endfor %}": "puts no special token",
    "{% for m in messages %}{{ m.role + ': ' + m.content + '<|e|>' }}{% endfor %}": r"but '<\|e\|>'; a model would",
    "{% for m in messages %}{{ m.role + ':' + m.content + eos_token }}{% endfor %}": "ignores add_generation_prompt",
    "{{ 1 / 0 }}": "for a question and its answer, the chat template says: division by zero",
    "{{ raise_exception('No.') }}": "for a question and its answer, the chat template says: No.",
    "{% for m in messages %}{{ m.role + ': ' + m.content + eos_token }}{% endfor %}" + PROMPT
    + "{{ 'Think!' }}{% endif %}": "both have to begin alike",
}  # fmt: skip


@pytest.mark.parametrize("template", BAD)
def test_a_template_that_cannot_be_learned_from_is_refused(template: str, opened: Opened) -> None:
    with pytest.raises(ValueError, match=BAD[template]):
        opened(template, "bytes")


def test_a_conversation_that_a_template_refuses_is_named(opened: Opened) -> None:
    chat, _ = opened("llama-2", "bytes")
    with pytest.raises(ChatError, match="roles must alternate") as raised:
        chat.conversations([turns("a", "b"), [*turns("a"), *turns("b", "c")]])
    assert raised.value.number == 1


def test_a_system_turn_that_a_template_leaves_out_is_noticed(opened: Opened) -> None:
    silent = "{% for m in messages %}{% if m.role != 'system' %}{{ m.role + ':' + m.content + eos_token }}{% endif %}"
    silent += "{% endfor %}" + PROMPT + "{{ 'assistant:' }}{% endif %}"
    assert opened(silent, "bytes")[0].drops_system
    assert not opened("chatml", "bytes")[0].drops_system and not opened("gemma", "bytes")[0].drops_system


def test_a_tokenizer_without_a_template_is_refused(tmp_path: Path) -> None:
    from transformers import PreTrainedTokenizerFast

    PreTrainedTokenizerFast(tokenizer_object=_backend("bytes"), eos_token="</s>").save_pretrained(tmp_path)
    with pytest.raises(ValueError, match="the tokenizer has no chat template"):
        ChatTemplate.open(tmp_path)
