"""Run exported ONNX files by ONNX Runtime, on what PyTorch runs the model on."""

from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from tasks.export.onnx_parts import past_names

if TYPE_CHECKING:
    import torch

Array = NDArray[Any]


class OnnxModel:
    """A folder of ONNX files."""

    def __init__(self, folder: Path, threads: int) -> None:
        import onnxruntime

        options = onnxruntime.SessionOptions()
        options.intra_op_num_threads = threads
        options.log_severity_level = 3
        self.sessions = {
            path.stem: onnxruntime.InferenceSession(str(path), options, providers=["CPUExecutionProvider"])
            for path in sorted(folder.glob("*.onnx"))
        }

    def logits(self, inputs: "dict[str, torch.Tensor]", decoder_input_ids: "torch.Tensor | None" = None) -> Array:
        """The logits of a row, as the model's forward gives them. A decoder reads the row in two pieces, the second one
        with the cache of the first."""
        ids = inputs["input_ids"].numpy()
        mask = np.ones_like(ids)
        if "encoder" in self.sessions:
            assert decoder_input_ids is not None
            (hidden,) = self.sessions["encoder"].run(None, {"input_ids": ids, "attention_mask": mask})
            return self._in_pieces("decoder", decoder_input_ids.numpy(), {"hidden": hidden, "attention_mask": mask})
        if self._layers("model"):
            return self._in_pieces("model", ids, {})
        found: Array = self.sessions["model"].run(["logits"], {"input_ids": ids, "attention_mask": mask})[0]
        return found

    def _in_pieces(self, name: str, ids: Array, given: dict[str, Array]) -> Array:
        session, cache, found = self.sessions[name], self._empty(name, len(ids)), []
        key = "decoder_input_ids" if name == "decoder" else "input_ids"
        cut = max(ids.shape[1] // 2, 1)
        for start, stop in ((0, cut), (cut, ids.shape[1])):
            if start == stop:
                continue
            own = dict(given)
            if name == "model":
                own["attention_mask"] = np.ones((len(ids), stop), np.int64)
                own["position_ids"] = np.arange(start, stop, dtype=np.int64)[None].repeat(len(ids), 0)
            logits, *present = session.run(None, {key: ids[:, start:stop], **own, **cache})
            cache = dict(zip(cache, present, strict=True))
            found.append(logits)
        return np.concatenate(found, 1)

    def _layers(self, name: str) -> int:
        return sum(each.name.endswith(".key") for each in self.sessions[name].get_inputs())

    def _empty(self, name: str, batch: int) -> dict[str, Array]:
        shapes = {each.name: each.shape for each in self.sessions[name].get_inputs()}
        names = past_names(self._layers(name))
        return {each: np.zeros((batch, shapes[each][1], 0, shapes[each][3]), np.float32) for each in names}
