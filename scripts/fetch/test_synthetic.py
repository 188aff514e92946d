"""What the synthetic layer is made of."""

import importlib.machinery
import importlib.util
import struct
import unittest
from pathlib import Path

SCRIPT = Path(__file__).resolve().parent.parent / "synthesise-llama3-layer"
loader = importlib.machinery.SourceFileLoader("synthesise", str(SCRIPT))
synthesise = importlib.util.module_from_spec(importlib.util.spec_from_loader("synthesise", loader))
loader.exec_module(synthesise)


def numbers(tensor):
    """The numbers of a tensor."""
    bits = struct.unpack(f"<{len(tensor.data) // 2}H", tensor.data)
    return [struct.unpack("<f", struct.pack("<I", word << 16))[0] for word in bits]


class SyntheticTest(unittest.TestCase):
    def test_bfloat16_rounds_to_nearest(self):
        for value, bits in ((1.0, 0x3F80), (-2.0, 0xC000), (1.00390625, 0x3F80), (1.01171875, 0x3F82), (0.0, 0)):
            self.assertEqual(synthesise.bfloat16(value), bits, value)

    def test_noise_has_its_deviation_and_is_that_of_its_name(self):
        tensor = synthesise.Tensor("noise", 64, 64, 0.25)
        values = numbers(tensor)
        deviation = (sum(value * value for value in values) / len(values)) ** 0.5
        self.assertAlmostEqual(deviation, 0.25, delta=0.01)
        self.assertLess(abs(sum(values)) / len(values), 0.02)
        self.assertEqual(tensor.data, synthesise.Tensor("noise", 64, 64, 0.25).data)
        self.assertNotEqual(tensor.data, synthesise.Tensor("other", 64, 64, 0.25).data)

    def test_what_is_planted_stands_where_it_should(self):
        tensor = synthesise.Tensor("noise", 4, 8, 1.0)
        before = numbers(tensor)
        tensor[2, 5] = 40.0
        after = numbers(tensor)
        self.assertEqual([place for place in range(32) if before[place] != after[place]], [2 * 8 + 5])
        self.assertEqual(after[2 * 8 + 5], 40.0)


if __name__ == "__main__":
    unittest.main()
