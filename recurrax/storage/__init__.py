"""How anything is kept on disk: what it is, in plain words, and its arrays, in folders that are whole or do not count.

- `description`: any static thing in plain values, so that two runs or models can be compared by name and argument.
- `differences`: what differs between two of them, in sentences.
- `leaves`: the arrays of any model by name.
- `folders`: Orbax's folders with checksums, and what the user is told when a disk fails.
"""
