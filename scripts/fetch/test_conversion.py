"""The conversion on GGUF files written here, number by number against the definition of each format."""

from __future__ import annotations

import json
import math
import struct
import tempfile
import unittest
from array import array
from pathlib import Path

from . import gguf, safetensors
from .llama import LlamaModel, ModelError, shortest

HEADS, KEY_VALUE_HEADS, HEAD_DIM, HIDDEN, FEED_FORWARD, VOCABULARY = 2, 1, 4, 32, 64, 6
TOKENS = ["<|end|>", "<|start|>", "a", "b", "\u0120", "ab"]
METADATA = {
    "general.architecture": "llama",
    "llama.block_count": 1,
    "llama.context_length": 64,
    "llama.embedding_length": HIDDEN,
    "llama.feed_forward_length": FEED_FORWARD,
    "llama.attention.head_count": HEADS,
    "llama.attention.head_count_kv": KEY_VALUE_HEADS,
    "llama.attention.layer_norm_rms_epsilon": 1e-5,
    "llama.rope.freq_base": 1e5,
    "llama.rope.dimension_count": HEAD_DIM,
    "tokenizer.ggml.model": "gpt2",
    "tokenizer.ggml.pre": "smollm",
    "tokenizer.ggml.tokens": TOKENS,
    "tokenizer.ggml.token_type": [3, 3, 1, 1, 1, 1],
    "tokenizer.ggml.merges": ["a b"],
    "tokenizer.ggml.bos_token_id": 1,
    "tokenizer.ggml.eos_token_id": 0,
}


def string(text: str) -> bytes:
    return struct.pack("<Q", len(text.encode())) + text.encode()


def value(content) -> bytes:
    """A value of the key-value table with its type before it."""
    if isinstance(content, str):
        return struct.pack("<I", gguf.STRING) + string(content)
    if isinstance(content, float):
        return struct.pack("<If", 6, content)
    if isinstance(content, int):
        return struct.pack("<II", 4, content)
    items = [value(item) for item in content]
    return struct.pack("<I", gguf.ARRAY) + items[0][:4] + struct.pack("<Q", len(items)) + b"".join(i[4:] for i in items)


def written(metadata: dict, tensors: dict) -> bytes:
    """A GGUF file; tensors are name -> (shape with the fastest dimension last, type, bytes)."""
    head = b"GGUF" + struct.pack("<IQQ", 3, len(tensors), len(metadata))
    head += b"".join(string(key) + value(content) for key, content in metadata.items())
    data = b""
    for name, (shape, kind, content) in tensors.items():
        dimensions = b"".join(struct.pack("<Q", size) for size in reversed(shape))
        head += string(name) + struct.pack("<I", len(shape)) + dimensions + struct.pack("<IQ", kind, len(data))
        data += content + b"\0" * (-len(content) % 32)
    return head + b"\0" * (-len(head) % 32) + data


def f32(numbers) -> bytes:
    return array("f", numbers).tobytes()


def counted(rows: int, width: int, offset: int) -> tuple:
    """A tensor whose entry (i, j) is offset + i + j / 128, so that every row knows its number."""
    entries = [offset + row + column / 128 for row in range(rows) for column in range(width)]
    return (rows, width), gguf.F32, f32(entries)


def model(**changes) -> dict:
    """The tensors of a one-layer model."""
    tensors = {
        "token_embd.weight": counted(VOCABULARY, HIDDEN, 0),
        "output_norm.weight": ((HIDDEN,), gguf.F32, f32(range(HIDDEN))),
        "blk.0.attn_norm.weight": ((HIDDEN,), gguf.F32, f32(range(HIDDEN))),
        "blk.0.attn_q.weight": counted(HEADS * HEAD_DIM, HIDDEN, 100),
        "blk.0.attn_k.weight": counted(KEY_VALUE_HEADS * HEAD_DIM, HIDDEN, 200),
        "blk.0.attn_v.weight": counted(KEY_VALUE_HEADS * HEAD_DIM, HIDDEN, 300),
        "blk.0.attn_output.weight": counted(HIDDEN, HEADS * HEAD_DIM, 400),
        "blk.0.ffn_norm.weight": ((HIDDEN,), gguf.F32, f32(range(HIDDEN))),
        "blk.0.ffn_gate.weight": counted(FEED_FORWARD, HIDDEN, 500),
        "blk.0.ffn_up.weight": counted(FEED_FORWARD, HIDDEN, 600),
        "blk.0.ffn_down.weight": counted(HIDDEN, FEED_FORWARD, 700),
    }
    tensors.update(changes)
    return tensors


def converted(metadata=METADATA, tensors=None) -> LlamaModel:
    return LlamaModel(gguf.read(written(metadata, tensors or model())))


