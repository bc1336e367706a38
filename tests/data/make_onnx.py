"""Makes the models that tests/unit/onnx loads, beside itself. Needs the package `onnx`."""

import pathlib

from onnx import TensorProto, checker, helper

here = pathlib.Path(__file__).parent


def save(name, nodes, inputs, outputs, constants=()):
    graph = helper.make_graph(nodes, name, inputs, outputs, list(constants))
    model = helper.make_model(
        graph,
        producer_name="",
        ir_version=8,
        opset_imports=[helper.make_opsetid("", 17), helper.make_opsetid("ai.onnx.ml", 3)],
    )
    checker.check_model(model, full_check=True)
    (here / f"{name}.onnx").write_bytes(model.SerializeToString(deterministic=True))


def tensor(name, kind, shape):
    return helper.make_tensor_value_info(name, getattr(TensorProto, kind), shape)


# y = x * 2 + 1
save(
    "linear",
    [
        helper.make_node("Mul", ["x", "two"], ["double"]),
        helper.make_node("Add", ["double", "one"], ["y"]),
    ],
    [tensor("x", "FLOAT", ["n", 3])],
    [tensor("y", "FLOAT", ["n", 3])],
    [
        helper.make_tensor("two", TensorProto.FLOAT, [], [2.0]),
        helper.make_tensor("one", TensorProto.FLOAT, [], [1.0]),
    ],
)

# Numbers and texts side by side: next = id + 1; word comes back as it was; code is its place among
# known words, or -1.
save(
    "mixed",
    [
        helper.make_node("Add", ["id", "one"], ["next"]),
        helper.make_node("Identity", ["word"], ["same"]),
        helper.make_node(
            "LabelEncoder",
            ["word"],
            ["code"],
            domain="ai.onnx.ml",
            keys_strings=["red", "green"],
            values_int64s=[0, 1],
            default_int64=-1,
        ),
    ],
    [tensor("id", "INT64", ["n", 1]), tensor("word", "STRING", ["n", 1])],
    [
        tensor("next", "INT64", ["n", 1]),
        tensor("same", "STRING", ["n", 1]),
        tensor("code", "INT64", ["n", 1]),
    ],
    [helper.make_tensor("one", TensorProto.INT64, [], [1])],
)

# Every datatype goes through: what comes in comes out.
kinds = "BOOL UINT8 UINT16 UINT32 UINT64 INT8 INT16 INT32 INT64 FLOAT16 BFLOAT16 FLOAT DOUBLE STRING"
save(
    "identity",
    [helper.make_node("Identity", [f"in_{kind}"], [f"out_{kind}"]) for kind in kinds.split()],
    [tensor(f"in_{kind}", kind, ["n"]) for kind in kinds.split()],
    [tensor(f"out_{kind}", kind, ["n"]) for kind in kinds.split()],
)

# An output that is no tensor, as scikit-learn's classifiers have, and a run that zeros break:
# picked = table[at] for `at` from 3 to 5 only.
mapped = helper.make_value_info(
    "scores",
    helper.make_sequence_type_proto(
        helper.make_map_type_proto(
            TensorProto.INT64, helper.make_tensor_type_proto(TensorProto.FLOAT, None)
        )
    ),
)
save(
    "awkward",
    [
        helper.make_node("ZipMap", ["x"], ["scores"], domain="ai.onnx.ml", classlabels_int64s=[0, 1]),
        helper.make_node("Sub", ["at", "six"], ["back"]),
        helper.make_node("Gather", ["table", "back"], ["picked"]),
    ],
    [tensor("x", "FLOAT", ["n", 2]), tensor("at", "INT64", [])],
    [mapped, tensor("picked", "FLOAT", [])],
    [
        helper.make_tensor("table", TensorProto.FLOAT, [3], [30.0, 40.0, 50.0]),
        helper.make_tensor("six", TensorProto.INT64, [], [6]),
    ],
)
