"""References: rows of the report that are not distilled, so that a study shows what cheaper ways give.

`tfidf_linear` is a linear model on word counts; `teacher_int8` is the teacher itself with 8-bit weights. Distilled rows
without a search are baselines, in `autodistill.baselines`.
"""