class Formats(unittest.TestCase):
    """Blocks of numbers, entry by entry."""

    def read(self, shape, kind, content) -> list:
        return list(gguf.read(written({}, {"t": (shape, kind, content)})).tensors["t"].values())

    def test_q4_1(self):
        scale, minimum, quanta = 0.375, -2.5, [(7 * place + 3) % 16 for place in range(32)]
        halves = bytes(quanta[place] | quanta[place + 16] << 4 for place in range(16))
        block = struct.pack("<ee", scale, minimum) + halves
        other = struct.pack("<ee", -1.0, 65504.0) + bytes(range(0, 256, 16))
        found = self.read((2, 32), gguf.Q4_1, block + other)
        self.assertEqual(found[:32], [scale * quantum + minimum for quantum in quanta])
        self.assertEqual(found[32:], [65504.0] * 16 + [65504.0 - quantum for quantum in range(16)])

    def test_q4_1_rounds_the_sum_to_f32(self):
        # 15 * 2^-14 beside 2048: the sum needs 26 bits, an f32 keeps 24.
        block = struct.pack("<ee", 2**-14, 2048.0) + b"\xff" * 16
        self.assertEqual(set(self.read((32,), gguf.Q4_1, block)), {2048.0 + 4 * 2**-12})

    def test_q8_0(self):
        quanta = [-128, 127, 0, -1, *range(28)]
        block = struct.pack("<e32b", -0.0078125, *quanta)
        self.assertEqual(self.read((32,), gguf.Q8_0, block), [-0.0078125 * quantum for quantum in quanta])

    def test_f16_and_f32(self):
        numbers = [1.5, -2.0, 65504.0, 2.0**-24]
        self.assertEqual(self.read((2, 2), gguf.F16, struct.pack("<4e", *numbers)), numbers)
        self.assertEqual(self.read((4,), gguf.F32, f32(numbers)), numbers)

    def test_dimensions_are_listed_fastest_first_and_tensors_are_aligned(self):
        tensors = {"odd": ((3,), gguf.F32, f32([1, 2, 3])), "wide": ((2, 3), gguf.F32, f32(range(6)))}
        file = gguf.read(written({"key": "text"}, tensors))
        self.assertEqual(file.tensors["wide"].shape, (2, 3))
        self.assertEqual(list(file.tensors["wide"].values()), list(range(6)))

    def test_rejects_what_is_no_file_of_this_format(self):
        good = written({}, {"t": ((32,), gguf.F32, f32(range(32)))})
        for content, reason in [
            (b"GGML" + good[4:], "begin with `GGUF`"),
            (good[:4] + struct.pack("<I", 1) + good[8:], "version 1"),
            (good[:-1], "tensor `t` needs"),
            (good[:40], "cut short"),
            (written({}, {"t": ((32,), 14, b"")}), "type 14"),
            (written({}, {"t": ((2, 16), gguf.Q8_0, b"\0" * 34)}), "blocks of 32"),
        ]:
            with self.assertRaisesRegex(gguf.GgufError, reason):
                gguf.read(content)


