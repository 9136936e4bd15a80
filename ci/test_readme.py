"""Tests of readme.py: `python3 -B -m unittest discover -s ci`."""

import unittest

import readme

TEXT = """# A
```sh
make other
```
## Try it
Words.
```sh
make demo    # half a minute
# a line of its own
make test
```
```sh
make third
```
## Use it
```sh
make late
```
"""


class ReadmeTest(unittest.TestCase):
    def test_takes_the_commands_of_its_block_only(self):
        self.assertEqual(readme.commands(TEXT), ["make demo", "make test"])
        self.assertEqual(readme.command(TEXT, "demo"), "make demo")

    def test_a_missing_command_section_or_block_is_an_error(self):
        for text, word in [
            (TEXT, "late"),
            (TEXT.replace("## Try it", "## Tried"), "test"),
            (TEXT.replace("```sh", "```"), "test"),
            (TEXT.replace("make demo ", "make test "), "test"),
        ]:
            with self.subTest(word=word), self.assertRaises(ValueError):
                readme.command(text, word)


if __name__ == "__main__":
    unittest.main()
