#!/usr/bin/env python3
"""Translate PTX to the C++ that the emulator compiles.

    ptx.py KERNELS.ptx > kernels.cu

What NVIDIA's compiler makes of the kernels is not what they say: it schedules, unrolls, merges loads and splits wide numbers into carry chains.
Its PTX, instruction by instruction, is one more proof of the kernels, nearer to what a GPU runs.

Covered are the instructions that these kernels become, all of them on integers; any other is an error that names it. Registers become
variables of their width without a sign, and an instruction's type decides how it reads them. Addresses of shared memory count from its first
byte. A load or store whose address is not a multiple of its size ends the launch, as on a GPU and unlike on the host.

Reference: NVIDIA, "PTX ISA", version 9.0, chapter 9.
"""

import re
import sys
from collections.abc import Callable
from typing import NamedTuple

PREAMBLE = """\
// Translated from PTX.
#include <cstdint>
#include <cstdio>

namespace ptx {

using u8 = std::uint8_t;
using u16 = std::uint16_t;
using u32 = std::uint32_t;
using u64 = std::uint64_t;
using u128 = unsigned __int128;
using s8 = std::int8_t;
using s16 = std::int16_t;
using s32 = std::int32_t;
using s64 = std::int64_t;
using s128 = __int128;

inline u64 checked(u64 address, u64 bytes) {
    if (address % bytes == 0) return address;
    std::fprintf(stderr, "PTX emulator: an access to %llx, which is no multiple of its %llu bytes\\n",
                 static_cast<unsigned long long>(address), static_cast<unsigned long long>(bytes));
    return 0;
}

template <class T>
T *global(u64 address, unsigned count) {
    return reinterpret_cast<T *>(checked(address, sizeof(T) * count));
}

}  // namespace ptx

// As the kernels' sources have it.
using Word = unsigned long long;
extern __shared__ Word shared[];

namespace ptx {

template <class T>
T *of_block(u64 offset, unsigned count) {
    return global<T>(reinterpret_cast<u64>(shared) + offset, count);
}

template <class T>
T shifted_left(T x, u32 places) {
    return places >= 8 * sizeof(T) ? 0 : x << places;
}

template <class T>
T shifted_right(T x, u32 places) {
    const u32 most = 8 * sizeof(T) - 1;
    if (places <= most) return x >> places;
    return x < 0 ? T(-1) : T(0);
}

template <class T>
T inserted(T field, T word, u32 position, u32 length) {
    position &= 255;
    length &= 255;
    const T mask = shifted_left<T>(length >= 8 * sizeof(T) ? ~T{0} : (T{1} << length) - 1, position);
    return (word & ~mask) | (shifted_left<T>(field, position) & mask);
}

// The high or the low half of a double word that is shifted by up to 31 places.
inline u32 funnel_left(u32 low, u32 high, u32 places) { return ((u64{high} << 32 | low) << (places & 31)) >> 32; }
inline u32 funnel_right(u32 low, u32 high, u32 places) { return (u64{high} << 32 | low) >> (places & 31); }

inline u32 permuted_bytes(u32 low, u32 high, u32 selection) {
    const u64 bytes = u64{high} << 32 | low;
    u32 result = 0;
    for (u32 i = 0; i < 4; i++) {
        const u32 selector = selection >> 4 * i & 15;
        u32 byte = bytes >> 8 * (selector & 7) & 255;
        if (selector & 8) byte = byte & 128 ? 255 : 0;
        result |= byte << 8 * i;
    }
    return result;
}

}  // namespace ptx

"""

# Words of one size are read as words of another.
COMPILER_OPTIONS = ["-fno-strict-aliasing"]

