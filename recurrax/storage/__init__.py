"""Storage on disk: descriptions in plain values, and arrays in folders that are complete or ignored.

- `description`: describes static objects in plain values, so that two runs or models can be compared by name and
  argument.
- `differences`: lists the differences between two descriptions as phrases.
- `leaves`: names the arrays of any model.
- `folders`: manages Orbax's folders with checksums, and the error messages of disk failures.
"""
