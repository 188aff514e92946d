"""From a GGUF file of architecture `llama` to a model folder of Hugging Face: tensors, `config.json`, `tokenizer.json`.

One convention differs. GGUF's rows of the query and key projections are laid out for rotary positions that turn
neighbouring channels (2i, 2i + 1) together, Hugging Face's for channels i and i + head_dim / 2: the rows of each head
are put back into that order. A tied LM head is no tensor of its own in either.
"""

from __future__ import annotations

import re
import struct
from array import array

from .gguf import Gguf, Tensor

OUTSIDE = {
    "token_embd.weight": "model.embed_tokens.weight",
    "output_norm.weight": "model.norm.weight",
    "output.weight": "lm_head.weight",
}
IN_LAYER = {
    "attn_norm": "input_layernorm",
    "attn_q": "self_attn.q_proj",
    "attn_k": "self_attn.k_proj",
    "attn_v": "self_attn.v_proj",
    "attn_output": "self_attn.o_proj",
    "ffn_norm": "post_attention_layernorm",
    "ffn_gate": "mlp.gate_proj",
    "ffn_up": "mlp.up_proj",
    "ffn_down": "mlp.down_proj",
}
BYTE_LEVEL = {"type": "ByteLevel", "add_prefix_space": False, "trim_offsets": True, "use_regex": True}
PRE_TOKENIZERS = {
    "smollm": {
        "type": "Sequence",
        "pretokenizers": [{"type": "Digits", "individual_digits": True}, BYTE_LEVEL],
    },
    "gpt-2": BYTE_LEVEL,
}
# Kinds of tokens in GGUF that a text must spell out whole.
CONTROL, USER_DEFINED = 3, 4


class ModelError(Exception):
    """A GGUF file that this conversion does not carry."""