SPECIAL = {
    f"%{register}.{axis}": f"{variable}.{axis}"
    for register, variable in [("tid", "threadIdx"), ("ntid", "blockDim"), ("ctaid", "blockIdx"), ("nctaid", "gridDim")]
    for axis in "xyz"
}
COMPARISONS = {"eq": "==", "ne": "!=", "lt": "<", "le": "<=", "gt": ">", "ge": ">=", "lo": "<", "ls": "<=", "hi": ">", "hs": ">="}
# Waits of a block and of a warp: the emulator knows no warps, and the latter are for the whole block.
BARRIERS = {"bar.sync": 1, "bar.warp.sync": 2}


class Unsupported(Exception):
    """PTX that the kernels have not become so far."""


class Instruction(NamedTuple):
    guard: str
    operation: str
    operands: list[str]

    @property
    def name(self) -> str:
        return self.operation.split(".")[0]

    @property
    def modifiers(self) -> list[str]:
        return self.operation.split(".")[1:]

    def type(self, which: int = -1) -> str:
        """The type of the operands in C++."""
        found = self.modifiers[which]
        return "bool" if found == "pred" else "ptx::" + found.replace("b", "u")

    def read(self, index: int, type_: str | None = None) -> str:
        return f"({type_ or self.type()})({scalar(self.operands[index])})"


def bits(type_: str) -> int:
    return int(re.sub(r"\D", "", type_))


def unsigned(type_: str) -> str:
    return type_.replace("::s", "::u")


def wider(type_: str) -> str:
    return type_.replace(str(bits(type_)), str(2 * bits(type_)))


def scalar(operand: str) -> str:
    """An operand that is one value."""
    if operand in SPECIAL:
        return SPECIAL[operand]
    if operand == "shared":
        return "0"
    if re.fullmatch(r"%\w+|[A-Za-z]\w*", operand):
        return operand.lstrip("%")
    if re.fullmatch(r"-?\d+U?", operand):
        return operand.rstrip("U") + ("ll" if operand.startswith("-") else "ull")
    if re.fullmatch(r"0[xX][0-9a-fA-F]+U?", operand):
        return operand.rstrip("U") + "ull"
    raise Unsupported(f"the operand `{operand}`")


def values(operand: str) -> list[str]:
    """The elements of a vector, or the one value."""
    if operand.startswith("{"):
        return [scalar(element.strip()) for element in operand[1:-1].split(",")]
    return [scalar(operand)]


def pointer(instruction: Instruction, operand: str, count: int) -> str:
    """The address of a load or a store."""
    base, _, offset = operand[1:-1].partition("+")
    space = "of_block" if "shared" in instruction.modifiers else "global"
    return f"ptx::{space}<{instruction.type()}>({scalar(base.strip())} + ({offset or 0}), {count})"


def load(i: Instruction) -> str:
    if "param" in i.modifiers:
        name, _, offset = i.operands[1][1:-1].partition("+")
        return f"{scalar(i.operands[0])} = ({i.type()})({name} >> {8 * int(offset or 0)});"
    targets = values(i.operands[0])
    reads = " ".join(f"{target} = from[{index}];" for index, target in enumerate(targets))
    return f"{{ const auto *from = {pointer(i, i.operands[1], len(targets))}; {reads} }}"


def store(i: Instruction) -> str:
    sources = values(i.operands[1])
    writes = " ".join(f"to[{index}] = {source};" for index, source in enumerate(sources))
    return f"{{ auto *to = {pointer(i, i.operands[0], len(sources))}; {writes} }}"


def sum_or_difference(i: Instruction) -> str:
    type_, target = unsigned(i.type()), scalar(i.operands[0])
    left, right = i.read(1, type_), i.read(2, type_)
    reads_carry = i.name in ("addc", "subc")
    if not reads_carry and "cc" not in i.modifiers:
        return f"{target} = {left} {'+' if i.name == 'add' else '-'} {right};"
    wide, sign = wider(type_), "+" if i.name.startswith("add") else "-"
    result = f"({wide}){left} {sign} {right}" + (f" {sign} carry" if reads_carry else "")
    keep = f" carry = sum >> {bits(type_)} & 1;" if "cc" in i.modifiers else ""
    return f"{{ const {wide} sum = {result}; {target} = ({type_})sum;{keep} }}"


