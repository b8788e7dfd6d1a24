"""Teachers: where the model that students learn from is loaded, checked and described.

`huggingface` reads a directory in the format of transformers (or the packaged quickstart teacher). Fine-tuning it on a
task happens in `autodistill.training`, with the recipe that the teacher names.
"""
