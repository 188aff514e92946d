"""What is in a folder after success, damage, failure and interruption."""

from __future__ import annotations

import hashlib
import tempfile
import unittest
from pathlib import Path

from .folder import fill
from .package import FetchError

CONTENT = {"config.json": b"{}", "weights": b"numbers"}
HASHES = {name: hashlib.sha256(content).hexdigest() for name, content in CONTENT.items()}


class Folder(unittest.TestCase):
    def setUp(self):
        temporary = tempfile.TemporaryDirectory()
        self.addCleanup(temporary.cleanup)
        self.parent = Path(temporary.name)
        self.folder = self.parent / "cache" / "model"
        self.calls = 0

    def make(self, target: Path):
        self.calls += 1
        for name, content in CONTENT.items():
            (target / name).write_bytes(content)

    def assert_complete(self):
        for name, content in CONTENT.items():
            self.assertEqual((self.folder / name).read_bytes(), content)
        self.assertFalse((self.folder.parent / "model.partial").exists())

    def test_is_filled_once(self):
        self.assertTrue(fill(self.folder, HASHES, self.make))
        self.assert_complete()
        self.assertFalse(fill(self.folder, HASHES, self.make))
        self.assertEqual(self.calls, 1)

    def test_a_damaged_file_is_replaced_and_what_is_not_ours_stays(self):
        fill(self.folder, HASHES, self.make)
        (self.folder / "ranges.toml").write_text("measured")
        (self.folder / "weights").write_bytes(b"numb")
        self.assertTrue(fill(self.folder, HASHES, self.make))
        self.assert_complete()
        self.assertEqual((self.folder / "ranges.toml").read_text(), "measured")

    def test_an_interruption_leaves_nothing_and_a_killed_run_is_cleared_away(self):
        def interrupted(target: Path):
            (target / "config.json").write_bytes(b"{")
            raise KeyboardInterrupt

        with self.assertRaises(KeyboardInterrupt):
            fill(self.folder, HASHES, interrupted)
        self.assertEqual(list(self.folder.parent.iterdir()), [])
        killed = self.folder.parent / "model.partial"
        killed.mkdir()
        (killed / "weights").write_bytes(b"num")
        self.assertTrue(fill(self.folder, HASHES, self.make))
        self.assert_complete()

    def test_rejects_results_with_another_hash(self):
        def wrong(target: Path):
            self.make(target)
            (target / "weights").write_bytes(b"other")

        with self.assertRaisesRegex(FetchError, "weights, as made here, has SHA-256"):
            fill(self.folder, HASHES, wrong)
        self.assertFalse(self.folder.exists())


if __name__ == "__main__":
    unittest.main()
