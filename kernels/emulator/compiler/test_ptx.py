"""The translation of PTX, instruction by instruction, run by the host's compiler and compared with what the PTX manual says."""

from __future__ import annotations

import os
import subprocess
import tempfile
import unittest
from pathlib import Path

import ptx

WORD = 1 << 64
# Enough of CUDA C++ for kernels of one thread.
AROUND = """
#include <cstdint>
#include <cstdlib>
#define __global__
#define __launch_bounds__(...)
#define __shared__ thread_local
struct { unsigned x = 3, y = 0, z = 0; } threadIdx;
static inline unsigned __brev(unsigned x) { unsigned r = 0; for (int i = 0; i < 32; i++) r |= (x >> i & 1) << (31 - i); return r; }
static inline int __clz(unsigned x) { return x == 0 ? 32 : __builtin_clz(x); }
namespace emulator { inline void wait_at_barrier(unsigned) {} }
#include "kernels.cu"
thread_local Word shared[8];
int main(int, char **arguments) {
    alignas(16) unsigned long long memory[4] = {};
    for (int i = 0; i < 3; i++) memory[i + 1] = std::strtoull(arguments[i + 1], nullptr, 0);
    probe(reinterpret_cast<unsigned long long>(memory));
    std::printf("%llu", memory[0]);
}
"""
# Loads three words, and stores one.
KERNEL = """.version 9.0
.target sm_80
.visible .entry probe(
	.param .u64 probe_param_0
)
{{
	.reg .pred 	%p<4>;
	.reg .b16 	%rs<4>;
	.reg .b32 	%r<8>;
	.reg .b64 	%rd<12>;
	ld.param.u64 	%rd1, [probe_param_0];
	cvta.to.global.u64 	%rd2, %rd1;
	ld.global.u64 	%rd3, [%rd2+8];
	ld.global.nc.v2.u64 	{{%rd4, %rd5}}, [%rd2+16];
	cvt.u32.u64 	%r3, %rd3;
	cvt.u32.u64 	%r4, %rd4;
	cvt.u32.u64 	%r5, %rd5;
{body}
	st.global.u64 	[%rd2], %rd0;
	ret;
}}
"""


def kernel(body: str) -> str:
    return KERNEL.format(body=body)