def product(i: Instruction) -> str:
    """mul and mad: the low half, the high half, or both. Sums are of words without a sign, which may overflow."""
    type_, target = i.type(), scalar(i.operands[0])
    if "lo" in i.modifiers:
        result, type_ = f"{i.read(1, unsigned(type_))} * {i.read(2, unsigned(type_))}", unsigned(type_)
    elif "hi" in i.modifiers:
        result = f"({type_})(({wider(type_)}){i.read(1)} * {i.read(2)} >> {bits(type_)})"
    else:
        result, type_ = f"({unsigned(wider(type_))})(({wider(type_)}){i.read(1)} * {i.read(2)})", unsigned(wider(type_))
    return f"{target} = {result}" + (f" + {i.read(3, type_)};" if i.name == "mad" else ";")


def absolute(i: Instruction) -> str:
    negative = f"0 - {i.read(1, unsigned(i.type()))}"
    return f"{scalar(i.operands[0])} = {i.read(1)} < 0 ? {negative} : {i.read(1, unsigned(i.type()))};"


def insertion(i: Instruction) -> str:
    places = [i.read(k, "ptx::u32") for k in (3, 4)]
    return f"{scalar(i.operands[0])} = ptx::inserted<{i.type()}>({', '.join([i.read(1), i.read(2), *places])});"


def funnel(i: Instruction) -> str:
    side = {"l": "left", "r": "right"}[i.modifiers[0]]
    return f"{scalar(i.operands[0])} = ptx::funnel_{side}({', '.join(i.read(k, 'ptx::u32') for k in (1, 2, 3))});"


def conversion(i: Instruction) -> str:
    return f"{scalar(i.operands[0])} = ({i.type(0)}){i.read(1)};"


def move(i: Instruction) -> str:
    """One value, or the halves of a word."""
    target, source = i.operands
    if not target.startswith("{") and not source.startswith("{"):
        return f"{scalar(target)} = {i.read(1)};"
    if i.type() != "ptx::u64" or len(values(target)) * len(values(source)) != 2:
        raise Unsupported(f"`{i.operation} {target}, {source}`")
    if target.startswith("{"):
        low, high = values(target)
        return f"{{ const ptx::u64 word = {scalar(source)}; {low} = (ptx::u32)word; {high} = (ptx::u32)(word >> 32); }}"
    low, high = values(source)
    return f"{scalar(target)} = (ptx::u64)(ptx::u32){high} << 32 | (ptx::u32){low};"


def comparison(i: Instruction) -> str:
    return f"{scalar(i.operands[0])} = {i.read(1)} {COMPARISONS[i.modifiers[0]]} {i.read(2)};"


def barrier(i: Instruction) -> str:
    if i.operands not in (["0"], ["-1"]):
        raise Unsupported(f"`{i.operation} {', '.join(i.operands)}`")
    return f"emulator::wait_at_barrier({BARRIERS[i.operation]});"


def unary(form: str) -> Callable[[Instruction], str]:
    return lambda i: f"{scalar(i.operands[0])} = {form.format(x=i.read(1))};"


def binary(form: str) -> Callable[[Instruction], str]:
    return lambda i: f"{scalar(i.operands[0])} = {form.format(x=i.read(1), y=i.read(2))};"


def shift(function: str) -> Callable[[Instruction], str]:
    return lambda i: f"{scalar(i.operands[0])} = ptx::{function}<{i.type()}>({i.read(1)}, {i.read(2, 'ptx::u32')});"


WORD = "[us](32|64)"
BITS = "b(16|32|64)"
ANY = "[usb](8|16|32|64)"
SPACE = r"((param|shared|global|global\.nc)\.)?"

