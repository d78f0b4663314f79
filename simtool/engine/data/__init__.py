"""Data: what every machine has, and files that the user names; read whole into memory, split for good.

Reading order: `files` (what may be opened), `split` (parts that share no sample), then one file a
kind: `text`, `idx`, `arrays` (NPZ), `tables` (CSV, Parquet), `images`, `series`; `bundled` holds what
comes with scikit-learn.
"""
