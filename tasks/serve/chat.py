"""A registered chat model: conversations in OpenAI's format in, answers out."""

import math
import threading
from collections.abc import Callable, Generator, Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing
from dataclasses import dataclass, replace
from queue import SimpleQueue
from typing import Any, ClassVar

import pandas as pd
from mlflow.exceptions import MlflowException
from mlflow.models import set_model
from mlflow.pyfunc.model import PythonModelContext

from tasks.formats.chat_ids import ChatError, ChatTemplate
from tasks.formats.repetition import of_the_output
from tasks.serve.answering import Answering
from tasks.serve.completions import Asked, Chunks, Turn, Written, completion, question, read_request
from tasks.serve.routes import as_conversations, offer
from tasks.serve.server import GONE, invalid
from tasks.serve.shared import Served

OF_BEAMS = ("early_stopping", "length_penalty")
OF_SAMPLING = ("temperature", "top_k", "top_p", "seed")
SEEDS = 2**63


@dataclass(frozen=True)
class Prompt:
    """What an answer is generated from."""

    ids: list[int]
    """The turns that fit, and what begins an answer."""
    params: dict[str, Any]
    stop: tuple[str, ...]
    seed: int
    cut: bool = False
    """Whether turns at the front were left out."""


class ChatModel(Served):
    """Answers the last question of each conversation like the evaluation; the same question, parameters and seed give
    the same answer on one machine."""

    auto = "AutoModelForCausalLM"
    reads = as_conversations
    bounds: ClassVar[Mapping[str, tuple[float, float]]] = {
        "batch_size": (1, math.inf),
        "num_beams": (1, math.inf),
        "max_new_tokens": (1, math.inf),
        "no_repeat_ngram_size": (0, math.inf),
        "temperature": (0, math.inf),
        "top_k": (0, math.inf),
        "top_p": (0, 1),
        "seed": (0, SEEDS - 1),
    }

    def load_context(self, context: PythonModelContext) -> None:
        """Also open the chat template; under a server, offer OpenAI's routes."""
        from transformers import GenerationConfig

        super().load_context(context)
        self.template = ChatTemplate.open(self.folder)
        self.tokenizer = self.template.tokenizer
        config = context.model_config or {}
        self.name, self.defaults = str(config.get("name", "gristmill")), dict(config.get("params") or {})
        self.tokens = {"eos_token_id": self.template.ends, "pad_token_id": self.template.ends[0]}
        self.model.generation_config = GenerationConfig(**self.tokens)  # or a search would take other settings from it
        if self.serving:
            offer(self)

    def predict(
        self, context: PythonModelContext, model_input: pd.DataFrame, params: dict[str, Any] | None = None
    ) -> Any:
        """A `chat.completion` for a request of OpenAI; for a list or a table, a prediction per row: the answer as text
        for a question as text, a `chat.completion` for a request or a list of messages."""
        given: Any = model_input  # MLflow knows no type for all of these
        if isinstance(given, Mapping):
            return self._complete([self.read(given, params)])[0]
        rows, asked = _rows(given), []
        for place, row in enumerate(rows, 1):
            try:
                asked.append(self.read(_request(row), params))
            except MlflowException as error:
                raise invalid(f"input {place}: {error.message}") from None
        found = self._complete(asked) if asked else []
        pairs = zip(rows, found, strict=True)
        return [each["choices"][0]["message"]["content"] if isinstance(row, str) else each for row, each in pairs]

    def predict_stream(
        self, context: PythonModelContext, model_input: Any, params: dict[str, Any] | None = None
    ) -> Iterator[dict[str, Any]]:
        """The `chat.completion.chunk`s of a request of OpenAI."""
        return self.stream(self.read(model_input, params))

    def read(self, request: Mapping[str, Any], defaults: Mapping[str, Any] | None = None) -> Asked:
        """Read a request. Raises MlflowException with a sentence about what is wrong."""
        asked = read_request(request, self.defaults | dict(defaults or {}))
        self.require_bounds(asked.params)
        if asked.params["repetition_penalty"] <= 0:
            raise invalid("repetition_penalty: must be more than 0; 1 means no penalty")
        if asked.params["temperature"] > 0 and asked.params["num_beams"] > 1:
            raise invalid("temperature: more than 0 samples, which needs num_beams 1")
        return asked

    def stream(self, asked: Asked, gone: threading.Event | None = None) -> Iterator[dict[str, Any]]:
        """The chunks of all answers to a request. Problems of the request are raised at once, not by the iterator."""
        gone = gone or GONE.get() or threading.Event()
        self._begin([asked], gone)
        prompts, end = self._prompts(asked), self.request.end
        return self._chunks(asked, prompts, gone, end)

    def talk(self, messages: Sequence[Turn], params: Mapping[str, Any]) -> Iterator[str]:
        """The answer to a conversation, piece by piece; closing the iterator stops it. Problems are raised at once."""
        asked = self.read({"messages": list(messages)}, params)
        self._begin([asked], gone := threading.Event())
        (prompt,), end = self._prompts(asked), self.request.end
        return self._texts(prompt, gone, end)

    def check(self, texts: Sequence[Any], params: Mapping[str, Any] | None = None) -> dict[int, str]:
        """Problems of inputs that cannot be answered, by place. Raises MlflowException for bad parameters."""
        self.read(_request("a"), params)
        self.begin(0, 0, {})
        problems = {}
        for place, row in enumerate(texts):
            try:
                self._prompts(self.read(_request(row), params))
            except MlflowException as error:
                problems[place] = error.message
        return problems

    def count_cut(self, texts: Sequence[Any], params: Mapping[str, Any] | None = None) -> int:
        """The number of inputs of which turns at the front are left out, since they do not fit."""
        self.begin(0, 0, {})
        return sum(self._prompts(self.read(_request(row), params))[0].cut for row in texts)

    def _complete(self, asked: Sequence[Asked]) -> list[dict[str, Any]]:
        if any(each.stream for each in asked):
            raise invalid("stream: here answers come whole; for a stream, ask /v1/chat/completions")
        self._begin(asked, GONE.get())
        prompts = [self._prompts(each) for each in asked]
        flat = [prompt for own in prompts for prompt in own]
        written = iter(self._write(flat))
        return [completion(self.name, len(own[0].ids), [next(written) for _ in own]) for own in prompts]

    def _begin(self, asked: Sequence[Asked], gone: threading.Event | None) -> None:
        """Start the work of a request. Raises MlflowException if it asks for too much of it."""
        most = {
            name: max(each.params.get(name, 1) for each in asked)
            for name in ("batch_size", "num_beams", "max_new_tokens")
        }
        self.begin(sum(each.answers for each in asked), sum(each.characters for each in asked), most, gone)

    def _prompts(self, asked: Asked) -> list[Prompt]:
        """A prompt for each answer to a request: the same one with another seed. Raises MlflowException if the
        conversation does not fit, or the template does not render it."""
        with self.turn():
            try:
                ids, cut = self._fitting(asked.messages, asked.params["max_new_tokens"])
            except ChatError as error:
                raise invalid(str(error)) from None
        first = Prompt(ids, asked.params, asked.stop, asked.params["seed"], cut)
        return [replace(first, seed=(first.seed + number) % SEEDS) for number in range(asked.answers)]

    def _fitting(self, messages: Sequence[Turn], new_tokens: int) -> tuple[list[int], bool]:
        """The ids of a history with room for an answer, and whether it was cut: turns at its front are left out, the
        system prompt is not, until it fits. It still begins with a question of the user."""
        ids, positions = self.template.prompt(messages), self.positions()
        self._require_roles(messages, ids)
        if positions is None:
            return ids, False
        if new_tokens >= positions:
            raise invalid(
                f"max_new_tokens: must be from 1 to {positions - 1}, less than the model's {positions} positions, not "
                f"{new_tokens}"
            )
        if len(ids) <= (room := positions - new_tokens):
            return ids, False
        system = [turn for turn in messages[:1] if turn["role"] == "system"]
        begins = [place for place, turn in enumerate(messages) if turn["role"] == "user"][1:]
        found, least, most = None, 0, len(begins) - 1
        while least <= most:  # fewer turns are fewer tokens, so few renderings find the most that fit
            middle = (least + most) // 2
            ids = self.template.prompt([*system, *messages[begins[middle] :]])
            if len(ids) <= room:
                found, most = ids, middle - 1
            else:
                least = middle + 1
        if found is None:
            if begins:
                ids = self.template.prompt([*system, *messages[begins[-1] :]])
            raise invalid(
                f"too long: the last question with the system prompt has {len(ids):,} tokens, and {new_tokens:,} "
                f"new ones leave room for {room:,} in the model's {positions:,} positions"
            )
        return found, True

    def _require_roles(self, messages: Sequence[Turn], ids: Sequence[int]) -> None:
        """Raise MlflowException if the template leaves out what a role says."""
        for role in {turn["role"] for turn in messages} - {"user", "assistant"}:
            others = [turn for turn in messages if turn["role"] != role]
            try:
                same = self.template.drops_system if role == "system" else self.template.prompt(others) == ids
            except ChatError:
                continue  # it cannot do without
            if same:
                raise invalid(f"the chat template of this model leaves out what {role} says; say it in a question")

    def _write(self, prompts: Sequence[Prompt]) -> list[Written]:
        """The answers to prompts, in batches of those with the same parameters."""
        found: list[Written | None] = [None] * len(prompts)
        groups: dict[Any, list[int]] = {}
        for place, prompt in enumerate(prompts):
            groups.setdefault((tuple(prompt.params.items()), bool(prompt.stop)), []).append(place)
        for members in groups.values():
            first = prompts[members[0]]
            size = 1 if first.stop else first.params["batch_size"]
            for places, batch in self.batches([prompts[place].ids for place in members], size, left=True):
                own = [prompts[members[place]] for place in places]
                with self.turn():
                    for place, written in zip(places, self._generate(own, batch), strict=True):
                        found[members[place]] = written
        return [written for written in found if written is not None]

    def _generate(
        self, prompts: Sequence[Prompt], batch: Mapping[str, Any], tell: Callable[[str], None] | None = None
    ) -> list[Written]:
        """The answers to a batch of prompts with the same parameters; a single one if it has `stop` or `tell`."""
        import torch
        from transformers import GenerationConfig, LogitsProcessorList, StoppingCriteria, StoppingCriteriaList

        params, before = dict(prompts[0].params), batch["input_ids"].shape[1]
        beams = params["num_beams"] > 1
        live = not beams and (tell is not None or bool(prompts[0].stop))
        answering = Answering(self._decode, prompts[0].stop, tell)
        dropped = ("batch_size", *OF_SAMPLING, *(() if beams else OF_BEAMS))
        chosen = {name: value for name, value in params.items() if name not in dropped}
        repetition = {name: chosen.pop(name) for name in ("repetition_penalty", "no_repeat_ngram_size")}
        processors = of_the_output(before, **repetition)
        if params["temperature"] > 0:
            processors = LogitsProcessorList([*processors, *_sampling([prompt.seed for prompt in prompts], params)])

        class Watch(StoppingCriteria):
            def __call__(watch, input_ids: Any, scores: Any, **_: Any) -> Any:
                self.require_time()
                over = live and answering.read(input_ids[0, before:].tolist())
                return torch.full((len(input_ids),), over, device=input_ids.device)

        with torch.inference_mode():
            rows = self.model.generate(
                **batch,
                generation_config=GenerationConfig(do_sample=False, **chosen, **self.tokens),
                logits_processor=processors,
                stopping_criteria=StoppingCriteriaList([Watch()]),
            )[:, before:].tolist()
        if live or len(rows) == 1:
            return [self._written(rows[0], answering)]
        return [self._written(row, Answering(self._decode, (), None)) for row in rows]

    def _written(self, row: Sequence[int], answering: Answering) -> Written:
        stop = next((place for place, token in enumerate(row) if token in self.template.ends), None)
        text = answering.end(row[:stop])
        tokens = len(row) if stop is None else stop + 1
        return Written(text, tokens, "stop" if answering.stopped or stop is not None else "length")

    def _decode(self, ids: Sequence[int]) -> str:
        return str(self.tokenizer.decode(list(ids), skip_special_tokens=True))

    def _chunks(
        self, asked: Asked, prompts: Sequence[Prompt], gone: threading.Event, end: float
    ) -> Iterator[dict[str, Any]]:
        chunks, all_written = Chunks(self.name), []
        for number, prompt in enumerate(prompts):
            yield chunks.begin(number)
            with closing(self._pieces(prompt, gone, end)) as pieces:
                for piece in pieces:
                    if isinstance(piece, Written):
                        all_written.append(piece)
                        yield chunks.end(number, piece)
                    else:
                        yield chunks.text(number, piece)
        if asked.usage:
            yield chunks.usage(len(prompts[0].ids), all_written)

    def _texts(self, prompt: Prompt, gone: threading.Event, end: float) -> Generator[str]:
        with closing(self._pieces(prompt, gone, end)) as pieces:
            yield from (piece for piece in pieces if isinstance(piece, str))

    def _pieces(self, prompt: Prompt, gone: threading.Event, end: float) -> Generator[str | Written]:
        """The text of an answer as it comes, and at last the answer. A thread generates it; closing stops that."""
        told: SimpleQueue[str | None] = SimpleQueue()

        def work() -> Written:
            self.request.end, self.request.gone = end, gone
            try:
                ((_, batch),) = self.batches([prompt.ids], 1, left=True)
                with self.turn():
                    return self._generate([prompt], batch, told.put)[0]
            finally:
                told.put(None)

        with ThreadPoolExecutor(1) as thread:
            written = thread.submit(work)
            try:
                while (piece := told.get()) is not None:
                    yield piece
                yield written.result()
            except BaseException:  # GeneratorExit, too: it was closed
                gone.set()
                raise