class LlamaModel:
    """A GGUF file seen as a folder of Hugging Face."""

    def __init__(self, gguf: Gguf):
        self.metadata = gguf.metadata
        architecture = self.required("general.architecture")
        if architecture != "llama":
            raise ModelError(f"architecture `{architecture}`, required: `llama`")
        self.heads = self.required("llama.attention.head_count")
        self.key_value_heads = self.metadata.get("llama.attention.head_count_kv", self.heads)
        self.tensors = {self.renamed(name): tensor for name, tensor in gguf.tensors.items()}

    def required(self, key: str):
        if key not in self.metadata:
            raise ModelError(f"the file has no key `{key}`")
        return self.metadata[key]

    def renamed(self, name: str) -> str:
        if name in OUTSIDE:
            return OUTSIDE[name]
        parts = re.fullmatch(r"blk\.(\d+)\.(\w+)\.weight", name)
        if parts and parts[2] in IN_LAYER:
            return f"model.layers.{parts[1]}.{IN_LAYER[parts[2]]}.weight"
        raise ModelError(f"tensor `{name}` has no place in a Llama of plain rotary positions without biases")

    def tensor(self, name: str) -> Tensor:
        if name not in self.tensors:
            raise ModelError(f"the file has no tensor for `{name}`")
        return self.tensors[name]

    def shapes(self) -> dict[str, tuple[int, ...]]:
        """Every tensor's shape, output channels first."""
        return {name: tensor.shape for name, tensor in self.tensors.items()}

    def values(self, name: str) -> array:
        """A tensor's numbers, row after row, in the order of Hugging Face."""
        tensor = self.tensor(name)
        if name.endswith("q_proj.weight"):
            return halves_apart(tensor.values(), tensor.shape, self.heads)
        if name.endswith("k_proj.weight"):
            return halves_apart(tensor.values(), tensor.shape, self.key_value_heads)
        return tensor.values()

    def config(self) -> dict:
        """`config.json`."""
        if self.metadata.get("llama.rope.scaling.type", "none") != "none":
            raise ModelError(f"rotary positions are scaled ({self.metadata['llama.rope.scaling.type']})")
        query = self.tensor("model.layers.0.self_attn.q_proj.weight")
        head_dim = query.shape[0] // self.heads
        turned = self.metadata.get("llama.rope.dimension_count", head_dim)
        if turned != head_dim:
            raise ModelError(f"rotary positions turn {turned} of {head_dim} channels of a head, required: all")
        return {
            "architectures": ["LlamaForCausalLM"],
            "attention_bias": False,
            "bos_token_id": self.metadata.get("tokenizer.ggml.bos_token_id"),
            "eos_token_id": self.metadata.get("tokenizer.ggml.eos_token_id"),
            "head_dim": head_dim,
            "hidden_act": "silu",
            "hidden_size": self.required("llama.embedding_length"),
            "intermediate_size": self.required("llama.feed_forward_length"),
            "max_position_embeddings": self.required("llama.context_length"),
            "mlp_bias": False,
            "model_type": "llama",
            "num_attention_heads": self.heads,
            "num_hidden_layers": self.required("llama.block_count"),
            "num_key_value_heads": self.key_value_heads,
            "rms_norm_eps": shortest(self.required("llama.attention.layer_norm_rms_epsilon")),
            "rope_scaling": None,
            "rope_theta": shortest(self.metadata.get("llama.rope.freq_base", 10_000.0)),
            "tie_word_embeddings": "lm_head.weight" not in self.tensors,
            "torch_dtype": "float32",
            "vocab_size": self.tensor("model.embed_tokens.weight").shape[0],
        }

    def tokenizer(self) -> dict:
        """`tokenizer.json`, byte-level BPE. It adds no token by itself."""
        kind = self.required("tokenizer.ggml.model")
        if kind != "gpt2":
            raise ModelError(f"tokenizer of kind `{kind}`, required: `gpt2` (byte-level BPE)")
        splitting = self.metadata.get("tokenizer.ggml.pre", "gpt-2")
        if splitting not in PRE_TOKENIZERS:
            raise ModelError(f"text is split as in `{splitting}`; known are {', '.join(PRE_TOKENIZERS)}")
        tokens, kinds = self.required("tokenizer.ggml.tokens"), self.required("tokenizer.ggml.token_type")
        vocabulary = {token: index for index, token in enumerate(tokens)}
        if len(vocabulary) != len(tokens) or len(kinds) != len(tokens):
            raise ModelError(f"{len(tokens)} tokens, {len(vocabulary)} different ones, of {len(kinds)} kinds")
        special = [index for index, kind in enumerate(kinds) if kind in (CONTROL, USER_DEFINED)]
        return {
            "version": "1.0",
            "truncation": None,
            "padding": None,
            "added_tokens": [added(index, tokens[index]) for index in special],
            "normalizer": None,
            "pre_tokenizer": PRE_TOKENIZERS[splitting],
            "post_processor": None,
            "decoder": BYTE_LEVEL,
            "model": {
                "type": "BPE",
                "dropout": None,
                "unk_token": None,
                "continuing_subword_prefix": None,
                "end_of_word_suffix": None,
                "fuse_unk": False,
                "byte_fallback": False,
                "vocab": vocabulary,
                "merges": [merge.split(" ", 1) for merge in self.required("tokenizer.ggml.merges")],
            },
        }


def halves_apart(values: array, shape: tuple[int, ...], heads: int) -> array:
    """Within each head, the rows of channels 0, 2, 4, ... and then of 1, 3, 5, ..."""
    rows, width = shape
    if rows % (2 * heads):
        raise ModelError(f"{rows} rows are not {heads} heads of an even number of channels")
    head_dim = rows // heads
    ordered = array("f")
    for head in range(heads):
        for parity in (0, 1):
            for row in range(head * head_dim + parity, (head + 1) * head_dim, 2):
                ordered.extend(values[row * width:(row + 1) * width])
    return ordered


def shortest(number: float) -> float:
    """The shortest decimal that is this number as an f32: GGUF keeps 1e-5 as 9.999999747378752e-06."""
    for digits in range(1, 10):
        candidate = float(f"{number:.{digits}g}")
        if struct.pack("<f", candidate) == struct.pack("<f", number):
            return candidate
    return number


def added(index: int, content: str) -> dict:
    """A token that is never split."""
    return {
        "id": index,
        "content": content,
        "single_word": False,
        "lstrip": False,
        "rstrip": False,
        "normalized": False,
        "special": True,
    }
