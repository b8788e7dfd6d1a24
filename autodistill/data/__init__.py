"""Data sources: where the examples of a study come from.

`python_docs` builds a data set from the docstrings of installed libraries, `text_classification` reads the user's own
files. Both return `autodistill.components.task.TaskData`. Their parameters are in `configs.py`; nothing here tokenises.
"""