class Translation(unittest.TestCase):
    def result(self, body: str, *words: int) -> int:
        """What a body leaves in `%rd0`, of words in `%rd3`, `%rd4`, `%rd5`, whose lower halves are in `%r3`, `%r4`, `%r5`."""
        with tempfile.TemporaryDirectory() as folder:
            Path(folder, "kernels.cu").write_text(ptx.translated(kernel(body)))
            Path(folder, "main.cpp").write_text(AROUND)
            compiler = [os.environ.get("CXX", "c++"), "-std=c++20", "-O2", *ptx.COMPILER_OPTIONS, "-fsanitize=undefined", "-fno-sanitize-recover=all"]
            program = Path(folder, "program")
            subprocess.run([*compiler, "-o", program, Path(folder, "main.cpp")], check=True)
            arguments = [str(word % WORD) for word in (*words, 0, 0, 0)[:3]]
            return int(subprocess.run([program, *arguments], check=True, capture_output=True).stdout)

    def test_carries_go_from_word_to_word(self) -> None:
        body = "add.cc.s64 %rd6, %rd3, %rd4;\n addc.cc.s64 %rd7, %rd5, -1;\n addc.s64 %rd8, 5, 0;\n add.s64 %rd0, %rd8, %rd7;"
        self.assertEqual(self.result(body, WORD - 1, 1, 0), 6)
        self.assertEqual(self.result(body, 1, 1, 0), 4)
        self.assertEqual(self.result(body, WORD - 1, 1, 7), 6 + 7)
        body = "sub.cc.s64 %rd6, %rd3, %rd4;\n subc.s64 %rd0, %rd5, 2;"
        self.assertEqual(self.result(body, 1, 2, 10), 7)
        self.assertEqual(self.result(body, 2, 1, 10), 8)

    def test_products_have_two_halves(self) -> None:
        a, b = 0xFEDCBA9876543210, 0x123456789ABCDEF5
        self.assertEqual(self.result("mul.lo.s64 %rd0, %rd3, %rd4;", a, b), a * b % WORD)
        self.assertEqual(self.result("mul.hi.u64 %rd0, %rd3, %rd4;", a, b), a * b >> 64)
        self.assertEqual(self.result("mul.hi.s64 %rd0, %rd3, %rd4;", a, b), ((a - WORD) * b >> 64) % WORD)
        self.assertEqual(self.result("mul.wide.u32 %rd0, %r3, %r4;", a, b), (a % 2**32) * (b % 2**32))
        self.assertEqual(self.result("mad.lo.s32 %r6, %r3, %r4, %r5;\n cvt.u64.u32 %rd0, %r6;", a, b, 9), (a * b + 9) % 2**32)

    def test_shifts_reach_beyond_the_word(self) -> None:
        word = 0x8000000000000001
        for places, left, right, arithmetic in [
            (1, 2, 1 << 62, 0xC000000000000000),
            (64, 0, 0, WORD - 1),
            (200, 0, 0, WORD - 1),
        ]:
            self.assertEqual(self.result("shl.b64 %rd0, %rd3, %r4;", word, places), left)
            self.assertEqual(self.result("shr.u64 %rd0, %rd3, %r4;", word, places), right)
            self.assertEqual(self.result("shr.s64 %rd0, %rd3, %r4;", word, places), arithmetic)

    def test_types_decide_about_signs(self) -> None:
        body = "setp.{}.{} %p1, %rd3, %rd4;\n selp.b64 %rd0, 1, 2, %p1;"
        self.assertEqual(self.result(body.format("lt", "u64"), WORD - 1, 1), 2)
        self.assertEqual(self.result(body.format("lt", "s64"), WORD - 1, 1), 1)
        self.assertEqual(self.result("cvt.u16.u64 %rs1, %rd3;\n cvt.s64.s16 %rd0, %rs1;", 0x1FFFF), WORD - 1)
        self.assertEqual(self.result("abs.s64 %rd0, %rd3;", WORD - 7), 7)
        # The least number has no opposite.
        for operation in ["abs", "neg"]:
            self.assertEqual(self.result(f"{operation}.s64 %rd0, %rd3;", 1 << 63), 1 << 63)
        self.assertEqual(self.result("min.u64 %rd0, %rd3, %rd4;", WORD - 7, 8), 8)

    def test_bits_move(self) -> None:
        to_word = "\n cvt.u64.u32 %rd0, %r6;"
        self.assertEqual(self.result("bfi.b32 %r6, %r3, %r4, 4, 8;" + to_word, 0x5AB, 0xFFFFFFFF), 0xFFFFFABF)
        self.assertEqual(self.result("bfi.b32 %r6, %r3, %r4, 3, 29;" + to_word, 0xFFFFFFFF, 5), 0xFFFFFFFD)
        self.assertEqual(self.result("bfi.b32 %r6, %r3, %r4, 0, 256;" + to_word, 0xFFFFFFFF, 5), 5)
        self.assertEqual(self.result("shf.l.wrap.b32 %r6, %r3, %r4, 40;" + to_word, 0x12345678, 0x9ABCDEF0), 0xBCDEF012)
        self.assertEqual(self.result("shf.r.wrap.b32 %r6, %r3, %r3, %r4;" + to_word, 0x12345678, 12), 0x67812345)
        self.assertEqual(self.result("brev.b32 %r6, %r3;" + to_word, 0x80000006), 0x60000001)
        self.assertEqual(self.result("clz.b32 %r6, %r3;" + to_word, 0x00010000), 15)
        # 8452 = 0x2104: bytes 4, 0, 1, 2 from the lowest on.
        self.assertEqual(self.result("prmt.b32 %r6, %r3, %r4, 8452;" + to_word, 0x33221100, 0x77665544), 0x22110044)

    def test_halves_of_words_are_memory_and_parameters(self) -> None:
        body = "mov.u64 %rd6, shared;\n st.shared.v2.u32 [%rd6+8], {%r3, %r4};\n ld.shared.u64 %rd0, [%rd6+8];"
        self.assertEqual(self.result(body, 5, 6), 6 << 32 | 5)
        body = "ld.param.u32 %r6, [probe_param_0];\n ld.param.u32 %r7, [probe_param_0+4];\n cvt.u64.u32 %rd6, %r6;\n cvt.u64.u32 %rd7, %r7;\n"
        body += "shl.b64 %rd8, %rd7, 32;\n or.b64 %rd9, %rd8, %rd6;\n sub.s64 %rd0, %rd9, %rd1;"
        self.assertEqual(self.result(body), 0)

    def test_words_come_apart_and_together(self) -> None:
        body = "{ .reg .b32 tmp; mov.b64 {tmp, %r6}, %rd3; }\n mov.b64 %rd0, {%r6, %r4};"
        self.assertEqual(self.result(body, 0x1234567800000009, 7), 7 << 32 | 0x12345678)
        self.assertEqual(self.result("bfi.b64 %rd0, %rd3, %rd4, 32, 32;", 5, 9 << 32 | 8), 5 << 32 | 8)

    def test_shared_memory_counts_from_its_first_byte(self) -> None:
        body = "mov.u64 %rd6, shared;\n st.shared.v2.u64 [%rd6+16], {%rd3, %rd4};\n ld.shared.u64 %rd0, [%rd6+24];"
        self.assertEqual(self.result(body, 5, 6), 6)

    def test_branches_and_predicates(self) -> None:
        body = "mov.u64 %rd0, 0;\n$L__BB0_1:\n add.s64 %rd0, %rd0, %rd3;\n setp.lt.u64 %p1, %rd0, %rd4;\n@%p1 bra $L__BB0_1;"
        self.assertEqual(self.result(body, 7, 30), 35)
        body = "setp.eq.s64 %p1, %rd3, 1;\n not.pred %p2, %p1;\n mov.u64 %rd0, 4;\n@!%p2 mov.u64 %rd0, 9;"
        self.assertEqual(self.result(body, 1), 9)
        self.assertEqual(self.result(body, 2), 4)
        self.assertEqual(self.result("mov.u32 %r6, %tid.x;\n cvt.u64.u32 %rd0, %r6;"), 3)

    def test_bounds_of_threads_are_kept(self) -> None:
        bounded = kernel("").replace(")\n{", ")\n.maxntid 128, 1, 1\n.minnctapersm 3\n{")
        self.assertIn("__launch_bounds__(128) probe(", ptx.translated(bounded))
        self.assertNotIn("__launch_bounds__(", ptx.translated(kernel("")).split("namespace ptx")[-1].split("probe")[0])

    def test_rejects_what_the_kernels_never_became(self) -> None:
        for body, named in [
            ("fma.rn.f64 %fd1, %fd2, %fd3, %fd4;", "`fma.rn.f64`"),
            ("add.f64 %fd1, %fd2, %fd3;", "`add.f64`"),
            ("ld.local.u64 %rd3, [%rd4];", "`ld.local.u64`"),
            ("cvta.to.shared.u64 %rd3, %rd4;", "`cvta.to.shared.u64`"),
            ("bar.red.popc.u32 %r1, 0, %p1;", "`bar.red.popc.u32"),
            ("bar.sync 1;", "`bar.sync 1`"),
            ("mov.b32 {%rs1, %rs2}, %r3;", "`mov.b32 {%rs1, %rs2}, %r3`"),
            ("clz.b64 %r3, %rd4;", "`clz.b64`"),
            ("setp.lt.and.u64 %p1, %rd3, %rd4, %p2;", "`setp.lt.and.u64`"),
            ("mad.lo.cc.u32 %r6, %r3, %r4, %r5;", "`mad.lo.cc.u32`"),
            ("mad.hi.sat.s32 %r6, %r3, %r4, %r5;", "`mad.hi.sat.s32`"),
            ("add.sat.s32 %r6, %r3, %r4;", "`add.sat.s32`"),
            ("min.relu.s32 %r6, %r3, %r4;", "`min.relu.s32`"),
            ("mul.lo.u16 %rs1, %rs2, %rs3;", "`mul.lo.u16`"),
            ("shf.l.clamp.b32 %r6, %r3, %r4, %r5;", "`shf.l.clamp.b32`"),
            ("add.cc.s64 %rd6, %rd3, %rd4;\n subc.s64 %rd7, %rd3, %rd4;", "no `sub.cc` before it left"),
            ("add.cc.s64 %rd6, %rd3, %rd4;\n$L__BB0_1:\n addc.s64 %rd7, %rd3, %rd4;", "no `add.cc` before it left"),
            ("call.uni helper, (%rd3);", "`call.uni`"),
            (".reg .f64 %fd<4>;", "`f64`"),
        ]:
            with self.assertRaisesRegex(ptx.Unsupported, "in `probe`: .*" + named.replace(".", r"\.")):
                ptx.translated(kernel(body))
        with self.assertRaisesRegex(ptx.Unsupported, "a parameter of `probe`"):
            ptx.translated(kernel("").replace(".param .u64", ".param .u32"))


if __name__ == "__main__":
    unittest.main()
