"""Tasks: one file each, and beside them the nets and parts that several share.

Language: `language` (windows of a text) and `transformer` under `char_gpt`, `byte_gpt`,
`masked_encoder`. Images: `vision` (sizes, augmentation) and `residual_cnn` under `image_cnn`,
`image_vit`, `fine_tune_cnn`. Tables and series: `tabular_mlp`, `series_gru`.
"""