# Each with the modifiers that it may have.
INSTRUCTIONS: dict[str, tuple[str, Callable[[Instruction], str]]] = {
    "abs": ("s(16|32|64)", absolute),
    "add": (rf"(cc\.)?{WORD}", sum_or_difference),
    "addc": (rf"(cc\.)?{WORD}", sum_or_difference),
    "and": (f"{BITS}|pred", binary("{x} & {y}")),
    "bar": (r"sync|warp\.sync", barrier),
    "bfi": ("b(32|64)", insertion),
    "bra": ("(uni)?", lambda i: f"goto {i.operands[0].lstrip('$')};"),
    "brev": ("b32", lambda i: f"{scalar(i.operands[0])} = __brev({i.read(1)});"),
    "clz": ("b32", lambda i: f"{scalar(i.operands[0])} = __clz({i.read(1)});"),
    "cvt": (rf"{ANY}\.{ANY}", conversion),
    "cvta": (r"to\.global\.u64", lambda i: f"{scalar(i.operands[0])} = {scalar(i.operands[1])};"),
    "div": (WORD, binary("{x} / {y}")),
    "ld": (rf"{SPACE}(v[24]\.)?{ANY}", load),
    "mad": (rf"lo\.{WORD}|wide\.[us](16|32)", product),
    "max": (WORD, binary("({x} > {y} ? {x} : {y})")),
    "min": (WORD, binary("({x} < {y} ? {x} : {y})")),
    "mov": (f"{ANY}|pred", move),
    "mul": (rf"(lo|hi)\.{WORD}|wide\.[us](16|32)", product),
    "neg": ("s(16|32|64)", lambda i: f"{scalar(i.operands[0])} = 0 - {i.read(1, unsigned(i.type()))};"),
    "not": (f"{BITS}|pred", lambda i: f"{scalar(i.operands[0])} = {'!' if i.type() == 'bool' else '~'}{i.read(1)};"),
    "or": (f"{BITS}|pred", binary("{x} | {y}")),
    "prmt": ("b32", lambda i: f"{scalar(i.operands[0])} = ptx::permuted_bytes({', '.join(i.read(k, 'ptx::u32') for k in (1, 2, 3))});"),
    "rem": (WORD, binary("{x} % {y}")),
    "ret": ("", lambda i: "return;"),
    "selp": (ANY, lambda i: f"{scalar(i.operands[0])} = {scalar(i.operands[3])} ? {i.read(1)} : {i.read(2)};"),
    "setp": (rf"({'|'.join(COMPARISONS)})\.{ANY}", comparison),
    "shf": (r"[lr]\.wrap\.b32", funnel),
    "shl": (BITS, shift("shifted_left")),
    "shr": (ANY, shift("shifted_right")),
    "st": (rf"{SPACE}(v[24]\.)?{ANY}", store),
    "sub": (rf"(cc\.)?{WORD}", sum_or_difference),
    "subc": (rf"(cc\.)?{WORD}", sum_or_difference),
    "xor": (f"{BITS}|pred", binary("{x} ^ {y}")),
}
REGISTERS = {"pred": "bool", "b16": "ptx::u16", "b32": "ptx::u32", "b64": "ptx::u64"}

STATEMENT = re.compile(r"\s*(?:(?P<label>\$?\w+):|(?P<text>[^;]*);)")
# A statement never begins with the brace of a vector.
SCOPE = re.compile(r"\s*([{}])")
OPERAND = re.compile(r"\{[^}]*\}|\[[^\]]*\]|[^,\s]+")
ENTRY = re.compile(r"\.visible\s+\.entry\s+(\w+)\s*\((.*?)\)(.*?)\n\{(.*?)\n\}", re.DOTALL)


def parsed(text: str) -> Instruction:
    found = re.fullmatch(r"(?:@(!?)%(\w+)\s+)?([\w.]+)\s*(.*)", text, re.DOTALL)
    if found is None:
        raise Unsupported(f"`{text}`")
    negated, predicate, operation, operands = found.groups()
    guard = f"if ({negated}{predicate}) " if predicate else ""
    return Instruction(guard, operation, OPERAND.findall(operands))


