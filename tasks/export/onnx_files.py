"""Parts of a model → ONNX files with the same bytes each time: no path, no time, no stack trace inside."""

import logging
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from tasks.export.onnx_parts import Part
from tasks.stage.errors import DataError, one_line

MOST = 2**31 - 1
"""Bytes of a file in protobuf; the weights of a larger one lie beside it."""


def convert(part: Part, folder: Path, where: str) -> None:
    """Write `folder/<part>.onnx`. Raises DataError for an architecture that cannot be converted."""
    import onnx
    import torch

    path = folder / f"{part.name}.onnx"
    with _quiet(), torch.no_grad():
        try:
            program = torch.onnx.export(
                part.module, part.examples, dynamo=True, verbose=False, input_names=list(part.inputs),
                output_names=list(part.outputs), dynamic_shapes=tuple(part.dynamic()),
            )  # fmt: skip
            assert program is not None
            proto = program.model_proto
        except Exception as error:
            reason = one_line(error.__cause__ or error)[:200]
            raise DataError(f"{where}: torch cannot convert this architecture: {reason}") from error
    _name_dimensions(proto, part)
    _strip(proto)
    large = proto.ByteSize() > MOST
    onnx.save_model(proto, str(path), save_as_external_data=large, location=f"{path.name}.data")


def quantize(source: Path, path: Path) -> None:
    """The same file with weights of 8 bits, and activations that are quantized as they come."""
    from onnxruntime.quantization import QuantType, quantize_dynamic

    with _quiet():
        quantize_dynamic(source, path, weight_type=QuantType.QInt8)


def _name_dimensions(proto: Any, part: Part) -> None:
    """Give the dimensions that vary their names, everywhere."""
    names = {}
    for value in proto.graph.input:
        for number, dimension in enumerate(value.type.tensor_type.shape.dim):
            if dimension.dim_param:
                names[dimension.dim_param] = part.inputs[value.name][number]
    for value in (*proto.graph.input, *proto.graph.output, *proto.graph.value_info):
        for dimension in value.type.tensor_type.shape.dim:
            if dimension.dim_param in names:
                dimension.dim_param = names[dimension.dim_param]


def _strip(message: Any) -> None:
    """Remove what the converter writes for its own debugging: stack traces with paths of this machine."""
    for field, value in list(message.ListFields()):
        if field.name in ("metadata_props", "doc_string"):
            message.ClearField(field.name)
        elif field.message_type is not None:
            for one in value if hasattr(value, "add") else [value]:
                _strip(one)


@contextmanager
def _quiet() -> Iterator[None]:
    """Without the converters' remarks on themselves."""
    before = logging.root.manager.disable
    logging.disable(logging.WARNING)
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            yield
    finally:
        logging.disable(before)
