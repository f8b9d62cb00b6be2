"""An exported model with 8-bit weights: dynamic quantisation, so that no recording is needed to
calibrate it.
"""

from pathlib import Path

import onnx
from onnxruntime.quantization import QuantType, quantize_dynamic

MODEL = "model.int8.onnx"
_PREPARED = {"onnx.quant.pre_process": "onnxruntime.quant"}  # without it the library gives advice on every run
_OWN = ("onnx.", "onnxruntime.")  # beginnings of metadata that quantisation leaves for itself


def quantise_weights(source: Path, target: Path) -> None:
    """Write `source` with the weights of its matrix products as 8-bit integers, a scale for each
    output channel.

    Convolutions stay as they are: as integers, `tiny-en` is a third smaller and a third slower
    (docs/experiments/serving.md#cost-of-an-answer).

    Args:
      source: an exported model.onnx.
      target: takes what runtimes read from the same metadata.
    """
    model = onnx.load(source)
    facts = {entry.key: entry.value for entry in model.metadata_props}
    onnx.helper.set_model_props(model, facts | _PREPARED)
    quantize_dynamic(model, target, op_types_to_quantize=["MatMul"], per_channel=True, weight_type=QuantType.QInt8)
    model = onnx.load(target)
    kept = {e.key: e.value for e in model.metadata_props if not e.key.startswith(_OWN)}
    del model.metadata_props[:]
    onnx.helper.set_model_props(model, kept)
    del model.graph.value_info[:]
    model.doc_string = model.graph.doc_string = ""
    onnx.save(model, target)
