"""Files that people write: from YAML text to frozen, checked values, and back.

In the order of reading: ``marks`` (where each value stands), ``files`` (bytes to text), ``scalars``,
``compose`` and ``yaml12`` (text to plain data), ``load`` (``extends:``, ``--set``), ``fields``, ``times`` and
``scenario`` (what may stand there), ``kinds`` (which file is read into which class), ``validate`` and
``mistakes`` (everything that is wrong, in our words), ``origins`` and ``resolved`` (where each value came
from), ``dump`` (back to YAML), ``schema_export`` (JSON Schema for editors).
"""
