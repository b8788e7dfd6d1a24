"""Which teacher layer each student layer starts from.

Only the mapping is here; `autodistill.students.initialisation` copies the weights, and the layers whose *features* a
loss compares are a matter of the schedule.
"""

from __future__ import annotations


def layer_map(student_layers: int, teacher_layers: int, selection: str) -> tuple[int, ...]:
    """Return the 1-based teacher layer of every student layer, in rising order.

    ``uniform`` takes every (teacher / student)-th layer and always the last one (DistilBERT, arXiv 1910.01108);
    ``first`` and ``last`` take a contiguous run; ``ends`` alternates between bottom and top, dropping the middle
    (arXiv 2004.03844 compares these). A student deeper than its teacher repeats layers under every selection.

    Args:
        student_layers: >= 1.
        teacher_layers: >= 1.
        selection: one of `autodistill.students.configs.LAYER_SELECTIONS`.
    """
    if selection == "uniform" or student_layers >= teacher_layers:
        # ceil((i + 1) * teacher / student): the last student layer always is the teacher's last.
        return tuple(-(-(index + 1) * teacher_layers // student_layers) for index in range(student_layers))
    bottom = {"first": student_layers, "last": 0, "ends": (student_layers + 1) // 2}[selection]
    top = student_layers - bottom
    return (*range(1, bottom + 1), *range(teacher_layers - top + 1, teacher_layers + 1))