class Llama(unittest.TestCase):
    """Names, order of rows, configuration, tokenizer."""

    def rows(self, name: str) -> list:
        found = converted()
        width = found.tensor(name).shape[-1]
        values = found.values(name)
        return [values[start] for start in range(0, len(values), width)]

    def test_channel_pairs_of_queries_and_keys_are_put_apart(self):
        layer = "model.layers.0.self_attn"
        # Neighbours 2i and 2i + 1 of a head become i and i + 2.
        self.assertEqual(self.rows(f"{layer}.q_proj.weight"), [100, 102, 101, 103, 104, 106, 105, 107])
        self.assertEqual(self.rows(f"{layer}.k_proj.weight"), [200, 202, 201, 203])
        self.assertEqual(self.rows(f"{layer}.v_proj.weight"), [300, 301, 302, 303])
        q = converted().values(f"{layer}.q_proj.weight")
        self.assertEqual(list(q[HIDDEN:2 * HIDDEN]), [102 + column / 128 for column in range(HIDDEN)])

    def test_rotary_scores_are_the_same_in_both_orders(self):
        def turn(head, pairs, position):
            turned = list(head)
            for index, (first, second) in enumerate(pairs):
                angle = position * 1e5 ** (-2 * index / HEAD_DIM)
                x, y = head[first], head[second]
                turned[first] = x * math.cos(angle) - y * math.sin(angle)
                turned[second] = y * math.cos(angle) + x * math.sin(angle)
            return turned

        def score(query, key, pairs):
            return sum(a * b for a, b in zip(turn(query, pairs, 5), turn(key, pairs, 2)))

        query, key = [0.3, -1.2, 0.7, 2.0], [1.1, 0.4, -0.6, 0.9]
        neighbours, halves = [(0, 1), (2, 3)], [(0, 2), (1, 3)]
        order = [int(row) - 200 for row in self.rows("model.layers.0.self_attn.k_proj.weight")]
        apart = [[vector[channel] for channel in order] for vector in (query, key)]
        self.assertAlmostEqual(score(query, key, neighbours), score(*apart, halves), places=12)
        self.assertNotAlmostEqual(score(query, key, neighbours), score(query, key, halves), places=2)

    def test_every_tensor_has_its_name_and_shape(self):
        layer = "model.layers.0"
        self.assertEqual(converted().shapes(), {
            "model.embed_tokens.weight": (VOCABULARY, HIDDEN),
            "model.norm.weight": (HIDDEN,),
            f"{layer}.input_layernorm.weight": (HIDDEN,),
            f"{layer}.self_attn.q_proj.weight": (HEADS * HEAD_DIM, HIDDEN),
            f"{layer}.self_attn.k_proj.weight": (KEY_VALUE_HEADS * HEAD_DIM, HIDDEN),
            f"{layer}.self_attn.v_proj.weight": (KEY_VALUE_HEADS * HEAD_DIM, HIDDEN),
            f"{layer}.self_attn.o_proj.weight": (HIDDEN, HEADS * HEAD_DIM),
            f"{layer}.post_attention_layernorm.weight": (HIDDEN,),
            f"{layer}.mlp.gate_proj.weight": (FEED_FORWARD, HIDDEN),
            f"{layer}.mlp.up_proj.weight": (FEED_FORWARD, HIDDEN),
            f"{layer}.mlp.down_proj.weight": (HIDDEN, FEED_FORWARD),
        })

    def test_configuration(self):
        config = converted().config()
        sizes = (config["hidden_size"], config["head_dim"], config["vocab_size"])
        self.assertEqual(sizes, (HIDDEN, HEAD_DIM, VOCABULARY))
        self.assertEqual((config["rms_norm_eps"], config["rope_theta"]), (1e-5, 1e5))
        self.assertEqual((config["bos_token_id"], config["eos_token_id"]), (1, 0))
        self.assertTrue(config["tie_word_embeddings"])
        head = {"output.weight": counted(VOCABULARY, HIDDEN, 900)}
        self.assertFalse(converted(tensors=model(**head)).config()["tie_word_embeddings"])

    def test_the_shortest_decimal_of_an_f32(self):
        rounded = struct.unpack("<f", struct.pack("<f", 1e-5))[0]
        self.assertNotEqual(rounded, 1e-5)
        self.assertEqual((shortest(rounded), shortest(500000.0), shortest(16777217 / 16)), (1e-5, 5e5, 1048576.0))

    def test_tokenizer(self):
        tokenizer = converted().tokenizer()
        self.assertEqual(tokenizer["model"]["vocab"], {token: index for index, token in enumerate(TOKENS)})
        self.assertEqual(tokenizer["model"]["merges"], [["a", "b"]])
        self.assertEqual([token["content"] for token in tokenizer["added_tokens"]], TOKENS[:2])
        self.assertEqual(tokenizer["pre_tokenizer"]["pretokenizers"][0], {"type": "Digits", "individual_digits": True})

    def test_rejects_other_models_by_name(self):
        for changes, reason in [
            ({"general.architecture": "gemma3"}, "architecture `gemma3`"),
            ({"llama.rope.scaling.type": "yarn"}, "scaled .yarn."),
            ({"llama.rope.dimension_count": 2}, "turn 2 of 4 channels"),
            ({"tokenizer.ggml.model": "llama"}, "kind `llama`"),
            ({"tokenizer.ggml.pre": "qwen2"}, "as in `qwen2`"),
            ({"tokenizer.ggml.tokens": ["a"] * VOCABULARY}, "1 different"),
        ]:
            with self.assertRaisesRegex(ModelError, reason):
                found = converted({**METADATA, **changes})
                found.config(), found.tokenizer()
        for name in ("blk.0.attn_q.bias", "rope_freqs.weight", "blk.0.ffn_gate_inp.weight"):
            with self.assertRaisesRegex(ModelError, name):
                converted(tensors=model(**{name: ((HIDDEN,), gguf.F32, f32(range(HIDDEN)))}))
        without = {key: content for key, content in METADATA.items() if key != "llama.block_count"}
        with self.assertRaisesRegex(ModelError, "llama.block_count"):
            converted(without).config()


class Safetensors(unittest.TestCase):
    """The file as its format defines it."""

    def test_header_and_bytes(self):
        tensors = {"b": ((2, 3), array("f", range(6))), "a": ((1,), array("f", [7.5]))}
        with tempfile.TemporaryDirectory() as folder:
            path = Path(folder) / "model.safetensors"
            safetensors.write_f32(path, {name: shape for name, (shape, _) in tensors.items()}, lambda n: tensors[n][1])
            content = path.read_bytes()
        length = struct.unpack("<Q", content[:8])[0]
        self.assertEqual(length % 8, 0)
        header = json.loads(content[8:8 + length])
        self.assertEqual(header, {
            "a": {"dtype": "F32", "shape": [1], "data_offsets": [0, 4]},
            "b": {"dtype": "F32", "shape": [2, 3], "data_offsets": [4, 28]},
        })
        self.assertEqual(struct.unpack("<7f", content[8 + length:]), (7.5, 0, 1, 2, 3, 4, 5))

    def test_rejects_a_tensor_of_another_size(self):
        with tempfile.TemporaryDirectory() as folder, self.assertRaisesRegex(ValueError, "tensor `a`: 1 numbers"):
            safetensors.write_f32(Path(folder) / "x", {"a": (2,)}, lambda _: array("f", [1]))


if __name__ == "__main__":
    unittest.main()