def statement(text: str) -> str:
    """One statement of a body in C++."""
    registers = re.fullmatch(r"\.reg\s+\.(\w+)\s+%(\w+)<(\d+)>", text)
    if registers:
        kind, prefix, count = registers.groups()
        if kind not in REGISTERS:
            raise Unsupported(f"registers of type `{kind}`")
        return f"{REGISTERS[kind]} " + ", ".join(f"{prefix}{number} = 0" for number in range(int(count))) + ";"
    temporary = re.fullmatch(r"\.reg\s+\.(\w+)\s+([A-Za-z]\w*)", text)
    if temporary and temporary[1] in REGISTERS:
        return f"{REGISTERS[temporary[1]]} {temporary[2]} = 0;"
    if text.startswith(".pragma"):
        return ""
    instruction = parsed(text)
    modifiers, translate = INSTRUCTIONS.get(instruction.name, (None, None))
    if modifiers is None or not re.fullmatch(modifiers, ".".join(instruction.modifiers)):
        raise Unsupported(f"`{instruction.operation}`")
    return instruction.guard + translate(instruction)


class CarryChain:
    """Sees to it that a carry is read by the kind of instruction that left it: what a difference borrows is no carry of a sum."""

    def __init__(self) -> None:
        self.left_by = ""

    def follow(self, text: str) -> None:
        found = re.match(r"(?:@!?%\w+\s+)?(add|sub)(c?)\.(cc\.)?", text)
        if found is None:
            return
        kind, reads, writes = found.groups()
        if reads and self.left_by != kind:
            raise Unsupported(f"`{text}`, which reads a carry that no `{kind}.cc` before it left")
        if writes:
            self.left_by = kind


def kernel(name: str, parameters: str, directives: str, body: str) -> str:
    """A kernel as a function of CUDA C++."""
    names = re.findall(r"\.param\s+\.u64\s+(?:\.ptr\s+[^,]*?\s)?(\w+)\s*(?:,|$)", parameters.strip())
    if len(names) != parameters.count(".param"):
        raise Unsupported(f"a parameter of `{name}` that is no word")
    threads = re.search(r"\.maxntid\s+(\d+)(?:,\s*1){0,2}\s", directives + "\n")
    bounds = f"__launch_bounds__({threads[1]}) " if threads else ""
    lines, position, carry = [], 0, CarryChain()
    while body[position:].strip():
        scope = SCOPE.match(body, position)
        if scope:
            position = scope.end()
            lines.append(scope[1])
            continue
        found = STATEMENT.match(body, position)
        if found is None:
            raise Unsupported(f"in `{name}`: `{body[position:].strip()[:60]}`")
        position = found.end()
        if found["label"]:
            carry.left_by = ""
            lines.append(f"{found['label'].lstrip('$')}:;")
            continue
        try:
            carry.follow(found["text"].strip())
            lines.append("    " + statement(found["text"].strip()))
        except Unsupported as reason:
            raise Unsupported(f"in `{name}`: {reason}") from None
    signature = ", ".join(f"unsigned long long {name}" for name in names)
    return f'extern "C" __global__ void {bounds}{name}({signature}) {{\n    bool carry = false;\n    (void)carry;\n' + "\n".join(lines) + "\n}\n"


def translated(ptx: str) -> str:
    ptx = re.sub(r"//[^\n]*", "", ptx.rstrip("\0"))
    if ptx.count(".entry") != len(ENTRY.findall(ptx)):
        raise Unsupported("an entry that is not visible, or has no body of its own")
    return PREAMBLE + "\n".join(kernel(*found) for found in ENTRY.findall(ptx))


def main() -> None:
    with open(sys.argv[1]) as file:
        text = file.read()
    try:
        print(translated(text))
    except Unsupported as reason:
        sys.exit(f"the emulator does not know {reason}")


if __name__ == "__main__":
    main()