def _request(row: Any) -> Mapping[str, Any]:
    """A question, a list of messages or a request as a request."""
    return row if isinstance(row, Mapping) else {"messages": question(row) if isinstance(row, str) else row}


def _rows(given: Any) -> list[Any]:
    """The questions and conversations in a list or a table."""
    if isinstance(given, str):
        return [given]
    if hasattr(given, "columns"):
        if "messages" in given.columns:
            return [dict(row) for row in given.to_dict("records")]
        if len(given.columns) != 1:
            names = ", ".join(map(str, given.columns))
            raise invalid(f"a table needs a column messages, or one column of questions; it has {names}")
        given = given.iloc[:, 0]
    rows = given.tolist() if hasattr(given, "tolist") else list(given)
    if any(isinstance(row, Mapping) and "role" in row for row in rows):
        raise invalid('input 1 is a message; a conversation is {"messages": […]}')
    for place, row in enumerate(rows, 1):
        if not isinstance(row, (str, list, Mapping)):
            raise invalid(
                f"input {place} is {'null' if row is None else f'{row!r:.60}'}, expected a question or messages"
            )
    return rows


def _sampling(seeds: Sequence[int], params: Mapping[str, Any]) -> list[Any]:
    """The processors that make greedy search draw from the model's distribution, each row with its own random numbers.

    The most likely token after adding Gumbel noise to the logits is a sample from their softmax (Gumbel 1954; Maddison
    et al., NeurIPS 2014).
    """
    import numpy as np
    import torch
    from transformers import LogitsProcessor, TemperatureLogitsWarper, TopKLogitsWarper, TopPLogitsWarper

    generators = [np.random.default_rng(seed) for seed in seeds]

    class Noise(LogitsProcessor):
        def __call__(self, input_ids: Any, scores: Any) -> Any:
            drawn = [generator.standard_exponential(scores.shape[1], np.float32) for generator in generators]
            return scores - torch.from_numpy(np.stack(drawn)).to(scores.device).log()

    found: list[Any] = [TemperatureLogitsWarper(float(params["temperature"]))]
    if params["top_k"]:
        found.append(TopKLogitsWarper(params["top_k"]))
    if params["top_p"] < 1:
        found.append(TopPLogitsWarper(float(params["top_p"])))
    return [*found, Noise()]


set_model(ChatModel())
