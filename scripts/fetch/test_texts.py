"""Paragraphs, and where a text is cut."""

from __future__ import annotations

import unittest

from .texts import divided, paragraphs

TEXT = "A title\r\n\r\n  It was\r\na  cold\tevening.\r\n \r\n\r\nThe end.\r\n"


class Texts(unittest.TestCase):
    def test_lines_of_a_paragraph_are_joined(self):
        self.assertEqual(paragraphs(TEXT), ["A title", "It was a cold evening.", "The end."])

    def test_every_paragraph_is_on_one_side(self):
        self.assertEqual(divided(TEXT, 0.5), ("A title\nIt was a cold evening.\n", "The end.\n"))
        self.assertEqual(divided(TEXT, 0.1), ("A title\n", "It was a cold evening.\nThe end.\n"))


if __name__ == "__main__":
    unittest.main()
